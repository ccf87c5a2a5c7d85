//! kill -9 of the server while objects are uploaded, overwritten, moved and removed, at random moments: after each restart
//! readers see of every key what was there before or after, whole; no bytes are there that nobody knows of; and when uploads
//! have had their time, nothing is left over (GF-ST-12, H21).
//!
//! `GOFORWARD_TEST_STORAGE_KILLS` makes it longer, `GOFORWARD_TEST_SEED` repeats the choices.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Answer, Client, Database, Options, Server, Walk, eventually, free_port};
use crate::storage::fsck::{age, files, fsck};

const KILLS: usize = 18;
const WRITERS: usize = 5;

/// What is at the two keys of a writer: the numbers of contents.
type State = [Option<u64>; 2];

/// Something that a writer does to them.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Put(usize, u64),
    Remove(usize),
    Move,
}

impl Deed {
    fn random(walk: &mut Walk, next: &AtomicU64) -> Self {
        match walk.below(8) {
            0..5 => Self::Put(walk.below(2), next.fetch_add(1, Ordering::SeqCst)),
            5 => Self::Remove(walk.below(2)),
            _ => Self::Move,
        }
    }

    /// What is there afterwards, if it happens.
    fn after(self, state: State) -> State {
        match self {
            Self::Put(0, number) => [Some(number), state[1]],
            Self::Put(_, number) => [state[0], Some(number)],
            Self::Remove(0) => [None, state[1]],
            Self::Remove(_) => [state[0], None],
            // Nothing is moved onto something.
            Self::Move if state[0].is_some() && state[1].is_none() => [None, state[0]],
            Self::Move => state,
        }
    }

    async fn ask(self, client: &Client, writer: usize) -> reqwest::Result<()> {
        let (method, path, body) = match self {
            Self::Put(key, number) => {
                let path = format!("/storage/v1/object/crash/{}", name(writer, key));
                let answer = client.request(Method::PUT, &path).body(content(number)).send().await?;
                let status = answer.status().as_u16();
                let said = answer.text().await?;
                assert_eq!(status, 200, "{said}");
                return Ok(());
            }
            Self::Remove(key) => {
                (Method::DELETE, format!("/storage/v1/object/crash/{}", name(writer, key)), None)
            }
            Self::Move => {
                let body = json!({ "bucketId": "crash", "sourceKey": name(writer, 0), "destinationKey": name(writer, 1) });
                (Method::POST, "/storage/v1/object/move".to_owned(), Some(body))
            }
        };
        client.try_send(method, &path, body).await.map(drop)
    }
}

fn name(writer: usize, key: usize) -> String {
    format!("{writer}/{}", ["a", "b"][key])
}

/// Bytes that tell their number and whether they are whole: a head with both, and a body of a few bytes or a few megabytes.
fn content(number: u64) -> Vec<u8> {
    let length = if number.is_multiple_of(3) { 1_500_000 + number % 7 * 600_000 } else { number % 5_000 };
    let body: Vec<u8> = (0..length).map(|at| (at.wrapping_mul(number | 1) >> 7).to_le_bytes()[0]).collect();
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend_from_slice(&Md5::digest(&body));
    bytes.extend_from_slice(&body);
    bytes
}

/// Which content it is; fails unless it is whole.
fn number_of(answer: &Answer) -> u64 {
    let (head, rest) = answer.body.split_first_chunk().expect("at least a head");
    let (digest, body) = rest.split_at(16);
    assert_eq!(digest, &Md5::digest(body)[..], "half a file, or a mixture");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    u64::from_le_bytes(*head)
}

/// Does things until the server is gone; gives what may be there.
async fn write(
    client: Client,
    writer: usize,
    state: State,
    (mut walk, next): (Walk, &AtomicU64),
) -> Vec<State> {
    let mut state = state;
    loop {
        let deed = Deed::random(&mut walk, next);
        let after = deed.after(state);
        if deed.ask(&client, writer).await.is_err() {
            return vec![state, after];
        }
        state = after;
    }
}

/// Reads everything until the server is gone: what comes whole is whole.
async fn read(client: Client) {
    loop {
        for writer in 0..WRITERS {
            for key in 0..2 {
                let path = format!("/storage/v1/object/crash/{}", name(writer, key));
                match client.try_send(Method::GET, &path, None).await {
                    Ok(answer) if answer.status == 200 => drop(number_of(&answer)),
                    Ok(answer) => assert_eq!(answer.json()["code"], "NoSuchKey", "{}", answer.text()),
                    Err(_) => return,
                }
            }
        }
    }
}

/// What is at the keys of a writer.
async fn seen(client: &Client, writer: usize) -> State {
    let mut state = [None, None];
    for (key, found) in state.iter_mut().enumerate() {
        let answer = client.get(&format!("/storage/v1/object/crash/{}", name(writer, key))).await;
        match answer.status {
            200 => *found = Some(number_of(&answer)),
            _ => drop(answer.expect_error(400, "NoSuchKey")),
        }
    }
    state
}

/// Every file is one that a row announces.
async fn all_files_are_announced(data: &Path, database: &Database) {
    let rows = database
        .value("select coalesce(string_agg(replace(version, '-', ''), ' '), '') from goforward.storage_blobs")
        .await;
    let rows: BTreeSet<&str> = rows.split(' ').collect();
    for file in files(data) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let version = name.split('#').next().unwrap();
        // The sweeper runs meanwhile.
        assert!(rows.contains(version) || !file.exists(), "nobody announced {name}");
    }
}

#[tokio::test]
async fn h21_kills_at_any_moment_leave_no_half_object_and_nothing_over() {
    let kills = std::env::var("GOFORWARD_TEST_STORAGE_KILLS").ok().and_then(|kills| kills.parse().ok());
    let home = tempfile::Builder::new().prefix("goforward-storage-").tempdir().unwrap();
    let (data, port, database) = (home.path().join("data"), free_port(), Database::create().await);
    let options = || Options::default().database(&database.url()).data(&data).port(port);
    let mut server = Server::start(options()).await;
    let key = server.keys().service_role_key;
    let client = Client::new(server.url()).apikey(&key).bearer(&key);
    client.post("/storage/v1/bucket", json!({ "name": "crash" })).await.expect_status(200);
    let next: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(1)));
    let (mut walk, mut states) = (Walk::new(), [State::default(); WRITERS]);

    for round in 0..kills.unwrap_or(KILLS) {
        let mut readers = JoinSet::new();
        readers.spawn(read(client.clone()));
        let mut writers = JoinSet::new();
        for (writer, state) in states.into_iter().enumerate() {
            let (client, walk) = (client.clone(), Walk::seeded(walk.below(usize::MAX) as u64));
            writers.spawn(async move { (writer, write(client, writer, state, (walk, next)).await) });
        }
        tokio::time::sleep(Duration::from_millis(20 + walk.below(600) as u64)).await;
        server.kill().await;
        while let Some(read) = readers.join_next().await {
            read.unwrap();
        }
        server = Server::start(options()).await;
        all_files_are_announced(&data, &database).await;
        while let Some(written) = writers.join_next().await {
            let (writer, possible) = written.unwrap();
            // What the killed server asked of the database may be done a moment later.
            let found = seen(&client, writer).await;
            assert!(
                possible.contains(&found),
                "writer {writer}, round {round}, seed {}: {found:?} is none of {possible:?}",
                walk.seed()
            );
            states[writer] = found;
        }
        let (code, report) = fsck(&data, &database, &[]);
        assert_eq!(code, 0, "round {round}, seed {}: {report}", walk.seed());
    }

    server.kill().await;
    age(&data, &database).await;
    // What it was removing is left to it for a while.
    database.run("update goforward.storage_blobs set claimed_until = null").await;
    let server = Server::start(options()).await;
    let objects = states.iter().flatten().flatten().count();
    let rows = "select count(*)::text from goforward.storage_blobs";
    eventually("what was left is swept", async || {
        files(&data).len() == objects && database.value(rows).await == objects.to_string()
    })
    .await;
    age(&data, &database).await;
    let (code, report) = fsck(&data, &database, &[]);
    assert_eq!((code, &report["found"]), (0, &json!(0)), "seed {}: {report}", walk.seed());
    for (writer, state) in states.iter().enumerate() {
        assert_eq!(seen(&client, writer).await, *state);
    }
    drop(server);
}
