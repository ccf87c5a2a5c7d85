//! The task that owns one connection: writes groups, reads answers, hands them out.
//!
//! All groups that wait at one moment leave in one write. Frames are matched strictly in order by `Flight`; whatever
//! does not fit ends the connection (`Lost`). `landing` ends groups, `departure` deals with callers who left.

mod departure;
mod landing;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use postgres_protocol::message::frontend;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, channel};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::Hub;
use super::lane::{Command, Job, Kind};
use crate::kernel::db::wire::connect::Wire;
use crate::kernel::db::wire::encode::{self, Ending, LaneSetting};
use crate::kernel::db::wire::flight::{Flight, Progress};
use crate::kernel::db::wire::frame::{Frame, STEP, invalid};
use crate::kernel::db::wire::{Access, Answer, Batch, Finish};

/// A head of the shared lane that takes longer holds up others: they go elsewhere.
const SLOW_HEAD: Duration = Duration::from_millis(20);
/// How long a read of the shared lane waits for a lock before it moves to the exclusive lane; below `SLOW_HEAD`.
const LOCK_TIMEOUT: &str = "15ms";
/// Batches read ahead of a slow reader.
const AHEAD: usize = 4;
/// What an answer on the shared lane may take before it is streamed, and others go elsewhere.
const SHARED_ANSWER: usize = 4 * STEP;

/// The connection cannot be used any more.
struct Lost;

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "a database connection is lost");
        Self
    }
}

/// A group on this connection.
struct Aboard {
    flight: Flight,
    /// Kept until the end of the group or until it was handed to another connection.
    job: Option<Box<Job>>,
    /// How many bytes were to be sent before its first.
    starts_at: u64,
    /// Where the rest of a large answer goes.
    stream: Option<Sender<Batch>>,
    decision: Option<oneshot::Receiver<Ending>>,
    /// When a decision is awaited no longer.
    decide_by: Option<Instant>,
    /// When its turn on the connection began.
    since: Instant,
    access: Access,
    resets_session: bool,
}

/// What woke the task.
enum Wake {
    Read(io::Result<()>),
    Told,
    Tick,
    /// The caller of the head left.
    Gone,
    Decided(Option<Ending>),
}

/// A connection and what is in flight on it.
struct Pump {
    hub: Arc<Hub>,
    kind: Kind,
    slot: u64,
    wire: Wire,
    inbox: UnboundedReceiver<Command>,
    aboard: VecDeque<Aboard>,
    /// Groups ended since the lane was told.
    ended: usize,
    is_closing: bool,
    /// Takes nothing new because its head is slow; what was behind it went elsewhere.
    is_stuck: bool,
    timer: Pin<Box<Sleep>>,
    is_timed: bool,
}

/// Runs a connection until it is closed or lost.
pub(super) async fn run(hub: Arc<Hub>, kind: Kind, wire: Wire) {
    let (slot, inbox, jobs) = hub.lane(kind).join();
    let mut pump = Pump {
        hub,
        kind,
        slot,
        wire,
        inbox,
        aboard: VecDeque::new(),
        ended: 0,
        is_closing: false,
        is_stuck: false,
        timer: Box::pin(tokio::time::sleep(SLOW_HEAD)),
        is_timed: false,
    };
    for job in jobs {
        pump.board(job);
    }
    let result = pump.drive().await;
    pump.hub.lane(kind).leave(slot);
    pump.inbox.close();
    while let Ok(command) = pump.inbox.try_recv() {
        if let Command::Run(job) = command {
            pump.hub.resubmit(job);
        }
    }
    match result {
        Ok(()) => pump.wire.close().await,
        Err(Lost) => pump.abandon_ship(),
    }
}

impl Pump {
    async fn drive(&mut self) -> Result<(), Lost> {
        loop {
            self.report();
            if self.is_closing && self.aboard.is_empty() {
                return Ok(());
            }
            match std::future::poll_fn(|cx| self.poll_wake(cx)).await {
                Wake::Read(result) => {
                    result?;
                    self.receive().await?;
                }
                Wake::Told => {}
                Wake::Tick => self.check_head().await?,
                Wake::Gone => self.caller_left().await?,
                Wake::Decided(ending) => self.decide(ending.unwrap_or(Ending::Rollback))?,
            }
        }
    }

    /// Tells the lane what ended and boards what it gives in return.
    fn report(&mut self) {
        let mut jobs = VecDeque::new();
        while self.ended > 0 {
            if self.is_stuck && self.aboard.is_empty() {
                self.is_stuck = false;
                if !self.is_closing {
                    self.hub.lane(self.kind).reopen(self.slot);
                }
            }
            let ended = std::mem::take(&mut self.ended);
            if !self.hub.lane(self.kind).finished(self.slot, ended, &mut jobs) {
                self.is_closing = true;
            }
            for job in jobs.drain(..) {
                self.board(job);
            }
        }
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let was_closing = self.is_closing;
        while let Poll::Ready(command) = self.inbox.poll_recv(cx) {
            match command {
                Some(Command::Run(job)) => self.board(job),
                Some(Command::Close) => self.is_closing = true,
                None => {
                    self.is_closing = true;
                    break;
                }
            }
        }
        let told = self.is_closing && !was_closing;
        if told || self.ended > 0 {
            return Poll::Ready(Wake::Told);
        }
        if let Poll::Ready(result) = self.wire.poll_io(cx) {
            return Poll::Ready(Wake::Read(result));
        }
        let exclusive = self.kind == Kind::Exclusive;
        let Some(head) = self.aboard.front_mut() else { return Poll::Pending };
        if let Some(decision) = &mut head.decision
            && let Poll::Ready(ending) = Pin::new(decision).poll(cx)
        {
            head.decision = None;
            return Poll::Ready(Wake::Decided(ending.ok()));
        }
        if exclusive
            && let Some(reply) = head.job.as_mut().and_then(|job| job.reply.as_mut())
            && reply.poll_closed(cx).is_ready()
        {
            return Poll::Ready(Wake::Gone);
        }
        if exclusive && head.stream.is_none() {
            return Poll::Pending;
        }
        if !self.is_timed {
            self.is_timed = true;
            let at = tokio::time::Instant::now() + if exclusive { 5 * SLOW_HEAD } else { SLOW_HEAD };
            self.timer.as_mut().reset(at);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.is_timed = false;
            return Poll::Ready(Wake::Tick);
        }
        Poll::Pending
    }

    /// Writes a group's frames behind those that wait already.
    fn board(&mut self, mut job: Box<Job>) {
        if job.is_orphan() {
            self.ended += 1;
            return;
        }
        if self.is_stuck {
            self.ended += 1;
            return self.hub.resubmit(job);
        }
        let generation = self.hub.generation.load(Ordering::Relaxed);
        self.wire.statements.keep_generation(generation, &mut self.wire.out);
        if !self.hub.config.prepared_statements {
            job.group.query.prepared = false;
        }
        let added: &[LaneSetting] = match (job.group.access, self.kind) {
            (Access::Write, _) => &[],
            (Access::Read { .. }, Kind::Exclusive) => &[("transaction_read_only", "on")],
            (Access::Read { .. }, Kind::Shared) => {
                &[("transaction_read_only", "on"), ("lock_timeout", LOCK_TIMEOUT)]
            }
        };
        let starts_at = self.wire.queued();
        match encode::group(&job.group, added, &mut self.wire.statements, &mut self.wire.out) {
            Ok(script) => self.aboard.push_back(Aboard {
                flight: Flight::new(script),
                access: job.group.access,
                resets_session: job.group.resets_session,
                job: Some(job),
                starts_at,
                stream: None,
                decision: None,
                decide_by: None,
                since: Instant::now(),
            }),
            Err(error) => {
                job.answer(Err(error));
                self.ended += 1;
            }
        }
    }

    /// Takes all frames that are there.
    async fn receive(&mut self) -> Result<(), Lost> {
        self.hub.health.heard_now();
        loop {
            let Some(head) = self.aboard.front_mut() else { return self.receive_idle() };
            let Some(frame) = self.wire.reader.next(head.flight.wants_rows())? else { break };
            match head.flight.take(frame, &mut self.wire.statements)? {
                Progress::Going => {
                    let limit =
                        if self.kind == Kind::Shared && head.stream.is_none() { SHARED_ANSWER } else { STEP };
                    if head.flight.waiting_bytes >= limit {
                        self.hand_out().await?;
                    }
                }
                Progress::RowsComplete => {
                    if head.flight.script.undecided {
                        self.hand_out().await?;
                    }
                }
                Progress::Failed => {
                    if head.flight.script.undecided {
                        head.flight.script.undecided = false;
                        head.decision = None;
                        frontend::sync(&mut self.wire.out);
                    }
                }
                Progress::Closing => return Err(Lost),
                Progress::Over(state) => self.land(state).await?,
            }
        }
        // What a reader waits for goes out before the next wait.
        if let Some(head) = self.aboard.front()
            && head.stream.is_some()
            && !head.flight.events.is_empty()
        {
            self.hand_out().await?;
        }
        Ok(())
    }

    /// Between groups the server may only make remarks.
    fn receive_idle(&mut self) -> Result<(), Lost> {
        while let Some(frame) = self.wire.reader.next(false)? {
            match frame {
                Frame::Parameter | Frame::Notice(_) | Frame::CloseComplete => {}
                Frame::Error(error) => {
                    tracing::debug!(code = error.code, "PostgreSQL closes an idle connection");
                    return Err(Lost);
                }
                _ => return Err(invalid("an answer without a question").into()),
            }
        }
        Ok(())
    }

    /// Gives the head's rows so far to its caller; the first time, the caller gets the answer that they belong to.
    async fn hand_out(&mut self) -> Result<(), Lost> {
        let Some(head) = self.aboard.front_mut() else { return Ok(()) };
        let batch = Batch {
            events: std::mem::take(&mut head.flight.events),
            rows_complete: head.flight.rows_complete,
            end: None,
        };
        head.flight.waiting_bytes = 0;
        if head.flight.discards {
            return Ok(());
        }
        if head.stream.is_some() {
            return self.deliver(batch).await;
        }
        let (sender, rest) = channel(AHEAD);
        head.stream = Some(sender);
        let mut answer = Answer {
            columns: head.flight.columns.clone(),
            first: batch,
            rest: Some(rest),
            decision: None,
            is_write: head.access == Access::Write,
        };
        let Some(job) = &mut head.job else { return Ok(()) };
        if job.group.finish == Finish::Decide && head.flight.script.undecided {
            let (decision, decided) = oneshot::channel();
            answer.decision = Some(decision);
            head.decision = Some(decided);
            head.decide_by = Some(Instant::now() + self.hub.config.reader_timeout);
        }
        job.answer(Ok(answer));
        if self.kind == Kind::Shared {
            self.get_stuck();
        }
        Ok(())
    }

    /// Waits for the reader of a large answer, but not for ever.
    async fn deliver(&mut self, batch: Batch) -> Result<(), Lost> {
        let Some(stream) = self.aboard.front().and_then(|head| head.stream.as_ref()) else { return Ok(()) };
        let limit = self.hub.config.reader_timeout;
        let is_gone = match stream.try_send(batch) {
            Ok(()) => false,
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => true,
            Err(tokio::sync::mpsc::error::TrySendError::Full(batch)) => {
                !matches!(tokio::time::timeout(limit, stream.send(batch)).await, Ok(Ok(())))
            }
        };
        if is_gone { self.caller_left().await } else { Ok(()) }
    }

    /// Ends a deciding group as its caller says.
    fn decide(&mut self, ending: Ending) -> Result<(), Lost> {
        let Some(head) = self.aboard.front_mut() else { return Ok(()) };
        if head.flight.script.undecided {
            head.decide_by = None;
            encode::end(ending, &mut head.flight.script, &mut self.wire.out).map_err(|_| Lost)?;
        }
        Ok(())
    }
}
