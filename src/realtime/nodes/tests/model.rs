//! A model of several nodes whose messages are lost, doubled and late: once it is quiet, all know the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::replica::{Effect, RESTS, Replicas};
use super::super::wire::{Entry, News, PresenceMessage};
use crate::kernel::bus::NodeId;
use crate::realtime::presence::{Amount, Member, Payload, Presence};
use crate::realtime::request::Topic;

pub(super) const PLENTY: Amount = Amount { members: usize::MAX / 8, bytes: usize::MAX / 8 };
const NODES: usize = 3;

type Present = BTreeMap<Member, (Topic, Arc<Presence>)>;

pub(super) fn topic(number: u64) -> Topic {
    Topic::named(&format!("t{}", number % 2), number % 4 > 1).unwrap()
}

pub(super) fn presence(reference: u64) -> Arc<Presence> {
    let (payload, reference) = (Payload::of(&serde_json::Map::new()), NonZeroU64::new(reference).unwrap());
    Arc::new(Presence { key: "k".into(), payload, reference, previous: None })
}

/// A node as it should be: its own members, telling everything in steps, and what it knows of others.
struct Node {
    id: NodeId,
    number: u64,
    last_reference: u64,
    own: BTreeMap<u64, Arc<Presence>>,
    was_asked: bool,
    /// What is still to be told, and what was read and is about to be.
    telling: Option<(VecDeque<u64>, Vec<Entry>)>,
    replicas: Replicas,
    seen: Present,
}

impl Node {
    fn new(id: u64) -> Self {
        Self {
            id: NodeId::new(id).unwrap(),
            number: 0,
            last_reference: 0,
            own: BTreeMap::new(),
            was_asked: false,
            telling: None,
            replicas: Replicas::new(PLENTY),
            seen: Present::new(),
        }
    }

    fn numbered(&mut self, news: News) -> PresenceMessage {
        self.number += 1;
        PresenceMessage::Numbered { number: self.number, news }
    }

    fn entry(&self, channel: u64) -> Entry {
        Entry { channel, topic: topic(channel), presence: self.own.get(&channel).cloned() }
    }

    fn change(&mut self, channel: u64, is_present: bool) -> PresenceMessage {
        if is_present {
            self.last_reference += 1;
            self.own.insert(channel, presence(self.last_reference));
        } else {
            self.own.remove(&channel);
        }
        let entry = self.entry(channel);
        self.numbered(News::Change(entry))
    }

    /// A step of telling everything: beginning, reading, sending or ending.
    fn tell(&mut self) -> Option<PresenceMessage> {
        let Some((rest, mut read)) = self.telling.take() else {
            if !std::mem::take(&mut self.was_asked) {
                return None;
            }
            self.telling = Some((self.own.keys().copied().collect(), Vec::new()));
            return Some(self.numbered(News::Begin));
        };
        let mut rest = rest;
        if !read.is_empty() {
            self.telling = Some((rest, Vec::new()));
            return Some(self.numbered(News::Part(read)));
        }
        let Some(channel) = rest.pop_front() else { return Some(self.numbered(News::End)) };
        read.extend(Some(self.entry(channel)).filter(|entry| entry.presence.is_some()));
        self.telling = Some((rest, read));
        None
    }

    /// Does what is to be done, and gives what is to be sent.
    fn carry_out(&mut self, effects: impl IntoIterator<Item = Effect>) -> Vec<PresenceMessage> {
        let mut questions = Vec::new();
        for effect in effects {
            match effect {
                Effect::Ask(of, known) => questions.push(PresenceMessage::Ask { of, known }),
                Effect::Set(topic, member, Some(presence)) => {
                    assert_ne!(member.node, self.id);
                    let before = self.seen.insert(member, (topic.clone(), presence));
                    assert!(before.is_none_or(|(before, _)| before == topic), "a member is on one topic");
                }
                Effect::Set(topic, member, None) => {
                    let gone = self.seen.remove(&member);
                    assert_eq!(gone.map(|(topic, _)| topic), Some(topic), "who leaves was there");
                }
            }
        }
        questions
    }
}

/// What can happen. Nodes are named by their place.
#[derive(Clone, Copy, Debug)]
enum Step {
    Change {
        at: usize,
        channel: u64,
        is_present: bool,
    },
    Tell {
        at: usize,
    },
    Beat {
        at: usize,
    },
    Tick {
        at: usize,
    },
    Gap {
        at: usize,
    },
    Deliver {
        from: usize,
        to: usize,
    },
    Lose {
        from: usize,
        to: usize,
    },
    Double {
        from: usize,
        to: usize,
    },
    Swap {
        from: usize,
        to: usize,
    },
    Hear {
        at: usize,
    },
    Restart {
        at: usize,
    },
    /// One does not hear another any more, and takes it for gone; then it does again.
    Part {
        at: usize,
        of: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 0..NODES;
    let change = || {
        (node(), 0_u64..6, any::<bool>()).prop_map(|(at, channel, is_present)| Step::Change {
            at,
            channel,
            is_present,
        })
    };
    // Few nodes come and go: each time what is known of them begins anew, which hides what went wrong before.
    let step = prop_oneof![
        30 => change(),
        40 => node().prop_map(|at| Step::Tell { at }),
        4 => node().prop_map(|at| Step::Beat { at }),
        4 => node().prop_map(|at| Step::Tick { at }),
        2 => node().prop_map(|at| Step::Gap { at }),
        90 => (node(), node()).prop_map(|(from, to)| Step::Deliver { from, to }),
        8 => (node(), node()).prop_map(|(from, to)| Step::Lose { from, to }),
        4 => (node(), node()).prop_map(|(from, to)| Step::Double { from, to }),
        4 => (node(), node()).prop_map(|(from, to)| Step::Swap { from, to }),
        20 => node().prop_map(|at| Step::Hear { at }),
        1 => node().prop_map(|at| Step::Restart { at }),
        1 => (node(), node()).prop_map(|(at, of)| Step::Part { at, of }),
    ];
    prop::collection::vec(step, 0..250)
}

#[derive(Clone, Copy)]
enum Arrival {
    Joined(NodeId),
    Left(NodeId),
}

/// All nodes and what is between them. What a node said stays on its way when it is gone.
struct World {
    nodes: Vec<Node>,
    ways: BTreeMap<(usize, usize), VecDeque<(NodeId, PresenceMessage)>>,
    arrivals: [VecDeque<Arrival>; NODES],
    started: u64,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { nodes: Vec::new(), ways: BTreeMap::new(), arrivals: Default::default(), started: 0 };
        for at in 0..NODES {
            let node = world.start();
            world.nodes.push(node);
            world.tell_of(at);
        }
        // They have met.
        world.be_quiet();
        world
    }

    fn start(&mut self) -> Node {
        self.started += 1;
        Node::new(self.started)
    }

    /// A node that has come, and the others, hear of each other.
    fn tell_of(&mut self, at: usize) {
        let new = self.nodes[at].id;
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            let id = self.nodes[other].id;
            self.arrivals[other].push_back(Arrival::Joined(new));
            self.arrivals[at].push_back(Arrival::Joined(id));
        }
    }

    fn publish(&mut self, at: usize, messages: impl IntoIterator<Item = PresenceMessage>) {
        for message in messages {
            for to in (0..NODES).filter(|to| *to != at) {
                let way = self.ways.entry((at, to)).or_default();
                way.push_back((self.nodes[at].id, message.clone()));
            }
        }
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect>) {
        let questions = self.nodes[at].carry_out(effects);
        self.publish(at, questions);
    }

    fn deliver(&mut self, (from, to): (usize, usize)) -> bool {
        let Some((id, message)) = self.ways.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
            return false;
        };
        let node = &mut self.nodes[to];
        if let PresenceMessage::Ask { of, known } = message {
            if of == node.id && known == node.number {
                let beat = PresenceMessage::Beat(node.number);
                self.publish(to, [beat]);
            } else if of == node.id {
                node.was_asked = true;
            }
        } else {
            let effects = node.replicas.take(id, message);
            self.carry_out(to, effects);
        }
        true
    }

    fn hear(&mut self, at: usize) -> bool {
        let Some(arrival) = self.arrivals[at].pop_front() else { return false };
        let effects = match arrival {
            Arrival::Joined(node) => vec![self.nodes[at].replicas.joined(node)],
            Arrival::Left(node) => self.nodes[at].replicas.left(node),
        };
        self.carry_out(at, effects);
        true
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Change { at, channel, is_present } => {
                let change = self.nodes[at].change(channel, is_present);
                self.publish(at, [change]);
            }
            Step::Tell { at } => {
                let told = self.nodes[at].tell();
                self.publish(at, told);
            }
            Step::Beat { at } => {
                let beat = PresenceMessage::Beat(self.nodes[at].number);
                self.publish(at, [beat]);
            }
            Step::Tick { at } => {
                let effects = self.nodes[at].replicas.tick();
                self.carry_out(at, effects);
            }
            Step::Gap { at } => {
                let effects = self.nodes[at].replicas.doubt();
                self.carry_out(at, effects);
            }
            Step::Deliver { from, to } => {
                self.deliver((from, to));
            }
            Step::Lose { from, to } => {
                self.ways.entry((from, to)).or_default().pop_front();
            }
            Step::Double { from, to } => {
                let way = self.ways.entry((from, to)).or_default();
                if let Some(first) = way.front().cloned() {
                    way.push_front(first);
                }
            }
            Step::Swap { from, to } => {
                let way = self.ways.entry((from, to)).or_default();
                if way.len() > 1 {
                    way.swap(0, 1);
                }
            }
            Step::Hear { at } => {
                self.hear(at);
            }
            Step::Restart { at } => {
                let gone = self.nodes[at].id;
                let new = self.start();
                self.nodes[at] = new;
                self.arrivals[at].clear();
                for other in (0..NODES).filter(|other| *other != at) {
                    self.arrivals[other].push_back(Arrival::Left(gone));
                    // What was for the one before does not reach the new one.
                    self.ways.entry((other, at)).or_default().clear();
                }
                self.tell_of(at);
            }
            Step::Part { at, of } if at != of => {
                let id = self.nodes[of].id;
                self.arrivals[at].extend([Arrival::Left(id), Arrival::Joined(id)]);
            }
            Step::Part { .. } => {}
        }
    }

    /// Nothing changes any more and nothing is lost: heartbeats go on, and time passes until everybody would ask again.
    fn be_quiet(&mut self) {
        for _ in 0..6 {
            for at in 0..NODES {
                while self.hear(at) {}
                self.take(Step::Beat { at });
                for _ in 0..RESTS.1 {
                    self.take(Step::Tick { at });
                }
            }
            loop {
                let mut is_busy = false;
                for at in 0..NODES {
                    while self.nodes[at].was_asked || self.nodes[at].telling.is_some() {
                        self.take(Step::Tell { at });
                    }
                    for from in 0..NODES {
                        while self.deliver((from, at)) {
                            is_busy = true;
                        }
                    }
                }
                if !is_busy {
                    break;
                }
            }
        }
    }

    fn truth(&self, but: usize) -> Present {
        let others = self.nodes.iter().enumerate().filter(|(at, _)| *at != but);
        others
            .flat_map(|(_, node)| {
                node.own.iter().map(|(channel, presence)| {
                    (Member { node: node.id, channel: *channel }, (topic(*channel), Arc::clone(presence)))
                })
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn once_it_is_quiet_every_node_knows_the_same(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.be_quiet();
        for at in 0..NODES {
            prop_assert_eq!(&world.nodes[at].seen, &world.truth(at), "node {}", at);
            let held = world.nodes[at].replicas.held();
            prop_assert_eq!(held.members, world.nodes[at].seen.len());
        }
    }

    #[test]
    fn whatever_comes_no_more_is_held_than_may_be(
        messages in prop::collection::vec((0_u64..5, 0_u64..20, any::<bool>()), 0..100)
    ) {
        let most = Amount { members: 5, bytes: 40 };
        let (mut replicas, node) = (Replicas::new(most), NodeId::new(1).unwrap());
        let mut seen = BTreeSet::new();
        replicas.joined(node);
        for (number, (gap, channel, is_present)) in messages.into_iter().enumerate() {
            let number = number as u64 * 5 + gap + 1;
            let presence = is_present.then(|| presence(number));
            let news = News::Change(Entry { channel, topic: topic(channel), presence });
            for effect in replicas.take(node, PresenceMessage::Numbered { number, news }) {
                match effect {
                    Effect::Set(_, member, Some(_)) => { seen.insert(member); }
                    Effect::Set(_, member, None) => prop_assert!(seen.remove(&member)),
                    Effect::Ask(..) => {}
                }
            }
            prop_assert!(replicas.held().is_within(most));
            prop_assert_eq!(replicas.held().members, seen.len());
        }
    }
}
