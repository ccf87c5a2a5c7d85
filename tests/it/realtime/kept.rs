//! Broadcasts that a definition has kept for who joins later: all of them or none, in turn, and not for ever.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinHandle;

use super::definitions::{define, hello, private, with_policies};
use super::options;
use crate::harness::{Socket, TestApp, eventually};

const ANN: &str = "11111111-1111-4111-8111-111111111111";
const BATCH: &str = "/realtime/v1/api/broadcast";
const ONE: &str = "/realtime/v1/api/broadcast/kept/events/hello?private=true";

/// Those who write to `realtime.messages` and have to wait.
const WAITING: &str = "select pid || ' ' || query_start from pg_stat_activity
    where wait_event_type = 'Lock' and query like '%insert into realtime.messages%' and datname = current_database()";
const KEPT: &str = "select count(*) from realtime.messages";

/// Lets nobody write to `realtime.messages` until it is dropped.
async fn lock(app: &TestApp) -> PgConnection {
    let mut connection = connect(app).await;
    connection.execute("begin; lock table realtime.messages in exclusive mode").await.unwrap();
    connection
}

async fn unlock(mut connection: PgConnection) {
    connection.execute("rollback").await.unwrap();
}

/// The statements that wait.
async fn waiting(observer: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(WAITING).fetch_all(observer).await.unwrap()
}

/// As the superuser, who sees everything.
async fn connect(app: &TestApp) -> PgConnection {
    PgConnection::connect(&app.database.url_as("postgres")).await.unwrap()
}

/// A server on which the channel `kept` is, and a socket of a user who is on it and hears what it says itself.
async fn start() -> (TestApp, Socket) {
    let app = with_policies(options()).await;
    define(&app, json!({"pattern": "kept", "replay": true})).await;
    let socket = joined(&app).await;
    (app, socket)
}

async fn joined(app: &TestApp) -> Socket {
    let mut socket = app.socket(&app.server.keys().anon_key).await;
    let config = json!({"broadcast": {"ack": true, "self": true}});
    assert!(socket.try_join("realtime:kept", private(app, config)).await.is_ok());
    socket
}

fn message(topic: &str, payload: &Value) -> Value {
    json!({"topic": topic, "event": "hello", "payload": payload, "private": topic == "kept"})
}

#[tokio::test]
async fn what_clients_send_is_kept_for_those_who_join_later() {
    let app = with_policies(options()).await;
    define(&app, json!({"pattern": "kept:*", "replay": true})).await;
    let key = app.server.keys().anon_key;
    let mut early = app.socket(&key).await;
    let config = json!({"broadcast": {"ack": true, "self": true}});
    assert!(early.try_join("realtime:kept:a", private(&app, config.clone())).await.is_ok());
    assert!(early.try_join("realtime:other", private(&app, config)).await.is_ok());
    assert!(early.ask("realtime:kept:a", "broadcast", hello("by socket")).await.is_ok());
    assert!(early.ask("realtime:other", "broadcast", hello("elsewhere")).await.is_ok());
    let one = "/realtime/v1/api/broadcast/kept:a/events/hello?private=true";
    app.user(ANN).post(one, json!({"text": "by POST"})).await.expect_status(202);
    app.user(ANN)
        .request(reqwest::Method::POST, one)
        .header("content-type", "application/octet-stream")
        .body("bytes")
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    let mut live = Vec::new();
    for _ in 0..4 {
        let event = early.event("broadcast").await;
        live.push((event.topic, event.payload["payload"].clone(), event.payload["meta"]["id"].clone()));
    }
    // What the table was told does not come a second time from there.
    app.database.run("select realtime.send('{}', 'end', 'kept:a')").await;
    assert_eq!(early.event("broadcast").await.payload["event"], "end");

    let mut late = app.socket(&key).await;
    let replay = json!({"broadcast": {"replay": {"since": 0}}});
    assert!(late.try_join("realtime:kept:a", private(&app, replay.clone())).await.is_ok());
    let kept: Vec<_> = live.iter().filter(|(topic, ..)| topic == "realtime:kept:a").collect();
    assert_eq!(kept.len(), 3);
    for (_, payload, id) in kept {
        let again = late.event("broadcast").await.payload;
        assert_eq!((&again["payload"], &again["meta"]["id"]), (payload, id));
        assert_eq!((&again["event"], &again["meta"]["replayed"]), (&json!("hello"), &json!(true)));
    }
    assert_eq!(late.event("broadcast").await.payload["event"], "end");
    assert!(late.try_join("realtime:other", private(&app, replay)).await.is_ok());
    assert_eq!(late.settled().await, []);
}

#[tokio::test]
async fn a_message_that_cannot_be_kept_is_not_sent() {
    let (app, mut socket) = start().await;
    // PostgreSQL has no text for it.
    let refused = socket.ask("realtime:kept", "broadcast", hello("\0")).await;
    assert_eq!(refused.reason(), "the message holds what the database cannot keep");
    app.user(ANN).post(ONE, json!({"text": "\0"})).await.expect_status(422);
    assert_eq!(socket.settled().await, []);
}

#[tokio::test]
async fn what_is_said_not_to_be_kept_never_is() {
    let (app, mut socket) = start().await;
    let mut other = app.socket(&app.server.keys().anon_key).await;
    other.join("realtime:room", json!({})).await;
    let lock = lock(&app).await;
    let user = app.user(ANN);
    let messages = json!({"messages": [message("room", &json!({})), message("kept", &json!({}))]});
    let (said, batch) =
        tokio::join!(socket.ask("realtime:kept", "broadcast", hello("a")), user.post(BATCH, messages));
    assert_eq!(said.reason(), "the message cannot be kept at the moment");
    batch.expect_status(503);
    let mut observer = connect(&app).await;
    eventually("nobody waits any more", async || waiting(&mut observer).await.is_empty()).await;
    unlock(lock).await;

    // Who waited longer than it was told would come before this.
    user.post(ONE, json!({"text": "b"})).await.expect_status(202);
    assert_eq!(app.database.value(KEPT).await, "1");
    assert_eq!(socket.event("broadcast").await.payload["payload"], json!({"text": "b"}));
    assert_eq!((socket.settled().await, other.settled().await), (vec![], vec![]));
}

#[tokio::test]
async fn those_whose_messages_are_kept_take_turns_and_others_come_in_between() {
    let (app, socket) = start().await;
    let mut sockets = vec![socket];
    for _ in 0..3 {
        sockets.push(joined(&app).await);
    }
    for socket in &mut sockets {
        // From now on it is known what they may say.
        assert!(socket.ask("realtime:kept", "broadcast", hello("first")).await.is_ok());
    }
    let (mut observer, mut kept) = (connect(&app).await, 4);
    for _ in 0..10 {
        let (lock, before) = (lock(&app).await, kept);
        let saying = sockets.drain(..).map(|mut socket| {
            tokio::spawn(async move {
                let said = socket.ask("realtime:kept", "broadcast", hello("second")).await;
                (socket, said.is_ok())
            })
        });
        let saying: Vec<_> = saying.collect();
        let mut turn = Vec::new();
        eventually("one has its turn", async || {
            turn = waiting(&mut observer).await;
            turn.len() == 1 || saying.iter().all(JoinHandle::is_finished)
        })
        .await;

        // For this too the database is asked.
        app.service().get("/realtime/v1/api/definitions").await.expect_status(200);

        let came_in_between = waiting(&mut observer).await == turn;
        unlock(lock).await;
        for said in saying {
            let (socket, is_kept) = said.await.unwrap();
            kept += usize::from(is_kept);
            sockets.push(socket);
        }
        assert_eq!(app.database.value(KEPT).await, kept.to_string());
        // Otherwise it may have taken longer than a turn may.
        if came_in_between && kept > before {
            return;
        }
    }
    panic!("each time the others had to wait until the turns were over");
}

#[tokio::test]
async fn a_batch_is_kept_whole_in_its_order_or_not_sent() {
    let (app, mut socket) = start().await;
    let mut other = app.socket(&app.server.keys().anon_key).await;
    other.join("realtime:room", json!({})).await;
    let user = app.user(ANN);
    let wrong = [message("room", &json!(0)), message("kept", &json!(0)), message("kept", &json!("\0"))];
    user.post(BATCH, json!({ "messages": wrong })).await.expect_status(422);
    assert_eq!((socket.settled().await, other.settled().await), (vec![], vec![]));

    let messages: Vec<Value> = (0..20).map(|n| message("kept", &json!(n))).collect();
    user.post(BATCH, json!({ "messages": messages })).await.expect_status(202);
    let mut late = app.socket(&app.server.keys().anon_key).await;
    let replay = json!({"broadcast": {"replay": {"since": 0}}});
    assert!(late.try_join("realtime:kept", private(&app, replay)).await.is_ok());
    for n in 0..20 {
        let [live, again] = [socket.event("broadcast").await, late.event("broadcast").await];
        assert_eq!((&live.payload["payload"], &again.payload["payload"]), (&json!(n), &json!(n)));
        assert_eq!(live.payload["meta"]["id"], again.payload["meta"]["id"]);
    }
}

/// Takes the right to hear `room` from a socket that waits for its turn to write to `kept`, and sends something there. None if
/// it did not wait any more by then.
async fn loses_a_right(
    app: &TestApp,
    socket: &mut Socket,
    observer: &mut PgConnection,
) -> Option<PgConnection> {
    app.database.run(&format!("insert into public.members values ('{ANN}')")).await;
    eventually("it hears the room", async || {
        socket.try_join("realtime:room", private(app, json!({}))).await.is_ok()
    })
    .await;
    socket.settled().await;
    let lock = lock(app).await;
    socket.broadcast("realtime:kept", "hello", json!({})).await;
    let mut turn = Vec::new();
    eventually("it waits", async || {
        turn = waiting(observer).await;
        turn.len() == 1
    })
    .await;
    app.database.run("delete from public.members").await;
    let secret = format!("{BATCH}/room/events/secret?private=true");
    app.service().post(&secret, json!({})).await.expect_status(202);
    if waiting(observer).await == turn {
        return Some(lock);
    }
    unlock(lock).await;
    None
}

#[tokio::test]
async fn what_is_sent_after_a_right_was_lost_is_not_delivered_by_a_socket_that_was_busy() {
    let (app, mut socket) = start().await;
    app.database
        .run(
            "create table public.members (uid uuid);
             grant select on public.members to authenticated;
             create policy members on realtime.messages as restrictive for select to authenticated using (
                 realtime.topic() = 'kept' or exists (select from public.members where uid = auth.uid()))",
        )
        .await;
    let (mut observer, mut lock) = (connect(&app).await, None);
    for _ in 0..10 {
        // It waits for its turn longer than a right is believed in.
        lock = loses_a_right(&app, &mut socket, &mut observer).await;
        if lock.is_some() {
            break;
        }
    }
    assert!(lock.is_some(), "it never waits for long enough");

    assert_eq!(socket.event("phx_close").await.topic, "realtime:room");
    let rest = socket.settled().await;
    assert!(rest.iter().all(|event| event.name != "broadcast"), "{rest:?}");
    assert!(rest.iter().any(|event| event.name == "system"), "{rest:?}");
}
