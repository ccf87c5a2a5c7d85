//! Threat L09: the network between us and PostgreSQL is slow, breaks in the middle of an answer, or swallows everything.
//! Answers are right or clear errors, never wrong and never half a document that looks whole; limits hold as set.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::proxy::{Proxy, Weather};
use super::{NOTES, Postgres, SECRET, anon, on, service};
use crate::harness::{Answer, Caller, Client, Options, Server, Walk, eventually};

/// A user, whose diaries nobody else sees.
fn user(server: &Server, id: &str) -> Client {
    Client::new(server.url()).apikey(&server.keys().anon_key).bearer(&Caller::user(id).token(SECRET))
}

const USERS: [(&str, &str); 2] =
    [("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "dear"), ("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb", "diary")];

/// Rows enough that an answer is many packets.
const LONG: &str = "create table long as select n as id, md5(n::text) as text from generate_series(1, 900) n;
    alter table long enable row level security;
    create policy reading on long for select using (true);
    create table writes (id int primary key);
    alter table writes enable row level security";

async fn behind(postgres: &Postgres, proxy: &Proxy, more: impl FnOnce(Options) -> Options) -> Server {
    let server = Server::start(more(on(&proxy.through(&postgres.url(), postgres.port())))).await;
    postgres.run(NOTES).await;
    postgres.run(LONG).await;
    let client = anon(&server);
    eventually("the tables", async || client.get("/rest/v1/long?limit=1").await.status == 200).await;
    server
}

#[tokio::test]
async fn over_a_slow_network_every_caller_gets_the_own_answer() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(postgres.port()).await;
    let server = behind(&postgres, &proxy, |options| options).await;
    proxy.set(Weather::Late(Duration::from_millis(100)));

    let mut requests = tokio::task::JoinSet::new();
    for number in 0..60 {
        let (id, text) = USERS[number % 2];
        let client = user(&server, id);
        requests.spawn(async move { (client.get("/rest/v1/diaries?select=text").await, text) });
    }

    while let Some(outcome) = requests.join_next().await {
        let (answer, text) = outcome.unwrap();
        answer.expect_status(200).expect_json(&json!([{ "text": text }]));
    }
}

/// The rows as they must come.
fn whole() -> Vec<i64> {
    (1..=900).collect()
}

fn ids(answer: &Answer) -> Vec<i64> {
    let rows = answer.json();
    rows.as_array().unwrap().iter().filter_map(|row: &Value| row["id"].as_i64()).collect()
}

#[tokio::test]
async fn an_answer_cut_anywhere_is_whole_an_error_or_visibly_broken_off() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(postgres.port()).await;
    let server = behind(&postgres, &proxy, |options| options).await;
    let (reader, writer) = (anon(&server), service(&server));
    let mut walk = Walk::new();
    let mut acknowledged = Vec::new();

    for round in 0..40 {
        proxy.cut_after(1 + walk.below(60_000));
        let path = "/rest/v1/long?order=id";
        // An error is an answer that visibly broke off.
        if let Ok(answer) = reader.try_send(Method::GET, path, None).await {
            match answer.status {
                200 => assert_eq!(ids(&answer), whole(), "seed {}, round {round}", walk.seed()),
                status => assert!(matches!(status, 503 | 504), "{status}: {}", answer.text()),
            }
        }
        proxy.cut_after(1 + walk.below(600));
        let body = json!({ "id": round });
        match writer.try_send(Method::POST, "/rest/v1/writes", Some(body)).await {
            Ok(answer) if answer.status == 201 => acknowledged.push(i64::from(round)),
            Ok(answer) => assert!(matches!(answer.status, 503 | 504), "{}: {}", answer.status, answer.text()),
            Err(_) => {}
        }
        // What is refused while no connection can be opened would not come to be cut.
        proxy.cut_after(0);
        eventually("service to return", async || reader.get("/rest/v1/notes").await.status == 200).await;
    }

    assert!(proxy.cuts() > 20, "only {} connections were cut", proxy.cuts());
    let answer = writer.get("/rest/v1/writes?order=id").await.expect_status(200);
    let present = ids(&answer);
    assert!(acknowledged.iter().all(|id| present.contains(id)), "{acknowledged:?} but {present:?}");
}

#[tokio::test]
async fn a_network_that_swallows_everything_ends_requests_at_their_limit() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(postgres.port()).await;
    let limits = |options: Options| {
        options
            .set("server.request_timeout", "2s")
            .set("database.acquire_timeout", "1s")
            .set("database.connect_timeout", "2s")
    };
    let server = behind(&postgres, &proxy, limits).await;
    let client = anon(&server);
    client.get("/rest/v1/notes").await.expect_status(200);

    proxy.set(Weather::Swallowed);

    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let client = client.clone();
        requests.spawn(async move { client.get("/rest/v1/notes").await });
    }
    while let Some(answer) = requests.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 503 | 504), "{}: {}", answer.status, answer.text());
    }
    eventually("readiness to go", async || client.get("/health/ready").await.status == 503).await;
    // The connections are lost for good: only new ones help, and they must come by themselves.
    proxy.set(Weather::Fine);
    proxy.reset();
    eventually("service to return", async || client.get("/rest/v1/notes").await.status == 200).await;
    eventually("readiness to return", async || client.get("/health/ready").await.status == 200).await;
}

#[tokio::test]
async fn connections_that_are_reset_under_load_lose_no_answer_silently() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(postgres.port()).await;
    let server = behind(&postgres, &proxy, |options| options).await;
    let (id, text) = USERS[0];
    let client = user(&server, id);

    let mut requests = tokio::task::JoinSet::new();
    for number in 0..300 {
        let client = client.clone();
        requests.spawn(async move { client.get("/rest/v1/diaries?select=text").await });
        if number % 30 == 29 {
            proxy.reset();
            let _answered = requests.join_next().await;
        }
    }

    while let Some(answer) = requests.join_next().await {
        let answer = answer.unwrap();
        match answer.status {
            200 => {
                answer.expect_json(&json!([{ "text": text }]));
            }
            status => assert!(matches!(status, 503 | 504), "{status}: {}", answer.text()),
        }
    }
    eventually("service", async || client.get("/rest/v1/diaries").await.status == 200).await;
}
