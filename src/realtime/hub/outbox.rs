//! What waits to be written to one socket: a queue with a bound on its bytes.
//!
//! Whoever does not read fast enough is disconnected, so that nobody else pays for it and memory stays bounded.

use std::sync::Mutex;

use tokio::sync::Notify;

use super::lock;
use crate::realtime::protocol::Frame;

/// What has gathered since the last look.
#[derive(Debug, Default)]
pub(in crate::realtime) struct Waiting {
    /// To be written, in order.
    pub(in crate::realtime) frames: Vec<Frame>,
    /// Whether more was to be sent than the socket takes: it is to be closed.
    pub(in crate::realtime) is_too_slow: bool,
}

/// A frame, and the seat that it is for; none where it is the socket's.
#[derive(Debug)]
struct Queued {
    seat: Option<u64>,
    frame: Frame,
}

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<Queued>,
    is_too_slow: bool,
    bytes: usize,
    /// The size of the largest frame.
    largest: usize,
    /// Whether it was waited for in vain.
    is_strained: bool,
}

/// The queue of one socket.
#[derive(Debug)]
pub(in crate::realtime) struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
    taken: Notify,
    limit: usize,
}

impl Outbox {
    /// A queue of at most `limit` bytes beside the largest frame and the latest one.
    pub(in crate::realtime) fn new(limit: usize) -> Self {
        Self { queue: Mutex::default(), ready: Notify::new(), taken: Notify::new(), limit }
    }

    /// Puts a frame of the socket itself at the end, unless it is about to be closed.
    pub(in crate::realtime) fn push(&self, frame: Frame) {
        self.add(Queued { seat: None, frame });
    }

    /// Puts a frame for a seat at the end.
    pub(super) fn push_for(&self, seat: u64, frame: Frame) {
        self.add(Queued { seat: Some(seat), frame });
    }

    /// Takes back what a seat was still to be sent.
    pub(super) fn withdraw(&self, seat: u64) {
        let mut queue = lock(&self.queue);
        queue.frames.retain(|queued| queued.seat != Some(seat));
        let sizes = queue.frames.iter().map(|queued| queued.frame.len());
        (queue.bytes, queue.largest) = (sizes.clone().sum(), sizes.max().unwrap_or_default());
    }

    fn add(&self, queued: Queued) {
        let size = queued.frame.len();
        let mut queue = lock(&self.queue);
        if queue.is_too_slow {
            return;
        }
        // One large frame, such as who is present on a busy topic, is no sign of a slow client.
        if queue.bytes - queue.largest > self.limit {
            queue.give_up();
        } else {
            queue.bytes += size;
            queue.largest = queue.largest.max(size);
            queue.frames.push(queued);
        }
        drop(queue);
        self.ready.notify_one();
    }

    /// How many bytes may wait.
    pub(in crate::realtime) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether it was waited for in vain since it was read last.
    pub(in crate::realtime) fn is_strained(&self) -> bool {
        lock(&self.queue).is_strained
    }

    /// Says that it was waited for in vain, where much still waits.
    pub(in crate::realtime) fn strain(&self) {
        let mut queue = lock(&self.queue);
        queue.is_strained = queue.bytes > self.limit / 4;
    }

    /// Waits until at most a quarter of what may wait does, or the socket is closed.
    pub(in crate::realtime) async fn drained(&self) {
        loop {
            let taken = self.taken.notified();
            if lock(&self.queue).bytes <= self.limit / 4 {
                return;
            }
            taken.await;
        }
    }

    /// Lets the socket be closed as one that does not read.
    pub(in crate::realtime) fn give_up(&self) {
        lock(&self.queue).give_up();
        self.taken.notify_waiters();
        self.ready.notify_one();
    }

    /// Waits until there is something to take.
    pub(in crate::realtime) async fn ready(&self) {
        while !lock(&self.queue).has_news() {
            self.ready.notified().await;
        }
    }

    /// Takes what has gathered.
    pub(in crate::realtime) fn take(&self) -> Waiting {
        let mut queue = lock(&self.queue);
        (queue.bytes, queue.largest) = (0, 0);
        queue.is_strained = false;
        self.taken.notify_waiters();
        let is_too_slow = std::mem::take(&mut queue.is_too_slow);
        let frames = std::mem::take(&mut queue.frames);
        drop(queue);
        Waiting { frames: frames.into_iter().map(|queued| queued.frame).collect(), is_too_slow }
    }

    /// Waits until the socket is to be closed, for a writer that waits for its client.
    pub(in crate::realtime) async fn too_slow(&self) {
        while !lock(&self.queue).is_too_slow {
            self.ready.notified().await;
        }
    }
}

impl Queue {
    fn has_news(&self) -> bool {
        self.is_too_slow || !self.frames.is_empty()
    }

    /// What could not be sent is not sent later either: the client joins again and is told what it missed.
    fn give_up(&mut self) {
        (self.frames, self.is_too_slow) = (Vec::new(), true);
        (self.bytes, self.largest) = (0, 0);
    }
}
