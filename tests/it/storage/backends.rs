//! Backends other than a folder: a server of S3 that others made, and backends that are down or come back.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::fsck::fsck_with;
use super::tus::{append, begin};
use super::{refusal, upload, with};
use crate::harness::{Client, Options, TestApp, eventually, free_port};

/// What a variable names. Without it the test does not run, and says so where the harness does not hide it.
pub(super) fn program(variable: &str, name: &str) -> Option<OsString> {
    let program = std::env::var_os(variable);
    if program.is_none() {
        let _shown = writeln!(std::io::stderr(), "NOT RUN: {variable} names no {name}");
    }
    program
}

/// Waits until a program of others answers, which may take long to start; fails when it has ended.
pub(super) async fn answers(child: &mut Child, url: &str) {
    let (client, deadline) = (Client::new(url.to_owned()), Instant::now() + Duration::from_mins(3));
    while client.try_get("").await.is_none() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        assert!(Instant::now() < deadline, "no answer from {url}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The program moto_server, an S3 that keeps everything in memory; ended when dropped.
pub(super) struct Moto {
    child: Child,
    pub(super) url: String,
}

impl Moto {
    /// None where it is not installed; `scripts/test` does that, and says where it is.
    pub(super) async fn start(port: u16) -> Option<Self> {
        let program = program("GOFORWARD_TEST_MOTO", "moto_server")?;
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        answers(&mut moto.child, &moto.url).await;
        moto.client().send(Method::PUT, "/bytes", None).await.expect_status(200);
        Some(moto)
    }

    fn client(&self) -> Client {
        Client::new(self.url.clone())
    }

    /// How many blobs there are.
    async fn blobs(&self) -> usize {
        self.client().get("/bytes?list-type=2").await.expect_status(200).text().matches("<Key>here/").count()
    }

    /// How many uploads have been begun and neither completed nor given up.
    async fn open_uploads(&self) -> usize {
        self.client().get("/bytes?uploads").await.expect_status(200).text().matches("<Upload>").count()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn on_s3(url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("storage.url", "s3://bytes/here".to_owned()),
        ("storage.s3.endpoint", url.to_owned()),
        ("storage.s3.region", "us-east-1".to_owned()),
        ("storage.s3.access_key_id", "id".to_owned()),
        ("storage.s3.secret_access_key", "key".to_owned()),
    ]
}

pub(super) fn options(settings: &[(&'static str, String)]) -> Options {
    settings.iter().fold(Options::default(), |options, (key, value)| options.set(key, value))
}

fn long() -> Vec<u8> {
    (0..20_000_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect()
}

async fn read(client: &Client, name: &str) -> Vec<u8> {
    client.get(&format!("/storage/v1/object/private/{name}")).await.expect_status(200).body
}

/// What every backend must do.
pub(super) async fn works(app: &TestApp) {
    let service = app.service();
    upload(&service, "private/a", "one").await.expect_status(200);
    upload(&service, "private/empty", "").await.expect_status(200);
    assert_eq!(read(&service, "a").await, b"one");
    assert_eq!(read(&service, "empty").await, b"");
    service
        .send_text(Method::PUT, "/storage/v1/object/private/a", "text/plain", "another")
        .await
        .expect_status(200);
    assert_eq!(read(&service, "a").await, b"another");

    upload(&service, "private/long", long()).await.expect_status(200);
    assert!(read(&service, "long").await == long());
    let range = service.clone().header("range", "bytes=8388600-8388619");
    let part = range.get("/storage/v1/object/private/long").await.expect_status(206);
    assert_eq!(part.body, &long()[8_388_600..8_388_620]);

    let (from, to) = ("long", "folder/moved");
    let body = json!({ "bucketId": "private", "sourceKey": from, "destinationKey": to });
    service.post("/storage/v1/object/move", body).await.expect_status(200);
    let body = json!({ "bucketId": "private", "sourceKey": to, "destinationKey": "copy" });
    service.post("/storage/v1/object/copy", body).await.expect_status(200);
    assert!(read(&service, "copy").await == long());
    let listed =
        service.post("/storage/v1/object/list/private", json!({ "prefix": "" })).await.expect_status(200);
    let listed = listed.json();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["a", "copy", "empty", "folder"]);
    let gone = json!({ "prefixes": ["folder/moved", "empty"] });
    service.send(Method::DELETE, "/storage/v1/object/private", Some(gone)).await.expect_status(200);
}

/// That bytes and rows agree after [`works`].
pub(super) async fn nothing_is_left_over(app: &TestApp, settings: &[(&'static str, String)]) {
    let variables: Vec<(String, String)> = settings
        .iter()
        .map(|(key, value)| (format!("GOFORWARD_{}", key.replace('.', "__").to_uppercase()), value.clone()))
        .collect();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (code, report) = fsck_with(app.server.data(), &app.database, &[], &variables);
    assert_eq!((code, &report["blobs"], &report["objects"]), (0, &json!(2), &json!(2)), "{report}");
}

#[tokio::test]
async fn an_s3_server_holds_the_bytes_and_nothing_else() {
    let Some(moto) = Moto::start(free_port()).await else { return };
    let settings = on_s3(&moto.url);
    let app = with(options(&settings)).await;
    works(&app).await;
    eventually("what was replaced and removed is swept", async || moto.blobs().await == 2).await;
    // More than a bucket takes, in several parts.
    let small = json!({ "name": "small", "file_size_limit": 18_000_000 });
    app.service().post("/storage/v1/bucket", small).await.expect_status(200);
    let pieces = futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1_000_000])));
    let answer = upload(&app.service(), "small/a", reqwest::Body::wrap_stream(pieces)).await;
    assert_eq!(refusal(&answer).2, "EntityTooLarge");
    eventually("nothing of it is left", async || (moto.open_uploads().await, moto.blobs().await) == (0, 2))
        .await;

    nothing_is_left_over(&app, &settings).await;
}

#[tokio::test]
async fn a_backend_that_is_down_is_said_to_be_unavailable_and_serves_again_when_it_is_back() {
    let port = free_port();
    let app = with(options(&on_s3(&format!("http://127.0.0.1:{port}")))).await;
    let service = app.service();
    for _ in 0..2 {
        let answer = upload(&service, "private/a", "one").await;
        assert_eq!(refusal(&answer), (503, "503".into(), "ServiceUnavailable".into()));
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert!(app.server.log().contains("the storage backend failed"), "{}", app.server.log());
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "0");
    service.get("/health/ready").await.expect_status(200);

    let Some(moto) = Moto::start(port).await else { return };
    upload(&service, "private/a", "one").await.expect_status(200);
    assert_eq!(read(&service, "a").await, b"one");
    let rows = "select count(*)::text from goforward.storage_blobs";
    eventually("what failed is swept", async || app.database.value(rows).await == "1").await;
    assert_eq!(moto.blobs().await, 1);
    drop(moto);
    let answer = service.get("/storage/v1/object/private/a").await;
    assert_eq!(refusal(&answer), (503, "503".into(), "ServiceUnavailable".into()));
}

/// A service that takes everything, and answers requests of some kind, by head and content, only as it is let go.
async fn that_holds(is_held: fn(&str, &str) -> bool) -> (String, Arc<Semaphore>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (released, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let shared = (Arc::clone(&released), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (released, asked) = shared.clone();
            tokio::spawn(async move {
                let mut socket = BufReader::new(socket);
                while let Some((head, body)) = request(&mut socket).await {
                    if is_held(&head, &body) {
                        asked.fetch_add(1, Ordering::Relaxed);
                        released.acquire().await.unwrap().forget();
                    }
                    let content = if body.contains("<Delete") {
                        "<DeleteResult><Deleted><Key>x</Key></Deleted></DeleteResult>"
                    } else if head.contains("?uploads") {
                        "<InitiateMultipartUploadResult><UploadId>x</UploadId></InitiateMultipartUploadResult>"
                    } else if head.starts_with("POST") {
                        "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
                    } else {
                        ""
                    };
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: {}\r\n\r\n{content}",
                        content.len()
                    );
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, released, asked)
}

/// The head and the content of the next request of a connection.
async fn request(socket: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let from = head.len();
        if socket.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
        let line = head[from..].trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn a_backend_that_takes_its_time_to_remove_holds_no_connection_to_the_database() {
    let is_removal = |head: &str, body: &str| head.starts_with("DELETE") || body.contains("<Delete");
    let (url, released, asked) = that_holds(is_removal).await;
    let app = with(options(&on_s3(&url)).set("database.max_connections", "8")).await;
    let service = app.service();
    for name in ["a", "b"] {
        upload(&service, &format!("private/{name}"), name).await.expect_status(200);
    }
    service.delete("/storage/v1/object/private/a").await.expect_status(200);
    eventually("it is being removed", async || asked.load(Ordering::Relaxed) == 1).await;
    let open = "select count(*)::text from pg_stat_activity
        where datname = current_database() and state like 'idle in transaction%'";
    eventually("nobody waits in a transaction", async || app.database.value(open).await == "0").await;
    let blobs = "select string_agg(state || ' ' || (claimed_until > now()), ', ' order by state) from goforward.storage_blobs";
    assert_eq!(app.database.value(blobs).await, "dead true", "it is somebody's to remove");
    upload(&service, "private/c", "c").await.expect_status(200);
    service.delete("/storage/v1/object/private/b").await.expect_status(200);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "one sweeper at a time");

    released.add_permits(100);
    let left = "select string_agg(state, ',') from goforward.storage_blobs";
    eventually("all are removed", async || app.database.value(left).await == "stored").await;
    assert_eq!(asked.load(Ordering::Relaxed), 2, "each once");
}

#[tokio::test]
async fn who_gets_no_memory_for_an_upload_in_time_is_told_to_come_again() {
    let (url, released, asked) = that_holds(|head, _| head.contains("partNumber=")).await;
    let one_part = options(&on_s3(&url)).set("storage.upload_memory", "8MB").set("server.read_timeout", "3s");
    let app = with(one_part).await;
    let service = app.service();
    let another = || upload(&service, "private/b", vec![b'x'; 2_000_000]);
    let meanwhile = async {
        eventually("a part is on its way", async || asked.load(Ordering::Relaxed) == 1).await;
        let refused = another().await;
        assert_eq!(refusal(&refused), (503, "503".into(), "ServiceUnavailable".into()));
        assert_eq!(refused.header("retry-after"), "1");
        let resumable = begin(&service, "private/c", 2_000_000).await;
        let refused = append(&service, &resumable, 0, vec![b'x'; 2_000_000]).await.expect_status(503);
        assert_eq!(refused.header("retry-after"), "1");
        upload(&service, "private/small", "small").await.expect_status(200);
        released.add_permits(100);
    };
    let (first, ()) = tokio::join!(upload(&service, "private/a", long()), meanwhile);
    first.expect_status(200);
    another().await.expect_status(200);
    let rows = "select string_agg(state, ',') from goforward.storage_blobs";
    eventually("nothing is half", async || app.database.value(rows).await == "stored,stored,stored").await;
}
