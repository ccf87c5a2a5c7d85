//! kill -9 of the server and of PostgreSQL under write load, twenty rounds: every acknowledged write is there, and service
//! returns by itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Mutex;

use crate::harness::{Client, Options, Server, Walk, eventually, free_port};

const ROUNDS: usize = 20;
const WRITERS: usize = 8;
const TABLE: &str = "create table writes (id bigint primary key, text text not null);
    alter table writes enable row level security;
    create policy p on writes using (true) with check (true)";

/// What the writers share.
#[derive(Default)]
struct Ledger {
    next: AtomicI64,
    acknowledged: Mutex<BTreeSet<i64>>,
    is_over: AtomicBool,
}

#[tokio::test]
async fn every_acknowledged_write_survives_twenty_kills() {
    let home = tempfile::Builder::new().prefix("goforward-crash-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    let port = free_port();
    let options = || Options::default().data(&data).port(port);
    let mut server = Server::start(options()).await;
    create_table(&server).await;
    let key = server.keys().service_role_key;
    let client = Client::new(server.url()).apikey(&key);
    eventually("the table", async || client.get("/rest/v1/writes?limit=1").await.status == 200).await;
    let ledger = Arc::new(Ledger::default());
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(keep_writing(client.clone(), Arc::clone(&ledger)));
    }
    let mut walk = Walk::new();

    for round in 0..ROUNDS {
        let before = ledger.acknowledged.lock().await.len();
        eventually("writes to go on", async || ledger.acknowledged.lock().await.len() > before + 20).await;
        server = killed_by_turns((&mut walk, round), server, options(), &data).await;
        eventually("service to return by itself", async || {
            client.try_get("/rest/v1/writes?limit=1").await.is_some_and(|answer| answer.status == 200)
        })
        .await;
    }

    ledger.is_over.store(true, Ordering::SeqCst);
    while writers.join_next().await.is_some() {}
    let present = all_ids(&client).await;
    let acknowledged = ledger.acknowledged.lock().await;
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    let halves = client.get("/rest/v1/writes?select=id&text=neq.whole").await.expect_status(200);
    halves.expect_json(&json!([]));
}

async fn create_table(server: &Server) {
    let url = server.keys().database_url.expect("an embedded database");
    PgConnection::connect(&url).await.unwrap().execute(sqlx::raw_sql(TABLE)).await.unwrap();
}

/// Writes until the end; a write counts as acknowledged once its 201 has arrived.
async fn keep_writing(client: Client, ledger: Arc<Ledger>) {
    while !ledger.is_over.load(Ordering::SeqCst) {
        let id = ledger.next.fetch_add(1, Ordering::SeqCst);
        let body = json!({ "id": id, "text": "whole" });
        match client.try_send(reqwest::Method::POST, "/rest/v1/writes", Some(body)).await {
            Ok(answer) if answer.status == 201 => {
                ledger.acknowledged.lock().await.insert(id);
            }
            Ok(answer) => {
                assert!(matches!(answer.status, 503 | 504), "{}: {}", answer.status, answer.text());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn all_ids(client: &Client) -> BTreeSet<i64> {
    let mut ids = BTreeSet::new();
    loop {
        let last = ids.last().copied().unwrap_or(-1);
        let page = client
            .get(&format!("/rest/v1/writes?select=id&order=id&id=gt.{last}&limit=1000"))
            .await
            .expect_status(200)
            .json();
        let rows = page.as_array().unwrap();
        if rows.is_empty() {
            return ids;
        }
        ids.extend(rows.iter().filter_map(|row: &Value| row["id"].as_i64()));
    }
}

/// Kills the server, PostgreSQL or both, by turns and anywhere in the work, and waits for the successor.
pub async fn killed_by_turns(
    (walk, round): (&mut Walk, usize),
    server: Server,
    options: Options,
    data: &Path,
) -> Server {
    tokio::time::sleep(Duration::from_millis(walk.below(80) as u64)).await;
    match round % 3 {
        0 => killed_and_started(server, options).await,
        1 => {
            let killed = kill_postgres(data);
            // Its children may still answer for a moment: wait for its successor.
            eventually("a new PostgreSQL", async || postgres(data).is_some_and(|pid| pid != killed)).await;
            server
        }
        _ => {
            kill_postgres(data);
            killed_and_started(server, options).await
        }
    }
}

/// A server killed on the spot, and its successor.
async fn killed_and_started(mut server: Server, options: Options) -> Server {
    server.kill().await;
    Server::start(options).await
}

/// The process id that the embedded PostgreSQL wrote down.
fn postgres(data: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(find_pid_file(data)?).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// Kills the embedded PostgreSQL on the spot; its process id.
fn kill_postgres(data: &Path) -> i32 {
    let pid = postgres(data).expect("postmaster.pid");
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    pid
}

fn find_pid_file(data: &Path) -> Option<std::path::PathBuf> {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()) {
            if path.ends_with("postmaster.pid") {
                return Some(path);
            }
            if path.is_dir() && !path.ends_with("base") {
                folders.push(path);
            }
        }
    }
    None
}
