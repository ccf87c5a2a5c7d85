//! One lane: its connections' places, and the groups that wait for one.
//!
//! A short critical section per dispatch and per end of a group; no I/O under the lock. The lane never holds more
//! connections, opened or being opened, than its limit.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::kernel::db::wire::{Answer, DbError, Group};

/// Which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Proven reads, several in flight on a connection.
    Shared,
    /// Everything else, one in flight on a connection.
    Exclusive,
}

impl Kind {
    pub(super) fn index(self) -> usize {
        usize::from(self == Self::Exclusive)
    }
}

/// A group with a caller who waits for its answer.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) group: Group,
    /// Taken when the first part of the answer is given.
    pub(super) reply: Option<oneshot::Sender<Result<Answer, DbError>>>,
    /// How often it was sent before.
    pub(super) attempts: u8,
}

impl Job {
    /// Whether nobody waits any more.
    pub(super) fn is_orphan(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Gives the answer, unless one was given.
    pub(super) fn answer(&mut self, answer: Result<Answer, DbError>) {
        if let Some(reply) = self.reply.take() {
            // A caller who left wants nothing.
            let _ = reply.send(answer);
        }
    }
}

/// What a connection's task is told.
pub(super) enum Command {
    Run(Box<Job>),
    /// End when nothing is in flight.
    Close,
}

/// The place of an open connection.
struct Slot {
    id: u64,
    // Bounded by the lane's depth: a job is sent only after `in_flight` was found below it.
    inbox: UnboundedSender<Command>,
    in_flight: usize,
    /// Whether it takes new groups.
    is_open: bool,
    idle_since: Instant,
    born: Instant,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    waiting: VecDeque<Box<Job>>,
    connecting: usize,
    last_id: u64,
    /// After a failed attempt no other is made before.
    grow_after: Option<Instant>,
    is_ending: bool,
}

/// What became of a submitted group.
pub(super) enum Submitted {
    /// Sent or queued.
    Taken,
    /// Sent or queued, and the caller is to open a connection that was counted already.
    Grow,
    /// Refused: too many wait.
    Full(Box<Job>),
    /// Refused: no connection takes anything, and there is no room for another.
    Blocked(Box<Job>),
}

/// Numbers of a lane at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneState {
    /// Open connections.
    pub connections: usize,
    /// Those with nothing in flight.
    pub idle: usize,
    /// Groups sent to a connection.
    pub in_flight: usize,
    /// Groups waiting for one.
    pub waiting: usize,
}

/// A lane.
pub(super) struct Lane {
    depth: usize,
    limit: usize,
    queue_limit: usize,
    state: Mutex<State>,
}

impl Lane {
    pub(super) fn new(limit: usize, depth: usize, queue_limit: usize) -> Self {
        Self { depth: depth.max(1), limit, queue_limit, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the lane may have connections at all.
    pub(super) fn exists(&self) -> bool {
        self.limit > 0
    }

    /// Sends the job to the connection with the least in flight, or queues it; `again` puts it first and always in.
    pub(super) fn submit(&self, job: Box<Job>, again: bool) -> Submitted {
        let mut state = self.lock();
        let mut job = job;
        while let Some(slot) = state
            .slots
            .iter_mut()
            .filter(|slot| slot.is_open && slot.in_flight < self.depth)
            .min_by_key(|slot| (slot.in_flight, Reverse(slot.idle_since)))
        {
            let was_busy = slot.in_flight > 0;
            slot.in_flight += 1;
            match slot.inbox.send(Command::Run(job)) {
                Ok(()) => return if was_busy { state.grow(self.limit) } else { Submitted::Taken },
                Err(refused) => {
                    // Its task has ended and is about to leave.
                    slot.is_open = false;
                    let Command::Run(back) = refused.0 else { return Submitted::Taken };
                    job = back;
                }
            }
        }
        if self.depth > 1 && state.is_blocked(self.limit) {
            return Submitted::Blocked(job);
        }
        if again {
            state.waiting.push_front(job);
        } else {
            if state.waiting.len() >= self.queue_limit {
                state.waiting.retain(|waiting| !waiting.is_orphan());
                if state.waiting.len() >= self.queue_limit {
                    return Submitted::Full(job);
                }
            }
            state.waiting.push_back(job);
        }
        if state.connecting < state.waiting.len() { state.grow(self.limit) } else { Submitted::Taken }
    }

    /// Counts a connection to be opened, if there is room and something waits or `wanted`.
    pub(super) fn reserve(&self, wanted: bool) -> bool {
        let mut state = self.lock();
        let needed = wanted || state.connecting < state.waiting.len();
        needed && matches!(state.grow(self.limit), Submitted::Grow)
    }

    /// A connection that was counted is open: its place, and its first jobs. Where the lane has ended meanwhile, it is
    /// told at once to close after them, as nobody else will.
    pub(super) fn join(&self) -> (u64, UnboundedReceiver<Command>, VecDeque<Box<Job>>) {
        let (inbox, commands) = unbounded_channel();
        let mut state = self.lock();
        state.connecting -= 1;
        state.grow_after = None;
        state.last_id += 1;
        let id = state.last_id;
        let now = Instant::now();
        state.slots.push(Slot { id, inbox, in_flight: 0, is_open: true, idle_since: now, born: now });
        let mut jobs = VecDeque::new();
        state.hand_out(id, 0, self.depth, &mut jobs);
        if state.is_ending && state.waiting.is_empty() {
            state.slots.iter_mut().filter(|slot| slot.id == id).for_each(Slot::close);
        }
        (id, commands, jobs)
    }

    /// A connection that was counted could not be opened; the next attempt comes after `pause`.
    pub(super) fn give_up(&self, pause: Duration) {
        let mut state = self.lock();
        state.connecting -= 1;
        state.grow_after = Some(Instant::now() + pause);
    }

    /// `count` groups of a connection ended; adds the next jobs for it. `false`: the connection is to close.
    pub(super) fn finished(&self, id: u64, count: usize, jobs: &mut VecDeque<Box<Job>>) -> bool {
        let mut state = self.lock();
        state.hand_out(id, count, self.depth, jobs);
        !(state.is_ending && state.waiting.is_empty())
    }

    /// Gives new groups to a connection again.
    pub(super) fn reopen(&self, id: u64) {
        if let Some(slot) = self.lock().slots.iter_mut().find(|slot| slot.id == id) {
            slot.is_open = true;
        }
    }

    /// Stops giving new groups to a connection; where it was the last one, what waits is handed back.
    pub(super) fn block(&self, id: u64) -> VecDeque<Box<Job>> {
        let mut state = self.lock();
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == id) {
            slot.is_open = false;
        }
        if state.is_blocked(self.limit) { std::mem::take(&mut state.waiting) } else { VecDeque::new() }
    }

    /// The connection is gone.
    pub(super) fn leave(&self, id: u64) {
        self.lock().slots.retain(|slot| slot.id != id);
    }

    /// Takes a job that still waits out of the queue; `false` if it was sent.
    pub(super) fn withdraw(&self, job: u64) -> bool {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| waiting.id != job);
        state.waiting.len() < before
    }

    /// Takes everything that waits.
    pub(super) fn drain(&self) -> VecDeque<Box<Job>> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Whether no connection is open.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().slots.is_empty()
    }

    /// Whether a connection is being opened.
    pub(super) fn is_connecting(&self) -> bool {
        self.lock().connecting > 0
    }

    /// Tells connections that are idle or old to close, but keeps `keep` of them.
    pub(super) fn retire(&self, idle: Duration, lifetime: Duration, keep: usize) {
        let mut state = self.lock();
        let mut open = state.slots.iter().filter(|slot| slot.is_open).count();
        for slot in &mut state.slots {
            let is_old = slot.born.elapsed() > lifetime;
            let is_idle = slot.in_flight == 0 && slot.idle_since.elapsed() > idle && open > keep;
            if slot.is_open && (is_old || is_idle) {
                slot.close();
                open -= 1;
            }
        }
    }

    /// Lets everything that waits or runs finish, then closes all connections.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_ending = true;
        if state.waiting.is_empty() {
            state.slots.iter_mut().for_each(Slot::close);
        }
    }

    pub(super) fn numbers(&self) -> LaneState {
        let state = self.lock();
        LaneState {
            connections: state.slots.len(),
            idle: state.slots.iter().filter(|slot| slot.in_flight == 0).count(),
            in_flight: state.slots.iter().map(|slot| slot.in_flight).sum(),
            waiting: state.waiting.len(),
        }
    }
}

impl Slot {
    fn close(&mut self) {
        self.is_open = false;
        // A task that has ended needs no telling.
        let _ = self.inbox.send(Command::Close);
    }
}

impl State {
    /// Whether nothing here will take a group soon.
    fn is_blocked(&self, limit: usize) -> bool {
        self.connecting == 0 && self.slots.len() >= limit && self.slots.iter().all(|slot| !slot.is_open)
    }

    fn grow(&mut self, limit: usize) -> Submitted {
        if self.grow_after.is_some_and(|after| Instant::now() < after) {
            return Submitted::Taken;
        }
        if self.slots.len() + self.connecting < limit && !self.is_ending {
            self.connecting += 1;
            Submitted::Grow
        } else {
            Submitted::Taken
        }
    }

    fn hand_out(&mut self, id: u64, ended: usize, depth: usize, jobs: &mut VecDeque<Box<Job>>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) else { return };
        slot.in_flight = slot.in_flight.saturating_sub(ended);
        while slot.is_open && slot.in_flight < depth {
            match self.waiting.pop_front() {
                Some(job) if job.is_orphan() => {}
                Some(job) => {
                    slot.in_flight += 1;
                    jobs.push_back(job);
                }
                None => break,
            }
        }
        if slot.in_flight == 0 {
            slot.idle_since = Instant::now();
        }
    }
}
