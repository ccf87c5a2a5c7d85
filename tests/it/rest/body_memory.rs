//! The memory that the bodies of all requests may take together.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::SHOP;
use crate::harness::{Answer, Database, Options, TestApp, eventually};

/// What an unfinished request holds of the one megabyte that there is.
const HELD: usize = 900 * 1024;

/// A request whose body lacks its last byte.
async fn unfinished(app: &TestApp) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
    let key = app.server.keys().anon_key;
    let head = format!(
        "POST /rest/v1/rpc/whoami HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{{}}",
        HELD + 2
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may be refused on the way.
    let _sent = stream.write_all(&vec![b' '; HELD - 1]).await;
    stream
}

async fn small_server() -> TestApp {
    let database = Database::create().await;
    database.run(SHOP).await;
    TestApp::on(database, Options::default().set("server.body_memory", "1MB")).await
}

/// A request that is too large to be in memory beside the unfinished one.
async fn send_large(app: &TestApp) -> Answer {
    let body = format!("{{}}{}", " ".repeat(300 * 1024));
    app.anon().send_text(Method::POST, "/rest/v1/rpc/whoami", "application/json", body).await
}

#[tokio::test]
async fn a_body_that_finds_no_memory_is_refused_and_those_that_have_theirs_are_served() {
    let app = small_server().await;
    send_large(&app).await.expect_status(200);

    // Of two that arrive at the same moment either may be refused, so until it is the second.
    eventually("the second to be refused", async || {
        let mut first = unfinished(&app).await;
        let refused = send_large(&app).await;
        if refused.status == 200 {
            return false;
        }
        app.anon().post("/rest/v1/rpc/whoami", json!({})).await.expect_status(200);
        // The server may have answered and closed.
        let _sent = first.write_all(b" ").await;
        let mut answer = String::new();
        let _read = first.read_to_string(&mut answer).await;
        let refused = refused.expect_error(503, "body_memory_full");
        assert_eq!(refused.header("retry-after"), "1");
        answer.starts_with("HTTP/1.1 200")
    })
    .await;

    eventually("the memory to be free", async || send_large(&app).await.status == 200).await;
}

#[tokio::test]
async fn a_body_whose_client_leaves_gives_its_memory_back() {
    let app = small_server().await;
    let mut first = None;
    eventually("a refusal", async || {
        first = Some(unfinished(&app).await);
        send_large(&app).await.status == 503
    })
    .await;

    drop(first);

    eventually("the memory to be free", async || send_large(&app).await.status == 200).await;
}
