//! Threat L04: PostgreSQL stands still, as on a disk that hangs: it neither answers nor closes. Requests end at their
//! limits, readiness goes, and when it goes on everything works again with no connection lost.

use std::collections::BTreeMap;

use serde_json::json;

use super::{NOTES, Postgres, anon, on, service};
use crate::harness::{Server, eventually};

const OURS: &str = "select count(*)::text from pg_stat_activity where application_name = 'goforward'";
const NAP: &str = "create function nap() returns void language sql as 'select pg_sleep(0.02)'";

#[tokio::test]
async fn requests_to_a_frozen_database_end_at_their_limit_and_service_returns_with_it() {
    let postgres = Postgres::start();
    let options = on(&postgres.url())
        .set("database.max_connections", "9")
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
    // Every place for a connection is there again, and none is held twice.
    let mut statuses = BTreeMap::<u16, usize>::new();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let writer = service(&server);
        requests.spawn(async move { writer.post("/rest/v1/rpc/nap", json!({})).await.status });
    }
    while let Some(status) = requests.join_next().await {
        *statuses.entry(status.unwrap()).or_default() += 1;
    }
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [204], "{statuses:?}");
    let connections: usize = postgres.value(OURS).await.parse().unwrap();
    assert!((1..=9).contains(&connections), "{connections}");
}
