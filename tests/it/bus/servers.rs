//! Several servers on one database: what ends on one is told to the others, limits are shared, and nothing fails
//! where Redis does (threats I10 and L08, features GF-AUTH-11 and GF-GW-03).

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

use crate::auth::{client, options, sign_in, signed_in, user};
use crate::harness::{Client, Nodes, Options, RedisServer, Socket, TestApp, eventually, run_command};

const NOTES: &str = "create table notes (id int); alter table notes enable row level security;
    grant select on notes to anon, authenticated";

async fn start(count: usize, options: impl Fn() -> Options) -> Nodes {
    Nodes::start(count, NOTES, options).await
}

fn with_redis(redis: &RedisServer) -> impl Fn() -> Options {
    let url = redis.url();
    move || options().environment("REDIS_URL", &url)
}

/// A counter of each node; `name` as in the line of the metrics, with its labels.
async fn counted(nodes: &Nodes, name: &str) -> Vec<u32> {
    let asked = nodes.admins.iter().map(async |admin| {
        let metrics = admin.get("/metrics").await.text();
        let count = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        count.map_or(0, |count| count.parse().unwrap())
    });
    futures_util::future::join_all(asked).await
}

/// Logs out on one node: another one is told, and then its REST and realtime know it.
async fn logout_crosses(nodes: &Nodes) {
    user(&nodes.app, "ada@example.com").await;
    let session = sign_in(&client(&nodes.app), "ada@example.com", crate::auth::PASSWORD)
        .await
        .expect_status(200)
        .json();
    let token = session["access_token"].as_str().unwrap();
    let key = nodes.app.server.keys().anon_key;
    let elsewhere = Client::new(nodes.others[0].url()).apikey(&key).bearer(token);
    let mut socket = Socket::connect(nodes.others[0].port(), "2.0.0", &key).await.unwrap();
    assert!(socket.try_join("realtime:a", json!({"access_token": token})).await.is_ok());
    elsewhere.get("/rest/v1/notes").await.expect_status(200);
    let told = async || counted(nodes, r#"goforward_bus_received_total{subject="sessions"}"#).await[1];
    let before = told().await;

    signed_in(&nodes.app, &session).post("/auth/v1/logout?scope=local", Value::Null).await.expect_status(204);

    eventually("the other node to be told", async || told().await > before).await;
    eventually("REST to know it", async || elsewhere.get("/rest/v1/notes").await.status == 401).await;
    socket.event("phx_close").await;
}

#[tokio::test]
async fn a_logout_is_told_to_other_nodes_by_postgres() {
    let nodes = start(2, options).await;
    nodes.acquainted(2, "postgres").await;
    assert_eq!(nodes.health().await[0]["rate_limits"], "own");
    logout_crosses(&nodes).await;
}

#[tokio::test]
async fn a_logout_is_told_to_other_nodes_by_redis() {
    let redis = RedisServer::start().await;
    let nodes = start(2, with_redis(&redis)).await;
    nodes.acquainted(2, "redis").await;
    logout_crosses(&nodes).await;
}

/// How much each node has heard that no node has said.
async fn ignored(nodes: &Nodes) -> Vec<u32> {
    counted(nodes, "goforward_bus_ignored_total").await
}

#[tokio::test]
async fn who_may_use_the_database_neither_reads_what_nodes_tell_each_other_nor_speaks_for_one() {
    let nodes = start(2, options).await;
    nodes.acquainted(2, "postgres").await;
    let mut listener = PgListener::connect(&nodes.app.database.url()).await.unwrap();
    listener.listen("goforward_bus").await.unwrap();
    let key = nodes.app.server.keys().service_role_key;
    let mut here = Socket::connect(nodes.app.server.port(), "2.0.0", &key).await.unwrap();
    let mut there = Socket::connect(nodes.others[0].port(), "2.0.0", &key).await.unwrap();
    for socket in [&mut here, &mut there] {
        socket.join("realtime:room", json!({"private": true})).await;
    }

    here.broadcast("realtime:room", "said", json!({"text": "a word in private"})).await;
    assert_eq!(there.event("broadcast").await.payload["payload"]["text"], "a word in private");
    here.broadcast("realtime:room", "said", json!({"text": "x".repeat(3_000)})).await;
    there.event("broadcast").await;

    let mut recorded = Vec::new();
    // The long one is the last that was said.
    while recorded.last().is_none_or(|frame: &Vec<u8>| frame.len() < 3_000) {
        let notification = listener.recv().await.unwrap();
        recorded.push(STANDARD.decode(notification.payload()).unwrap());
    }
    for frame in &recorded {
        for told in [&b"a word in private"[..], b"room", b"said", b"xxxxxxxx"] {
            assert!(!frame.windows(told.len()).any(|part| part == told));
        }
    }

    // What a node without secrets would say as it comes, what was said before, and that with another time.
    let greeting = [&[1, 0x10][..], &7_u64.to_be_bytes(), &[0; 24]].concat();
    let mut changed = recorded.last().unwrap().clone();
    changed[30] ^= 1;
    let forged: Vec<Vec<u8>> = recorded.into_iter().chain([greeting, changed]).collect();
    let before = ignored(&nodes).await;
    for frame in &forged {
        let payload = STANDARD.encode(frame);
        nodes.app.database.run(&format!("select pg_notify('goforward_bus', '{payload}')")).await;
    }

    let expected = u32::try_from(forged.len()).unwrap();
    eventually("all of it to be counted", async || {
        let now = ignored(&nodes).await;
        now.iter().zip(&before).all(|(now, before)| now - before == expected)
    })
    .await;
    nodes.acquainted(2, "postgres").await;
    here.broadcast("realtime:room", "after", json!({})).await;
    assert_eq!(there.event("broadcast").await.payload["event"], "after");
}

#[tokio::test]
async fn i10_a_limit_holds_over_three_nodes() {
    let redis = RedisServer::start().await;
    let limit = "server:\n  rate_limits:\n    per_ip:\n      requests: 100\n      period: 600s\n";
    let nodes = start(3, || with_redis(&redis)().config(limit)).await;
    nodes.acquainted(3, "redis").await;
    for _ in 0..10 {
        let before = losses(&nodes);
        eventually("the limits to be shared", async || are_shared(&nodes).await).await;
        redis.ask(&[b"FLUSHALL"]).await;
        let asked = nodes.anons().into_iter().map(async |client| {
            let mut passed = 0;
            for _ in 0..60 {
                match client.get("/rest/v1/notes").await.status {
                    200 => passed += 1,
                    status => assert_eq!(status, 429),
                }
            }
            passed
        });
        let passed: Vec<u32> = futures_util::future::join_all(asked).await;
        // A node to which Redis was slow has counted for itself.
        if are_shared(&nodes).await && losses(&nodes) == before {
            assert!((90..=110).contains(&passed.iter().sum::<u32>()), "{passed:?}");
            return;
        }
    }
    panic!("Redis was slow each time");
}

async fn are_shared(nodes: &Nodes) -> bool {
    nodes.health().await.iter().all(|health| health["rate_limits"] == "shared")
}

/// How often a node has found that it must count for itself.
fn losses(nodes: &Nodes) -> usize {
    let servers = [&nodes.app.server].into_iter().chain(&nodes.others);
    let said = "rate limits are counted by each node for itself";
    servers.map(|server| server.log().matches(said).count()).sum()
}

#[tokio::test]
async fn l08_nothing_fails_where_redis_does() {
    let mut redis = RedisServer::start().await;
    let limit = "server:\n  rate_limits:\n    per_ip:\n      requests: 100000\n      period: 60s\n";
    let nodes = start(2, || with_redis(&redis)().config(limit)).await;
    nodes.acquainted(2, "redis").await;
    let session = user(&nodes.app, "ada@example.com").await;
    let me = signed_in(&nodes.app, &session);
    let works = async |what: &str| {
        for _ in 0..20 {
            me.get("/rest/v1/notes").await.expect_status(200);
            me.get("/auth/v1/user").await.expect_status(200);
            let started = Instant::now();
            for anon in nodes.anons() {
                anon.get("/rest/v1/notes").await.expect_status(200);
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{what}: {:?}", started.elapsed());
        }
        sign_in(&client(&nodes.app), "ada@example.com", crate::auth::PASSWORD).await.expect_status(200);
    };
    works("while it answers").await;
    redis.ask(&[b"FLUSHALL"]).await;
    works("flushed").await;
    redis.hang();
    works("while it hangs").await;
    redis.go_on();
    works("after that").await;
    redis.kill();
    works("killed").await;
    eventually("the loss to be shown", async || {
        nodes.health().await.iter().all(|health| {
            health["bus"]["connected"] == false && health["rate_limits"] == "own, as Redis does not answer"
        })
    })
    .await;
    assert!(nodes.health().await.iter().all(|health| health["status"] == "ok"));
    redis.begin().await;
    nodes.acquainted(2, "redis").await;
    works("started again").await;
    assert!(!nodes.app.server.log().contains("ERROR"), "{}", nodes.app.server.log());
}

#[tokio::test]
async fn a_server_starts_without_its_redis() {
    let redis = RedisServer::down();
    let nodes = start(1, with_redis(&redis)).await;
    let is_there = async || nodes.anons()[0].get("/rest/v1/notes").await.status == 200;
    eventually("the table", is_there).await;
    assert_eq!(nodes.health().await[0]["bus"], json!({"carrier": "redis", "connected": false, "peers": 0}));
}

#[tokio::test]
async fn the_doctor_says_whether_redis_answers() {
    let mut redis = RedisServer::start().await;
    let app = TestApp::start().await;
    let (database, url) = (app.database.url(), redis.url());
    let findings = || {
        let environment = [("DATABASE_URL", database.as_str()), ("REDIS_URL", url.as_str())];
        let output = run_command(&["doctor", "--json"], &environment);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(findings().contains("nodes share messages and rate limits"), "{}", findings());
    redis.kill();
    assert!(findings().contains("until it does, each node is for itself"), "{}", findings());
}

#[tokio::test]
async fn a_wrong_address_is_refused_and_not_shown() {
    let environment = [("REDIS_URL", "http://user:hunter2@host")];
    let output = run_command(&["config", "print"], &environment);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("redis.url"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
