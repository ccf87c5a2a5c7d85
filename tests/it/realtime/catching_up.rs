//! Coming back: a client that says what it has seen last gets what it missed, and then goes on live.

use goforward::realtime::changes::{Cursor, Epoch};
use serde_json::{Value, json};

use super::changes::{start_with, subscribed};
use crate::harness::{Socket, TestApp};

const ANN: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

fn notes(since: Option<&str>) -> Value {
    json!([{"event": "*", "schema": "public", "table": "notes", "since": since}])
}

async fn id_and_cursor(socket: &mut Socket) -> (i64, String) {
    let payload = socket.event("postgres_changes").await.payload;
    (payload["data"]["record"]["id"].as_i64().unwrap(), payload["cursor"].as_str().unwrap().to_owned())
}

async fn insert(app: &TestApp, ids: std::ops::Range<i64>) {
    let rows: Vec<String> = ids
        .flat_map(|id| [format!("({id}, '{ANN}', 'a')"), format!("({}, '{BOB}', 'b')", id + 10_000)])
        .collect();
    app.database.run(&format!("insert into notes values {}", rows.join(", "))).await;
}

#[tokio::test]
async fn g06_what_was_missed_comes_once_in_order_and_then_what_is_new() {
    let app = start_with("").await;
    let mut ann = subscribed(&app, Some(ANN), notes(None)).await;
    insert(&app, 1..6).await;
    let mut last = id_and_cursor(&mut ann).await;
    // It goes away in the middle of a batch.
    last = if last.0 < 3 { (id_and_cursor(&mut ann).await.0, last.1) } else { last };
    let seen = last.0 - 1;
    ann.drop_connection();
    insert(&app, 6..2000).await;

    let mut ann = subscribed(&app, Some(ANN), notes(Some(&last.1))).await;
    insert(&app, 2000..2010).await;
    for expected in seen + 1..2010 {
        assert_eq!(id_and_cursor(&mut ann).await.0, expected);
    }
    assert_eq!(ann.settled().await, []);
}

#[tokio::test]
async fn a_cursor_of_nowhere_asks_to_read_anew() {
    let app = start_with("").await;
    let mut ann = subscribed(&app, Some(ANN), notes(Some("nonsense"))).await;
    let system = ann.event("system").await.payload;
    assert_eq!((&system["message"], &system["reason"]), (&json!("resync"), &json!("cursor")));
    insert(&app, 1..2).await;
    assert_eq!(id_and_cursor(&mut ann).await.0, 1);
}

#[tokio::test]
async fn a_cursor_of_another_life_of_the_database_asks_to_read_anew() {
    let app = start_with("").await;
    let mut ann = subscribed(&app, Some(ANN), notes(None)).await;
    insert(&app, 1..2).await;
    let here: Cursor = id_and_cursor(&mut ann).await.1.parse().unwrap();
    let other = Cursor { epoch: Epoch::of("another"), ..here.clone() };
    // One from the future is of a database that has gone back.
    let ahead = Cursor { after: "99999999:99999999:".parse().unwrap(), ..here };
    for cursor in [other, ahead] {
        let mut ann = subscribed(&app, Some(ANN), notes(cursor.text().as_deref())).await;
        let system = ann.event("system").await.payload;
        assert_eq!((&system["message"], &system["reason"]), (&json!("resync"), &json!("epoch")));
    }
}

#[tokio::test]
async fn a_cursor_from_before_what_is_kept_asks_to_read_anew() {
    let app = start_with("").await;
    let mut ann = subscribed(&app, Some(ANN), notes(None)).await;
    insert(&app, 1..3).await;
    let (_, cursor) = id_and_cursor(&mut ann).await;
    ann.drop_connection();
    app.database
        .run_as_superuser(
            "delete from realtime.changes;
             update realtime.retention set horizon = pg_current_xact_id(), removed = pg_current_snapshot()",
        )
        .await;
    let mut ann = subscribed(&app, Some(ANN), notes(Some(&cursor))).await;
    let system = ann.event("system").await.payload;
    assert_eq!((&system["message"], &system["reason"]), (&json!("resync"), &json!("retention")));
}

#[tokio::test]
async fn an_outage_of_the_database_loses_nothing() {
    let app = start_with("").await;
    let mut ann = subscribed(&app, Some(ANN), notes(None)).await;
    for round in 0..5 {
        insert(&app, round * 10..round * 10 + 10).await;
        app.database
            .run_as_superuser(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid() and usename in ('goforward', 'authenticator')",
            )
            .await;
    }
    for expected in 0..50 {
        assert_eq!(id_and_cursor(&mut ann).await.0, expected);
    }
    assert_eq!(ann.settled().await, []);
}
