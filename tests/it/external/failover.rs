//! Threat L03: the primary dies and its standby takes over. With both in the URL, service goes on by itself, requests and
//! news of the schema alike, and nothing that was acknowledged and replicated is lost.

use serde_json::json;

use super::{NOTES, Postgres, on, service};
use crate::harness::{Client, Server, eventually};

const ACCESS: &str = "host all all all scram-sha-256\nhost replication all 127.0.0.1/32 trust\n";

/// Both servers, whichever takes writes.
fn both(primary: &Postgres, standby: &Postgres) -> String {
    let login = primary.url();
    let (login, _) = login.rsplit_once('@').unwrap();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    format!("{login}@{hosts}/postgres?target_session_attrs=read-write")
}

async fn write(client: &Client, id: usize) -> u16 {
    client.post("/rest/v1/notes", json!({ "id": id, "text": "written" })).await.status
}

#[tokio::test]
async fn service_follows_a_failover_to_the_promoted_standby() {
    let mut primary = Postgres::with(&[], ACCESS, &[]);
    let standby = primary.standby();
    let server = Server::start(on(&both(&primary, &standby))).await;
    primary.run(NOTES).await;
    let client = service(&server);
    eventually("the table", async || client.get("/rest/v1/notes").await.status == 200).await;
    for id in 10..30 {
        assert_eq!(write(&client, id).await, 201);
    }
    eventually("the standby to have it all", async || {
        standby.value("select count(*)::text from notes").await == "22"
    })
    .await;

    primary.kill();

    // The standby is there, but takes no writes: it must not be taken for the primary.
    eventually("the outage", async || write(&client, 40).await == 503).await;
    assert_eq!(client.get("/rest/v1/notes").await.status, 503);
    assert_eq!(standby.value("select pg_promote()::text").await, "true");
    eventually("service to return", async || matches!(write(&client, 41).await, 201 | 409)).await;
    client.get("/health/ready").await.expect_status(200);
    let rows = client.get("/rest/v1/notes?select=id&order=id").await.expect_status(200).json();
    let ids: Vec<i64> = rows.as_array().unwrap().iter().filter_map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids, [1, 2].into_iter().chain(10..30).chain([41]).collect::<Vec<_>>());
    // What follows the schema has moved too.
    standby.run("create function later() returns int language sql as 'select 1'").await;
    eventually("news of the schema", async || client.get("/rest/v1/rpc/later").await.status == 200).await;
}

#[tokio::test]
async fn a_start_finds_the_primary_wherever_it_stands_in_the_list() {
    let mut primary = Postgres::with(&[], ACCESS, &[]);
    let standby = primary.standby();

    let server = Server::start(on(&both(&standby, &primary))).await;

    primary.run(NOTES).await;
    let client = service(&server);
    eventually("the table", async || client.get("/rest/v1/notes").await.status == 200).await;
    assert_eq!(write(&client, 10).await, 201);
    assert_eq!(primary.value("select count(*)::text from notes").await, "3");
}
