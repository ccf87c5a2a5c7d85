//! Changes of tables: who gets which, and what they look like.

use serde_json::{Value, json};

use super::options;
use crate::harness::{Caller, Database, Socket, TestApp};
use crate::table_security::{ACCOUNTS, USER};

const ANN: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

/// Notes belong to somebody; pages are everybody's; what is decided about teams takes PostgreSQL.
const TABLES: &str = "
create table public.notes (id int8 primary key, owner uuid, title text, secret text);
alter table public.notes enable row level security;
create policy own on public.notes for select to authenticated using ((select auth.uid()) = owner);
create table public.pages (id int8 primary key, title text, size numeric, tags text[], made timestamptz, raw bytea);
alter table public.pages enable row level security;
create policy everybody on public.pages for select using (true);
create table public.teams (id int8 primary key, name text);
create table public.members (team int8, uid uuid);
alter table public.teams enable row level security;
alter table public.members enable row level security;
create policy own on public.members for select to authenticated using (auth.uid() = uid);
create policy members on public.teams for select to authenticated using (
    exists (select from public.members m where m.team = teams.id and m.uid = auth.uid()));
grant select on public.notes, public.pages, public.teams, public.members to anon, authenticated, service_role;
alter publication supabase_realtime add table public.notes, public.pages, public.teams;";

pub async fn start_with(more: &str) -> TestApp {
    let database = Database::create().await;
    database.run(TABLES).await;
    database.run(more).await;
    TestApp::on(database, options()).await
}

/// A socket of somebody that has subscribed to changes and been told so.
pub async fn subscribed(app: &TestApp, user: Option<&str>, changes: Value) -> Socket {
    let keys = app.server.keys();
    let mut socket = app.socket(&keys.anon_key).await;
    let token = user.map(|user| Caller::user(user).token(&keys.jwt_secret));
    let join = json!({"config": {"postgres_changes": changes}, "access_token": token});
    let reply = socket.join_in_the_end("realtime:db", &join).await;
    assert!(reply.is_ok(), "{reply:?}");
    let system = socket.event("system").await.payload;
    assert_eq!(system["message"], "Subscribed to PostgreSQL", "{system}");
    socket
}

/// The next change, without what differs from run to run.
async fn change(socket: &mut Socket) -> Value {
    let mut payload = socket.event("postgres_changes").await.payload;
    let data = payload["data"].as_object_mut().unwrap();
    data.remove("columns");
    assert!(data.remove("commit_timestamp").unwrap().as_str().unwrap().ends_with('Z'));
    payload["data"].clone()
}

fn all_of(table: &str) -> Value {
    json!([{"event": "*", "schema": "public", "table": table}])
}

#[tokio::test]
async fn a_change_looks_as_clients_expect() {
    let app = start_with("").await;
    let asked = json!([{"event": "INSERT", "schema": "public", "table": "pages"},
                       {"event": "*", "schema": "public", "table": "pages"}]);
    let keys = app.server.keys();
    let mut socket = app.socket(&keys.anon_key).await;
    let reply = socket.join("realtime:db", json!({"postgres_changes": asked})).await;
    let echoed = reply.payload["response"]["postgres_changes"].as_array().unwrap().clone();
    assert_eq!((&echoed[0]["event"], &echoed[1]["table"]), (&json!("INSERT"), &json!("pages")));
    let ids: Vec<u64> = echoed.iter().map(|echo| echo["id"].as_u64().unwrap()).collect();
    let mut system = socket.event("system").await.payload;
    assert!(system.as_object_mut().unwrap().remove("cursor").unwrap().is_string());
    assert_eq!(
        system,
        json!({"extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL", "channel": "db"})
    );

    app.database
        .run("insert into pages values (1, 'a', 12345678901234567890.5, '{x,y}', '2024-05-01 12:00:00+00', '\\x00ff')")
        .await;
    let payload = socket.event("postgres_changes").await.payload;
    assert_eq!(payload["ids"], json!(ids));
    let data = &payload["data"];
    assert_eq!(data["type"], "INSERT");
    assert_eq!((&data["schema"], &data["table"]), (&json!("public"), &json!("pages")));
    assert_eq!(data["columns"][0], json!({"name": "id", "type": "int8"}));
    assert_eq!(data["columns"][3], json!({"name": "tags", "type": "_text"}));
    assert_eq!(data["record"]["tags"], json!(["x", "y"]));
    assert_eq!(data["record"]["raw"], "\\x00ff");
    assert_eq!(data["record"]["made"], "2024-05-01T12:00:00+00:00");
    assert_eq!(data["errors"], Value::Null);
    assert!(payload["cursor"].is_string());

    app.database.run("update pages set title = 'b' where id = 1").await;
    let updated = change(&mut socket).await;
    assert_eq!((&updated["type"], &updated["old_record"]), (&json!("UPDATE"), &json!({"id": 1})));
    app.database.run("delete from pages").await;
    let deleted = change(&mut socket).await;
    assert_eq!((&deleted["type"], &deleted["old_record"]), (&json!("DELETE"), &json!({"id": 1})));
    assert!(deleted.get("record").is_none());
}

#[tokio::test]
async fn g01_everybody_gets_the_rows_that_they_may_see() {
    let app = start_with("").await;
    let mut ann = subscribed(&app, Some(ANN), all_of("notes")).await;
    let mut bob = subscribed(&app, Some(BOB), all_of("notes")).await;
    let mut nobody = subscribed(&app, None, all_of("notes")).await;

    app.database
        .run(&format!("insert into notes values (1, '{ANN}', 'a'), (2, '{BOB}', 'b'), (3, null, 'c')"))
        .await;
    app.database.run("update notes set title = title || '!'").await;
    // From one to the other: gone for one, new for the other.
    app.database.run(&format!("update notes set owner = '{BOB}' where id = 1")).await;
    // g02: nobody hears that a row of somebody else is deleted.
    app.database.run("delete from notes").await;
    app.database.run(&format!("insert into notes values (9, '{ANN}', 'end'), (10, '{BOB}', 'end')")).await;

    let heard = async |socket: &mut Socket| {
        let mut heard = Vec::new();
        loop {
            let data = change(socket).await;
            let id = data["record"]["id"].as_i64().or(data["old_record"]["id"].as_i64()).unwrap();
            heard.push(format!("{} {id}", data["type"].as_str().unwrap()));
            if id >= 9 {
                return heard;
            }
        }
    };
    assert_eq!(heard(&mut ann).await, ["INSERT 1", "UPDATE 1", "DELETE 1", "INSERT 9"]);
    assert_eq!(
        heard(&mut bob).await,
        ["INSERT 2", "UPDATE 2", "UPDATE 1", "DELETE 2", "DELETE 1", "INSERT 10"]
    );
    assert_eq!(nobody.settled().await, []);
}

#[tokio::test]
async fn policies_that_read_tables_are_decided_by_postgresql() {
    let app = start_with("").await;
    app.database.run(&format!("insert into members values (1, '{ANN}')")).await;
    let mut ann = subscribed(&app, Some(ANN), all_of("teams")).await;
    app.database.run("insert into teams values (2, 'theirs'), (1, 'ours')").await;
    assert_eq!(change(&mut ann).await["record"], json!({"id": 1, "name": "ours"}));
    // g03: what is taken away holds for the next change.
    let mut server = app.socket(&app.server.keys().service_role_key).await;
    server.join("realtime:db", json!({"postgres_changes": all_of("teams")})).await;
    app.database.run("delete from members").await;
    app.database.run("update teams set name = 'secret'").await;
    for _ in 0..2 {
        // Who sees it is decided before anybody is told.
        server.event("postgres_changes").await;
    }
    app.database.run(&format!("insert into members values (2, '{ANN}')")).await;
    app.database.run("delete from teams where id = 2").await;
    let next = change(&mut ann).await;
    assert_eq!((&next["type"], &next["old_record"]), (&json!("DELETE"), &json!({"id": 2})));
}

#[tokio::test]
async fn filters_decide_which_rows_are_sent() {
    let app = start_with("").await;
    let filtered =
        |filter: &str| json!([{"event": "*", "schema": "public", "table": "pages", "filter": filter}]);
    let cases = [
        ("id=eq.2", vec![2]),
        ("id=gte.2", vec![2, 3]),
        ("id=in.(1,3)", vec![1, 3]),
        ("title=like.b%", vec![2]),
        ("title=not.eq.b2", vec![1, 3]),
        ("size=gt.1.5", vec![2, 3]),
        ("size=lt.2.5,title=neq.a1", vec![2]),
        ("title=is.null", vec![]),
    ];
    let mut sockets = Vec::new();
    for (filter, _) in &cases {
        sockets.push(subscribed(&app, None, filtered(filter)).await);
    }
    app.database
        .run("insert into pages (id, title, size) values (1, 'a1', 1), (2, 'b2', 2), (3, 'c3', 3)")
        .await;
    app.database.run("insert into pages (id) values (4)").await;
    for ((filter, expected), socket) in cases.iter().zip(&mut sockets) {
        let mut got = Vec::new();
        for _ in expected {
            got.push(change(socket).await["record"]["id"].as_i64().unwrap());
        }
        assert_eq!(&got, expected, "{filter}");
    }
    assert_eq!(change(&mut sockets[7]).await["record"]["id"], 4);
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_told_and_the_channel_stays() {
    let app = start_with(
        "create table public.unpublished (id int primary key);
         create table public.days (day date) partition by range (day);
         create table public.days_2020 partition of public.days for values from ('2020-01-01') to ('2021-01-01');
         alter publication supabase_realtime add table public.days;",
    )
    .await;
    let key = app.server.keys().anon_key;
    let mut socket = app.socket(&key).await;
    for (asked, message) in [
        (
            json!({"event": "INSERT", "schema": "public", "table": "unpublished"}),
            "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect \
             parameters: [event: INSERT, schema: public, table: unpublished, filters: [], select: *]",
        ),
        (
            json!({"event": "*", "schema": "public", "table": "days_2020"}),
            "Unable to subscribe to changes with given parameters.",
        ),
        (
            json!({"event": "*", "schema": "auth", "table": "users"}),
            "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect \
             parameters: [event: *, schema: auth, table: users, filters: [], select: *]",
        ),
        (
            json!({"event": "*", "schema": "public", "table": "pages", "filter": "colour=eq.1"}),
            "invalid column for filter colour",
        ),
        (
            json!({"event": "*", "schema": "public", "table": "pages", "filter": "id"}),
            "Error parsing `filter` params",
        ),
        (
            json!({"event": "*", "schema": "public", "table": "pages", "filter": "made=gt.yesterdayish"}),
            "Error parsing `filter` params",
        ),
        (
            json!({"event": "*", "schema": "public", "table": "pages", "select": ["colour"]}),
            "invalid column for select colour",
        ),
        (
            json!({"event": "*", "schema": "public", "filter": "id=eq.1"}),
            "filter and select need a schema and a table",
        ),
    ] {
        socket.join("realtime:db", json!({"postgres_changes": [asked]})).await;
        let system = socket.event("system").await.payload;
        assert_eq!((&system["status"], &system["extension"]), (&json!("error"), &json!("postgres_changes")));
        assert!(system["message"].as_str().unwrap().starts_with(message), "{system}");
        assert!(
            socket.ask("realtime:db", "presence", json!({"event": "track", "payload": {}})).await.is_ok()
        );
    }
}

#[tokio::test]
async fn columns_that_are_not_granted_hidden_or_masked_are_not_given_away() {
    let app = start_with(
        "revoke select on public.notes from authenticated; grant select (id, owner, title) on public.notes to authenticated;",
    )
    .await;
    let mut ann = subscribed(&app, Some(ANN), all_of("notes")).await;
    app.database.run(&format!("insert into notes values (1, '{ANN}', 't', 's')")).await;
    let data = change(&mut ann).await;
    assert_eq!(data["record"], json!({"id": 1, "owner": ANN, "title": "t"}));
    for (field, asked) in [
        ("filter", json!({"event": "*", "schema": "public", "table": "notes", "filter": "secret=like.s%"})),
        ("select", json!({"event": "*", "schema": "public", "table": "notes", "select": ["secret"]})),
    ] {
        let token = Caller::user(ANN).token(&app.server.keys().jwt_secret);
        let join = json!({"config": {"postgres_changes": [asked]}, "access_token": token});
        assert!(ann.try_join("realtime:other", join).await.is_ok());
        let told = ann.event("system").await.payload;
        assert_eq!(told["message"], format!("invalid column for {field} secret"));
    }
}

#[tokio::test]
async fn rules_of_tables_hide_and_mask_columns_of_changes() {
    let database = Database::create().await;
    database.run(ACCOUNTS).await;
    database.run("alter publication supabase_realtime add table accounts; alter table accounts replica identity full").await;
    let app = TestApp::on(database, options()).await;
    let mut user = subscribed(&app, Some(USER), all_of("accounts")).await;
    let mut server = app.socket(&app.server.keys().service_role_key).await;
    server.join("realtime:db", json!({"postgres_changes": all_of("accounts")})).await;

    app.database.run("update accounts set name = 'Janet' where id = 1").await;
    let data = change(&mut user).await;
    let shown = app.user(USER).get("/rest/v1/accounts?id=eq.1").await.json();
    assert_eq!(data["record"], shown[0], "as REST shows it");
    assert_eq!(data["old_record"]["card"], shown[0]["card"]);
    assert!(!data.to_string().contains("maroon") && !data.to_string().contains("jane@"), "{data}");
    let whole = change(&mut server).await;
    assert!(whole["record"]["secret"].is_string(), "{whole}");
}

#[tokio::test]
async fn columns_that_the_publication_leaves_out_are_left_out() {
    let database = Database::create().await;
    if database.value("show server_version_num").await.parse::<u32>().unwrap() < 150_000 {
        return;
    }
    database.run(TABLES).await;
    database
        .run(
            "alter publication supabase_realtime drop table pages;
             alter publication supabase_realtime add table pages (id, title)",
        )
        .await;
    let app = TestApp::on(database, options()).await;
    let mut socket = subscribed(&app, None, all_of("pages")).await;
    app.database.run("insert into pages (id, title, size) values (1, 'a', 7)").await;
    assert_eq!(change(&mut socket).await["record"], json!({"id": 1, "title": "a"}));
}

#[tokio::test]
async fn a_large_transaction_reaches_everybody_who_reads() {
    let database = Database::create().await;
    database.run(TABLES).await;
    // The transaction is larger.
    let app = TestApp::on(database, options().set("realtime.max_queue", "4MB")).await;
    let mut socket = subscribed(&app, None, all_of("pages")).await;
    app.database
        .run("insert into pages (id, title) select n, repeat(md5(n::text), 60) from generate_series(1, 5000) as n")
        .await;
    for id in 1..=5000 {
        assert_eq!(change(&mut socket).await["record"]["id"], id);
    }
}

#[tokio::test]
async fn patterns_that_postgresql_does_not_take_are_refused_at_once() {
    let app = start_with("").await;
    let mut plain = subscribed(&app, None, all_of("pages")).await;
    let mut socket = app.socket(&app.server.keys().anon_key).await;
    for pattern in ["title=match.(", "title=imatch.["] {
        let asked = json!([{"event": "*", "schema": "public", "table": "pages", "filter": pattern}]);
        socket.join("realtime:db", json!({"postgres_changes": asked})).await;
        let told = socket.event("system").await.payload;
        assert_eq!(told["status"], "error", "{pattern}: {told}");
    }
    app.database.run("insert into pages (id, title) values (1, 'abc')").await;
    assert_eq!(change(&mut plain).await["record"]["id"], 1);
}

#[tokio::test]
async fn a_selection_has_the_columns_asked_for_and_the_key() {
    let app = start_with("").await;
    let selected = json!([{"event": "*", "schema": "public", "table": "pages", "select": ["title"]}]);
    let mut socket = subscribed(&app, None, selected).await;
    app.database.run("insert into pages (id, title, size) values (1, 'a', 1)").await;
    assert_eq!(change(&mut socket).await["record"], json!({"id": 1, "title": "a"}));
}

#[tokio::test]
async fn a_full_replica_identity_gives_the_whole_old_row() {
    let app = start_with("alter table public.pages replica identity full;").await;
    let mut socket = subscribed(&app, None, all_of("pages")).await;
    app.database.run("insert into pages (id, title) values (1, 'a')").await;
    change(&mut socket).await;
    app.database.run("update pages set title = 'b'").await;
    assert_eq!(change(&mut socket).await["old_record"]["title"], "a");
}

#[tokio::test]
async fn wildcards_follow_a_schema() {
    let app = start_with("").await;
    let mut socket = subscribed(&app, Some(ANN), json!([{"event": "*", "schema": "public"}])).await;
    app.database
        .run(&format!("insert into pages (id) values (1); insert into notes values (2, '{ANN}')"))
        .await;
    assert_eq!(change(&mut socket).await["table"], "pages");
    assert_eq!(change(&mut socket).await["table"], "notes");
}

#[tokio::test]
async fn emptying_a_table_asks_to_read_anew() {
    let app = start_with("").await;
    let mut socket = subscribed(&app, None, all_of("pages")).await;
    app.database.run("truncate pages").await;
    let system = socket.event("system").await.payload;
    assert_eq!(
        (&system["message"], &system["reason"], &system["table"]),
        (&json!("resync"), &json!("truncate"), &json!("pages"))
    );
}

#[tokio::test]
async fn g05_whatever_is_written_after_the_subscription_arrives() {
    let app = start_with("").await;
    let writer = app.service();
    app.database.run("grant insert on pages to service_role").await;
    let mut count = 0;
    for round in 0..100 {
        let mut socket = subscribed(&app, None, all_of("pages")).await;
        let rows: Vec<Value> = (0..10).map(|n| json!({"id": round * 10 + n})).collect();
        writer.post("/rest/v1/pages", json!(rows)).await.expect_status(201);
        for n in 0..10 {
            assert_eq!(change(&mut socket).await["record"]["id"], round * 10 + n);
            count += 1;
        }
    }
    assert_eq!(count, 1000);
}

#[tokio::test]
async fn messages_of_the_database_reach_their_topic() {
    let app = start_with("").await;
    let key = app.server.keys().anon_key;
    let mut socket = app.socket(&key).await;
    socket.join("realtime:room", json!({"broadcast": {"replication_ready": true}})).await;
    assert_eq!(socket.event("system").await.payload["message"], "Replication connection established");
    app.database.run("select realtime.send('{\"n\": 1}', 'said', 'room', false)").await;
    app.database.run("select realtime.send('{\"n\": 2}', 'secret', 'room', true)").await;
    app.database.run("select realtime.send('{\"n\": 3}', 'said', 'room', false)").await;
    for n in [1, 3] {
        let payload = socket.event("broadcast").await.payload;
        assert_eq!((&payload["event"], &payload["payload"]["n"]), (&json!("said"), &json!(n)));
        assert_eq!(payload["meta"]["id"], payload["payload"]["id"]);
    }
    let mut server = app.socket(&app.server.keys().service_role_key).await;
    server.join("realtime:topic", json!({"private": true})).await;
    app.database
        .run(
            "create function public.tell() returns trigger language plpgsql security definer as $$
             begin
                 perform realtime.broadcast_changes('topic', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
                 return null;
             end $$;
             create trigger tell after insert on public.pages for each row execute function public.tell();
             insert into public.pages (id, title) values (7, 'seven');",
        )
        .await;
    let payload = server.event("broadcast").await.payload;
    assert_eq!(payload["event"], "INSERT");
    assert_eq!(
        (&payload["payload"]["table"], &payload["payload"]["record"]["title"]),
        (&json!("pages"), &json!("seven"))
    );
}

#[tokio::test]
async fn another_token_sees_what_its_user_may() {
    let app = start_with("").await;
    let mut socket = subscribed(&app, Some(ANN), all_of("notes")).await;
    let bob = Caller::user(BOB).token(&app.server.keys().jwt_secret);
    socket.send(None, "realtime:db", "access_token", json!({"access_token": bob})).await;
    assert_eq!(socket.settled().await, []);
    app.database.run(&format!("insert into notes values (1, '{ANN}', 'a'), (2, '{BOB}', 'b')")).await;
    assert_eq!(change(&mut socket).await["record"]["id"], 2);
}

#[tokio::test]
async fn a_table_that_is_published_later_can_be_followed() {
    let app = start_with("create table public.later (id int primary key); alter table public.later enable row level security;
        create policy everybody on public.later for select using (true); grant select on public.later to anon;").await;
    app.database.run("alter publication supabase_realtime add table public.later").await;
    let mut socket = subscribed(&app, None, all_of("later")).await;
    app.database.run("insert into later values (1)").await;
    assert_eq!(change(&mut socket).await["record"], json!({"id": 1}));
    // One that nobody has heard of before.
    app.database
        .run(
            "create table public.newest (id int primary key); alter table public.newest enable row level security;
             create policy everybody on public.newest for select using (true);
             grant select on public.newest to anon;
             alter publication supabase_realtime add table public.newest",
        )
        .await;
    let mut socket = subscribed(&app, None, all_of("newest")).await;
    app.database.run("insert into newest values (1)").await;
    assert_eq!(change(&mut socket).await["record"], json!({"id": 1}));
}
