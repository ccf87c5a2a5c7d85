//! One channel's place on a topic: where its messages go, and what it may hear.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::lock;
use super::outbox::Outbox;
use crate::realtime::protocol::{Encoded, Frame, Version};
use crate::realtime::request::Topic;

/// What a channel may hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::realtime) struct Rights {
    /// Broadcasts.
    pub(in crate::realtime) broadcast: bool,
    /// Who is present.
    pub(in crate::realtime) presence: bool,
}

impl Rights {
    /// Those of public topics.
    pub(in crate::realtime) const ALL: Self = Self { broadcast: true, presence: true };
}

/// A message that waits, with the id of the stored message that it is.
type Held = (Option<Uuid>, Frame);

/// One channel of one socket.
#[derive(Debug)]
pub(in crate::realtime) struct Seat {
    id: u64,
    topic: Topic,
    version: Version,
    outbox: Arc<Outbox>,
    inner: Mutex<Inner>,
    hears_broadcast: AtomicBool,
    hears_presence: AtomicBool,
    /// Whether it may be told who is present.
    may_presence: AtomicBool,
    /// Whether it is to be told so as soon as it is set up.
    wants_presence: bool,
}

#[derive(Debug)]
struct Inner {
    /// What came before the channel was set up; none afterwards.
    held: Option<Vec<Held>>,
    /// How many bytes that is.
    bytes: usize,
    /// Stored messages that were sent at the beginning: a feed that comes to them later has nothing new.
    replayed: Vec<Uuid>,
    is_closed: bool,
}

impl Seat {
    /// A seat that keeps what it hears until it is released. It may hear what `rights` say; `wants_presence`: it is told who is
    /// present as soon as it is released.
    pub(in crate::realtime) fn new(
        (id, topic, version): (u64, Topic, Version),
        outbox: Arc<Outbox>,
        rights: Rights,
        wants_presence: bool,
    ) -> Self {
        let inner = Inner { held: Some(Vec::new()), bytes: 0, replayed: Vec::new(), is_closed: false };
        Self {
            id,
            topic,
            version,
            outbox,
            inner: Mutex::new(inner),
            hears_broadcast: AtomicBool::new(rights.broadcast),
            hears_presence: AtomicBool::new(false),
            may_presence: AtomicBool::new(rights.presence),
            wants_presence,
        }
    }

    /// Whether it is to be told who is present as soon as it is released.
    pub(super) fn wants_presence(&self) -> bool {
        self.wants_presence
    }

    /// Sends nothing any more: the channel has ended.
    pub(in crate::realtime) fn close(&self) {
        let mut inner = lock(&self.inner);
        inner.is_closed = true;
        inner.held = None;
    }

    /// Sends nothing any more, and takes back what waits: the channel may not hear it.
    pub(in crate::realtime) fn silence(&self) {
        self.close();
        self.outbox.withdraw(self.id);
    }

    /// The socket's queue.
    pub(in crate::realtime) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The channel's number.
    pub(in crate::realtime) fn id(&self) -> u64 {
        self.id
    }

    /// Where it is.
    pub(in crate::realtime) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// What the socket speaks.
    pub(in crate::realtime) fn version(&self) -> Version {
        self.version
    }

    /// Sends a message, or keeps it until the channel is set up.
    pub(in crate::realtime) fn send(&self, frame: Frame, id: Option<Uuid>) {
        let mut inner = lock(&self.inner);
        if inner.is_closed || id.is_some_and(|id| inner.replayed.contains(&id)) {
            return;
        }
        let bytes = inner.bytes + frame.len();
        match &mut inner.held {
            Some(_) if bytes > self.outbox.limit() => {
                drop(inner);
                // Like a queue that is full.
                self.outbox.give_up();
            }
            Some(waiting) => {
                waiting.push((id, frame));
                inner.bytes = bytes;
            }
            None => self.outbox.push_for(self.id, frame),
        }
    }

    /// Sends a message that was written for many.
    pub(super) fn send_encoded(&self, message: &Encoded) {
        if let Some(frame) = message.frame(self.version) {
            self.send(frame, message.id());
        }
    }

    /// Says which stored messages are sent at the beginning.
    pub(in crate::realtime) fn replays(&self, ids: Vec<Uuid>) {
        lock(&self.inner).replayed = ids;
    }

    /// Sends the first frames and what has waited, but for the stored messages that were among the first.
    pub(super) fn release(&self, first: Vec<Frame>) {
        let mut inner = lock(&self.inner);
        let waiting = inner.held.take().unwrap_or_default();
        inner.bytes = 0;
        let replayed = &inner.replayed;
        let fresh = waiting
            .into_iter()
            .filter(|(id, _)| !id.is_some_and(|id| replayed.contains(&id)))
            .map(|(_, frame)| frame);
        for frame in first.into_iter().chain(fresh) {
            self.outbox.push_for(self.id, frame);
        }
    }

    /// Whether broadcasts are for it.
    pub(super) fn hears_broadcast(&self) -> bool {
        self.hears_broadcast.load(Ordering::Relaxed)
    }

    /// Whether it is told who is present.
    pub(super) fn hears_presence(&self) -> bool {
        self.hears_presence.load(Ordering::Relaxed)
    }

    /// Changes what it may hear; who was not told who is present is not told so by this.
    pub(in crate::realtime) fn restrict(&self, rights: Rights) {
        self.hears_broadcast.store(rights.broadcast, Ordering::Relaxed);
        self.may_presence.store(rights.presence, Ordering::Relaxed);
        self.hears_presence.fetch_and(rights.presence, Ordering::Relaxed);
    }

    /// Tells it who is present from now on; `false` if it was told already, or may not be.
    pub(super) fn start_presence(&self) -> bool {
        self.may_presence.load(Ordering::Relaxed) && !self.hears_presence.swap(true, Ordering::Relaxed)
    }
}
