//! Pure: who is present on a topic, and what changes (contract section 5).
//!
//! Every channel that tracks has one entry, under a key that several may share. Entries of other nodes stand beside those of
//! this one, so that a node that is lost takes its own along.

mod payload;

pub(super) use payload::Payload;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::protocol::quoted;
use crate::kernel::bus::NodeId;

/// Names one channel on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Member {
    /// The node.
    pub(super) node: NodeId,
    /// The channel, unique on its node.
    pub(super) channel: u64,
}

/// What a channel says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    /// What others see it as; several channels may have the same.
    pub(super) key: Box<str>,
    /// What it says.
    pub(super) payload: Payload,
    /// Unique on its node, and another one after every change.
    pub(super) reference: NonZeroU64,
    /// The one before.
    pub(super) previous: Option<NonZeroU64>,
}

impl Presence {
    /// What it counts as.
    pub(super) fn amount(&self) -> Amount {
        Amount { members: 1, bytes: self.key.len() + self.payload.as_str().len() }
    }

    /// As clients see it: the payload and its references.
    fn meta(&self, node: NodeId) -> String {
        let reference = format!(r#""phx_ref":"F{node}.{:x}""#, self.reference);
        match self.previous {
            None => self.payload.followed_by(&reference),
            Some(previous) => {
                self.payload.followed_by(&format!(r#"{reference},"phx_ref_prev":"F{node}.{previous:x}""#))
            }
        }
    }
}

/// How many entries, and how many bytes of keys and payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    /// Entries.
    pub(super) members: usize,
    /// Bytes of their keys and payloads.
    pub(super) bytes: usize,
}

impl Amount {
    /// What is there after `old` was exchanged for `new`.
    #[must_use]
    pub(super) fn after(self, old: Self, new: Self) -> Self {
        Self {
            members: (self.members + new.members).saturating_sub(old.members),
            bytes: (self.bytes + new.bytes).saturating_sub(old.bytes),
        }
    }

    /// Whether it is at most `most`.
    pub(super) fn is_within(self, most: Self) -> bool {
        self.members <= most.members && self.bytes <= most.bytes
    }
}

/// Everybody on one topic.
#[derive(Debug, Default)]
pub(super) struct Presences {
    members: BTreeMap<Member, Arc<Presence>>,
    amount: Amount,
}

impl Presences {
    /// A channel's entry.
    pub(super) fn get(&self, member: Member) -> Option<&Arc<Presence>> {
        self.members.get(&member)
    }

    /// Sets a channel's entry and notes what that changes: nothing where it is the same already.
    pub(super) fn put(&mut self, member: Member, presence: Arc<Presence>, diff: &mut Diff) {
        let old = self.members.get(&member);
        if old == Some(&presence) {
            return;
        }
        if let Some(old) = old {
            diff.leaves.push((old.key.clone(), old.meta(member.node)));
        }
        diff.joins.push((presence.key.clone(), presence.meta(member.node)));
        let before = old.map(|old| old.amount()).unwrap_or_default();
        self.amount = self.amount.after(before, presence.amount());
        self.members.insert(member, presence);
    }

    /// Takes a channel's entry away and notes what that changes: nothing where it has none.
    pub(super) fn remove(&mut self, member: Member, diff: &mut Diff) {
        let Some(gone) = self.members.remove(&member) else { return };
        self.amount = self.amount.after(gone.amount(), Amount::default());
        diff.leaves.push((gone.key.clone(), gone.meta(member.node)));
    }

    /// The channels of one node, and their entries.
    pub(super) fn of_node(&self, node: NodeId) -> impl Iterator<Item = (u64, &Arc<Presence>)> {
        let (first, last) = (Member { node, channel: 0 }, Member { node, channel: u64::MAX });
        self.members.range(first..=last).map(|(member, presence)| (member.channel, presence))
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How much is there.
    pub(super) fn amount(&self) -> Amount {
        self.amount
    }

    /// The payload of `presence_state`.
    pub(super) fn state(&self) -> String {
        by_key(self.members.iter().map(|(member, presence)| (&*presence.key, presence.meta(member.node))))
    }
}

/// What changed: entries by key.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Diff {
    joins: Vec<(Box<str>, String)>,
    leaves: Vec<(Box<str>, String)>,
}

impl Diff {
    /// Whether nothing did.
    pub(super) fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.leaves.is_empty()
    }

    /// The payload of `presence_diff`.
    pub(super) fn payload(self) -> String {
        let by_key = |entries: Vec<(Box<str>, String)>| {
            let (keys, metas): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
            by_key(keys.iter().map(|key| &**key).zip(metas))
        };
        format!(r#"{{"joins":{},"leaves":{}}}"#, by_key(self.joins), by_key(self.leaves))
    }
}

/// `{"<key>":{"metas":[…]}}`
fn by_key<'a>(metas: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut keys: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, meta) in metas {
        keys.entry(key).or_default().push(meta);
    }
    let entries: Vec<String> = keys
        .into_iter()
        .map(|(key, metas)| format!(r#"{}:{{"metas":[{}]}}"#, quoted(key), metas.join(",")))
        .collect();
    format!("{{{}}}", entries.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn member(channel: u64) -> Member {
        Member { node: NodeId::new(1).unwrap(), channel }
    }

    fn presence(key: &str, payload: &str, references: [u64; 2]) -> Arc<Presence> {
        let [reference, previous] = references.map(NonZeroU64::new);
        let payload = Payload::of(&serde_json::from_str(payload).unwrap());
        Arc::new(Presence { key: key.into(), payload, reference: reference.unwrap(), previous })
    }

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn put(topic: &mut Presences, channel: u64, presence: Arc<Presence>) -> Value {
        let mut diff = Diff::default();
        topic.put(member(channel), presence, &mut diff);
        read(&diff.payload())
    }

    fn remove(topic: &mut Presences, channel: u64) -> Value {
        let mut diff = Diff::default();
        topic.remove(member(channel), &mut diff);
        read(&diff.payload())
    }

    const ONE: &str = "F0000000000000001.1";
    const TWO: &str = "F0000000000000001.2";

    #[test]
    fn channels_of_one_key_stand_side_by_side() {
        let mut topic = Presences::default();
        put(&mut topic, 1, presence("ann", r#"{"at":"desk"}"#, [1, 0]));
        let diff = put(&mut topic, 2, presence("ann", r#"{"at":"phone"}"#, [2, 0]));

        let (desk, phone) = (json!({"at": "desk", "phx_ref": ONE}), json!({"at": "phone", "phx_ref": TWO}));
        assert_eq!(read(&topic.state()), json!({"ann": {"metas": [desk, phone]}}));
        assert_eq!(diff, json!({"joins": {"ann": {"metas": [phone]}}, "leaves": {}}));
    }

    #[test]
    fn a_change_joins_and_leaves_and_the_same_entry_says_nothing() {
        let mut topic = Presences::default();
        put(&mut topic, 1, presence("ann", r#"{"n":1}"#, [1, 0]));
        let same = put(&mut topic, 1, presence("ann", r#"{"n":1}"#, [1, 0]));
        assert_eq!(same, json!({"joins": {}, "leaves": {}}));

        let diff = put(&mut topic, 1, presence("ann", r#"{"n":2}"#, [2, 1]));
        assert_eq!(
            diff,
            json!({
                "joins": {"ann": {"metas": [{"n": 2, "phx_ref": TWO, "phx_ref_prev": ONE}]}},
                "leaves": {"ann": {"metas": [{"n": 1, "phx_ref": ONE}]}}
            })
        );
    }

    #[test]
    fn who_leaves_is_gone_once() {
        let mut topic = Presences::default();
        put(&mut topic, 1, presence("ann", "{}", [1, 0]));
        let diff = remove(&mut topic, 1);
        assert_eq!(diff, json!({"joins": {}, "leaves": {"ann": {"metas": [{"phx_ref": ONE}]}}}));
        assert_eq!(remove(&mut topic, 1), json!({"joins": {}, "leaves": {}}));
        assert!(topic.is_empty());
        assert_eq!(topic.state(), "{}");
    }

    #[test]
    fn keys_and_payloads_are_counted() {
        let mut topic = Presences::default();
        put(&mut topic, 1, presence("ann", r#"{"n":1}"#, [1, 0]));
        put(&mut topic, 2, presence("bob", "{}", [2, 0]));
        assert_eq!(topic.amount(), Amount { members: 2, bytes: 15 });
        put(&mut topic, 1, presence("ann", "{}", [3, 1]));
        remove(&mut topic, 2);
        remove(&mut topic, 2);
        assert_eq!(topic.amount(), Amount { members: 1, bytes: 5 });
    }

    #[test]
    fn the_entries_of_one_node_are_told_from_those_of_others() {
        let mut topic = Presences::default();
        put(&mut topic, 1, presence("ann", "{}", [1, 0]));
        let other = Member { node: NodeId::new(2).unwrap(), channel: 7 };
        topic.put(other, presence("bob", "{}", [1, 0]), &mut Diff::default());
        let channels = |number| topic.of_node(NodeId::new(number).unwrap()).map(|(channel, _)| channel);
        assert_eq!(channels(1).collect::<Vec<_>>(), [1]);
        assert_eq!(channels(2).collect::<Vec<_>>(), [7]);
        assert_eq!(channels(3).count(), 0);
    }
}
