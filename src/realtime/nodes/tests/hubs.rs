//! Hubs of several nodes on one bus in memory: what crosses, and what is put right after an interruption.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::wire::{News, PresenceMessage};
use super::super::{Announcer, Follower};
use crate::kernel::bus::{Bus, Delivery, LocalBus, LocalNode, Subject, Subscription};
use crate::kernel::random::Random;
use crate::realtime::hub::{Hub, Outbox, PresenceLimits, Rights, Seat};
use crate::realtime::presence::Amount;
use crate::realtime::protocol::{Frame, UserBroadcast, Version};
use crate::realtime::request::Topic;

const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    hub: Arc<Hub>,
    bus: Arc<LocalNode>,
    task: JoinHandle<()>,
}

impl Node {
    fn join(bus: &LocalBus, random: &Random) -> Self {
        let bus = Arc::new(bus.join(random));
        let most = Amount { members: 5_000, bytes: 1 << 20 };
        let limits = PresenceLimits { topic: most, total: most };
        let hub = Arc::new(Hub::new(Announcer::new(bus.clone()), limits));
        let follower = Follower::new(Arc::clone(&hub), bus.clone(), most);
        let task = tokio::spawn(follower.run(CancellationToken::new()));
        Self { hub, bus, task }
    }

    /// Ends without a word.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    fn client(&self, topic: &Topic) -> Client {
        let outbox = Arc::new(Outbox::new(1 << 20));
        let place = (self.hub.next_id(), topic.clone(), Version::One);
        let seat = Arc::new(Seat::new(place, Arc::clone(&outbox), Rights::ALL, true));
        assert!(self.hub.enter(&seat, None));
        self.hub.admit(&seat, Vec::new());
        Client { hub: Arc::clone(&self.hub), seat, outbox, heard: Vec::new() }
    }
}

struct Client {
    hub: Arc<Hub>,
    seat: Arc<Seat>,
    outbox: Arc<Outbox>,
    heard: Vec<Value>,
}

impl Client {
    fn track(&self, key: &str) {
        let payload = json!({"at": key}).as_object().unwrap().clone();
        self.hub.track(&self.seat, key, &payload).unwrap();
    }

    fn leave(&self) {
        self.hub.leave(&self.seat);
    }

    /// Waits until what was heard so far, in all, satisfies.
    async fn until(&mut self, what: &str, is_enough: impl Fn(&[Value]) -> bool) {
        loop {
            for frame in self.outbox.take().frames {
                let Frame::Text(text) = frame else { panic!("version 1 has no binary frames") };
                self.heard.push(serde_json::from_str(&text).unwrap());
            }
            if is_enough(&self.heard) {
                return;
            }
            let ready = timeout(PATIENCE, self.outbox.ready()).await;
            assert!(ready.is_ok(), "{what} did not come about: {:?}", self.heard);
        }
    }

    /// Waits until these keys are present, as a client of Phoenix would find by state and diffs.
    async fn until_present(&mut self, keys: &[&str]) {
        let expected: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.until(&format!("{keys:?}"), |heard| present(heard) == expected).await;
    }

    /// The broadcasts that were heard.
    fn broadcasts(&self) -> Vec<&str> {
        let broadcasts = self.heard.iter().filter(|message| message["event"] == "broadcast");
        broadcasts.map(|message| message["payload"]["payload"].as_str().unwrap()).collect()
    }

    async fn until_heard(&mut self, texts: &[&str]) {
        self.until(&format!("{texts:?}"), |heard| {
            heard.iter().filter(|message| message["event"] == "broadcast").count() >= texts.len()
        })
        .await;
        assert_eq!(self.broadcasts(), texts);
    }
}

/// Who is present by what a client was told: keys, each of which has one channel in these tests.
fn present(heard: &[Value]) -> BTreeSet<String> {
    let mut references: BTreeSet<(String, String)> = BTreeSet::new();
    let entries = |people: &Value| -> Vec<(String, String)> {
        let people = people.as_object().cloned().unwrap_or_default();
        people
            .into_iter()
            .flat_map(|(key, entry)| {
                let metas = entry["metas"].as_array().unwrap().clone();
                metas.into_iter().map(move |meta| (key.clone(), meta["phx_ref"].as_str().unwrap().to_owned()))
            })
            .collect()
    };
    for message in heard {
        match message["event"].as_str().unwrap() {
            "presence_state" => references.extend(entries(&message["payload"])),
            "presence_diff" => {
                for joined in entries(&message["payload"]["joins"]) {
                    assert!(references.insert(joined), "joined twice: {message}");
                }
                for left in entries(&message["payload"]["leaves"]) {
                    assert!(references.remove(&left), "left, but was not there: {message}");
                }
            }
            _ => {}
        }
    }
    references.into_iter().map(|(key, _)| key).collect()
}

fn topic(name: &str, is_private: bool) -> Topic {
    Topic::named(name, is_private).unwrap()
}

fn shout(text: &str) -> UserBroadcast {
    UserBroadcast::json("shout".to_owned(), Bytes::from(format!("{text:?}"))).unwrap()
}

fn three() -> (LocalBus, Random, [Node; 3]) {
    let (bus, random) = (LocalBus::new(), Random::seeded(1));
    let nodes = [(); 3].map(|()| Node::join(&bus, &random));
    (bus, random, nodes)
}

#[tokio::test]
async fn a_broadcast_reaches_topics_of_its_kind_on_all_nodes_once() {
    let (_bus, _random, [one, two, three]) = three();
    let room = topic("room", false);
    let (mut ann, mut bob) = (one.client(&room), two.client(&room));
    let mut eve = two.client(&topic("room", true));

    one.hub.broadcast(&room, shout("first"), Some(ann.seat.id()));
    // Nobody there is on the topic, as when a request sends it.
    three.hub.broadcast(&room, shout("second"), None);
    three.hub.broadcast(&topic("room", true), shout("secret"), None);
    // Of the database: every node reads it for itself.
    two.hub.deliver(&room, shout("stored").with_id(Uuid::from_u128(7), false));
    one.hub.deliver(&room, shout("stored").with_id(Uuid::from_u128(7), false));

    bob.until("three", |heard| heard.iter().filter(|message| message["event"] == "broadcast").count() == 3)
        .await;
    ann.until("two", |heard| heard.iter().filter(|message| message["event"] == "broadcast").count() == 2)
        .await;
    eve.until_heard(&["secret"]).await;
    // What comes last shows that nothing else is on its way.
    for node in [&one, &two] {
        node.hub.broadcast(&room, shout("last"), None);
    }
    bob.until("all", |heard| heard.iter().filter(|message| message["event"] == "broadcast").count() >= 5)
        .await;
    ann.until("all", |heard| heard.iter().filter(|message| message["event"] == "broadcast").count() >= 4)
        .await;
    let sorted = |client: &Client| {
        let mut texts: Vec<String> = client.broadcasts().into_iter().map(str::to_owned).collect();
        texts.sort_unstable();
        texts
    };
    assert_eq!(sorted(&bob), ["first", "last", "last", "second", "stored"]);
    assert_eq!(sorted(&ann), ["last", "last", "second", "stored"]);
    assert_eq!(eve.broadcasts(), ["secret"]);
}

#[tokio::test]
async fn broadcasts_of_one_node_arrive_in_their_order() {
    let (_bus, _random, [one, two, _three]) = three();
    let room = topic("room", false);
    let mut bob = two.client(&room);
    let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for text in &texts {
        one.hub.broadcast(&room, shout(text), None);
    }
    bob.until_heard(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn who_is_present_is_known_on_all_nodes_and_on_those_that_come_later() {
    let (bus, random, [one, two, three]) = three();
    let room = topic("room", false);
    let (ann, mut bob) = (one.client(&room), two.client(&room));
    ann.track("ann");
    bob.until_present(&["ann"]).await;
    bob.track("bob");
    ann.track("ann of late");
    bob.until_present(&["ann of late", "bob"]).await;

    let late = Node::join(&bus, &random);
    let mut eve = late.client(&room);
    eve.until_present(&["ann of late", "bob"]).await;
    assert_eq!(late.hub.census(9), [(room.clone(), 1, 2)]);
    eve.leave();
    let mut eve = late.client(&room);
    eve.until_present(&["ann of late", "bob"]).await;
    ann.leave();
    eve.until_present(&["bob"]).await;
    // Nobody here is on it, so it is not among this node's topics.
    assert_eq!(three.hub.census(9), []);
    assert_eq!(three.hub.topics(), std::slice::from_ref(&room));
    assert_eq!(one.hub.census(9), []);
}

#[tokio::test]
async fn private_and_public_topics_of_one_name_have_their_own_presences() {
    let (_bus, _random, [one, two, _three]) = three();
    let (public, private) = (topic("room", false), topic("room", true));
    let (ann, eve) = (one.client(&public), one.client(&private));
    let (mut at_public, mut at_private) = (two.client(&public), two.client(&private));
    ann.track("ann");
    eve.track("eve");
    at_public.until_present(&["ann"]).await;
    at_private.until_present(&["eve"]).await;
}

#[tokio::test]
async fn what_was_missed_while_the_bus_was_away_is_made_up_for() {
    let (_bus, _random, [one, two, _three]) = three();
    let room = topic("room", false);
    let (ann, gone) = (one.client(&room), one.client(&room));
    let mut bob = two.client(&room);
    ann.track("ann");
    gone.track("gone");
    bob.until_present(&["ann", "gone"]).await;

    two.bus.cut();
    gone.leave();
    ann.track("ann of late");
    let new = one.client(&room);
    new.track("new");
    bob.track("bob");
    // What is here goes on.
    bob.until_present(&["ann", "bob", "gone"]).await;

    two.bus.mend();
    bob.until_present(&["ann of late", "bob", "new"]).await;
    let mut watcher = one.client(&room);
    watcher.until_present(&["ann of late", "bob", "new"]).await;
}

#[tokio::test]
async fn a_node_that_falls_silent_takes_its_members_along_all_at_once() {
    let (bus, random, [one, two, _three]) = three();
    let room = topic("room", false);
    let mut bob = two.client(&room);
    let (first, second) = (one.client(&room), one.client(&room));
    first.track("first");
    second.track("second");
    let elsewhere = one.client(&topic("elsewhere", true));
    elsewhere.track("third");
    bob.until_present(&["first", "second"]).await;

    drop((first, second, elsewhere));
    one.kill().await;
    bus.advance(Duration::from_secs(21));

    bob.until_present(&[]).await;
    let diffs = bob.heard.iter().filter(|message| message["payload"]["leaves"] != json!({}));
    let told = diffs.filter(|message| message["event"] == "presence_diff").count();
    assert_eq!(told, 1);
    bob.leave();
    timeout(PATIENCE, async {
        while !two.hub.topics().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("rooms that nobody is in are forgotten");
    // One that starts again is another.
    let again = Node::join(&bus, &random);
    let mut bob = two.client(&room);
    again.client(&room).track("again");
    bob.until_present(&["again"]).await;
}

/// Waits for a part of what a node tells of all its members.
async fn next_part(overheard: &mut Subscription) {
    let part = async {
        loop {
            let Some(Delivery::Message(message)) = overheard.next().await else { continue };
            let message = PresenceMessage::decode(message.payload);
            if matches!(message, Ok(PresenceMessage::Numbered { news: News::Part(_), .. })) {
                return;
            }
        }
    };
    timeout(PATIENCE, part).await.expect("a part");
}

#[tokio::test]
async fn a_new_node_learns_of_thousands_in_parts() {
    let (bus, random, [one, _two, _three]) = three();
    let mut clients = Vec::new();
    for number in 0..2_000 {
        let client = one.client(&topic(&format!("room {}", number % 700), false));
        client.track(&format!("{number}-{}", "x".repeat(100)));
        clients.push(client);
    }
    let overhearing = bus.join(&random);
    let mut overheard = overhearing.subscribe(Subject::Presence);
    let late = Node::join(&bus, &random);
    // A change between the parts.
    next_part(&mut overheard).await;
    clients[0].track("changed");
    next_part(&mut overheard).await;
    let room = topic("room 0", false);
    let mut watcher = late.client(&room);
    let name = |number: usize| format!("{number}-{}", "x".repeat(100));
    watcher.until_present(&["changed", &name(700), &name(1400)]).await;
    timeout(PATIENCE, async {
        let own = |node: &Node| node.hub.topics().iter().map(|topic| node.hub.present(topic)).sum::<usize>();
        while own(&late) < 2_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(own(&late), 2_000);
    })
    .await
    .expect("all presences");
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_over() {
    let (_bus, _random, [one, two, _three]) = three();
    let room = topic("room", false);
    let mut bob = two.client(&room);
    for subject in [Subject::Broadcast, Subject::Presence] {
        for garbage in [&b""[..], b"garbage", &[1, 0], &[9; 40]] {
            one.bus.publish(subject, Bytes::from_static(garbage));
        }
    }
    one.hub.broadcast(&room, shout("good"), None);
    one.client(&room).track("ann");
    bob.until_heard(&["good"]).await;
    bob.until_present(&["ann"]).await;
}
