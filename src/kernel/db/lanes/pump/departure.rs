//! Callers who left, and heads that take too long.
//!
//! A cancel request names a connection and not a query, so one is sent only where nothing else can be hit: on a
//! connection whose other groups, if any, went elsewhere, and the connection runs nothing new until the server has
//! closed the cancel stream and answered one more Sync.

use std::time::{Duration, Instant};

use postgres_protocol::message::frontend;

use super::{Lost, Pump, SLOW_HEAD};
use crate::kernel::db::lanes::lane::Kind;
use crate::kernel::db::wire::encode::{self, Ending};
use crate::kernel::db::wire::frame::Frame;

/// How long a query may go on by itself after its caller left.
const GRACE: Duration = Duration::from_millis(10);
/// How long a cancelled query may take to end before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

impl Pump {
    /// Looks at the head from time to time.
    pub(super) async fn check_head(&mut self) -> Result<(), Lost> {
        let Some(head) = self.aboard.front() else { return Ok(()) };
        let is_undecided = head.decide_by.is_some_and(|limit| Instant::now() > limit);
        let is_gone = match &head.stream {
            Some(stream) => is_undecided || stream.is_closed(),
            None => head.job.as_ref().is_some_and(|job| job.is_orphan()),
        };
        if self.kind == Kind::Shared && head.since.elapsed() >= SLOW_HEAD {
            self.get_stuck();
        } else if self.kind == Kind::Shared {
            return Ok(());
        }
        if is_gone { self.caller_left().await } else { Ok(()) }
    }

    /// Takes nothing new on this shared connection, and moves what waits behind the head elsewhere.
    pub(super) fn get_stuck(&mut self) {
        if !self.is_stuck {
            self.is_stuck = true;
            for job in self.hub.lane(self.kind).block(self.slot) {
                self.hub.submit_to(Kind::Exclusive, job);
            }
        }
        for behind in self.aboard.iter_mut().skip(1) {
            // Only reads are here, and none of them has been answered.
            if let Some(job) = behind.job.take() {
                behind.flight.discard();
                self.hub.measures.reissues.increment(1);
                self.hub.resubmit(job);
            }
        }
    }

    /// The head's caller left: lets the query end by itself if it does so soon, else cancels it.
    pub(super) async fn caller_left(&mut self) -> Result<(), Lost> {
        if self.kind == Kind::Shared {
            self.get_stuck();
        }
        let Some(head) = self.aboard.front_mut() else { return Ok(()) };
        head.flight.discard();
        head.stream = None;
        head.decision = None;
        head.job = None;
        if head.flight.script.undecided {
            encode::end(Ending::Rollback, &mut head.flight.script, &mut self.wire.out).map_err(|_| Lost)?;
        }
        if let Ok(result) = tokio::time::timeout(GRACE, self.drain()).await {
            return result;
        }
        self.hub.measures.cancels.increment(1);
        let key = self.wire.cancel.clone();
        let started = Instant::now();
        let ended = async {
            let (sent, drained) = tokio::join!(key.cancel(), self.drain());
            drained?;
            sent?;
            self.confirm_idle().await
        };
        let result = tokio::time::timeout(PATIENCE, ended).await.unwrap_or(Err(Lost));
        if result.is_err() {
            tracing::debug!(waited = ?started.elapsed(), "a cancelled query did not end; its connection is closed");
        }
        result
    }

    /// Reads until nothing is in flight. Nothing lands from the lane meanwhile.
    async fn drain(&mut self) -> Result<(), Lost> {
        while !self.aboard.is_empty() {
            self.wire.io().await?;
            // Boxed because a landing may lead back here.
            Box::pin(self.receive()).await?;
        }
        Ok(())
    }

    /// One more round trip: whatever the cancel hits, it hits here.
    async fn confirm_idle(&mut self) -> Result<(), Lost> {
        frontend::sync(&mut self.wire.out);
        loop {
            while let Some(frame) = self.wire.reader.next(false)? {
                match frame {
                    Frame::Ready(b'I') => return Ok(()),
                    Frame::Error(error) if error.is_fatal() => return Err(Lost),
                    Frame::Error(_) | Frame::Notice(_) | Frame::Parameter | Frame::CloseComplete => {}
                    _ => return Err(Lost),
                }
            }
            self.wire.io().await?;
        }
    }
}
