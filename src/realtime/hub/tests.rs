//! What reaches whom, and in which order.

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::kernel::bus::LocalBus;
use crate::kernel::random::Random;
use crate::realtime::presence::Amount;
use crate::realtime::protocol::Version;

/// A hub of a node that is alone.
fn hub() -> Hub {
    let most = Amount { members: 2, bytes: 1000 };
    let bus = LocalBus::alone(&Random::seeded(1));
    Hub::new(Announcer::new(Arc::new(bus)), PresenceLimits { topic: most, total: most })
}

struct Client {
    seat: Arc<Seat>,
    outbox: Arc<Outbox>,
}

fn client(hub: &Hub, wishes: Rights) -> Client {
    let outbox = Arc::new(Outbox::new(1024));
    let seat = Seat::new((hub.next_id(), Version::One), Arc::clone(&outbox), wishes, wishes.presence);
    let seat = Arc::new(seat);
    Client { seat, outbox }
}

fn topic(name: &str) -> Topic {
    Topic::named(name, false).unwrap()
}

fn said(client: &Client) -> Vec<String> {
    let frames = client.outbox.take().frames;
    frames
        .iter()
        .map(|frame| match frame {
            Frame::Text(text) => {
                let message: Value = serde_json::from_str(text).unwrap();
                format!("{} {}", message["event"].as_str().unwrap(), message["payload"])
            }
            Frame::Binary(_) => panic!("version 1 has no binary frames"),
        })
        .collect()
}

fn shout(text: &str) -> UserBroadcast {
    UserBroadcast::json("shout".to_owned(), Bytes::from(format!("{text:?}"))).unwrap()
}

fn heard(text: &str) -> String {
    format!("broadcast {}", json!({"type": "broadcast", "event": "shout", "payload": text}))
}

fn joined(hub: &Hub, name: &str, wishes: Rights) -> Client {
    let client = client(hub, wishes);
    assert!(hub.enter(&topic(name), &client.seat, None));
    hub.admit(&topic(name), &client.seat, &[]);
    client
}

#[test]
fn a_broadcast_reaches_everybody_on_the_topic_but_its_sender() {
    let hub = hub();
    let [ann, bob] = [(); 2].map(|()| joined(&hub, "a", Rights { broadcast: true, presence: false }));
    let eve = joined(&hub, "b", Rights { broadcast: true, presence: false });

    hub.broadcast(&topic("a"), shout("hi"), Some(ann.seat.id()));
    hub.broadcast(&Topic::named("a", true).unwrap(), shout("secret"), None);

    assert_eq!(said(&bob), [heard("hi")]);
    assert!(said(&ann).is_empty() && said(&eve).is_empty());
}

#[test]
fn what_comes_while_a_channel_is_set_up_follows_the_reply() {
    let hub = hub();
    let ann = client(&hub, Rights { broadcast: true, presence: false });
    assert!(hub.enter(&topic("a"), &ann.seat, None));
    hub.deliver(&topic("a"), shout("stored").with_id("7", false));
    hub.broadcast(&topic("a"), shout("live"), None);
    assert!(said(&ann).is_empty());

    let reply = Frame::Text(r#"{"event":"phx_reply","payload":{}}"#.into());
    ann.seat.replays(vec!["7".to_owned()]);
    hub.admit(&topic("a"), &ann.seat, &[reply]);
    hub.deliver(&topic("a"), shout("stored").with_id("7", false));

    assert_eq!(said(&ann), ["phx_reply {}".to_owned(), heard("live")]);
}

#[test]
fn who_is_present_is_told_before_what_changes() {
    let hub = hub();
    let ann = joined(&hub, "a", Rights::ALL);
    assert_eq!(said(&ann), ["presence_state {}"]);
    let payload = json!({"n": 1}).as_object().unwrap().clone();
    hub.track(&topic("a"), &ann.seat, "ann", &payload).unwrap();
    let diff = said(&ann);
    assert!(diff[0].starts_with(r#"presence_diff {"joins":{"ann":{"metas":[{"n":1,"#), "{diff:?}");

    let bob = joined(&hub, "a", Rights::ALL);
    assert!(said(&bob)[0].starts_with(r#"presence_state {"ann":"#));
    hub.leave(&topic("a"), &ann.seat);
    let left = said(&bob);
    assert!(left[0].starts_with(r#"presence_diff {"joins":{},"leaves":{"ann":"#), "{left:?}");
}

#[test]
fn a_topic_that_everybody_left_is_forgotten() {
    let hub = hub();
    let ann = joined(&hub, "a", Rights::ALL);
    hub.track(&topic("a"), &ann.seat, "ann", &Map::new()).unwrap();
    assert_eq!(hub.census(10), [(topic("a"), 1, 1)]);
    hub.leave(&topic("a"), &ann.seat);
    hub.leave(&topic("a"), &ann.seat);
    assert_eq!(hub.census(10), []);
    assert_eq!(hub.topics(), []);
    let again = joined(&hub, "a", Rights::ALL);
    assert_eq!(said(&again), ["presence_state {}"]);
}

#[test]
fn a_presence_that_there_is_no_room_for_is_refused_and_changes_nothing() {
    let hub = hub();
    let [ann, bob, eve] = [(); 3].map(|()| joined(&hub, "a", Rights::ALL));
    for (seat, key) in [(&ann.seat, "ann"), (&bob.seat, "bob")] {
        hub.track(&topic("a"), seat, key, &Map::new()).unwrap();
    }
    said(&ann);

    assert_eq!(hub.track(&topic("a"), &eve.seat, "eve", &Map::new()), Err(PresenceFull::Topic));
    assert_eq!(hub.track(&topic("b"), &eve.seat, "eve", &Map::new()), Err(PresenceFull::Total));
    assert!(said(&ann).is_empty());

    hub.untrack(&topic("a"), &ann.seat);
    assert_eq!(hub.track(&topic("a"), &eve.seat, "eve", &Map::new()), Ok(()));
}

#[test]
fn who_does_not_read_is_disconnected_and_its_queue_freed() {
    let hub = hub();
    let slow = joined(&hub, "a", Rights { broadcast: true, presence: false });
    for _ in 0..100 {
        hub.broadcast(&topic("a"), shout(&"x".repeat(100)), None);
    }
    let waiting = slow.outbox.take();
    assert!(waiting.is_too_slow && waiting.frames.is_empty());
}

#[test]
fn one_frame_fits_however_large() {
    let outbox = Outbox::new(10);
    for size in [5, 100, 5, 1] {
        outbox.push(Frame::Binary(Bytes::from(vec![0; size])));
    }
    let waiting = outbox.take();
    assert!(waiting.frames.len() == 4 && !waiting.is_too_slow);
    for size in [5, 100, 5, 1, 1] {
        outbox.push(Frame::Binary(Bytes::from(vec![0; size])));
    }
    assert!(outbox.take().is_too_slow);
}
