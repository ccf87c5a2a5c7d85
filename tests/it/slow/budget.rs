//! A thousand requests at once exhaust nothing: they queue, bounded, within the budget of connections.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{Database, Options, TestApp, eventually};
use crate::rest::SHOP;

const CONNECTIONS: &str = "select count(*)::text from pg_stat_activity where datname = current_database() and application_name like 'goforward%'";

#[tokio::test]
async fn a_thousand_requests_at_once_stay_within_the_budget() {
    let database = Database::create().await;
    database.run(SHOP).await;
    let options =
        Options::default().set("database.max_connections", "10").set("database.acquire_timeout", "60s");
    let app = TestApp::on(database, options).await;
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let client = app.anon();
        requests.spawn(async move {
            match number % 4 {
                0 => client.post("/rest/v1/rpc/sleep_for", json!({ "seconds": 0.02 })).await,
                _ => client.get("/rest/v1/products?limit=5").await,
            }
            .status
        });
    }

    let mut most = 0;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    while let Some(status) = requests.join_next().await {
        *statuses.entry(status.unwrap()).or_default() += 1;
        if statuses.values().sum::<usize>() % 50 == 0 {
            most = most.max(app.database.value(CONNECTIONS).await.parse().unwrap());
        }
    }

    assert!((1..=10).contains(&most), "{most} connections");
    assert!(statuses.keys().all(|status| matches!(status, 200 | 204 | 503 | 504)), "{statuses:?}");
    let served =
        statuses.get(&200).copied().unwrap_or_default() + statuses.get(&204).copied().unwrap_or_default();
    assert!(served >= 900, "{statuses:?}");
}

#[tokio::test]
async fn sleepers_hold_only_their_own_connections_and_the_rest_are_told_in_time() {
    let database = Database::create().await;
    database.run(SHOP).await;
    let options =
        Options::default().set("database.max_connections", "21").set("database.acquire_timeout", "1s");
    let app = TestApp::on(database, options).await;
    let mut sleepers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = app.service();
        sleepers.spawn(
            async move { client.post("/rest/v1/rpc/sleep_for", json!({ "seconds": 5 })).await.status },
        );
    }
    let sleeping = "select (count(*) >= 3)::text from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    eventually("the sleepers", async || app.database.value(sleeping).await == "true").await;

    app.client().get("/health/live").await.expect_status(200);
    let write =
        app.service().post("/rest/v1/products", json!({ "id": 900, "name": "late", "price": 1 })).await;

    assert!(matches!(write.status, 201 | 503 | 504), "{}", write.text());
    while let Some(status) = sleepers.join_next().await {
        assert!(matches!(status.unwrap(), 200 | 204 | 503 | 504));
    }
    app.service()
        .post("/rest/v1/products", json!({ "id": 901, "name": "later", "price": 1 }))
        .await
        .expect_status(201);
}

#[tokio::test]
async fn a_locked_table_does_not_slow_the_others() {
    use sqlx::{Connection, Executor, PgConnection};
    let app = TestApp::with_sql(SHOP).await;
    for _ in 0..30 {
        app.anon().get("/rest/v1/products?limit=1").await.expect_status(200);
        app.anon().get("/rest/v1/orders?limit=1").await.expect_status(200);
    }
    let mut locker = PgConnection::connect(&app.database.url_as("postgres")).await.unwrap();
    locker.execute("begin; lock table orders in access exclusive mode").await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = app.anon();
        waiting.spawn(async move { client.try_get("/rest/v1/orders?limit=1").await });
    }

    let waits = "select (count(*) > 0)::text from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("they wait", async || app.database.value(waits).await == "true").await;

    let client = app.anon();
    for _ in 0..100 {
        client.get("/rest/v1/products?limit=1").await.expect_status(200);
    }

    assert!(waiting.try_join_next().is_none(), "they waited meanwhile");
    locker.execute("rollback").await.unwrap();
    while waiting.join_next().await.is_some() {}
}
