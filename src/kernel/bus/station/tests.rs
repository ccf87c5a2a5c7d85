//! What a node's end of the bus does with time and with too much.

use std::time::Duration;

use super::*;
use crate::kernel::bus::{Delivery, PeerEvent, Seal};
use crate::kernel::clock::Clock;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::kernel::vault::RootSecrets;

fn node(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

/// Two stations that know each other.
fn pair(now: Instant) -> (Station, Station) {
    let (one, two) = (Station::new(node(1), "test", now), Station::new(node(2), "test", now));
    one.connected(now);
    two.connected(now);
    for _ in 0..2 {
        carry(&one, &two, now);
        carry(&two, &one, now);
    }
    assert_eq!((one.peers(), two.peers()), (1, 1));
    (one, two)
}

/// What one has said is heard by both.
fn carry(from: &Station, to: &Station, now: Instant) -> usize {
    let said = from.outgoing(usize::MAX, usize::MAX);
    for said in &said {
        let bytes = from.write("c", said).unwrap();
        from.hear("c", bytes.clone().into(), now);
        to.hear("c", bytes.into(), now);
    }
    said.len()
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_the_receiver_is_told_by_the_next_sign_of_life() {
    let now = Instant::now();
    let (one, two) = pair(now);
    let mut at_two = two.subscribe(Subject::Broadcast);
    assert_eq!(at_two.next().await, Some(Delivery::Gap));
    for _ in 0..MOST_WAITING + 100 {
        one.publish(Subject::Broadcast, Bytes::from_static(b"x"));
    }
    assert_eq!(carry(&one, &two, now), MOST_WAITING);
    for _ in 0..MOST_WAITING {
        assert!(matches!(at_two.next().await, Some(Delivery::Message(_))));
    }

    one.tick(now + Duration::from_secs(6));
    carry(&one, &two, now + Duration::from_secs(6));

    assert_eq!(at_two.next().await, Some(Delivery::Gap));
}

#[tokio::test]
async fn the_bytes_that_wait_are_bounded_and_so_is_one_message() {
    let now = Instant::now();
    let (one, two) = pair(now);
    one.publish(Subject::Broadcast, vec![0; MAX_PAYLOAD + 1].into());
    assert_eq!(carry(&one, &two, now), 0);
    for _ in 0..10 {
        one.publish(Subject::Broadcast, vec![0; MAX_PAYLOAD / 2].into());
    }
    assert_eq!(carry(&one, &two, now), MOST_BYTES / (MAX_PAYLOAD / 2) - 1);
}

#[tokio::test]
async fn a_message_that_comes_twice_is_delivered_once() {
    let now = Instant::now();
    let (one, two) = pair(now);
    let mut at_two = two.subscribe(Subject::Sessions);
    assert_eq!(at_two.next().await, Some(Delivery::Gap));
    one.publish(Subject::Sessions, Bytes::from_static(b"once"));
    let said = one.outgoing(usize::MAX, usize::MAX);
    let bytes = one.write("c", &said[0]).unwrap();
    two.hear("c", bytes.clone().into(), now);
    two.hear("c", bytes.into(), now);
    two.close();
    assert!(matches!(at_two.next().await, Some(Delivery::Message(_))));
    assert_eq!(at_two.next().await, None);
}

#[tokio::test]
async fn a_node_that_does_not_hear_itself_is_deaf() {
    let now = Instant::now();
    let (one, two) = pair(now);
    assert!(!one.is_deaf(now + Duration::from_mins(1)));
    one.tick(now + Duration::from_secs(6));
    assert!(!one.is_deaf(now + Duration::from_secs(7)));
    assert!(one.is_deaf(now + Duration::from_secs(17)));
    carry(&one, &two, now + Duration::from_secs(17));
    assert!(!one.is_deaf(now + Duration::from_mins(1)));
}

#[tokio::test]
async fn a_node_that_died_is_forgotten_while_the_connection_comes_and_goes_and_one_that_lives_is_not() {
    let mut now = Instant::now();
    let (one, two) = pair(now);
    let three = Station::new(node(3), "test", now);
    three.connected(now);
    carry(&three, &one, now);
    assert_eq!(one.peers(), 2);

    let mut listened = 0;
    while one.peers() == 2 {
        assert!(listened <= 20, "the third is still believed in");
        one.disconnected(now);
        now += Duration::from_secs(3);
        one.connected(now);
        two.tick(now);
        for _ in 0..2 {
            carry(&one, &two, now);
            carry(&two, &one, now);
        }
        for _ in 0..3 {
            now += Duration::from_secs(1);
            listened += 1;
            one.tick(now);
        }
    }
    assert!(listened >= 18, "it was forgotten after {listened} seconds of listening");
    assert_eq!(one.peer_events().next().await, Some(PeerEvent::Joined(node(2))));
}

#[tokio::test]
async fn alone_nothing_is_sent_but_a_seldom_sign_of_life() {
    let now = Instant::now();
    let one = Station::new(node(1), "test", now);
    one.connected(now);
    one.outgoing(usize::MAX, usize::MAX);
    one.publish(Subject::Broadcast, Bytes::from_static(b"x"));
    for second in 1..30 {
        one.tick(now + Duration::from_secs(second));
    }
    assert_eq!(one.outgoing(usize::MAX, usize::MAX), []);
    one.tick(now + Duration::from_secs(30));
    assert_eq!(one.outgoing(usize::MAX, usize::MAX), [Said::Beat(Sent::default())]);
}

#[tokio::test]
async fn one_answer_is_enough_for_many_greetings() {
    let now = Instant::now();
    let one = Station::new(node(1), "test", now);
    one.connected(now);
    one.outgoing(usize::MAX, usize::MAX);
    for number in 2..100 {
        let mut bytes = Vec::new();
        frame::encode(node(number), &Said::Hello(Sent::default()), &mut bytes);
        one.hear("c", bytes.into(), now);
    }
    assert_eq!(one.outgoing(usize::MAX, usize::MAX), [Said::Here(Sent::default())]);
    let mut events = one.peer_events();
    assert_eq!(events.next().await, Some(PeerEvent::Joined(node(2))));
}

#[tokio::test]
async fn a_recorded_frame_neither_brings_a_node_back_nor_speaks_for_it() {
    let (now, clock) = (Instant::now(), Clock::manual(1_800_000_000));
    let sealed = |number| {
        let roots = RootSecrets::new(&Secret::new("a root secret of the tests"), &[]);
        let seal = Seal::new(&roots, clock.clone(), Random::seeded(number));
        Station::new(node(number), "test", now).on(Terms { seal: Some(seal), silence: SILENCE })
    };
    let (one, two) = (sealed(1), sealed(2));
    one.connected(now);
    let greeting = one.write("c", &Said::Hello(Sent::default())).unwrap();
    two.hear("c", greeting.clone().into(), now);
    let message =
        Said::Message { subject: Subject::Sessions, number: 1, payload: Bytes::from_static(b"recorded") };
    let message = one.write("c", &message).unwrap();
    let unheard = one.write("c", &Said::Beat(Sent::default())).unwrap();
    two.hear("c", one.write("c", &Said::Bye).unwrap().into(), now);
    assert_eq!(two.peers(), 0);

    let mut at_two = two.subscribe(Subject::Sessions);
    for _ in 0..2 {
        for recorded in [&greeting, &message, &unheard] {
            two.hear("c", recorded.clone().into(), now);
            assert_eq!(two.peers(), 0);
        }
        clock.advance(Duration::from_mins(2));
    }

    two.close();
    assert_eq!(at_two.next().await, None);
}
