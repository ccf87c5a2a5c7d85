//! What reaches whom, and in which order.

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

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

/// A message that the database holds.
const STORED: Uuid = Uuid::from_u128(7);

struct Client {
    seat: Arc<Seat>,
    outbox: Arc<Outbox>,
}

fn client(hub: &Hub, name: &str, wishes: Rights) -> Client {
    let outbox = Arc::new(Outbox::new(1024));
    let seat =
        Seat::new((hub.next_id(), topic(name), Version::One), Arc::clone(&outbox), wishes, wishes.presence);
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
    let client = client(hub, name, wishes);
    assert!(hub.enter(&client.seat, None));
    hub.admit(&client.seat, Vec::new());
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
    let ann = client(&hub, "a", Rights { broadcast: true, presence: false });
    assert!(hub.enter(&ann.seat, None));
    hub.deliver(&topic("a"), shout("stored").with_id(STORED, false));
    hub.broadcast(&topic("a"), shout("live"), None);
    assert!(said(&ann).is_empty());

    let reply = Frame::Text(r#"{"event":"phx_reply","payload":{}}"#.into());
    ann.seat.replays(vec![STORED]);
    hub.admit(&ann.seat, vec![reply]);
    hub.deliver(&topic("a"), shout("stored").with_id(STORED, false));

    assert_eq!(said(&ann), ["phx_reply {}".to_owned(), heard("live")]);
}

#[test]
fn who_is_present_is_told_before_what_changes() {
    let hub = hub();
    let ann = joined(&hub, "a", Rights::ALL);
    assert_eq!(said(&ann), ["presence_state {}"]);
    let payload = json!({"n": 1}).as_object().unwrap().clone();
    hub.track(&ann.seat, "ann", &payload).unwrap();
    let diff = said(&ann);
    assert!(diff[0].starts_with(r#"presence_diff {"joins":{"ann":{"metas":[{"n":1,"#), "{diff:?}");

    let bob = joined(&hub, "a", Rights::ALL);
    assert!(said(&bob)[0].starts_with(r#"presence_state {"ann":"#));
    hub.leave(&ann.seat);
    let left = said(&bob);
    assert!(left[0].starts_with(r#"presence_diff {"joins":{},"leaves":{"ann":"#), "{left:?}");
}

#[test]
fn a_topic_that_everybody_left_is_forgotten() {
    let hub = hub();
    let ann = joined(&hub, "a", Rights::ALL);
    hub.track(&ann.seat, "ann", &Map::new()).unwrap();
    assert_eq!(hub.census(10), [(topic("a"), 1, 1)]);
    hub.leave(&ann.seat);
    hub.leave(&ann.seat);
    assert_eq!(hub.census(10), []);
    assert_eq!(hub.topics(), []);
    let again = joined(&hub, "a", Rights::ALL);
    assert_eq!(said(&again), ["presence_state {}"]);
}

#[test]
fn a_presence_that_there_is_no_room_for_is_refused_and_changes_nothing() {
    let hub = hub();
    let [ann, bob, eve] = [(); 3].map(|()| joined(&hub, "a", Rights::ALL));
    let elsewhere = joined(&hub, "b", Rights::ALL);
    for (seat, key) in [(&ann.seat, "ann"), (&bob.seat, "bob")] {
        hub.track(seat, key, &Map::new()).unwrap();
    }
    said(&ann);

    assert_eq!(hub.track(&eve.seat, "eve", &Map::new()), Err(PresenceFull::Topic));
    assert_eq!(hub.track(&elsewhere.seat, "eve", &Map::new()), Err(PresenceFull::Total));
    assert!(said(&ann).is_empty());

    hub.untrack(&ann.seat);
    assert_eq!(hub.track(&eve.seat, "eve", &Map::new()), Ok(()));
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

#[tokio::test]
async fn what_a_channel_may_not_hear_any_more_is_taken_back_and_what_others_hear_is_not() {
    let hub = hub();
    let lost = joined(&hub, "a", Rights { broadcast: true, presence: false });
    let place = (hub.next_id(), topic("b"), Version::One);
    let rights = Rights { broadcast: true, presence: false };
    let kept = Arc::new(Seat::new(place, Arc::clone(&lost.outbox), rights, false));
    assert!(hub.enter(&kept, None));
    hub.admit(&kept, Vec::new());
    for _ in 0..2 {
        hub.broadcast(&topic("a"), shout(&"secret".repeat(120)), None);
    }
    hub.broadcast(&topic("b"), shout("open"), None);
    lost.outbox.push(Frame::Text(r#"{"event":"phx_reply","payload":{}}"#.into()));

    lost.seat.silence();
    hub.broadcast(&topic("a"), shout("secret"), None);

    // What was taken back takes no room.
    for _ in 0..5 {
        hub.broadcast(&topic("b"), shout("more"), None);
    }
    lost.outbox.ready().await;
    let expected =
        [heard("open"), "phx_reply {}".to_owned()].into_iter().chain([(); 5].map(|()| heard("more")));
    assert_eq!(said(&lost), expected.collect::<Vec<_>>());
}
