//! The end of groups: their outcome, what is learnt from it, and what is sent again.
//!
//! A read may be sent again whenever nothing of its answer was handed out. A write is sent again only where it is
//! certain that nothing of it happened: it was rolled back, or the server never began with it.

use std::time::{Duration, Instant};

use postgres_protocol::message::frontend;
use tokio::sync::mpsc::error::TrySendError;

use super::{Aboard, Lost, Pump, STEP};
use crate::kernel::db::lanes::lane::Kind;
use crate::kernel::db::wire::frame::{Frame, invalid};
use crate::kernel::db::wire::{Access, Answer, Batch, Completion, DbError, SqlError};

/// A shape is proved by groups that take no longer than this.
const FAST: Duration = Duration::from_millis(5);
/// Failures of the kind that one repetition mends.
const MAX_RETRIES: u8 = 2;
/// How often a group that never began may find its connection closed.
const MAX_MOVES: u8 = 8;
/// The longest that statements of ours between groups may take.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// What DISCARD ALL does, but for the prepared statements.
const RESET_SESSION: &str = "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ALL; UNLISTEN *; DISCARD TEMP; \
    SELECT pg_advisory_unlock_all()";

impl Pump {
    /// The head is over: `state` is the transaction state after it.
    pub(super) async fn land(&mut self, state: u8) -> Result<(), Lost> {
        let Some(mut head) = self.aboard.pop_front() else { return Err(Lost) };
        let now = Instant::now();
        let elapsed = now - head.since;
        if let Some(next) = self.aboard.front_mut() {
            next.since = now;
        }
        self.learn(&head, elapsed);
        let error = head.flight.error.take();
        let explicit = head.flight.script.explicit;
        if let Some(error) = &error
            && state == b'I'
            && let Some(job) = head.job.take_if(|job| job.reply.is_some())
        {
            if self.is_to_repeat(error, job.attempts) {
                self.repeat(job, error);
                return Ok(());
            }
            head.job = Some(job);
        }
        let resets = self.kind == Kind::Exclusive && head.resets_session;
        self.settle(&mut head, error).await;
        self.ended += 1;
        match state {
            b'I' if resets => self.run_idle(RESET_SESSION).await,
            b'I' => Ok(()),
            // A failed BEGIN … COMMIT leaves its transaction open, and only such a group can.
            _ if explicit && self.aboard.is_empty() => self.run_idle("ROLLBACK").await,
            _ => Err(invalid("a transaction is open after its group").into()),
        }
    }

    /// Whether the failure is one of ours that the caller should not see.
    fn is_to_repeat(&self, error: &SqlError, attempts: u8) -> bool {
        let is_lane_lock_timeout = self.kind == Kind::Shared && error.code == "55P03";
        attempts < MAX_RETRIES && (is_lane_lock_timeout || error.is_stale_statement())
    }

    fn repeat(&mut self, mut job: Box<super::Job>, error: &SqlError) {
        if error.is_stale_statement() {
            self.hub.measures.retries.increment(1);
            self.wire.statements.forget(&mut self.wire.out);
            job.attempts += 1;
            // It keeps its place in the lane's count.
            self.board(job);
        } else {
            self.hub.measures.reissues.increment(1);
            // Straight to the exclusive lane, where it may wait for its lock.
            job.attempts = MAX_RETRIES - 1;
            self.ended += 1;
            self.hub.resubmit(job);
        }
    }

    /// Judges the shape of a read by how it went.
    fn learn(&self, head: &Aboard, elapsed: Duration) {
        self.hub.measures.seconds[self.kind.index()].record(elapsed);
        let Access::Read { shape } = head.access else { return };
        if head.flight.discards || head.job.is_none() {
            return;
        }
        let is_small = head.flight.total_bytes < STEP;
        let is_fast = elapsed < if self.kind == Kind::Shared { super::SLOW_HEAD } else { FAST };
        if head.flight.error.is_some() {
            // A failure proves nothing, unless it was the lane's lock_timeout.
            if self.kind == Kind::Shared && head.flight.error.as_ref().is_some_and(|e| e.code == "55P03") {
                self.hub.shapes.miss(shape);
            }
        } else if !is_small || !is_fast {
            self.hub.shapes.miss(shape);
        } else if self.kind == Kind::Exclusive {
            self.hub.shapes.prove(shape);
        }
    }

    /// Runs statements of ours between two groups: ends a transaction left open, or cleans the session.
    async fn run_idle(&mut self, sql: &'static str) -> Result<(), Lost> {
        frontend::query(sql, &mut self.wire.out)?;
        let end = async {
            loop {
                while let Some(frame) = self.wire.reader.next(false)? {
                    match frame {
                        Frame::Ready(b'I') => return Ok(()),
                        Frame::Complete(_)
                        | Frame::Columns(_)
                        | Frame::Skipped
                        | Frame::Notice(_)
                        | Frame::Parameter
                        | Frame::CloseComplete => {}
                        _ => return Err(Lost),
                    }
                }
                self.wire.io().await?;
            }
        };
        tokio::time::timeout(IDLE_TIMEOUT, end).await.unwrap_or(Err(Lost))
    }

    /// The connection is lost: repeats what may be repeated, tells the others.
    pub(super) fn abandon_ship(self) {
        self.hub.measures.lost.increment(1);
        for mut aboard in self.aboard {
            let is_read = aboard.access != Access::Write;
            // The server answers in order, so a farewell as the first answer means that it never began.
            let never_began = self.wire.sent() <= aboard.starts_at
                || (aboard.flight.error.is_some() && !aboard.flight.is_touched);
            // Without the Sync of a deciding group there was no commit.
            let maybe_committed = !is_read && !never_began && !aboard.flight.script.undecided;
            let Some(mut job) = aboard.job.take() else { continue };
            if job.reply.is_some() {
                if (is_read && job.attempts == 0) || (never_began && job.attempts < MAX_MOVES) {
                    self.hub.measures.retries.increment(1);
                    self.hub.resubmit(job);
                } else {
                    job.answer(Err(DbError::lost(maybe_committed)));
                }
            } else if let Some(stream) = aboard.stream.take() {
                let end = Some(Err(DbError::lost(maybe_committed)));
                // A full channel ends without the batch, which means the same.
                let _ = stream.try_send(Batch { events: Vec::new(), rows_complete: false, end });
            }
        }
    }

    /// Gives the outcome to the caller.
    async fn settle(&self, head: &mut Aboard, error: Option<Box<SqlError>>) {
        let end = match error {
            Some(error) => Err(DbError::Sql(error)),
            None => Ok(Completion { rows: head.flight.rows }),
        };
        let events = std::mem::take(&mut head.flight.events);
        if let Some(stream) = head.stream.take() {
            let batch = Batch { events, rows_complete: true, end: Some(end) };
            if let Err(TrySendError::Full(batch)) = stream.try_send(batch) {
                // A reader who left or sleeps too long finds the stream cut off.
                let _ = tokio::time::timeout(self.hub.config.reader_timeout, stream.send(batch)).await;
            }
            return;
        }
        let Some(job) = &mut head.job else { return };
        job.answer(end.map(|completion| Answer {
            columns: head.flight.columns.take(),
            first: Batch { events, rows_complete: true, end: Some(Ok(completion)) },
            rest: None,
            decision: None,
            is_write: head.access == Access::Write,
        }));
    }
}
