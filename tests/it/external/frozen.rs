//! Threat L04: PostgreSQL stands still, as on a disk that hangs: it neither answers nor closes. Requests end at their
//! limits, readiness goes, and when it goes on everything works again with no connection lost.

use serde_json::json;

use super::{NOTES, Postgres, anon, on, service};
use crate::harness::{Server, eventually};

const OURS: &str = "select count(*)::text from pg_stat_activity where application_name = 'goforward'";
const SLEEPING: &str = "select count(*)::text from pg_stat_activity where wait_event = 'PgSleep'";
const NAP: &str = "create function nap() returns void language sql as 'select pg_sleep(0.5)'";
/// What twenty-one connections leave for queries that take their time: ten serve the server itself, four accounts, two storage,
/// one is for short reads.
const PLACES: usize = 4;

#[tokio::test]
async fn requests_to_a_frozen_database_end_at_their_limit_and_service_returns_with_it() {
    let postgres = Postgres::start();
    let options = on(&postgres.url())
        .set("database.max_connections", "21")
        .set("database.acquire_timeout", "1s")
        .set("server.request_timeout", "2s");
    let server = Server::start(options).await;
    postgres.run(NOTES).await;
    postgres.run(NAP).await;
    let reader = anon(&server);
    eventually("the function", async || reader.get("/rest/v1/rpc/nap").await.status < 300).await;
    for _ in 0..10 {
        reader.get("/rest/v1/notes").await.expect_status(200);
    }

    postgres.freeze();

    let mut requests = tokio::task::JoinSet::new();
    for number in 0..60 {
        let (reader, writer) = (anon(&server), service(&server));
        requests.spawn(async move {
            match number % 3 {
                0 => reader.get("/rest/v1/notes").await,
                1 => writer.post("/rest/v1/notes", json!({ "id": 100 + number, "text": "frozen" })).await,
                _ => writer.post("/rest/v1/rpc/nap", json!({})).await,
            }
        });
    }
    while let Some(answer) = requests.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 503 | 504), "{}: {}", answer.status, answer.text());
        assert!(answer.json()["code"].is_string());
    }
    eventually("readiness to go", async || reader.get("/health/ready").await.status == 503).await;
    reader.get("/health/live").await.expect_status(200);

    postgres.thaw();

    eventually("service to return", async || reader.get("/rest/v1/notes").await.status == 200).await;
    eventually("readiness to return", async || reader.get("/health/ready").await.status == 200).await;
    // Every place for a connection can be used again, and none is held twice.
    let mut sleepers = tokio::task::JoinSet::new();
    for _ in 0..2 * PLACES {
        let client = service(&server);
        sleepers.spawn(async move {
            loop {
                let _served_or_too_late = client.post("/rest/v1/rpc/nap", json!({})).await;
            }
        });
    }
    eventually("all places to be in use", async || postgres.value(SLEEPING).await == PLACES.to_string())
        .await;
    let connections: usize = postgres.value(OURS).await.parse().unwrap();
    assert!((1..=17).contains(&connections), "{connections}");
}
