//! One topic: its seats, and who is present. All of it happens under the room's lock, which makes the order.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::ledger::{Ledger, PresenceFull};
use super::seat::Seat;
use crate::kernel::bus::NodeId;
use crate::realtime::presence::{Amount, Diff, Member, Payload, Presence, Presences};
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

    /// Closes it if nobody is in it, here or on other nodes.
    pub(super) fn close_if_empty(&mut self) -> bool {
        self.is_closed = self.seats.is_empty() && self.presences.is_empty();
        self.is_closed
    }

    /// How many channels of this node are on the topic.
    pub(super) fn seats(&self) -> usize {
        self.seats.len()
    }

    /// How many are present, on all nodes.
    pub(super) fn present(&self) -> usize {
        self.presences.amount().members
    }

    /// The channels of a node that are present.
    pub(super) fn of_node(&self, node: NodeId) -> impl Iterator<Item = (u64, &Arc<Presence>)> {
        self.presences.of_node(node)
    }

    /// Takes a seat in, if there are fewer than `most`.
    pub(super) fn enter(&mut self, seat: &Arc<Seat>, most: Option<usize>) -> bool {
        let has_room = most.is_none_or(|most| self.seats.len() < most);
        if has_room {
            self.seats.insert(seat.id(), Arc::clone(seat));
        }
        has_room
    }

    pub(super) fn admit(&self, seat: &Seat, mut first: Vec<Frame>) {
        if seat.wants_presence() && seat.start_presence() {
            // Right after the reply.
            first.insert(first.len().min(1), self.state(seat));
        }
        seat.release(first);
    }

    pub(super) fn watch_presence(&self, seat: &Seat) {
        if seat.start_presence() {
            seat.send(self.state(seat), None);
        }
    }

    fn state(&self, seat: &Seat) -> Frame {
        push(seat.version(), seat.topic().wire(), None, "presence_state", &self.presences.state())
    }

    pub(super) fn leave(&mut self, seat: &Seat) {
        self.seats.remove(&seat.id());
    }

    pub(super) fn broadcast(&self, message: &Encoded, except: Option<u64>) {
        for seat in self.seats.values() {
            if Some(seat.id()) != except && seat.hears_broadcast() {
                seat.send_encoded(message);
            }
        }
    }

    /// Sets what a channel of this node says of itself, if there is room; gives its entry, or nothing where it is the same.
    pub(super) fn track(
        &mut self,
        (topic, member): (&Topic, Member),
        (key, payload): (&str, &Payload),
        reference: NonZeroU64,
        ledger: &Ledger,
    ) -> Result<Option<Arc<Presence>>, PresenceFull> {
        let old = self.presences.get(member);
        if old.is_some_and(|old| *old.key == *key && old.payload == *payload) {
            return Ok(None);
        }
        let previous = old.map(|old| old.reference);
        let presence = Presence { key: key.into(), payload: payload.clone(), reference, previous };
        let before = old.map(|old| old.amount()).unwrap_or_default();
        ledger.admit(self.presences.amount(), before, presence.amount())?;
        let (presence, mut diff) = (Arc::new(presence), Diff::default());
        self.presences.put(member, Arc::clone(&presence), &mut diff);
        self.tell(topic, diff);
        Ok(Some(presence))
    }

    /// Takes a channel's presence away; `false` where it has none.
    pub(super) fn untrack(&mut self, topic: &Topic, member: Member, ledger: &Ledger) -> bool {
        let is_present = self.presences.get(member).is_some();
        self.set(topic, [(member, None)], ledger);
        is_present
    }

    /// Sets how it stands with members, and tells all of it at once.
    pub(super) fn set(
        &mut self,
        topic: &Topic,
        changes: impl IntoIterator<Item = (Member, Option<Arc<Presence>>)>,
        ledger: &Ledger,
    ) {
        let (before, mut diff): (Amount, _) = (self.presences.amount(), Diff::default());
        for (member, presence) in changes {
            match presence {
                Some(presence) => self.presences.put(member, presence, &mut diff),
                None => self.presences.remove(member, &mut diff),
            }
        }
        ledger.exchange(before, self.presences.amount());
        self.tell(topic, diff);
    }

    fn tell(&self, topic: &Topic, diff: Diff) {
        let mut listeners = self.seats.values().filter(|seat| seat.hears_presence()).peekable();
        if diff.is_empty() || listeners.peek().is_none() {
            return;
        }
        let message = Encoded::event(topic.wire().to_owned(), "presence_diff", diff.payload());
        for seat in listeners {
            seat.send_encoded(&message);
        }
    }
}
