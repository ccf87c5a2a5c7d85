//! Presence: who is there, and what changes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::start;
use crate::harness::{Event, Socket, TestApp};

const TOPIC: &str = "realtime:room";

pub async fn track(socket: &mut Socket, who: Value) {
    let reply =
        socket.ask(TOPIC, "presence", json!({"type": "presence", "event": "track", "payload": who})).await;
    assert!(reply.is_ok(), "{reply:?}");
}

/// Without the references, which are new every time.
pub fn people(payload: &Value) -> Value {
    let mut payload = payload.clone();
    for entry in payload.as_object_mut().unwrap().values_mut() {
        for meta in entry["metas"].as_array_mut().unwrap() {
            assert!(meta["phx_ref"].is_string());
            meta.as_object_mut().unwrap().retain(|name, _| !name.starts_with("phx_ref"));
        }
    }
    payload
}

/// Who is present, as a client knows by state and changes. Several channels of one key count as one.
#[derive(Default)]
pub struct People {
    references: BTreeSet<(String, String)>,
}

impl People {
    /// Takes what a socket is told until exactly these keys are present.
    pub async fn until(&mut self, socket: &mut Socket, keys: &[String]) {
        while self.keys() != keys.iter().cloned().collect() {
            let event = socket.wait_for(|event| event.name.starts_with("presence_")).await;
            self.take(&event);
        }
    }

    /// The keys.
    pub fn keys(&self) -> BTreeSet<String> {
        self.references.iter().map(|(key, _)| key.clone()).collect()
    }

    fn take(&mut self, event: &Event) {
        if event.name == "presence_state" {
            self.references = references(&event.payload);
        } else {
            for joined in references(&event.payload["joins"]) {
                assert!(self.references.insert(joined), "joined twice: {event:?}");
            }
            for left in references(&event.payload["leaves"]) {
                assert!(self.references.remove(&left), "left, but was not there: {event:?}");
            }
        }
    }
}

fn references(people: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (key, entry) in people.as_object().unwrap() {
        for meta in entry["metas"].as_array().unwrap() {
            found.insert((key.clone(), meta["phx_ref"].as_str().unwrap().to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn everybody_hears_who_comes_changes_and_leaves() {
    let (app, key) = start().await;
    let (mut ann, mut bob) = (app.socket(&key).await, app.socket(&key).await);
    ann.join(TOPIC, json!({"presence": {"key": "ann", "enabled": true}})).await;
    assert_eq!(ann.event("presence_state").await.payload, json!({}));
    track(&mut ann, json!({"at": "desk"})).await;
    let joined = ann.event("presence_diff").await.payload;
    assert_eq!(people(&joined["joins"]), json!({"ann": {"metas": [{"at": "desk"}]}}));

    bob.join(TOPIC, json!({"presence": {"key": "bob", "enabled": true}})).await;
    assert_eq!(
        people(&bob.event("presence_state").await.payload),
        json!({"ann": {"metas": [{"at": "desk"}]}})
    );

    track(&mut ann, json!({"at": "desk"})).await;
    track(&mut ann, json!({"at": "door"})).await;
    let moved = bob.event("presence_diff").await.payload;
    assert_eq!(people(&moved["joins"]), json!({"ann": {"metas": [{"at": "door"}]}}));
    assert_eq!(people(&moved["leaves"]), json!({"ann": {"metas": [{"at": "desk"}]}}));
    assert_eq!(
        moved["joins"]["ann"]["metas"][0]["phx_ref_prev"],
        moved["leaves"]["ann"]["metas"][0]["phx_ref"]
    );

    ann.drop_connection();
    let left = bob.event("presence_diff").await.payload;
    assert_eq!(people(&left["leaves"]), json!({"ann": {"metas": [{"at": "door"}]}}));
    assert_eq!(left["joins"], json!({}));
}

#[tokio::test]
async fn tracking_switches_presence_on() {
    let (app, key) = start().await;
    let mut ann = app.socket(&key).await;
    ann.join(TOPIC, json!({})).await;
    assert_eq!(ann.settled().await, []);
    track(&mut ann, json!({})).await;
    assert_eq!(ann.event("presence_state").await.payload, json!({}));
    let joined = ann.event("presence_diff").await.payload;
    assert_eq!(joined["joins"].as_object().unwrap().len(), 1, "a key is made where there is none");

    let reply = ann.ask(TOPIC, "presence", json!({"event": "untrack"})).await;
    assert!(reply.is_ok());
    assert_eq!(ann.event("presence_diff").await.payload["joins"], json!({}));
}

#[tokio::test]
async fn a_payload_that_is_no_object_is_refused() {
    let (app, key) = start().await;
    let mut ann = app.socket(&key).await;
    ann.join(TOPIC, json!({})).await;
    let reply = ann.ask(TOPIC, "presence", json!({"event": "track", "payload": [1]})).await;
    assert_eq!(reply.reason(), "Presence track payload must be a map");
    let reply = ann.ask(TOPIC, "presence", json!({"event": "dance"})).await;
    assert_eq!(reply.reason(), "unknown presence event");
}

#[tokio::test]
async fn who_says_too_often_who_it_is_loses_the_channel() {
    let app = TestApp::with(crate::harness::Options::default()).await;
    let mut ann = app.socket(&app.server.keys().anon_key).await;
    ann.join(TOPIC, json!({})).await;
    for n in 0..5 {
        track(&mut ann, json!({"n": n})).await;
    }
    ann.send(None, TOPIC, "presence", json!({"event": "track", "payload": {}})).await;
    assert_eq!(ann.event("system").await.payload["message"], "Client presence rate limit exceeded");
    ann.event("phx_close").await;
}

#[tokio::test]
async fn g13_a_presence_key_is_the_user_s_own_where_that_is_configured() {
    let app = TestApp::with(super::options().set("realtime.presence_key_is_user", "true")).await;
    let keys = app.server.keys();
    let token = crate::harness::Caller::user("11111111-1111-4111-8111-111111111111").token(&keys.jwt_secret);
    let mut socket = app.socket(&keys.anon_key).await;
    let join =
        |key: &str| json!({"config": {"presence": {"key": key, "enabled": true}}, "access_token": token});

    let forged = socket.try_join(TOPIC, join("22222222-2222-4222-8222-222222222222")).await;
    assert!(forged.reason().starts_with("PresenceKeyRefused"), "{forged:?}");
    assert!(socket.try_join(TOPIC, join("11111111-1111-4111-8111-111111111111")).await.is_ok());
    let own = json!({"config": {}, "access_token": token});
    assert!(socket.try_join("realtime:other", own).await.is_ok());
    let track = json!({"event": "track", "payload": {}});
    assert!(socket.ask("realtime:other", "presence", track).await.is_ok());
    let joined = socket.event("presence_diff").await.payload;
    assert!(joined["joins"].get("11111111-1111-4111-8111-111111111111").is_some(), "{joined}");
}

#[tokio::test]
async fn a_presence_beyond_what_a_topic_or_all_may_hold_is_refused() {
    let options =
        super::options().set("realtime.max_topic_presences", "2").set("realtime.max_presences", "3");
    let app = TestApp::with(options).await;
    let mut socket = app.socket(&app.server.keys().anon_key).await;
    let (mut others, key) = (Vec::new(), app.server.keys().anon_key);
    socket.join(TOPIC, json!({"presence": {"key": "ann", "enabled": true}})).await;
    track(&mut socket, json!({})).await;
    let mut outcomes = Vec::new();
    for topic in [TOPIC, TOPIC, "realtime:hall", "realtime:hall"] {
        let mut other = app.socket(&key).await;
        other.join(topic, json!({})).await;
        let reply = other.ask(topic, "presence", json!({"event": "track", "payload": {}})).await;
        outcomes.push(reply.reason().to_owned());
        others.push(other);
    }
    let [topic, all] = ["Too many presences on this channel", "Too many presences"]
        .map(|reason| format!("PresenceLimitReached: {reason}"));
    assert_eq!(outcomes, ["", &*topic, "", &*all]);

    // Who is there may say something else, and whoever leaves makes room.
    track(&mut socket, json!({"at": "door"})).await;
    let reply = socket.ask(TOPIC, "presence", json!({"event": "untrack"})).await;
    assert!(reply.is_ok());
    track(&mut others[1], json!({})).await;
}
