//! What is known of one other node, message by message.

use std::sync::Arc;

use super::super::replica::{Effect, RESTS, Replicas};
use super::super::wire::{Entry, News, PresenceMessage};
use super::model::{PLENTY, presence, topic};
use crate::kernel::bus::NodeId;
use crate::realtime::presence::{Amount, Payload, Presence};

fn numbered(number: u64, news: News) -> PresenceMessage {
    PresenceMessage::Numbered { number, news }
}

fn change(number: u64, channel: u64) -> PresenceMessage {
    numbered(number, News::Change(Entry { channel, topic: topic(channel), presence: Some(presence(number)) }))
}

#[test]
fn a_node_that_has_missed_something_asks_once_and_again_if_there_is_no_answer() {
    let (mut replicas, node) = (Replicas::new(PLENTY), NodeId::new(1).unwrap());
    assert_eq!(replicas.joined(node), Effect::Ask(node, 0));
    assert_eq!(replicas.take(node, change(1, 1)).len(), 1);

    let asks = |effects: Vec<Effect>| effects.contains(&Effect::Ask(node, 0));
    assert!(asks(replicas.take(node, change(3, 3))));
    assert!(!asks(replicas.take(node, change(5, 5))));
    assert!(!asks(replicas.doubt()));
    assert!(!asks(replicas.tick()));
    assert!(asks(replicas.tick()));
    assert!(!asks(replicas.take(node, numbered(6, News::Begin))));
    assert!((0..100).all(|_| !asks(replicas.tick())), "the answer has begun");
    let gone = replicas.take(node, numbered(7, News::End));
    assert_eq!(gone.len(), 3, "nobody was told of");
    assert_eq!(replicas.doubt(), [Effect::Ask(node, 7)]);
}

/// After how many ticks each a node is asked again, while `answer` answers.
fn pauses(
    replicas: &mut Replicas,
    node: NodeId,
    mut answer: impl FnMut(&mut Replicas) -> Vec<Effect>,
) -> Vec<u32> {
    let (mut pauses, mut since) = (Vec::new(), 0);
    for _ in 0..300 {
        since += 1;
        let mut effects = replicas.tick();
        while effects.contains(&Effect::Ask(node, 0)) {
            pauses.push(std::mem::take(&mut since));
            effects = answer(replicas);
        }
    }
    pauses
}

#[test]
fn a_node_whose_answers_cannot_be_read_is_asked_ever_more_seldom_until_it_starts_anew() {
    let (mut replicas, node) = (Replicas::new(PLENTY), NodeId::new(1).unwrap());
    replicas.joined(node);
    replicas.take(node, change(1, 1));
    let mut number = 2;
    // Of each answer the part in the middle is missing, as it was not understood.
    let mut answer = |replicas: &mut Replicas| {
        number += 3;
        let mut effects = replicas.take(node, numbered(number - 2, News::Begin));
        effects.extend(replicas.take(node, numbered(number, News::End)));
        effects
    };
    let at_once = replicas.take(node, PresenceMessage::Beat(2));
    assert_eq!(at_once, [Effect::Ask(node, 0)]);
    assert_eq!(answer(&mut replicas), []);

    assert_eq!(pauses(&mut replicas, node, answer), [2, 4, 8, 16, 32, 64, 64, 64]);

    // Another start is another node.
    replicas.left(node);
    let anew = NodeId::new(2).unwrap();
    assert_eq!(replicas.joined(anew), Effect::Ask(anew, 0));
    replicas.take(anew, change(1, 1));
    assert_eq!(replicas.take(anew, PresenceMessage::Beat(2)), [Effect::Ask(anew, 0)]);
}

#[test]
fn what_finds_no_room_here_is_asked_for_ever_more_seldom() {
    let most = Amount { members: 8, bytes: 1_000 };
    let (mut replicas, node) = (Replicas::new(most), NodeId::new(1).unwrap());
    replicas.joined(node);
    let large = || {
        let text = "x".repeat(2_000);
        let payload = Payload::parse(&format!("{{\"text\":\"{text}\"}}")).unwrap();
        let presence = Presence { payload, ..(*presence(1)).clone() };
        Entry { channel: 1, topic: topic(1), presence: Some(Arc::new(presence)) }
    };
    let mut number = 1;
    let mut answer = |replicas: &mut Replicas| {
        number += 3;
        let mut effects = replicas.take(node, numbered(number - 2, News::Begin));
        effects.extend(replicas.take(node, numbered(number - 1, News::Part(vec![large()]))));
        effects.extend(replicas.take(node, numbered(number, News::End)));
        effects
    };
    assert_eq!(replicas.take(node, numbered(1, News::Change(large()))), []);

    assert_eq!(pauses(&mut replicas, node, &mut answer), [1, 2, 4, 8, 16, 32, 64, 64, 64]);
}

#[test]
fn once_all_is_known_for_a_while_a_loss_is_asked_for_at_once_again() {
    let (mut replicas, node) = (Replicas::new(PLENTY), NodeId::new(1).unwrap());
    replicas.joined(node);
    let mut number = 0;
    for _ in 0..10 {
        number += 2; // one is lost
        assert!(replicas.take(node, change(number, 1)).contains(&Effect::Ask(node, 0)));
        replicas.take(node, numbered(number + 1, News::Begin));
        replicas.take(node, numbered(number + 2, News::End));
        number += 2;
        for _ in 0..RESTS.0 {
            replicas.tick();
        }
    }
}

#[test]
fn what_comes_twice_or_too_late_says_nothing() {
    let (mut replicas, node) = (Replicas::new(PLENTY), NodeId::new(1).unwrap());
    replicas.joined(node);
    let gone = News::Change(Entry { channel: 1, topic: topic(1), presence: None });
    replicas.take(node, change(1, 1));
    replicas.take(node, numbered(2, gone));
    assert_eq!(replicas.take(node, change(1, 1)), []);
    assert_eq!(replicas.take(node, PresenceMessage::Beat(1)), []);
    assert_eq!(replicas.doubt(), [Effect::Ask(node, 2)]);
}

#[test]
fn what_a_node_said_before_it_was_gone_is_not_heard_afterwards() {
    let (mut replicas, node) = (Replicas::new(PLENTY), NodeId::new(1).unwrap());
    assert_eq!(replicas.take(node, change(1, 1)), []);
    replicas.joined(node);
    replicas.take(node, change(1, 1));
    assert_eq!(replicas.left(node).len(), 1);
    assert_eq!(replicas.take(node, change(2, 1)), []);
    assert_eq!(replicas.held(), Amount::default());
}

#[test]
fn what_was_left_out_is_asked_for_once_there_is_room() {
    let most = Amount { members: 4, bytes: 1_000 };
    let (mut replicas, node) = (Replicas::new(most), NodeId::new(1).unwrap());
    replicas.joined(node);
    for channel in 1..=5 {
        replicas.take(node, change(channel, channel));
    }
    assert_eq!(replicas.held().members, 4);
    assert_eq!(replicas.tick(), []);
    for channel in 1..=3 {
        let gone = Entry { channel, topic: topic(channel), presence: None };
        replicas.take(node, numbered(5 + channel, News::Change(gone)));
    }
    assert_eq!(replicas.tick(), [Effect::Ask(node, 0)]);
}
