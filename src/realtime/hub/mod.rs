//! Who listens to which topic on this node, and handing messages to them. What they say goes to other nodes too.
//!
//! A topic has a room with a lock of its own: what is sent to one topic reaches everybody in the same order, and topics do not
//! wait for each other. Nothing waits while a lock is held.

mod ledger;
mod outbox;
mod room;
mod seat;

pub(super) use ledger::{PresenceFull, PresenceLimits};
pub(super) use outbox::Outbox;
pub(super) use seat::{Rights, Seat};

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use self::ledger::Ledger;
use self::room::Room;
use super::nodes::{Announcer, Entry};
use super::presence::{Member, Payload, Presence};
use super::protocol::{Encoded, Frame, UserBroadcast};
use super::request::Topic;

/// How many parts the directory of rooms has, so that joins of different topics seldom meet.
const SHARDS: usize = 64;

type Directory = HashMap<Topic, Arc<Mutex<Room>>>;

/// All topics of this node.
pub(super) struct Hub {
    announcer: Announcer,
    ledger: Ledger,
    last_id: AtomicU64,
    hasher: RandomState,
    shards: [Mutex<Directory>; SHARDS],
}

/// Locks; a panic elsewhere leaves nothing half done, as rooms change by single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub without topics. What is said on it is announced to other nodes.
    pub(super) fn new(announcer: Announcer, limits: PresenceLimits) -> Self {
        Self {
            announcer,
            ledger: Ledger::new(limits),
            last_id: AtomicU64::new(0),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// The way to the other nodes.
    pub(super) fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    /// A number that no other channel, subscription or presence of this node has.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn shard(&self, topic: &Topic) -> &Mutex<Directory> {
        let hash = usize::try_from(self.hasher.hash_one(topic) % SHARDS as u64).unwrap_or_default();
        &self.shards[hash]
    }

    fn room(&self, topic: &Topic) -> Option<Arc<Mutex<Room>>> {
        lock(self.shard(topic)).get(topic).cloned()
    }

    /// Runs `act` in the room of a topic, which is made if there is none.
    fn in_room<T>(&self, topic: &Topic, act: impl FnOnce(&mut Room) -> T) -> T {
        loop {
            let room = Arc::clone(lock(self.shard(topic)).entry(topic.clone()).or_default());
            let mut open = lock(&room);
            if !open.is_closed() {
                return act(&mut open);
            }
            drop(open);
            self.forget(topic, &room);
        }
    }

    /// Takes a room that nobody is in out of the directory.
    fn forget(&self, topic: &Topic, room: &Arc<Mutex<Room>>) {
        let mut directory = lock(self.shard(topic));
        if directory.get(topic).is_some_and(|known| Arc::ptr_eq(known, room)) {
            directory.remove(topic);
        }
    }

    /// Lets a seat hear what is sent to its topic; `false` if there are as many as may be. What comes before [`Hub::admit`]
    /// waits in the seat.
    #[must_use]
    pub(super) fn enter(&self, seat: &Arc<Seat>, most: Option<usize>) -> bool {
        self.in_room(seat.topic(), |room| room.enter(seat, most))
    }

    /// Sends a seat its first frames, then who is present if it wants to know, then what has waited; from now on everything
    /// goes out as it comes.
    pub(super) fn admit(&self, seat: &Seat, first: Vec<Frame>) {
        self.in_room(seat.topic(), |room| room.admit(seat, first));
    }

    /// Starts telling a seat who is present; no news if it is told already.
    pub(super) fn watch_presence(&self, seat: &Seat) {
        self.in_room(seat.topic(), |room| room.watch_presence(seat));
    }

    /// Takes a seat out of its topic, and its presence with it.
    pub(super) fn leave(&self, seat: &Seat) {
        let Some(room) = self.room(seat.topic()) else { return };
        let mut open = lock(&room);
        open.leave(seat);
        self.take_away(seat, &mut open);
        self.close_if_empty(seat.topic(), &room, open);
    }

    fn close_if_empty(&self, topic: &Topic, room: &Arc<Mutex<Room>>, mut open: MutexGuard<'_, Room>) {
        let is_closed = open.close_if_empty();
        drop(open);
        if is_closed {
            self.forget(topic, room);
        }
    }

    /// Hands a client's broadcast to everybody on the topic but, as a rule, its sender; here and on other nodes.
    pub(super) fn broadcast(&self, topic: &Topic, broadcast: UserBroadcast, except: Option<u64>) {
        let announcement = self.announcer.prepare(topic, &broadcast);
        let message = Encoded::broadcast(topic.wire().to_owned(), broadcast);
        let room = self.room(topic);
        let room = room.as_deref().map(lock);
        if let Some(room) = &room {
            room.broadcast(&message, except);
        }
        // Other nodes get what is said in the order in which it was heard here, as long as the room is locked.
        self.announcer.broadcast(announcement);
    }

    /// Hands a broadcast to everybody on the topic on this node: one of another node, or of the database, which every node
    /// reads.
    pub(super) fn deliver(&self, topic: &Topic, broadcast: UserBroadcast) {
        let Some(room) = self.room(topic) else { return };
        let message = Encoded::broadcast(topic.wire().to_owned(), broadcast);
        lock(&room).broadcast(&message, None);
    }

    /// Whether somebody on this node is on the topic.
    pub(super) fn has_seats(&self, topic: &Topic) -> bool {
        self.room(topic).is_some_and(|room| lock(&room).seats() > 0)
    }

    /// Says that a seat's channel is present with this payload, if there is room.
    pub(super) fn track(
        &self,
        seat: &Seat,
        key: &str,
        payload: &Map<String, Value>,
    ) -> Result<(), PresenceFull> {
        let (topic, member, payload) = (seat.topic(), self.member(seat), Payload::of(payload));
        let reference = NonZeroU64::MIN.saturating_add(self.next_id());
        self.in_room(topic, |room| {
            let entry = room.track((topic, member), (key, &payload), reference, &self.ledger)?;
            if let Some(presence) = entry {
                self.announce(topic, member, Some(presence));
            }
            Ok(())
        })
    }

    /// Says that a seat's channel is not present any more.
    pub(super) fn untrack(&self, seat: &Seat) {
        if let Some(room) = self.room(seat.topic()) {
            self.take_away(seat, &mut lock(&room));
        }
    }

    fn take_away(&self, seat: &Seat, room: &mut Room) {
        let (topic, member) = (seat.topic(), self.member(seat));
        if room.untrack(topic, member, &self.ledger) {
            self.announce(topic, member, None);
        }
    }

    /// Tells other nodes how it stands with a channel of this node. While the room is locked, so that they get its changes in
    /// their order.
    fn announce(&self, topic: &Topic, member: Member, presence: Option<Arc<Presence>>) {
        self.announcer.change(Entry { channel: member.channel, topic: topic.clone(), presence });
    }

    /// Sets how it stands with members of other nodes on a topic.
    pub(super) fn set_remote(&self, topic: &Topic, changes: Vec<(Member, Option<Arc<Presence>>)>) {
        if changes.iter().any(|(_, presence)| presence.is_some()) {
            self.in_room(topic, |room| room.set(topic, changes, &self.ledger));
        } else if let Some(room) = self.room(topic) {
            lock(&room).set(topic, changes, &self.ledger);
        }
        if let Some(room) = self.room(topic) {
            self.close_if_empty(topic, &room, lock(&room));
        }
    }

    /// The presences of this node on a topic.
    pub(super) fn own_presences(&self, topic: &Topic) -> Vec<Entry> {
        let Some(room) = self.room(topic) else { return Vec::new() };
        let room = lock(&room);
        let own = room.of_node(self.announcer.node());
        own.map(|(channel, presence)| Entry {
            channel,
            topic: topic.clone(),
            presence: Some(Arc::clone(presence)),
        })
        .collect()
    }

    /// How many are present on a topic, on all nodes.
    #[cfg(test)]
    pub(super) fn present(&self, topic: &Topic) -> usize {
        self.room(topic).map_or(0, |room| lock(&room).present())
    }

    fn member(&self, seat: &Seat) -> Member {
        Member { node: self.announcer.node(), channel: seat.id() }
    }

    /// All topics that somebody is on or present on, here or elsewhere.
    pub(super) fn topics(&self) -> Vec<Topic> {
        self.shards.iter().flat_map(|shard| lock(shard).keys().cloned().collect::<Vec<_>>()).collect()
    }

    /// The topics that somebody on this node is on, how many that are, and how many are present on all nodes; for those who
    /// watch the server. At most `most`, by name.
    pub(super) fn census(&self, most: usize) -> Vec<(Topic, usize, usize)> {
        let rooms: Vec<(Topic, Arc<Mutex<Room>>)> = self
            .shards
            .iter()
            .flat_map(|shard| {
                lock(shard).iter().map(|(topic, room)| (topic.clone(), Arc::clone(room))).collect::<Vec<_>>()
            })
            .collect();
        let mut census: Vec<_> = rooms
            .into_iter()
            .map(|(topic, room)| {
                let room = lock(&room);
                (topic, room.seats(), room.present())
            })
            .filter(|(_, seats, _)| *seats > 0)
            .collect();
        census.sort_by(|(left, ..), (right, ..)| left.wire().cmp(right.wire()));
        census.truncate(most);
        census
    }
}

#[cfg(test)]
mod tests;
