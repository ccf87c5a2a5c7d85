//! Who listens to which topic on this node, and handing messages to them.
//!
//! A topic has a room with a lock of its own: what is sent to one topic reaches everybody in the same order, and topics do not
//! wait for each other. Nothing waits while a lock is held.

mod outbox;
mod room;
mod seat;

pub(super) use outbox::Outbox;
pub(super) use seat::{Rights, Seat};

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use self::room::Room;
use super::presence::Member;
use super::protocol::{Encoded, Frame, UserBroadcast};
use super::request::Topic;

/// How many parts the directory of rooms has, so that joins of different topics seldom meet.
const SHARDS: usize = 64;

type Directory = HashMap<Topic, Arc<Mutex<Room>>>;

/// All topics of this node.
#[derive(Debug)]
pub(super) struct Hub {
    node: u64,
    last_id: AtomicU64,
    hasher: RandomState,
    shards: [Mutex<Directory>; SHARDS],
}

/// Locks; a panic elsewhere leaves nothing half done, as rooms change by single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub without topics. `node` tells its members from those of other nodes.
    pub(super) fn new(node: u64) -> Self {
        Self {
            node,
            last_id: AtomicU64::new(0),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
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
    fn in_room<T>(&self, topic: &Topic, mut act: impl FnMut(&mut Room) -> T) -> T {
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

    /// Lets a seat hear what is sent to the topic; `false` if there are as many as may be. What comes before [`Hub::admit`]
    /// waits in the seat.
    #[must_use]
    pub(super) fn enter(&self, topic: &Topic, seat: &Arc<Seat>, most: Option<usize>) -> bool {
        self.in_room(topic, |room| room.enter(seat, most))
    }

    /// Sends a seat its first frames, then who is present if it wants to know, then what has waited; from now on everything
    /// goes out as it comes.
    pub(super) fn admit(&self, topic: &Topic, seat: &Arc<Seat>, first: &[Frame]) {
        self.in_room(topic, |room| room.admit(topic, seat, first));
    }

    /// Starts telling a seat who is present; no news if it is told already.
    pub(super) fn watch_presence(&self, topic: &Topic, seat: &Arc<Seat>) {
        self.in_room(topic, |room| room.watch_presence(topic, seat));
    }

    /// Takes a seat out of the topic, and its presence with it.
    pub(super) fn leave(&self, topic: &Topic, seat: &Arc<Seat>) {
        let Some(room) = self.room(topic) else { return };
        let mut open = lock(&room);
        open.leave(topic, self.member(seat), seat);
        let is_closed = open.close_if_empty();
        drop(open);
        if is_closed {
            self.forget(topic, &room);
        }
    }

    /// Hands a broadcast to everybody on the topic but, as a rule, its sender. `id` is that of a stored message.
    pub(super) fn broadcast(
        &self,
        topic: &Topic,
        broadcast: UserBroadcast,
        (except, id): (Option<u64>, Option<&str>),
    ) {
        let Some(room) = self.room(topic) else { return };
        let message = Encoded::broadcast(topic.wire().to_owned(), broadcast);
        lock(&room).broadcast(&message, except, id);
    }

    /// Says that a seat's channel is present with this payload.
    pub(super) fn track(&self, topic: &Topic, seat: &Arc<Seat>, key: &str, payload: &Map<String, Value>) {
        let reference = format!("F{:x}.{:x}", self.node, self.next_id());
        let member = self.member(seat);
        self.in_room(topic, |room| room.track(topic, member, key, payload.clone(), reference.clone()));
    }

    /// Says that a seat's channel is not present any more.
    pub(super) fn untrack(&self, topic: &Topic, seat: &Arc<Seat>) {
        if let Some(room) = self.room(topic) {
            lock(&room).untrack(topic, self.member(seat));
        }
    }

    fn member(&self, seat: &Seat) -> Member {
        Member { node: self.node, channel: seat.id() }
    }

    /// The topics and how many are on each, for those who watch the server; at most `most`, by name.
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
            .collect();
        census.sort_by(|(left, ..), (right, ..)| left.wire().cmp(right.wire()));
        census.truncate(most);
        census
    }
}

#[cfg(test)]
mod tests;
