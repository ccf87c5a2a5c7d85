//! Private topics: policies of `realtime.messages` decide who may hear and say what.

use serde_json::{Value, json};

use super::options;
use crate::harness::{Caller, Database, Socket, TestApp};

const ANN: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

/// Members of rooms may listen; those who write may also speak.
const MEMBERS: &str = "
create table public.members (room text, uid uuid, writes boolean);
grant select on public.members to authenticated;
create policy hear on realtime.messages for select to authenticated using (exists (
    select from public.members m where m.room = realtime.topic() and m.uid = (select auth.uid())));
create policy say on realtime.messages for insert to authenticated with check (extension in ('broadcast', 'presence')
    and exists (select from public.members m where m.room = realtime.topic() and m.uid = auth.uid() and m.writes));";

async fn start(sql: &str) -> TestApp {
    let database = Database::create().await;
    database.run(sql).await;
    TestApp::on(database, options()).await
}

fn private(user: Option<&str>, app: &TestApp, more: &Value) -> Value {
    let mut config = more.clone();
    config["private"] = json!(true);
    let token = user.map(|user| Caller::user(user).token(&app.server.keys().jwt_secret));
    json!({"config": config, "access_token": token})
}

async fn socket(app: &TestApp) -> Socket {
    app.socket(&app.server.keys().anon_key).await
}

async fn joined(app: &TestApp, user: &str, more: Value) -> Socket {
    let mut socket = socket(app).await;
    let reply = socket.try_join("realtime:room", private(Some(user), app, &more)).await;
    assert!(reply.is_ok(), "{reply:?}");
    socket
}

#[tokio::test]
async fn g13_without_a_policy_nobody_joins() {
    let app = start("").await;
    let mut socket = socket(&app).await;
    for user in [None, Some(ANN)] {
        let reply = socket.try_join("realtime:room", private(user, &app, &json!({}))).await;
        assert_eq!(
            reply.reason(),
            "Unauthorized: You do not have permissions to read from this Channel topic: room"
        );
    }
    // The secret key passes row-level security.
    let mut server = app.socket(&app.server.keys().service_role_key).await;
    assert!(server.try_join("realtime:room", private(None, &app, &json!({}))).await.is_ok());
}

#[tokio::test]
async fn members_hear_and_only_writers_speak() {
    let app = start(MEMBERS).await;
    app.database
        .run(&format!("insert into members values ('room', '{ANN}', true), ('room', '{BOB}', false)"))
        .await;
    let acknowledged = json!({"broadcast": {"ack": true}});
    let mut ann = joined(&app, ANN, acknowledged.clone()).await;
    let mut bob = joined(&app, BOB, acknowledged).await;
    let elsewhere = socket(&app).await.try_join("realtime:other", private(Some(ANN), &app, &json!({}))).await;
    assert!(!elsewhere.is_ok());

    let hello = json!({"type": "broadcast", "event": "hello", "payload": {}});
    assert!(ann.ask("realtime:room", "broadcast", hello.clone()).await.is_ok());
    assert_eq!(bob.event("broadcast").await.payload, hello);
    // What may not be said is dropped without a word, not even with acknowledgements.
    bob.send(None, "realtime:room", "broadcast", hello).await;
    assert_eq!(bob.settled().await, []);
    assert_eq!(ann.settled().await, []);
    let track = json!({"event": "track", "payload": {}});
    assert!(!bob.ask("realtime:room", "presence", track.clone()).await.is_ok());
    assert!(ann.ask("realtime:room", "presence", track).await.is_ok());
}

#[tokio::test]
async fn a_private_topic_and_a_public_one_of_its_name_never_meet() {
    let app = start(MEMBERS).await;
    app.database.run(&format!("insert into members values ('room', '{ANN}', true)")).await;
    let mut ann = joined(&app, ANN, json!({})).await;
    let mut public = socket(&app).await;
    public.join("realtime:room", json!({})).await;

    public.broadcast("realtime:room", "e", json!({})).await;
    ann.broadcast("realtime:room", "e", json!({})).await;
    app.anon().post("/realtime/v1/api/broadcast/room/events/e", json!({})).await.expect_status(202);
    let refused = app.anon().post("/realtime/v1/api/broadcast/room/events/e?private=true", json!({})).await;
    assert_eq!(refused.expect_status(403).json(), json!({"message": "Unauthorized"}));

    assert_eq!(public.event("broadcast").await.payload["event"], "e");
    assert!(public.settled().await.is_empty());
    assert_eq!(ann.settled().await, []);
    let batch = json!({"messages": [{"topic": "room", "event": "secret", "payload": {}, "private": true}]});
    app.anon().post("/realtime/v1/api/broadcast", batch.clone()).await.expect_status(202);
    assert_eq!(ann.settled().await, []);
    app.user(ANN).post("/realtime/v1/api/broadcast", batch).await.expect_status(202);
    assert_eq!(ann.event("broadcast").await.payload["event"], "secret");
}

#[tokio::test]
async fn rights_by_extension_open_that_part_only() {
    let app = start(
        "create policy broadcasts on realtime.messages for select to authenticated using (extension = 'broadcast');
         create policy all_say on realtime.messages for insert to authenticated with check (true);",
    )
    .await;
    let mut ann = joined(&app, ANN, json!({"presence": {"enabled": true}})).await;
    assert_eq!(ann.settled().await, [], "nothing is told of who is present");
    let mut bob = joined(&app, BOB, json!({})).await;
    let track = json!({"event": "track", "payload": {}});
    assert!(bob.ask("realtime:room", "presence", track).await.is_ok());
    bob.broadcast("realtime:room", "e", json!({})).await;
    assert_eq!(ann.event("broadcast").await.payload["event"], "e");
    assert_eq!(ann.settled().await, []);
}

#[tokio::test]
async fn g03_a_lost_membership_closes_the_channel() {
    let app = start(MEMBERS).await;
    app.database
        .run(&format!("insert into members values ('room', '{ANN}', true), ('room', '{BOB}', true)"))
        .await;
    let (mut ann, mut bob) = (joined(&app, ANN, json!({})).await, joined(&app, BOB, json!({})).await);

    app.database.run(&format!("delete from members where uid = '{BOB}'")).await;
    let system = bob.event("system").await.payload;
    assert_eq!(system["message"], "You no longer have permission to read from this Channel topic: room");
    bob.event("phx_close").await;

    app.database.run("drop policy hear on realtime.messages").await;
    ann.event("phx_close").await;
}

#[tokio::test]
async fn a_membership_that_was_just_given_opens_the_topic_at_once() {
    let app = start(MEMBERS).await;
    let mut ann = socket(&app).await;
    for round in 0..3 {
        let refused = ann.try_join("realtime:room", private(Some(ANN), &app, &json!({}))).await;
        assert!(refused.reason().starts_with("Unauthorized"), "{round}: {refused:?}");
        app.database.run(&format!("insert into members values ('room', '{ANN}', true)")).await;
        let joined = ann.try_join("realtime:room", private(Some(ANN), &app, &json!({}))).await;
        assert!(joined.is_ok(), "{round}: {joined:?}");
        app.database.run("delete from members").await;
    }
}

#[tokio::test]
async fn another_token_is_decided_about_anew() {
    let app = start(MEMBERS).await;
    app.database.run(&format!("insert into members values ('room', '{ANN}', true)")).await;
    let mut ann = joined(&app, ANN, json!({})).await;
    let bob = Caller::user(BOB).token(&app.server.keys().jwt_secret);
    ann.send(None, "realtime:room", "access_token", json!({"access_token": bob})).await;
    let system = ann.event("system").await.payload;
    assert_eq!(system["message"], "You no longer have permission to read from this Channel topic: room");
    assert_eq!(ann.event("phx_close").await.topic, "realtime:room");
}

#[tokio::test]
async fn a_policy_that_fails_opens_nothing() {
    let app = start(
        "create policy broken on realtime.messages for select to authenticated using (1 / (length(topic) - 4) > 0);",
    )
    .await;
    let mut socket = socket(&app).await;
    let reply = socket.try_join("realtime:room", private(Some(ANN), &app, &json!({}))).await;
    assert!(reply.reason().starts_with("Unauthorized"), "{reply:?}");
    assert!(socket.try_join("realtime:rooms", private(Some(ANN), &app, &json!({}))).await.is_ok());
}

#[tokio::test]
async fn a_project_may_allow_private_topics_only() {
    let app = TestApp::with(options().set("realtime.private_only", "true")).await;
    let mut socket = socket(&app).await;
    let reply = socket.try_join("realtime:room", json!({"config": {}})).await;
    assert_eq!(reply.reason(), "PrivateOnly: This project only allows private channels");
    app.service().post("/realtime/v1/api/broadcast/room/events/e", json!({})).await.expect_status(403);
}

#[tokio::test]
async fn stored_messages_are_sent_again_before_live_ones() {
    let app = start(MEMBERS).await;
    app.database.run(&format!("insert into members values ('room', '{ANN}', true)")).await;
    for n in 1..=3 {
        app.database.run(&format!("select realtime.send('{{\"n\": {n}}}', 'stored', 'room')")).await;
    }
    let replay = json!({"broadcast": {"replay": {"since": 0, "limit": 2}}});
    let mut ann = joined(&app, ANN, replay.clone()).await;
    for n in 2..=3 {
        let stored = ann.event("broadcast").await.payload;
        assert_eq!((&stored["event"], &stored["payload"]["n"]), (&json!("stored"), &json!(n)));
        assert_eq!(stored["meta"]["replayed"], true);
        assert_eq!(stored["meta"]["id"], stored["payload"]["id"]);
    }
    let mut public = socket(&app).await;
    let refused = public.try_join("realtime:room", json!({"config": replay})).await;
    assert_eq!(refused.reason(), "UnableToReplayMessages: Replay is not allowed for public channels");
    let wrong = private(Some(ANN), &app, &json!({"broadcast": {"replay": {"since": "yesterday"}}}));
    let refused = public.try_join("realtime:room", wrong).await;
    assert_eq!(refused.reason(), "UnableToReplayMessages: Replay params are not valid");
}

#[tokio::test]
async fn only_the_secret_key_sees_who_is_on_which_topic() {
    let app = start(MEMBERS).await;
    app.database.run(&format!("insert into members values ('room', '{ANN}', true)")).await;
    let _ann = joined(&app, ANN, json!({})).await;
    let mut public = socket(&app).await;
    public.join("realtime:lobby", json!({})).await;
    assert!(public.ask("realtime:lobby", "presence", json!({"event": "track", "payload": {}})).await.is_ok());

    let seen = app.service().get("/realtime/v1/api/channels").await.expect_status(200).json();
    assert_eq!(
        seen,
        json!({"sockets": 2, "topics": [
            {"topic": "lobby", "private": false, "channels": 1, "present": 1},
            {"topic": "room", "private": true, "channels": 1, "present": 0},
        ]})
    );
    app.anon().get("/realtime/v1/api/channels").await.expect_status(403);
    app.user(ANN).get("/realtime/v1/api/channels").await.expect_status(403);
    app.client().get("/realtime/v1/api/channels").await.expect_status(401);
}

#[tokio::test]
async fn who_may_only_hear_of_presence_is_sent_no_stored_messages() {
    let app = start(
        "create policy present on realtime.messages for select to authenticated using (extension = 'presence');",
    )
    .await;
    app.database.run("select realtime.send('{}', 'stored', 'room')").await;
    let replay = json!({"broadcast": {"replay": {"since": 0}}});
    let mut ann = joined(&app, ANN, replay).await;
    assert_eq!(ann.settled().await, []);
}

#[tokio::test]
async fn a_token_whose_scopes_do_not_open_realtime_joins_nothing() {
    let app = start(MEMBERS).await;
    let scoped = Caller::user(ANN)
        .claim("key_id", json!("33333333-3333-4333-8333-333333333333"))
        .claim("scopes", json!(["rest:*:select"]))
        .token(&app.server.keys().jwt_secret);
    let mut socket = socket(&app).await;
    let reply = socket.try_join("realtime:room", json!({"config": {}, "access_token": scoped})).await;
    assert_eq!(reply.reason(), "InvalidJWTToken: The API key does not open this service");
    let admin = app.client().bearer(&scoped).get("/realtime/v1/api/channels").await;
    admin.expect_error(403, "insufficient_scope");
}
