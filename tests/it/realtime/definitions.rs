//! Definitions of channels: by the pattern that fits a name best, for joins, messages, and channels that are joined already.

use serde_json::{Value, json};

use super::{options, start};
use crate::harness::{Caller, Database, Options, Server, Socket, TestApp, run_command};

const DEFINITIONS: &str = "/realtime/v1/api/definitions";
const ANN: &str = "11111111-1111-4111-8111-111111111111";

/// Policies that leave private topics to whoever is signed in.
const SIGNED_IN: &str = "
create policy hear on realtime.messages for select to authenticated using (true);
create policy say on realtime.messages for insert to authenticated with check (true);";

pub async fn define(app: &TestApp, definition: Value) -> Value {
    app.service().post(DEFINITIONS, definition).await.expect_status(201).json()
}

/// Changes a definition by its id.
async fn change(app: &TestApp, definition: &Value, changes: Value) {
    app.service().patch(&path(definition), changes).await.expect_status(200);
}

fn path(definition: &Value) -> String {
    format!("{DEFINITIONS}/{}", definition["id"].as_str().unwrap())
}

pub async fn with_policies(options: Options) -> TestApp {
    let database = Database::create().await;
    database.run(SIGNED_IN).await;
    TestApp::on(database, options).await
}

/// What a user joins with.
pub fn private(app: &TestApp, config: Value) -> Value {
    let token = Caller::user(ANN).token(&app.server.keys().jwt_secret);
    let mut config = config;
    config["private"] = json!(true);
    json!({"config": config, "access_token": token})
}

/// A socket of nobody that has joined this topic.
async fn joined(app: &TestApp, key: &str, topic: &str) -> Socket {
    let mut socket = app.socket(key).await;
    socket.join(topic, json!({"broadcast": {"ack": true}})).await;
    socket
}

pub fn hello(text: &str) -> Value {
    json!({"type": "broadcast", "event": "hello", "payload": {"text": text}})
}

#[tokio::test]
async fn of_the_patterns_that_fit_the_longest_counts() {
    let (app, key) = start().await;
    define(&app, json!({"pattern": "*", "private_only": true})).await;
    define(&app, json!({"pattern": "open:*"})).await;
    define(&app, json!({"pattern": "open:not*", "private_only": true})).await;

    let mut socket = app.socket(&key).await;
    let reason = "PrivateOnly: This channel can only be joined as a private one";
    for (topic, expected) in [("room", reason), ("open:room", ""), ("open:", ""), ("open:not this", reason)] {
        let reply = socket.try_join(&format!("realtime:{topic}"), json!({"config": {}})).await;
        assert_eq!((reply.is_ok(), reply.reason()), (expected.is_empty(), expected), "{topic}");
        let sent =
            app.service().post(&format!("/realtime/v1/api/broadcast/{topic}/events/e"), json!({})).await;
        sent.expect_status(if expected.is_empty() { 202 } else { 403 });
    }
}

#[tokio::test]
async fn only_the_roles_of_a_definition_join_and_send() {
    let app = with_policies(options()).await;
    let keys = app.server.keys();
    define(&app, json!({"pattern": "team:*", "roles": ["authenticated"]})).await;
    let mut socket = app.socket(&keys.anon_key).await;
    let refused = socket.try_join("realtime:team:a", json!({"config": {}})).await;
    let reason = "Unauthorized: You do not have permissions to read from this Channel topic: team:a";
    assert_eq!(refused.reason(), reason);
    assert!(socket.try_join("realtime:team:a", private(&app, json!({}))).await.is_ok());
    // Whoever may change the definition passes it.
    let mut server = app.socket(&keys.service_role_key).await;
    assert!(server.try_join("realtime:team:a", json!({"config": {}})).await.is_ok());

    let (one, batch) = ("/realtime/v1/api/broadcast/team:a/events/e", "/realtime/v1/api/broadcast");
    let messages = json!({"messages": [{"topic": "team:a", "event": "e", "payload": {}}]});
    app.anon().post(one, json!({})).await.expect_status(403);
    // Of a batch what the role may not send is dropped, and the rest is sent.
    let mut open = app.socket(&keys.anon_key).await;
    open.join("realtime:open", json!({})).await;
    let mut mixed = messages.clone();
    mixed["messages"].as_array_mut().unwrap().push(json!({"topic": "open", "event": "e", "payload": {}}));
    app.anon().post(batch, mixed).await.expect_status(202);
    assert_eq!(open.event("broadcast").await.payload["event"], "e");
    assert_eq!(server.settled().await, []);
    app.user(ANN).post(one, json!({})).await.expect_status(202);
    app.user(ANN).post(batch, messages).await.expect_status(202);
    for _ in 0..2 {
        assert_eq!(server.event("broadcast").await.payload["event"], "e");
    }
    assert_eq!(server.settled().await, []);
}

#[tokio::test]
async fn a_channel_has_no_more_members_than_its_definition_says() {
    let (app, key) = start().await;
    define(&app, json!({"pattern": "duo:*", "max_members": 2})).await;
    let _first = joined(&app, &key, "realtime:duo:a").await;
    let mut second = joined(&app, &key, "realtime:duo:a").await;
    let mut third = app.socket(&key).await;
    let refused = third.try_join("realtime:duo:a", json!({"config": {}})).await;
    assert_eq!(
        refused.reason(),
        "ChannelMembersLimitReached: The channel has as many members as it may have"
    );
    assert!(
        third.try_join("realtime:duo:b", json!({"config": {}})).await.is_ok(),
        "another channel has room of its own"
    );
    // Joining again takes no second place.
    assert!(second.try_join("realtime:duo:a", json!({"config": {}})).await.is_ok());
    assert!(second.ask("realtime:duo:a", "phx_leave", json!({})).await.is_ok());
    assert!(third.try_join("realtime:duo:a", json!({"config": {}})).await.is_ok());
}

#[tokio::test]
async fn messages_are_no_larger_than_the_definition_says() {
    let (app, key) = start().await;
    define(&app, json!({"pattern": "small", "max_payload_bytes": 100})).await;
    let mut small = joined(&app, &key, "realtime:small").await;
    let mut large = joined(&app, &key, "realtime:large").await;
    let (fits, too_large) = (hello("a"), hello(&"a".repeat(100)));
    assert!(small.ask("realtime:small", "broadcast", fits).await.is_ok());
    let refused = small.ask("realtime:small", "broadcast", too_large.clone()).await;
    assert_eq!(refused.reason(), "the payload is too large");
    assert!(large.ask("realtime:large", "broadcast", too_large.clone()).await.is_ok());

    for (topic, status) in [("small", 422), ("large", 202)] {
        let one = format!("/realtime/v1/api/broadcast/{topic}/events/e");
        app.anon().post(&one, too_large.clone()).await.expect_status(status);
        let messages = json!({"messages": [{"topic": topic, "event": "e", "payload": too_large}]});
        app.anon().post("/realtime/v1/api/broadcast", messages).await.expect_status(status);
    }
}

#[tokio::test]
async fn messages_come_no_faster_than_the_definition_says() {
    let (app, key) = start().await;
    define(&app, json!({"pattern": "slow", "messages_per_second": 2})).await;
    let mut slow = joined(&app, &key, "realtime:slow").await;
    for _ in 0..20 {
        slow.send(None, "realtime:slow", "broadcast", hello("a")).await;
    }
    assert_eq!(slow.event("system").await.payload["message"], "Too many messages per second");
    slow.event("phx_close").await;

    let message = |topic: &str| json!({"topic": topic, "event": "e", "payload": {}});
    let slow = json!({"messages": vec![message("slow"); 20]});
    let refused = app.anon().post("/realtime/v1/api/broadcast", slow).await.expect_status(429);
    assert_eq!(refused.json(), json!({"message": "You have exceeded your rate limit"}));
    let fast = json!({"messages": vec![message("fast"); 20]});
    app.anon().post("/realtime/v1/api/broadcast", fast).await.expect_status(202);
}

#[tokio::test]
async fn a_change_holds_for_channels_that_are_joined_already() {
    let app = with_policies(options()).await;
    let key = app.server.keys().anon_key;
    let definition = define(&app, json!({"pattern": "room"})).await;
    let mut anon = joined(&app, &key, "realtime:room").await;
    let mut user = app.socket(&key).await;
    assert!(user.try_join("realtime:room", private(&app, json!({}))).await.is_ok());
    let mut elsewhere = joined(&app, &key, "realtime:elsewhere").await;

    change(&app, &definition, json!({"private_only": true})).await;
    let system = anon.event("system").await.payload;
    assert_eq!(system["message"], "PrivateOnly: This channel can only be joined as a private one");
    anon.event("phx_close").await;
    assert_eq!(user.settled().await, []);

    change(&app, &definition, json!({"private_only": null, "roles": ["editor"]})).await;
    let system = user.event("system").await.payload;
    assert_eq!(system["message"], "You no longer have permission to read from this Channel topic: room");
    user.event("phx_close").await;

    app.service().delete(&path(&definition)).await.expect_status(204);
    assert!(anon.try_join("realtime:room", json!({"config": {"broadcast": {"ack": true}}})).await.is_ok());
    define(&app, json!({"pattern": "r*", "max_payload_bytes": 10})).await;
    crate::harness::eventually("the new limit holds for the open channel", async || {
        !anon.ask("realtime:room", "broadcast", hello("hello")).await.is_ok()
    })
    .await;
    assert_eq!(elsewhere.settled().await, []);
}

#[tokio::test]
async fn another_token_is_held_to_the_roles_too() {
    let (app, key) = start().await;
    let secret = app.server.keys().jwt_secret;
    define(&app, json!({"pattern": "team", "roles": ["authenticated"]})).await;
    let mut socket = app.socket(&key).await;
    let join = json!({"access_token": Caller::user(ANN).token(&secret)});
    assert!(socket.try_join("realtime:team", join).await.is_ok());
    let other = json!({"access_token": Caller::role_only("anon").token(&secret)});
    socket.send(None, "realtime:team", "access_token", other).await;
    let system = socket.event("system").await.payload;
    assert_eq!(system["message"], "You no longer have permission to read from this Channel topic: team");
    socket.event("phx_close").await;
}

#[tokio::test]
async fn a_change_reaches_other_servers_and_comes_by_sql_too() {
    let (app, key) = start().await;
    let other = Server::start(options().database(&app.database.url())).await;
    let mut socket = Socket::connect(other.port(), "2.0.0", &key).await.unwrap();
    socket.join("realtime:room", json!({})).await;
    define(&app, json!({"pattern": "room", "private_only": true})).await;
    socket.event("phx_close").await;

    app.database.run_as_superuser("update goforward.channels set pattern = 'hall'").await;
    crate::harness::eventually("both servers know", async || {
        let path = "/realtime/v1/api/broadcast/room/events/e";
        let (here, there) = (app.anon(), crate::harness::Client::new(other.url()).apikey(&key));
        here.post(path, json!({})).await.status == 202 && there.post(path, json!({})).await.status == 202
    })
    .await;
    assert_eq!(
        socket.try_join("realtime:hall", json!({"config": {}})).await.reason().split(':').next(),
        Some("PrivateOnly")
    );
}

#[tokio::test]
async fn a_definition_that_cannot_be_read_changes_nothing() {
    let (app, key) = start().await;
    define(&app, json!({"pattern": "room", "private_only": true})).await;
    app.database
        .run_as_superuser(
            "insert into goforward.channels (pattern, roles) values ('hall', array[repeat('r', 64)]);
             delete from goforward.channels where pattern = 'room'",
        )
        .await;
    let answer = app.service().get(DEFINITIONS).await.expect_error(409, "unreadable_definitions");
    let id = app.database.value("select id::text from goforward.channels").await;
    assert!(answer.text().contains(&id), "{}", answer.text());
    crate::harness::eventually("it is said", async || app.server.log().contains("cannot be read")).await;
    let mut socket = app.socket(&key).await;
    assert!(!socket.try_join("realtime:room", json!({"config": {}})).await.is_ok(), "what was known stays");
    assert!(socket.try_join("realtime:others", json!({"config": {}})).await.is_ok());
}

#[tokio::test]
async fn servers_manage_definitions_and_nobody_else_does() {
    let (app, _) = start().await;
    let service = app.service();
    service.get(DEFINITIONS).await.expect_status(200).expect_json(&json!([]));
    let made = define(&app, json!({"pattern": "room:*", "roles": ["b", "a"], "max_members": 5})).await;
    assert_eq!(
        (&made["pattern"], &made["roles"], &made["private_only"], &made["max_payload_bytes"]),
        (&json!("room:*"), &json!(["a", "b"]), &json!(false), &Value::Null)
    );
    let path = path(&made);
    assert_eq!(service.get(&path).await.expect_status(200).json(), made);
    let changed = service.patch(&path, json!({"max_members": null, "replay": true})).await.expect_status(200);
    assert_eq!(
        (&changed.json()["max_members"], &changed.json()["replay"], &changed.json()["roles"]),
        (&Value::Null, &json!(true), &json!(["a", "b"]))
    );
    let replaced = service.send(reqwest::Method::PUT, &path, Some(json!({"pattern": "hall"}))).await;
    assert_eq!(replaced.expect_status(200).json()["roles"], Value::Null);
    let listed = service.get(DEFINITIONS).await.json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["pattern"]), (1, &json!("hall")));

    define(&app, json!({"pattern": "*"})).await;
    for (body, status, code) in [
        (json!({"pattern": "hall"}), 409, "definition_exists"),
        (json!({}), 400, "invalid_definition"),
        (json!({"pattern": "a", "roles": []}), 400, "invalid_definition"),
        (json!({"pattern": "a", "max_members": 0}), 400, "invalid_definition"),
        (json!({"pattern": "a", "color": 1}), 400, "invalid_definition"),
        (json!([1]), 400, "invalid_body"),
    ] {
        service.post(DEFINITIONS, body).await.expect_error(status, code);
    }
    service.patch(&path, json!({"pattern": "*"})).await.expect_error(409, "definition_exists");
    service.delete(&path).await.expect_status(204);
    for gone in [path.as_str(), "/realtime/v1/api/definitions/nonsense"] {
        service.get(gone).await.expect_error(404, "no_such_definition");
        service.patch(gone, json!({})).await.expect_error(404, "no_such_definition");
        service.delete(gone).await.expect_error(404, "no_such_definition");
    }
    for stranger in [app.anon(), app.user(ANN)] {
        stranger.get(DEFINITIONS).await.expect_error(403, "not_allowed");
        stranger.post(DEFINITIONS, json!({"pattern": "x"})).await.expect_error(403, "not_allowed");
        stranger.delete(&path).await.expect_error(403, "not_allowed");
    }
    app.client().get(DEFINITIONS).await.expect_error(401, "no_authorization");

    let records = "select coalesce(string_agg(concat_ws(' ', verb, schema_name, table_name, key ->> 'pattern', outcome, error_code, role),
                       e'\\n' order by id), '') from goforward.audit_log where verb like 'realtime.%'";
    let done = "realtime.definition.put goforward channels room:* done service_role
realtime.definition.put goforward channels room:* done service_role
realtime.definition.put goforward channels hall done service_role
realtime.definition.put goforward channels * done service_role
";
    // What was refused is not written in a transaction of its own deed, and may come later than what was done after it.
    let later = [
        "realtime.definition.put goforward channels hall refused definition_exists service_role",
        "realtime.definition.remove goforward channels hall done",
        "realtime.manage goforward channels refused not_allowed anon",
    ];
    crate::harness::eventually("what was done is on record", async || {
        let told = app.database.value(records).await;
        told.starts_with(done) && later.iter().all(|line| told.contains(line))
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_done() {
    let (app, _) = start().await;
    let made = define(&app, json!({"pattern": "before"})).await;
    app.database
        .run_as_superuser("alter table goforward.audit_log add check (verb not like 'realtime.%') not valid")
        .await;
    let service = app.service();
    let new = json!({"pattern": "after"});
    service.post(DEFINITIONS, new.clone()).await.expect_error(503, "database_unavailable");
    service.patch(&path(&made), new).await.expect_error(503, "database_unavailable");
    service.delete(&path(&made)).await.expect_error(503, "database_unavailable");
    service.get(DEFINITIONS).await.expect_status(200).expect_json(&json!([made]));
}

#[tokio::test]
async fn the_command_line_manages_definitions_without_a_server() {
    let app = TestApp::with(options()).await;
    let url = app.database.url();
    let channels = |arguments: &[&str]| {
        let output = run_command(&[&["channels"], arguments].concat(), &[("DATABASE_URL", &url)]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(channels(&["list"]), (0, String::new(), String::new()));
    let set = [
        "set",
        "room:*",
        "--private-only",
        "--role",
        "member",
        "--role",
        "admin",
        "--max-members",
        "9",
        "--max-payload-bytes",
        "100",
        "--messages-per-second",
        "5",
        "--replay",
    ];
    let line = "room:*: private only; for admin, member; at most 9 members; at most 100 bytes a message; \
                at most 5 messages a second; kept for replay\n";
    assert_eq!(channels(&set), (0, line.to_owned(), String::new()));
    assert_eq!(channels(&["set", "hall"]).1, "hall: as the configuration says\n");
    assert_eq!(channels(&["set", "hall", "--replay"]).1, "hall: kept for replay\n");
    assert_eq!(channels(&["list"]).1, format!("hall: kept for replay\n{line}"));
    let listed: Value = serde_json::from_str(&channels(&["list", "--json"]).1).unwrap();
    assert_eq!((&listed[1]["roles"], &listed[1]["max_members"]), (&json!(["admin", "member"]), &json!(9)));

    crate::harness::eventually("the running server knows", async || {
        let path = "/realtime/v1/api/broadcast/room:a/events/e";
        app.anon().post(path, json!({})).await.status == 403
    })
    .await;
    assert_eq!(channels(&["remove", "hall"]), (0, "hall: removed\n".to_owned(), String::new()));
    let (code, _, errors) = channels(&["remove", "hall"]);
    assert_eq!((code, errors.as_str()), (1, "error: there is no definition of hall\n"));
    let (code, _, errors) = channels(&["set", "hall", "--max-members", "0"]);
    assert!(code == 1 && errors.contains("max_members"), "{errors}");
    let records =
        "select coalesce(string_agg(concat_ws(' ', verb, key ->> 'pattern', database_role, proved), ', ' order by id), '')
                   from goforward.audit_log where verb like 'realtime.%'";
    let records = app.database.value(records).await;
    assert!(records.starts_with("realtime.definition.put room:* "), "{records}");
    assert!(records.contains("realtime.definition.remove hall ") && records.ends_with(" f"), "{records}");
}
