//! Pure: which presences of other nodes are known here, and whether that is all of them.
//!
//! Every node numbers what it says about its presences. Who has heard all numbers knows all of its presences; whoever finds a
//! hole asks, and the node tells everything anew between a beginning and an end, while it goes on telling what changes.
//! Whatever was told since the beginning, in a change or a part, is settled; members that were not told by the end are gone.
//!
//! Where asking does not help, as with a node whose messages cannot be read, or with limits that leave no room, it is asked
//! ever more seldom.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::wire::{Entry, News, PresenceMessage};
use crate::kernel::bus::NodeId;
use crate::realtime::presence::{Amount, Member, Presence};
use crate::realtime::request::Topic;

/// How many ticks pass between asking a node and asking it again: as many, and twice as many after each time, up to the
/// second.
pub(super) const RESTS: (u32, u32) = (2, 64);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A member is present like this (or not any more) on its topic.
    Set(Topic, Member, Option<Arc<Presence>>),
    /// A node is to be asked for its presences, of which all up to this number are known; 0: none.
    Ask(NodeId, u64),
}

/// What is known of the presences of other nodes.
#[derive(Debug)]
pub(super) struct Replicas {
    most: Amount,
    held: Amount,
    nodes: BTreeMap<NodeId, Replica>,
}

/// What is known of the presences of one node.
#[derive(Debug, Default)]
struct Replica {
    /// The number of the latest message; 0 before the first.
    last: u64,
    knowledge: Knowledge,
    members: HashMap<u64, Held>,
    /// Whether a member was left out, as there was no room for it.
    is_cut: bool,
    /// How often it was asked and all was not known a while later.
    asked: u32,
    /// For so many ticks it is not asked.
    rest: u32,
}

#[derive(Debug)]
struct Held {
    topic: Topic,
    amount: Amount,
}

/// Whether all of it is known.
#[derive(Debug, Default, PartialEq, Eq)]
enum Knowledge {
    /// Everything up to the latest message.
    #[default]
    Whole,
    /// Something is missing.
    Holed,
    /// Everything is being told; these channels were, in parts or changes.
    Coming(HashSet<u64>),
}

impl Replicas {
    /// Knows no node. Of all others together at most this is held.
    pub(super) fn new(most: Amount) -> Self {
        Self { most, held: Amount::default(), nodes: BTreeMap::new() }
    }

    /// How much is held.
    #[cfg(test)]
    pub(super) fn held(&self) -> Amount {
        self.held
    }

    /// A node is there.
    pub(super) fn joined(&mut self, node: NodeId) -> Effect {
        let replica = self.nodes.entry(node).or_default();
        Effect::Ask(node, replica.known())
    }

    /// A node is gone, and its members with it. What comes of it later is not heard.
    pub(super) fn left(&mut self, node: NodeId) -> Vec<Effect> {
        let Some(replica) = self.nodes.remove(&node) else { return Vec::new() };
        let members = replica.members.into_iter();
        members
            .map(|(channel, held)| {
                self.held = self.held.after(held.amount, Amount::default());
                Effect::Set(held.topic, Member { node, channel }, None)
            })
            .collect()
    }

    /// Messages may have been missed: asks every node whether there were any.
    pub(super) fn doubt(&mut self) -> Vec<Effect> {
        let ask = |(node, replica): (&NodeId, &mut Replica)| match replica.knowledge {
            Knowledge::Whole => Some(Effect::Ask(*node, replica.last)),
            Knowledge::Holed => replica.ask(*node),
            // The next message, or sign of life, tells whether any was missed.
            Knowledge::Coming(_) => None,
        };
        self.nodes.iter_mut().filter_map(ask).collect()
    }

    /// Asks anew where something is still missing, or there is room again for what was left out. To be called once a second.
    pub(super) fn tick(&mut self) -> Vec<Effect> {
        let most = Amount { members: self.most.members / 4 * 3, bytes: self.most.bytes / 4 * 3 };
        let has_room = self.held.is_within(most);
        let mut effects = Vec::new();
        for (node, replica) in &mut self.nodes {
            replica.rest = replica.rest.saturating_sub(1);
            match replica.knowledge {
                Knowledge::Holed => effects.extend(replica.ask(*node)),
                Knowledge::Whole if replica.is_cut && has_room => effects.extend(replica.ask(*node)),
                Knowledge::Whole if !replica.is_cut && replica.rest == 0 => replica.asked = 0,
                Knowledge::Whole | Knowledge::Coming(_) => {}
            }
        }
        effects
    }

    /// Takes a message of a node.
    pub(super) fn take(&mut self, from: NodeId, message: PresenceMessage) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(replica) = self.nodes.get_mut(&from) else { return effects };
        match message {
            PresenceMessage::Beat(number) => {
                if number > replica.last {
                    // What was said in between is lost.
                    effects.extend(replica.lose(from));
                }
            }
            PresenceMessage::Numbered { number, .. } if number <= replica.last => {}
            PresenceMessage::Numbered { number, news } => {
                let is_next = number == replica.last + 1;
                replica.last = number;
                if news == News::Begin {
                    replica.begin(is_next);
                } else if !is_next {
                    effects.extend(replica.lose(from));
                }
                self.hear(from, news, &mut effects);
            }
            PresenceMessage::Ask { .. } => {}
        }
        effects
    }

    fn hear(&mut self, from: NodeId, news: News, effects: &mut Vec<Effect>) {
        let Some(replica) = self.nodes.get_mut(&from) else { return };
        match (news, &mut replica.knowledge) {
            (News::Change(entry), knowledge) => {
                if let Knowledge::Coming(settled) = knowledge {
                    settled.insert(entry.channel);
                }
                self.set(from, entry, effects);
            }
            (News::Part(mut entries), Knowledge::Coming(settled)) => {
                entries.retain(|entry| settled.insert(entry.channel));
                for entry in entries {
                    self.set(from, entry, effects);
                }
            }
            (News::End, Knowledge::Coming(settled)) => {
                let gone: Vec<u64> =
                    replica.members.keys().copied().filter(|channel| !settled.contains(channel)).collect();
                replica.knowledge = Knowledge::Whole;
                for channel in gone {
                    self.remove(Member { node: from, channel }, effects);
                }
            }
            (News::Begin | News::Part(_) | News::End, _) => {}
        }
    }

    /// Sets a member as it was told.
    fn set(&mut self, node: NodeId, entry: Entry, effects: &mut Vec<Effect>) {
        let member = Member { node, channel: entry.channel };
        let Some(replica) = self.nodes.get_mut(&node) else { return };
        let before = replica.members.get(&entry.channel);
        let is_elsewhere = before.is_some_and(|held| held.topic != entry.topic);
        let Some(presence) = entry.presence else { return self.remove(member, effects) };
        let amount = presence.amount();
        let held = self.held.after(before.map(|held| held.amount).unwrap_or_default(), amount);
        if !held.is_within(self.most) {
            replica.is_cut = true;
            return self.remove(member, effects);
        }
        if is_elsewhere {
            self.remove(member, effects);
        }
        let Some(replica) = self.nodes.get_mut(&node) else { return };
        self.held = held;
        replica.members.insert(entry.channel, Held { topic: entry.topic.clone(), amount });
        effects.push(Effect::Set(entry.topic, member, Some(presence)));
    }

    fn remove(&mut self, member: Member, effects: &mut Vec<Effect>) {
        let replica = self.nodes.get_mut(&member.node);
        let Some(held) = replica.and_then(|replica| replica.members.remove(&member.channel)) else { return };
        self.held = self.held.after(held.amount, Amount::default());
        effects.push(Effect::Set(held.topic, member, None));
    }
}

impl Replica {
    /// Up to which number everything is known; 0 where something is missing.
    fn known(&self) -> u64 {
        if self.knowledge == Knowledge::Whole { self.last } else { 0 }
    }

    /// Asks for everything, unless that was done too lately: then by and by.
    fn ask(&mut self, node: NodeId) -> Option<Effect> {
        if self.rest > 0 {
            return None;
        }
        self.rest = RESTS.0.saturating_mul(1 << self.asked.min(16)).min(RESTS.1);
        self.asked = self.asked.saturating_add(1);
        self.is_cut = false;
        self.knowledge = Knowledge::Holed;
        Some(Effect::Ask(node, 0))
    }

    /// A message was lost.
    fn lose(&mut self, node: NodeId) -> Option<Effect> {
        self.knowledge = Knowledge::Holed;
        self.ask(node)
    }

    /// The node begins to tell everything: that is worth hearing where something is missing.
    fn begin(&mut self, is_next: bool) {
        if self.knowledge != Knowledge::Whole || !is_next {
            self.is_cut = false;
            self.knowledge = Knowledge::Coming(HashSet::new());
        }
    }
}
