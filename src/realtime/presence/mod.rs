//! Pure: who is present on a topic, and what changes (contract section 5).
//!
//! Every channel that tracks has one entry, under a key that several may share. Entries of other nodes stand beside those of
//! this one, so that a node that is lost takes its own along.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value, json};

/// Names one channel on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Member {
    /// The node.
    pub(super) node: u64,
    /// The channel, unique on its node.
    pub(super) channel: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Presence {
    key: String,
    /// Changes with every change of the payload.
    reference: String,
    /// The one before.
    previous: Option<String>,
    payload: Map<String, Value>,
}

impl Presence {
    fn meta(&self) -> Value {
        let mut meta = self.payload.clone();
        meta.insert("phx_ref".to_owned(), self.reference.clone().into());
        if let Some(previous) = &self.previous {
            meta.insert("phx_ref_prev".to_owned(), previous.clone().into());
        }
        Value::Object(meta)
    }
}

/// Everybody on one topic.
#[derive(Debug, Default)]
pub(super) struct Presences {
    members: BTreeMap<Member, Presence>,
}

/// What changed: entries by key.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Diff {
    joins: Vec<(String, Value)>,
    leaves: Vec<(String, Value)>,
}

impl Presences {
    /// Sets a channel's payload; none where it is the same already. `reference` must be new.
    pub(super) fn track(
        &mut self,
        member: Member,
        key: &str,
        payload: Map<String, Value>,
        reference: String,
    ) -> Option<Diff> {
        let mut presence = Presence { key: key.to_owned(), reference, previous: None, payload };
        let mut diff = Diff::default();
        match self.members.entry(member) {
            Entry::Vacant(place) => {
                diff.joins.push((presence.key.clone(), presence.meta()));
                place.insert(presence);
            }
            Entry::Occupied(mut place) => {
                let old = place.get();
                if old.payload == presence.payload && old.key == presence.key {
                    return None;
                }
                presence.previous = Some(old.reference.clone());
                diff.leaves.push((old.key.clone(), old.meta()));
                diff.joins.push((presence.key.clone(), presence.meta()));
                place.insert(presence);
            }
        }
        Some(diff)
    }

    /// Takes a channel away; none where it did not track.
    pub(super) fn untrack(&mut self, member: Member) -> Option<Diff> {
        let gone = self.members.remove(&member)?;
        Some(Diff { joins: Vec::new(), leaves: vec![(gone.key.clone(), gone.meta())] })
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many channels are there.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The payload of `presence_state`.
    pub(super) fn state(&self) -> Value {
        by_key(self.members.values().map(|presence| (presence.key.clone(), presence.meta())))
    }
}

impl Diff {
    /// The payload of `presence_diff`.
    pub(super) fn payload(self) -> Value {
        json!({"joins": by_key(self.joins.into_iter()), "leaves": by_key(self.leaves.into_iter())})
    }
}

fn by_key(metas: impl Iterator<Item = (String, Value)>) -> Value {
    let mut keys = Map::new();
    for (key, meta) in metas {
        let entry = keys.entry(key).or_insert_with(|| json!({"metas": []}));
        if let Some(list) = entry["metas"].as_array_mut() {
            list.push(meta);
        }
    }
    Value::Object(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(channel: u64) -> Member {
        Member { node: 1, channel }
    }

    fn payload(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn channels_of_one_key_stand_side_by_side() {
        let mut topic = Presences::default();
        topic.track(member(1), "ann", payload(r#"{"at":"desk"}"#), "F1".to_owned()).unwrap();
        let diff = topic.track(member(2), "ann", payload(r#"{"at":"phone"}"#), "F2".to_owned()).unwrap();

        assert_eq!(
            topic.state(),
            json!({"ann": {"metas": [{"at": "desk", "phx_ref": "F1"}, {"at": "phone", "phx_ref": "F2"}]}})
        );
        assert_eq!(
            diff.payload(),
            json!({"joins": {"ann": {"metas": [{"at": "phone", "phx_ref": "F2"}]}}, "leaves": {}})
        );
    }

    #[test]
    fn a_changed_payload_joins_and_leaves_and_the_same_one_says_nothing() {
        let mut topic = Presences::default();
        topic.track(member(1), "ann", payload(r#"{"n":1}"#), "F1".to_owned()).unwrap();
        assert_eq!(topic.track(member(1), "ann", payload(r#"{"n":1}"#), "F2".to_owned()), None);

        let diff = topic.track(member(1), "ann", payload(r#"{"n":2}"#), "F3".to_owned()).unwrap();
        assert_eq!(
            diff.payload(),
            json!({
                "joins": {"ann": {"metas": [{"n": 2, "phx_ref": "F3", "phx_ref_prev": "F1"}]}},
                "leaves": {"ann": {"metas": [{"n": 1, "phx_ref": "F1"}]}}
            })
        );
    }

    #[test]
    fn who_leaves_is_gone_once() {
        let mut topic = Presences::default();
        topic.track(member(1), "ann", payload("{}"), "F1".to_owned()).unwrap();
        let diff = topic.untrack(member(1)).unwrap();
        assert_eq!(diff.payload(), json!({"joins": {}, "leaves": {"ann": {"metas": [{"phx_ref": "F1"}]}}}));
        assert_eq!(topic.untrack(member(1)), None);
        assert!(topic.is_empty());
        assert_eq!(topic.state(), json!({}));
    }

    #[test]
    fn a_client_cannot_choose_its_reference() {
        let mut topic = Presences::default();
        topic.track(member(1), "ann", payload(r#"{"phx_ref":"mine"}"#), "F1".to_owned()).unwrap();
        assert_eq!(topic.state(), json!({"ann": {"metas": [{"phx_ref": "F1"}]}}));
    }
}
