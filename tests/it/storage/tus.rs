//! Resumable uploads by TUS 1.0 (GF-ST-11, H02, H16, H17): that they go on, whatever happens in between.

mod protocol;
mod rules;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use super::sweeping::blobs;
use super::{start, with};
use crate::harness::{Answer, Caller, Client, Options, Server, TestApp, eventually, free_port, resident_mib};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";
const UPLOADS: &str = "/storage/v1/upload/resumable";

/// How many uploads are being written to.
const HELD: &str = "select count(*)::text from goforward.tus_uploads where held_until > now()";

/// `Upload-Metadata`.
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect();
    pairs.join(",")
}

/// A client that speaks TUS.
pub fn tus(client: &Client) -> Client {
    client.clone().header("tus-resumable", "1.0.0")
}

/// Begins an upload of an object of this type, with these headers beside the usual ones.
pub async fn begin_as(client: &Client, path: &str, mime: &str, headers: &[(&str, &str)]) -> Answer {
    let (bucket, key) = path.split_once('/').unwrap();
    let said = metadata(&[
        ("bucketName", bucket),
        ("objectName", key),
        ("contentType", mime),
        ("cacheControl", "60"),
        ("metadata", r#"{"a":1}"#),
    ]);
    let mut request = tus(client).request(Method::POST, UPLOADS).header("upload-metadata", said);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request).await
}

/// Where a new upload is, without the server's address.
pub fn place(answer: Answer) -> String {
    let location = answer.expect_status(201).header("location").to_owned();
    location[location.find(UPLOADS).unwrap_or_else(|| panic!("{location}"))..].to_owned()
}

/// Begins an upload of so many bytes; where it is.
pub async fn begin(client: &Client, path: &str, length: usize) -> String {
    place(begin_as(client, path, "text/plain", &[("upload-length", &length.to_string())]).await)
}

/// Sends bytes of an upload.
pub async fn append(client: &Client, place: &str, offset: usize, bytes: impl Into<reqwest::Body>) -> Answer {
    let client = tus(client).header("upload-offset", &offset.to_string());
    client.send_text(Method::PATCH, place, "application/offset+octet-stream", bytes).await
}

/// How much of an upload is there.
async fn offset(client: &Client, place: &str) -> usize {
    tus(client).head(place).await.expect_status(200).header("upload-offset").parse().unwrap()
}

/// A body that is sent bit by bit, and whose end is in the hands of the test.
fn slow_body() -> (tokio::sync::mpsc::Sender<Vec<u8>>, reqwest::Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), receiver))
    });
    (sender, reqwest::Body::wrap_stream(pieces))
}

/// A request of Alice that announces more bytes from an offset on than it sends.
async fn half_sent(
    app: &TestApp,
    path: &str,
    (offset, announced): (usize, usize),
    bytes: &[u8],
) -> tokio::net::TcpStream {
    let token = Caller::user(ALICE).token(&app.server.keys().jwt_secret);
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ntus-resumable: 1.0.0\r\n\
         upload-offset: {offset}\r\ncontent-type: application/offset+octet-stream\r\ncontent-length: {announced}\r\n\r\n"
    );
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, bytes).await.unwrap();
    socket
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

async fn parts(app: &TestApp) -> String {
    app.database.value("select count(*)::text from goforward.tus_parts").await
}

#[tokio::test]
async fn an_upload_goes_on_where_its_connection_broke() {
    let app = start().await;
    let alice = app.user(ALICE);
    let bytes = noise(5_000_000);
    let path = begin(&alice, "private/folder/big.txt", bytes.len()).await;
    assert_eq!(append(&alice, &path, 0, bytes[..1_000_000].to_vec()).await.expect_status(204).body, b"");

    drop(half_sent(&app, &path, (1_000_000, 4_000_000), &bytes[1_000_000..3_000_001]).await);
    eventually("what arrived is kept", async || offset(&alice, &path).await == 3_000_001).await;

    eventually("the broken request lets go", async || app.database.value(HELD).await == "0").await;
    assert_eq!(append(&alice, &path, 1_000_000, bytes[1_000_000..].to_vec()).await.status, 409);
    let last = append(&alice, &path, 3_000_001, bytes[3_000_001..].to_vec()).await.expect_status(204);
    assert_eq!((last.header("upload-offset"), last.header("tus-complete")), ("5000000", "1"));

    let read = alice.get("/storage/v1/object/private/folder/big.txt").await.expect_status(200);
    assert!(read.body == bytes, "the bytes are those that were sent");
    assert_eq!((read.header("content-type"), read.header("cache-control")), ("text/plain", "max-age=60"));
    let info = alice.get("/storage/v1/object/info/private/folder/big.txt").await.json();
    assert_eq!(info["metadata"], json!({ "a": 1 }));
    let row = "select owner_id || ' ' || owner from storage.objects";
    assert_eq!(app.database.value(row).await, format!("{ALICE} {ALICE}"));
    eventually("the parts are swept", async || blobs(&app).await == (1, "1".into())).await;
    assert_eq!(parts(&app).await, "0");

    let shown = tus(&alice).head(&path).await.expect_status(200);
    assert_eq!((shown.header("upload-offset"), shown.header("upload-length")), ("5000000", "5000000"));
    let again = append(&alice, &path, 5_000_000, "").await.expect_status(204);
    assert_eq!(again.header("tus-complete"), "1", "a client that missed the answer gets it again");
    assert_eq!(tus(&alice).delete(&path).await.expect_status(400).text(), "The upload is finished");
}

#[tokio::test]
async fn h16_of_two_that_write_at_once_one_wins() {
    let app = start().await;
    let alice = app.user(ALICE);
    let path = begin(&alice, "private/a", 10).await;

    let (body, slow) = slow_body();
    let first = tokio::spawn({
        let (alice, path) = (alice.clone(), path.clone());
        async move { append(&alice, &path, 0, slow).await }
    });
    body.send(b"first".to_vec()).await.unwrap();
    eventually("the first writes", async || app.database.value(HELD).await == "1").await;
    let second = append(&alice, &path, 0, "secondtoo!").await.expect_status(423);
    assert_eq!(second.text(), "The resource is locked");
    assert_eq!(tus(&alice).delete(&path).await.status, 423);
    drop(body);
    assert_eq!(first.await.unwrap().expect_status(204).header("upload-offset"), "5");

    let writers = (0..8).map(|_| append(&alice, &path, 5, "12345"));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(writers).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses.iter().filter(|&&status| status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 409, 413, 423].contains(status)), "{statuses:?}");
    assert_eq!(alice.get("/storage/v1/object/private/a").await.text(), "first12345");
    eventually("nothing else is left", async || blobs(&app).await == (1, "1".into())).await;
}

#[tokio::test]
async fn h16_a_writer_that_died_locks_an_upload_for_a_while_only() {
    let app = start().await;
    let alice = app.user(ALICE);
    let path = begin(&alice, "private/a", 3).await;
    let hold = |until: &str| {
        format!(
            "update goforward.tus_uploads set holder = gen_random_uuid(), held_until = now() + interval '{until}'"
        )
    };
    app.database.run(&hold("1 minute")).await;
    assert_eq!(append(&alice, &path, 0, "abc").await.status, 423);
    app.database.run(&hold("-1 second")).await;
    append(&alice, &path, 0, "abc").await.expect_status(204);
    assert_eq!(alice.get("/storage/v1/object/private/a").await.text(), "abc");
}

#[tokio::test]
async fn an_upload_outlives_the_server_that_takes_it() {
    const MIB: usize = 1 << 20;
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let options =
        || Options::default().data(folder.path()).port(port).set("storage.file_size_limit", "100MB");
    let mut app = with(options()).await;
    let alice = app.user(ALICE);
    let bytes = noise(60 * MIB);
    let path = begin(&alice, "private/a", bytes.len()).await;
    let sending = half_sent(&app, &path, (0, bytes.len()), &bytes[..52 * MIB]).await;
    eventually("a part is there", async || offset(&alice, &path).await == 50 * MIB).await;
    eventually("the next one is coming", async || blobs(&app).await.1 == "2").await;
    app.server.kill().await;
    drop(sending);
    assert_eq!(app.database.value(HELD).await, "1", "what was killed lets nothing go");
    // However long the restart takes.
    app.database.run("update goforward.tus_uploads set held_until = now() + interval '1 hour'").await;
    app.server = Server::start(options().database(&app.database.url())).await;

    let rest = &bytes[50 * MIB..];
    assert_eq!(append(&alice, &path, 50 * MIB, rest.to_vec()).await.status, 423, "its lease goes on");
    let later = "update goforward.tus_uploads set held_until = now();
        update goforward.storage_blobs set touched_at = now() - interval '1 day'";
    app.database.run(later).await;
    append(&alice, &path, 50 * MIB, rest.to_vec()).await.expect_status(204);
    assert!(alice.get("/storage/v1/object/private/a").await.expect_status(200).body == bytes);
    eventually("what it left is swept", async || blobs(&app).await == (1, "1".into())).await;
}

#[tokio::test]
async fn a_connection_that_broke_unnoticed_gives_way_to_the_next_one() {
    let app = with(Options::default().set("server.read_timeout", "10m")).await;
    let alice = app.user(ALICE);
    let path = begin(&alice, "private/a", 6).await;
    let silent = half_sent(&app, &path, (0, 6), b"abc").await;
    eventually("the first writes", async || app.database.value(HELD).await == "1").await;
    eventually("the first lets go", async || append(&alice, &path, 3, "def").await.status == 204).await;
    assert_eq!(alice.get("/storage/v1/object/private/a").await.text(), "abcdef");
    drop(silent);
}

#[tokio::test]
async fn many_small_parts_are_joined_in_their_order() {
    let app = start().await;
    let alice = app.user(ALICE);
    let bytes = noise(700);
    let path = begin(&alice, "private/a", bytes.len()).await;
    let mut at = 0;
    // More than are looked up at a time.
    for size in std::iter::repeat_n(1, 600).chain([60, 0, 40]) {
        append(&alice, &path, at, bytes[at..at + size].to_vec()).await.expect_status(204);
        at += size;
    }
    assert_eq!(alice.get("/storage/v1/object/private/a").await.expect_status(200).body, bytes);
    eventually("the parts are swept", async || blobs(&app).await == (1, "1".into())).await;
}

#[tokio::test]
async fn parts_are_joined_on_every_backend() {
    let app = with(Options::default().set("storage.url", "memory:")).await;
    let alice = app.user(ALICE);
    let bytes = noise(2_500_000);
    let path = begin(&alice, "private/a", bytes.len()).await;
    append(&alice, &path, 0, bytes[..1_200_000].to_vec()).await.expect_status(204);
    append(&alice, &path, 1_200_000, bytes[1_200_000..].to_vec()).await.expect_status(204);
    assert!(alice.get("/storage/v1/object/private/a").await.expect_status(200).body == bytes);
    eventually("the parts are swept", async || blobs(&app).await.1 == "1").await;
}

#[tokio::test]
async fn an_upload_takes_no_memory_for_its_size() {
    const MIB: usize = 1 << 20;
    let app = with(Options::default().set("storage.file_size_limit", "100MB")).await;
    let service = app.service();
    let path = begin(&service, "private/a", 70 * MIB).await;
    let pieces = |count: usize| {
        let pieces = (0..count).map(|n| Ok::<_, std::io::Error>(vec![u8::try_from(n % 251).unwrap(); MIB]));
        reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
    };
    append(&service, &path, 0, pieces(1)).await.expect_status(204);
    let before = resident_mib(app.server.pid());
    append(&service, &path, MIB, pieces(60)).await.expect_status(204);
    assert_eq!(parts(&app).await, "3", "a large request is kept in several parts");
    append(&service, &path, 61 * MIB, pieces(9)).await.expect_status(204);
    let growth = resident_mib(app.server.pid()).saturating_sub(before);
    assert!(growth < 32, "{growth} MiB");
    let size = "select metadata ->> 'size' from storage.objects";
    assert_eq!(app.database.value(size).await, (70 * MIB).to_string());
}

#[tokio::test]
async fn h16_an_upload_that_expired_is_gone_with_its_bytes() {
    let app = with(Options::default().set("storage.tus_lifetime", "1m")).await;
    let alice = app.user(ALICE);
    let path = begin(&alice, "private/a", 6).await;
    append(&alice, &path, 0, "abc").await.expect_status(204);
    assert_eq!(blobs(&app).await.1, "1");
    let ends = "select (expires_at < now() + interval '1 minute')::text from goforward.tus_uploads";
    assert_eq!(app.database.value(ends).await, "true", "as it is configured");
    app.database.run("update goforward.tus_uploads set expires_at = now()").await;
    tus(&alice).head(&path).await.expect_status(410);
    assert_eq!(append(&alice, &path, 3, "def").await.expect_status(410).text(), "The upload has expired");
    assert_eq!(tus(&alice).delete(&path).await.status, 410);
    eventually("its bytes are swept", async || blobs(&app).await == (0, "0".into())).await;
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "0");
}

#[tokio::test]
async fn an_upload_that_nobody_wants_is_gone_with_its_bytes() {
    let app = start().await;
    let alice = app.user(ALICE);
    let path = begin(&alice, "private/a", 6).await;
    append(&alice, &path, 0, "abc").await.expect_status(204);
    // Parts of an upload that goes on are nobody's litter.
    app.database.run("update goforward.storage_blobs set touched_at = now() - interval '1 year'").await;
    app.service().post("/storage/v1/bucket/public/empty", json!({})).await.expect_status(200);
    assert_eq!(offset(&alice, &path).await, 3);
    assert_eq!(blobs(&app).await, (1, "1".into()));

    tus(&alice).delete(&path).await.expect_status(204);
    eventually("its bytes are swept", async || blobs(&app).await == (0, "0".into())).await;
    assert_eq!(tus(&alice).head(&path).await.status, 404);
    assert_eq!(append(&alice, &path, 3, "def").await.status, 404);
}
