//! Broadcasts: from socket to socket in both versions, and from REST.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::start;
use crate::harness::{Socket, TestApp};

/// A frame of kind 3, as clients of version 2.0.0 send broadcasts.
fn pushed(topic: &str, event: &str, encoding: u8, payload: &[u8]) -> Message {
    let mut frame = vec![3, 0, 0];
    frame.extend([topic, event].map(|part| u8::try_from(part.len()).unwrap()));
    frame.extend([0, encoding]);
    frame.extend_from_slice(topic.as_bytes());
    frame.extend_from_slice(event.as_bytes());
    frame.extend_from_slice(payload);
    Message::Binary(frame.into())
}

/// A server, and three sockets on `realtime:room`: two of version 2.0.0 and one of 1.0.0.
async fn in_a_room() -> (TestApp, [Socket; 3]) {
    let (app, key) = start().await;
    let [mut sender, mut two] = [app.socket(&key).await, app.socket(&key).await];
    let mut one = app.socket_of("1.0.0", &key).await.unwrap();
    for socket in [&mut sender, &mut two, &mut one] {
        socket.join("realtime:room", json!({})).await;
    }
    (app, [sender, two, one])
}

#[tokio::test]
async fn a_broadcast_reaches_others_in_both_versions_but_not_its_sender() {
    let (_app, [mut sender, mut two, mut one]) = in_a_room().await;

    sender.send_raw(pushed("realtime:room", "shout", 1, br#"{"n":1}"#)).await;

    let expected = json!({"type": "broadcast", "event": "shout", "payload": {"n": 1}});
    assert_eq!(two.event("broadcast").await.payload, expected);
    assert_eq!(one.event("broadcast").await.payload, expected);
    assert_eq!(sender.settled().await, []);

    one.broadcast("realtime:room", "reply", json!({"n": 2})).await;
    let expected = json!({"type": "broadcast", "event": "reply", "payload": {"n": 2}});
    assert_eq!(two.event("broadcast").await.payload, expected);
    assert_eq!(sender.event("broadcast").await.payload, expected);
}

#[tokio::test]
async fn bytes_go_to_version_two_only() {
    let (_app, [mut sender, mut two, mut one]) = in_a_room().await;

    sender.send_raw(pushed("realtime:room", "raw", 0, b"abc")).await;

    assert_eq!(two.event("broadcast").await.payload["payload"], "abc");
    assert_eq!(one.settled().await, []);
}

#[tokio::test]
async fn a_sender_hears_itself_and_is_answered_if_it_asks_for_that() {
    let (app, key) = start().await;
    let mut socket = app.socket(&key).await;
    socket.join("realtime:room", json!({"broadcast": {"self": true, "ack": true}})).await;

    let payload = json!({"type": "broadcast", "event": "e", "payload": {}});
    let reply = socket.ask("realtime:room", "broadcast", payload.clone()).await;
    assert!(reply.is_ok(), "{reply:?}");
    assert_eq!(socket.event("broadcast").await.payload, payload);

    let refused = socket.ask("realtime:room", "broadcast", json!({"payload": {}})).await;
    assert!(!refused.is_ok() && refused.reason().contains("event"), "{refused:?}");
}

#[tokio::test]
async fn rest_broadcasts_to_topics_one_by_one_and_in_batches() {
    let (app, key) = start().await;
    let mut socket = app.socket(&key).await;
    socket.join("realtime:room", json!({})).await;

    let batch = json!({"messages": [
        {"topic": "room", "event": "a", "payload": {"n": 1}},
        {"topic": "elsewhere", "event": "a", "payload": {}},
        {"topic": "room", "event": "b", "payload": [2], "id": "9f4e9c3c-1111-4222-8333-123456789abc"},
    ]});
    app.anon().post("/realtime/v1/api/broadcast", batch).await.expect_status(202);
    let first = socket.event("broadcast").await.payload;
    assert_eq!((&first["event"], &first["payload"]), (&json!("a"), &json!({"n": 1})));
    let second = socket.event("broadcast").await.payload;
    assert_eq!(second["payload"], json!([2]));
    assert_eq!(second["meta"], json!({"id": "9f4e9c3c-1111-4222-8333-123456789abc"}));

    let one = app.anon().post("/realtime/v1/api/broadcast/room/events/c", json!({"n": 3})).await;
    one.expect_status(202);
    let third = socket.event("broadcast").await.payload;
    assert_eq!((&third["event"], &third["payload"]), (&json!("c"), &json!({"n": 3})));
}

#[tokio::test]
async fn a_wrong_request_is_told_what_is_wrong_and_sends_nothing() {
    let (app, key) = start().await;
    let mut socket = app.socket(&key).await;
    socket.join("realtime:room", json!({})).await;
    let post = |body: Value| {
        let client = app.anon();
        async move { client.post("/realtime/v1/api/broadcast", body).await }
    };

    let good = json!({"topic": "room", "event": "a", "payload": {}});
    for (wrong, field) in [
        (json!({"topic": "", "event": "a", "payload": {}}), "topic"),
        (json!({"topic": "room", "event": "", "payload": {}}), "event"),
        (json!({"topic": "room", "event": "a"}), "messages"),
        (json!({"topic": "t".repeat(300), "event": "a", "payload": {}}), "topic"),
    ] {
        let answer = post(json!({"messages": [good, wrong]})).await;
        assert!(answer.expect_status(422).json()["errors"].get(field).is_some(), "{wrong}");
    }
    assert_eq!(socket.settled().await, []);

    let unknown = app.client().post("/realtime/v1/api/broadcast", json!({"messages": [good]})).await;
    assert_eq!(unknown.expect_status(401).json(), json!({"message": "Unauthorized"}));
    let path = "/realtime/v1/api/broadcast/room/events/c";
    app.anon().send_text(reqwest::Method::POST, path, "text/plain", "x").await.expect_status(415);
    let many = json!({"messages": vec![good; 1001]});
    let answer = post(many).await.expect_status(429).json();
    assert_eq!(answer["message"], "Too many messages to broadcast, please reduce the batch size");
}

#[tokio::test]
async fn who_sends_too_much_loses_the_channel() {
    let app = TestApp::with(super::options().set("realtime.events_per_second", "5")).await;
    let mut socket = app.socket(&app.server.keys().anon_key).await;
    socket.join("realtime:room", json!({})).await;
    for _ in 0..20 {
        socket.broadcast("realtime:room", "e", json!({})).await;
    }
    let system = socket.event("system").await.payload;
    assert_eq!(
        (&system["message"], &system["status"]),
        (&json!("Too many messages per second"), &json!("error"))
    );
    assert_eq!(socket.event("phx_close").await.topic, "realtime:room");
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_refused_with_an_answer_and_dropped_without() {
    let app = TestApp::with(super::options().set("realtime.max_payload", "2KB")).await;
    let key = app.server.keys().anon_key;
    let (mut sender, mut other) = (app.socket(&key).await, app.socket(&key).await);
    other.join("realtime:room", json!({})).await;
    sender.join("realtime:room", json!({})).await;
    sender.broadcast("realtime:room", "e", json!("x".repeat(3000))).await;
    assert_eq!(sender.settled().await, []);

    sender.join("realtime:room", json!({"broadcast": {"ack": true}})).await;
    let large = json!({"event": "e", "payload": "x".repeat(3000)});
    let reply = sender.ask("realtime:room", "broadcast", large.clone()).await;
    assert_eq!(reply.reason(), "the payload is too large");
    assert_eq!(other.settled().await, []);
    let answer = app.anon().post("/realtime/v1/api/broadcast/room/events/e", large).await;
    answer.expect_status(422);
}
