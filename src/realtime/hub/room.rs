//! One topic: its seats, and who is present. All of it happens under the room's lock, which makes the order.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::seat::Seat;
use crate::realtime::presence::{Diff, Member, Presences};
use crate::realtime::protocol::{Encoded, Frame, push};
use crate::realtime::request::Topic;

/// A topic on this node.
#[derive(Debug, Default)]
pub(super) struct Room {
    seats: HashMap<u64, Arc<Seat>>,
    presences: Presences,
    is_closed: bool,
}

impl Room {
    /// Whether it was left by everybody: then another takes its place.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Closes it if nobody is in it.
    pub(super) fn close_if_empty(&mut self) -> bool {
        self.is_closed = self.seats.is_empty() && self.presences.is_empty();
        self.is_closed
    }

    /// How many channels are on the topic.
    pub(super) fn seats(&self) -> usize {
        self.seats.len()
    }

    /// How many are present.
    pub(super) fn present(&self) -> usize {
        self.presences.len()
    }

    /// Takes a seat in, if there are fewer than `most`.
    pub(super) fn enter(&mut self, seat: &Arc<Seat>, most: Option<usize>) -> bool {
        let has_room = most.is_none_or(|most| self.seats.len() < most);
        if has_room {
            self.seats.insert(seat.id(), Arc::clone(seat));
        }
        has_room
    }

    pub(super) fn admit(&mut self, topic: &Topic, seat: &Arc<Seat>, first: &[Frame]) {
        let mut first = first.to_vec();
        if seat.wants_presence() && seat.start_presence() {
            // Right after the reply.
            first.insert(first.len().min(1), self.state(topic, seat));
        }
        seat.release(first);
    }

    pub(super) fn watch_presence(&self, topic: &Topic, seat: &Seat) {
        if seat.start_presence() {
            seat.send(self.state(topic, seat), None);
        }
    }

    fn state(&self, topic: &Topic, seat: &Seat) -> Frame {
        push(seat.version(), topic.wire(), None, "presence_state", &self.presences.state().to_string())
    }

    pub(super) fn leave(&mut self, topic: &Topic, member: Member, seat: &Seat) {
        self.seats.remove(&seat.id());
        self.untrack(topic, member);
    }

    pub(super) fn broadcast(&self, message: &Encoded, except: Option<u64>, id: Option<&str>) {
        for seat in self.seats.values() {
            if Some(seat.id()) != except && seat.hears_broadcast() {
                seat.send_encoded(message, id);
            }
        }
    }

    pub(super) fn track(
        &mut self,
        topic: &Topic,
        member: Member,
        key: &str,
        payload: Map<String, Value>,
        reference: String,
    ) {
        if let Some(diff) = self.presences.track(member, key, payload, reference) {
            self.tell(topic, diff);
        }
    }

    pub(super) fn untrack(&mut self, topic: &Topic, member: Member) {
        if let Some(diff) = self.presences.untrack(member) {
            self.tell(topic, diff);
        }
    }

    fn tell(&self, topic: &Topic, diff: Diff) {
        let message = Encoded::event(topic.wire().to_owned(), "presence_diff", diff.payload().to_string());
        for seat in self.seats.values().filter(|seat| seat.hears_presence()) {
            seat.send_encoded(&message, None);
        }
    }
}
