//! The connection budget on a small server: at most half of its connections, whatever is asked.

use std::collections::BTreeMap;

use serde_json::json;

use super::{NOTES, Postgres, anon, on};
use crate::harness::{Server, eventually};

/// A line for each connection.
const OURS: &str = "select coalesce(string_agg(concat_ws(' ', usename, left(translate(query, E'\\n', ' '), 80)), E'\\n'), '')
    from pg_stat_activity where application_name = 'goforward'";

/// The most connections at a time, and how many answers there were of each status.
async fn storm(postgres: &Postgres, server: &Server) -> (String, BTreeMap<u16, usize>) {
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let client = anon(server);
        requests.spawn(async move {
            match number % 4 {
                0 => client.post("/rest/v1/rpc/nap", json!({})).await,
                _ => client.get("/rest/v1/notes").await,
            }
            .status
        });
    }
    let (mut most, mut statuses) = (String::new(), BTreeMap::<u16, usize>::new());
    while let Some(status) = requests.join_next().await {
        *statuses.entry(status.unwrap()).or_default() += 1;
        if statuses.values().sum::<usize>() % 40 == 0 {
            let now = postgres.value(OURS).await;
            if now.lines().count() > most.lines().count() {
                most = now;
            }
        }
    }
    (most, statuses)
}

const NAP: &str = "create function nap() returns void language sql as 'select pg_sleep(0.02)'";

#[tokio::test]
async fn a_thousand_requests_stay_within_half_of_a_small_servers_connections() {
    let postgres = Postgres::with(&["max_connections=16"], "host all all all scram-sha-256\n", &[]);
    let server = Server::start(on(&postgres.url())).await;
    postgres.run(NOTES).await;
    postgres.run(NAP).await;
    eventually("the function", async || anon(&server).get("/rest/v1/rpc/nap").await.status < 300).await;

    let (most, statuses) = storm(&postgres, &server).await;

    assert!((1..=8).contains(&most.lines().count()), "more than 8 of 16 connections:\n{most}");
    assert!(statuses.keys().all(|status| matches!(status, 200 | 204 | 503 | 504)), "{statuses:?}");
    assert!(server.log().contains("the server allows 16"), "{}", server.log());
}

#[tokio::test]
async fn the_smallest_budget_serves_too() {
    let postgres = Postgres::start();
    let server = Server::start(on(&postgres.url()).set("database.max_connections", "8")).await;
    postgres.run(NOTES).await;
    postgres.run(NAP).await;
    eventually("the function", async || anon(&server).get("/rest/v1/rpc/nap").await.status < 300).await;

    let (most, statuses) = storm(&postgres, &server).await;

    assert!((1..=8).contains(&most.lines().count()), "more than 8 connections:\n{most}");
    assert!(statuses.keys().all(|status| matches!(status, 200 | 204 | 503 | 504)), "{statuses:?}");
    assert!(statuses.get(&200).copied().unwrap_or_default() > 0, "{statuses:?}");
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_an_outage_and_no_error() {
    use sqlx::{Connection, PgConnection};
    let postgres = Postgres::with(
        &["max_connections=12", "superuser_reserved_connections=3"],
        "host all all all scram-sha-256\n",
        &[],
    );
    postgres.run("create role hog login password 'hog'").await;
    let server = Server::start(on(&postgres.url())).await;
    postgres.run(NOTES).await;
    eventually("the table", async || anon(&server).get("/rest/v1/notes").await.status == 200).await;
    let mut taken = Vec::new();
    while let Ok(connection) = PgConnection::connect(&postgres.url_as("hog", "hog", "postgres")).await {
        taken.push(connection);
    }

    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = anon(&server);
        requests.spawn(async move { client.get("/rest/v1/notes").await.status });
    }

    while let Some(status) = requests.join_next().await {
        assert!(matches!(status.unwrap(), 200 | 503 | 504));
    }
    drop(taken);
    eventually("service", async || anon(&server).get("/rest/v1/notes").await.status == 200).await;
}
