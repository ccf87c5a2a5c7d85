//! A database that is down: 503 with `Retry-After`, one line in the log, and service returns by itself.

use super::{NOTES, Postgres, anon, on};
use crate::harness::{Client, Server, eventually};

#[tokio::test]
async fn a_database_that_is_down_at_the_start_is_waited_for() {
    let mut postgres = Postgres::start();
    postgres.run("alter role postgres set search_path = public").await;
    postgres.stop();
    let mut server = Server::spawn(on(&postgres.url()));
    let client = Client::new(server.url());
    let refused = async || match client.try_get("/rest/v1/notes").await {
        Some(answer) => {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(!answer.header("retry-after").is_empty());
            assert_eq!(answer.json()["code"], "PGRST000");
            true
        }
        None => false,
    };
    eventually("an answer", refused).await;
    client.get("/health/live").await.expect_status(200);
    client.get("/health/ready").await.expect_status(503);
    eventually("the log line", async || server.log().contains("cannot reach the PostgreSQL at 127.0.0.1"))
        .await;

    postgres.start_again();

    server.wait_until_ready().await;
    postgres.run(NOTES).await;
    eventually("the table", async || anon(&server).get("/rest/v1/notes").await.status == 200).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_server_that_waits_for_its_database_stops_when_told() {
    let mut postgres = Postgres::start();
    postgres.stop();
    let mut server = Server::spawn(on(&postgres.url()));
    eventually("the log line", async || server.log().contains("cannot reach the PostgreSQL at")).await;

    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_database_that_goes_down_later_comes_back_without_a_restart() {
    let mut postgres = Postgres::start();
    let server = Server::start(on(&postgres.url())).await;
    postgres.run(NOTES).await;
    let anon = anon(&server);
    eventually("the table", async || anon.get("/rest/v1/notes").await.status == 200).await;

    postgres.stop();
    for _ in 0..20 {
        let answer = anon.get("/rest/v1/notes").await.expect_status(503);
        assert!(!answer.header("retry-after").is_empty());
    }
    eventually("readiness to go", async || anon.get("/health/ready").await.status == 503).await;
    anon.get("/health/live").await.expect_status(200);
    eventually("the log line", async || server.log().contains("cannot connect to the database")).await;

    postgres.start_again();
    eventually("service to return", async || anon.get("/rest/v1/notes").await.status == 200).await;
    eventually("readiness to return", async || anon.get("/health/ready").await.status == 200).await;
    // The catalog listens again too.
    postgres.run("create function later() returns int language sql as 'select 1'").await;
    eventually("news of the schema", async || anon.get("/rest/v1/rpc/later").await.status == 200).await;
}

#[tokio::test]
async fn a_password_changed_under_the_server_is_an_outage_until_it_is_right_again() {
    let postgres = Postgres::start();
    let server = Server::start(on(&postgres.url())).await;
    postgres.run(NOTES).await;
    let anon = anon(&server);
    eventually("the table", async || anon.get("/rest/v1/notes").await.status == 200).await;
    let old = postgres.value("select rolpassword from pg_authid where rolname = 'authenticator'").await;

    postgres.run("alter role authenticator password 'another'").await;
    postgres
        .run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'")
        .await;
    eventually("the outage", async || anon.get("/rest/v1/notes").await.status == 503).await;
    eventually("the advice", async || server.log().contains("the password of the database login is wrong"))
        .await;

    // PostgreSQL takes a verifier as it is.
    postgres.run(&format!("alter role authenticator password '{old}'")).await;
    eventually("service to return", async || anon.get("/rest/v1/notes").await.status == 200).await;
}
