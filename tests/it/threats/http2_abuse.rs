//! Threat I02: what HTTP/2 lets a client ask for at no cost to itself. The connection is ended or held to its limits, others
//! are served meanwhile, and nothing of it is left behind.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Database, Options, PATIENCE, TestApp, idle, resident_mib};
use crate::rest::SHOP;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// `GET http /`, in HPACK.
const GET_ROOT: &[u8] = &[0x82, 0x86, 0x84];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The kinds of whole frames.
fn kinds(bytes: &[u8]) -> Vec<u8> {
    let (mut kinds, mut rest) = (Vec::new(), bytes);
    while let [a, b, c, kind, ..] = rest {
        kinds.push(*kind);
        rest = rest.get(9 + u32::from_be_bytes([0, *a, *b, *c]) as usize..).unwrap_or_default();
    }
    kinds
}

/// A server whose patience with clients who do not read is short.
async fn app() -> TestApp {
    let database = Database::create().await;
    database.run(SHOP).await;
    TestApp::on(database, Options::default().set("server.write_timeout", "1s")).await
}

/// Sends the frames while it reads; the kinds of all that came until the server closed.
async fn attack(port: u16, frames: Vec<u8>) -> Vec<u8> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        let mut all = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        all.extend(frames);
        // The server may close before it has read everything.
        let _sent = writing.write_all(&all).await;
        writing
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server keeps the connection");
    drop(sending.await);
    kinds(&answer)
}

/// Runs four attacks at once; fails unless others are served meanwhile and the server comes to rest.
async fn all_at_once(app: &TestApp, frames: &[u8]) -> Vec<Vec<u8>> {
    let before = resident_mib(app.server.pid());
    let mut attacks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        attacks.spawn(attack(app.server.port(), frames.to_vec()));
    }
    let other = app.anon();
    for _ in 0..20 {
        other.get("/rest/v1/products?limit=1").await.expect_status(200);
    }
    let seen = attacks.join_all().await;
    other.get("/rest/v1/products?limit=1").await.expect_status(200);
    idle(app.server.pid()).await;
    let after = resident_mib(app.server.pid());
    assert!(after < before + 40, "{before} MiB before, {after} MiB after");
    seen
}

fn told_to_go(seen: &[Vec<u8>]) {
    for kinds in seen {
        assert!(kinds.contains(&GOAWAY), "no GOAWAY among {} frames", kinds.len());
    }
}

#[tokio::test]
async fn streams_opened_only_to_be_reset_end_the_connection() {
    let app = app().await;
    let mut frames = Vec::new();
    for stream in (1..20_000).step_by(2) {
        frames.extend(frame(HEADERS, 5, stream, GET_ROOT));
        frames.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }

    told_to_go(&all_at_once(&app, &frames).await);
}

#[tokio::test]
async fn a_head_that_never_ends_ends_the_connection() {
    let app = app().await;
    let mut frames = frame(HEADERS, 1, 1, GET_ROOT);
    // A literal header of 1,000 bytes in each, none of them the last.
    let header = [&[0x00, 0x01, b'x', 0x7f, 0xe9, 0x06][..], &[b'y'; 1000]].concat();
    for _ in 0..5_000 {
        frames.extend(frame(CONTINUATION, 0, 1, &header));
    }

    told_to_go(&all_at_once(&app, &frames).await);
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_one_by_one_and_then_all() {
    let app = app().await;
    let mut frames = Vec::new();
    // Requests whose bodies never come.
    for stream in (1..20_000).step_by(2) {
        frames.extend(frame(HEADERS, 4, stream, &[0x83, 0x86, 0x84]));
    }

    told_to_go(&all_at_once(&app, &frames).await);
}

#[tokio::test]
async fn data_for_streams_that_there_are_not_ends_the_connection() {
    let app = app().await;
    let frames = [frame(HEADERS, 5, 1, GET_ROOT), frame(DATA, 0, 9, &[0; 100]).repeat(100)].concat();

    told_to_go(&all_at_once(&app, &frames).await);
}

/// Floods the server with frames that ask for an answer each, and reads none of them.
async fn unread_flood(port: u16, frames: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let flood = async { while stream.write_all(frames).await.is_ok() {} };
    // The answers that nobody reads fill up, the server stops reading, and after its patience it closes.
    tokio::time::timeout(PATIENCE, flood).await.expect("the server keeps a connection that does not read");
}

#[tokio::test]
async fn floods_that_ask_for_answers_and_read_none_are_cut() {
    let app = app().await;
    let before = resident_mib(app.server.pid());
    for flood in [frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]), frame(PING, 0, 0, &[7; 8])] {
        let frames = flood.repeat(1_000);
        let mut floods = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (port, frames) = (app.server.port(), frames.clone());
            floods.spawn(async move { unread_flood(port, &frames).await });
        }
        let other = app.anon();
        while floods.try_join_next().is_none() {
            other.get("/rest/v1/products?limit=1").await.expect_status(200);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        floods.join_all().await;
    }

    idle(app.server.pid()).await;
    let after = resident_mib(app.server.pid());
    assert!(after < before + 40, "{before} MiB before, {after} MiB after");
    app.anon().get("/rest/v1/products?limit=1").await.expect_status(200);
}
