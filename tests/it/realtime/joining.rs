//! Connecting, joining, leaving, and what ends a channel.

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use tokio_tungstenite::tungstenite::Error;

use super::changes::subscribed;
use super::start;
use crate::harness::{Caller, TestApp, now};

/// The body and status of a refused handshake.
async fn refused(app: &TestApp, query: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
    match app.open_socket(&format!("/realtime/v1/websocket?{query}"), headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            (response.status().as_u16(), body["error"].as_str().unwrap_or_default().to_owned())
        }
        other => panic!("the handshake was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_handshake_without_a_good_key_is_refused_with_the_reason() {
    let (app, key) = start().await;
    let secret = app.server.keys().jwt_secret;
    let old = Caller::user("1").claim("exp", json!(now() - 100)).token(&secret);
    let without_end = crate::harness::sign(&json!({"role": "anon"}), &secret);
    let forged = Caller::user("1").token("another secret that is long enough to sign");
    for (token, status, error) in [
        ("", 401, "API key is missing"),
        (&old, 401, "Token has expired"),
        (&without_end, 401, "Fields `role` and `exp` are required in JWT"),
        (&forged, 401, "Failed to validate JWT signature"),
        ("nonsense", 401, "The token provided is not a valid JWT"),
        ("sb_publishable_unknown", 401, "Failed to validate JWT signature"),
    ] {
        assert_eq!(
            refused(&app, &format!("apikey={token}"), &[]).await,
            (status, error.to_owned()),
            "{token}"
        );
    }
    assert_eq!(refused(&app, &format!("apikey={key}&vsn=3.0.0"), &[]).await.0, 400);
    let by_header = app.open_socket("/realtime/v1/websocket", &[("x-api-key", &key)]).await;
    assert!(by_header.is_ok());
}

#[tokio::test]
async fn g12_a_cookie_opens_no_socket() {
    let (app, key) = start().await;
    let cookie = format!("apikey={key}; sb-access-token={key}; access_token={key}");
    let origin = ("origin", "https://evil.example");
    let (status, error) = refused(&app, "vsn=2.0.0", &[("cookie", &cookie), origin]).await;
    assert_eq!((status, error.as_str()), (401, "API key is missing"));
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_told_so() {
    let (app, key) = start().await;
    let answer = app.client().get(&format!("/realtime/v1/websocket?apikey={key}")).await;
    assert!(answer.expect_status(400).json()["error"].as_str().unwrap().contains("WebSocket"));
    let ping = app.client().get("/realtime/v1/api/ping").await.expect_status(200).json();
    assert_eq!(ping, json!({"message": "Success"}));
}

#[tokio::test]
async fn heartbeats_joins_and_leaves_are_answered() {
    let (app, key) = start().await;
    for version in ["1.0.0", "2.0.0"] {
        let mut socket = app.socket_of(version, &key).await.unwrap();
        assert!(socket.ask("phoenix", "heartbeat", json!({})).await.is_ok());
        let reply = socket.join("realtime:room", json!({})).await;
        assert_eq!(reply.payload["response"], json!({"postgres_changes": []}));
        assert!(socket.ask("realtime:room", "phx_leave", json!({})).await.is_ok());
        assert_eq!(socket.event("phx_close").await.topic, "realtime:room");
        let gone = socket.ask("realtime:room", "broadcast", json!({})).await;
        assert_eq!(gone.reason(), "unmatched topic");
    }
}

#[tokio::test]
async fn joining_again_closes_the_channel_of_before() {
    let (app, key) = start().await;
    let mut socket = app.socket(&key).await;
    socket.join("realtime:room", json!({})).await;
    socket.join("realtime:room", json!({})).await;
    assert_eq!(socket.event("phx_close").await.topic, "realtime:room");
    assert!(socket.ask("realtime:room", "phx_leave", json!({})).await.is_ok());
}

#[tokio::test]
async fn g14_topics_are_names_of_limited_length() {
    let (app, key) = start().await;
    let mut socket = app.socket(&key).await;
    let long = format!("realtime:{}", "x".repeat(300));
    for (topic, reason) in [
        ("realtime:", "TopicNameRequired: You must provide a topic name"),
        (long.as_str(), "TopicNameTooLong: A topic name may have at most 246 bytes"),
        ("room", "unmatched topic"),
    ] {
        assert_eq!(socket.try_join(topic, json!({"config": {}})).await.reason(), reason);
    }
    // A name is a name, whatever it would mean elsewhere.
    socket.join("realtime:*", json!({})).await;
    app.anon().post("/realtime/v1/api/broadcast/room/events/e", json!({})).await.expect_status(202);
    assert_eq!(socket.settled().await, []);
}

#[tokio::test]
async fn a_token_of_a_channel_must_be_good_and_replaces_the_key() {
    let (app, key) = start().await;
    let secret = app.server.keys().jwt_secret;
    let mut socket = app.socket(&key).await;
    let ended = Caller::user("1").claim("exp", json!(now() - 200)).token(&secret);
    let reply = socket.try_join("realtime:a", json!({"config": {}, "access_token": ended})).await;
    assert!(reply.reason().starts_with("InvalidJWTToken: Token has expired 2"), "{reply:?}");
    let reply = socket.try_join("realtime:a", json!({"config": {}, "access_token": "x.y.z"})).await;
    assert_eq!(reply.reason(), "MalformedJWT: The token provided is not a valid JWT");
    let forged = Caller::user("1").token("another secret that is long enough to sign");
    let reply = socket.try_join("realtime:a", json!({"config": {}, "access_token": forged})).await;
    assert_eq!(reply.reason(), "JwtSignatureError: Failed to validate JWT signature");
    // An opaque key says nothing beyond the socket's own.
    let opaque = json!({"config": {}, "access_token": "sb_publishable_x"});
    assert!(socket.try_join("realtime:a", opaque).await.is_ok());
}

#[tokio::test]
async fn g04_a_channel_ends_when_its_token_does() {
    let (app, key) = start().await;
    let secret = app.server.keys().jwt_secret;
    let mut socket = app.socket(&key).await;
    let short = Caller::user("1").claim("exp", json!(now() + 8)).token(&secret);
    assert!(socket.try_join("realtime:a", json!({"config": {}, "access_token": short})).await.is_ok());
    let long = Caller::user("1").token(&secret);
    assert!(socket.try_join("realtime:b", json!({"config": {}, "access_token": short})).await.is_ok());
    socket.send(None, "realtime:b", "access_token", json!({"access_token": long})).await;

    let system = socket.event("system").await;
    assert_eq!(system.topic, "realtime:a");
    assert!(system.payload["message"].as_str().unwrap().starts_with("InvalidJWTToken: Token has expired"));
    assert_eq!(socket.event("phx_close").await.topic, "realtime:a");
    // The other one was renewed in time.
    assert!(socket.settled().await.is_empty());

    socket.send(None, "realtime:b", "access_token", json!({"access_token": "x.y.z"})).await;
    let system = socket.event("system").await;
    assert_eq!(system.payload["message"], "MalformedJWT: The token provided is not a valid JWT");
    assert_eq!(socket.event("phx_close").await.topic, "realtime:b");
}

#[tokio::test]
async fn g10_channels_joins_and_sockets_have_limits() {
    let options = super::options()
        .set("realtime.max_channels", "2")
        .set("realtime.joins_per_second", "4")
        .set("realtime.max_sockets", "1");
    let app = TestApp::with(options).await;
    let key = app.server.keys().anon_key;
    let mut socket = app.socket(&key).await;
    socket.join("realtime:a", json!({})).await;
    socket.join("realtime:b", json!({})).await;
    let third = socket.try_join("realtime:c", json!({"config": {}})).await;
    assert_eq!(third.reason(), "ChannelRateLimitReached: Too many channels");
    let (status, error) = refused(&app, &format!("apikey={key}"), &[]).await;
    assert_eq!((status, error.as_str()), (429, "Too many connected users"));

    for _ in 0..10 {
        socket.send(Some("9"), "realtime:d", "phx_join", json!({})).await;
    }
    let last = socket.wait_for(|event| event.reason().starts_with("ClientJoinRateLimitReached")).await;
    assert!(last.reason().ends_with("Too many joins per second"));
    assert_eq!(socket.closed().await, 1008);
    crate::harness::eventually("room for a socket", async || app.socket_of("2.0.0", &key).await.is_ok())
        .await;
}

#[tokio::test]
async fn sockets_are_told_that_the_server_stops() {
    let (mut app, key) = start().await;
    let mut socket = app.socket(&key).await;
    socket.join("realtime:a", json!({})).await;
    app.server.signal(rustix::process::Signal::TERM);
    assert_eq!(socket.closed().await, 1001);
    assert!(app.server.ended().await.success());
}

#[tokio::test]
async fn a_silent_socket_is_closed() {
    let app = TestApp::with(super::options().set("realtime.idle_timeout", "1s")).await;
    let mut socket = app.socket(&app.server.keys().anon_key).await;
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn it_runs_alone() {
    let app = TestApp::with(super::options().argument("--only").argument("realtime")).await;
    let mut socket = app.socket(&app.server.keys().anon_key).await;
    socket.join("realtime:room", json!({"broadcast": {"self": true}})).await;
    app.anon().post("/realtime/v1/api/broadcast/room/events/e", json!({})).await.expect_status(202);
    assert_eq!(socket.event("broadcast").await.payload["event"], "e");
    for path in ["/rest/v1/", "/auth/v1/health", "/graphql/v1"] {
        app.client().get(path).await.expect_status(404);
    }
}

#[tokio::test]
async fn changes_of_a_table_that_the_catalog_cannot_read_yet_are_worth_asking_for_again() {
    let (app, key) = start().await;
    let mut holding = PgConnection::connect(&app.database.url()).await.unwrap();
    holding.execute("begin; lock table goforward.table_security in access exclusive mode").await.unwrap();
    app.database
        .run(
            "create table public.unread (id int primary key); alter table public.unread enable row level security;
             grant select on public.unread to anon; alter publication supabase_realtime add table public.unread",
        )
        .await;
    let asked = json!([{"event": "*", "schema": "public", "table": "unread"}]);
    let mut socket = app.socket(&key).await;
    let refused = socket.try_join("realtime:a", json!({"config": {"postgres_changes": asked}})).await;
    assert!(refused.reason().starts_with("UnableToConnectToProject: This table was made"), "{refused:?}");

    holding.execute("rollback").await.unwrap();
    subscribed(&app, None, asked).await;
}
