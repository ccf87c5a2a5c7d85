//! What this node tells the others. Nothing waits here: the bus takes a message or drops it, and who missed one asks.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::wire::{self, Entry, News, PresenceMessage};
use crate::kernel::bus::{Bus, NodeId, Subject};
use crate::realtime::protocol::UserBroadcast;
use crate::realtime::request::Topic;

/// What may wait to go out before what can wait is added.
const MOST_BACKLOG: usize = 256 * 1024;

/// The way to the other nodes.
pub(in crate::realtime) struct Announcer {
    bus: Arc<dyn Bus>,
    /// The number of the latest numbered message. Locked while it is published, so that numbers are in order on the bus.
    last: Mutex<u64>,
}

/// A broadcast to be announced; none where there is nobody to hear it.
pub(in crate::realtime) struct Announcement(Option<Bytes>);

impl Announcer {
    pub(in crate::realtime) fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, last: Mutex::default() }
    }

    /// This node.
    pub(in crate::realtime) fn node(&self) -> NodeId {
        self.bus.node()
    }

    /// Writes a broadcast, before its room is locked.
    pub(in crate::realtime) fn prepare(&self, topic: &Topic, broadcast: &UserBroadcast) -> Announcement {
        let is_heard = self.bus.peers() > 0;
        Announcement(is_heard.then(|| wire::encode_broadcast(topic, broadcast)).flatten())
    }

    /// Announces a broadcast.
    pub(in crate::realtime) fn broadcast(&self, announcement: Announcement) {
        if let Announcement(Some(bytes)) = announcement {
            self.bus.publish(Subject::Broadcast, bytes);
        }
    }

    /// Announces how it stands with the presence of a channel.
    pub(in crate::realtime) fn change(&self, entry: Entry) {
        self.numbered(News::Change(entry));
    }

    /// Announces something about presences that nobody may miss.
    pub(super) fn numbered(&self, news: News) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        // Who comes later finds out by the number that there is something to ask for.
        if self.bus.peers() > 0 {
            let message = PresenceMessage::Numbered { number: *last, news };
            self.bus.publish(Subject::Presence, message.encode());
        }
    }

    /// Says how far the numbers have come.
    pub(super) fn beat(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.bus.publish(Subject::Presence, PresenceMessage::Beat(*last).encode());
    }

    /// Asks a node for its presences, of which all up to a number are known.
    pub(super) fn ask(&self, of: NodeId, known: u64) {
        self.bus.publish(Subject::Presence, PresenceMessage::Ask { of, known }.encode());
    }

    /// Whether the bus has much to send already.
    pub(super) fn is_busy(&self) -> bool {
        self.bus.backlog() > MOST_BACKLOG
    }

    /// The number of the latest numbered message.
    pub(super) fn last(&self) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
