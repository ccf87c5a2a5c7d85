//! Requests that no client library would send (threats I01, I03, I04): answered or closed, and the server goes on.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{TestApp, raw_request};
use crate::rest::SHOP;

#[tokio::test]
async fn ambiguous_requests_are_refused_and_nothing_is_smuggled() {
    let app = TestApp::with_sql(SHOP).await;
    let second = "GET /rest/v1/rpc/whoami HTTP/1.1\r\nHost: a\r\n\r\n";
    let target = "POST /rest/v1/rpc/fail_with HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let length = second.len();
    for head in [
        format!("{target}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{second}"),
        format!("{target}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{second}"),
        format!("{target}Content-Length: +{length}\r\n\r\n{second}"),
        format!("{target}Content-Length: -1\r\n\r\n{second}"),
        format!("{target}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{second}"),
        format!("{target}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{target}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{target}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n{second}"),
        format!("{target}Transfer-Encoding: chunked\r\n\r\n-1\r\n{second}"),
        format!("{target}X: a\r\n folded: b\r\nContent-Length: x\r\n\r\n{second}"),
        format!("{target}Content-Length\r\n\r\n{second}"),
        format!("GET  /rest/v1/products  HTTP/1.1\r\nHost: a\r\n\r\n{second}"),
        format!("GET /rest/v1/products HTTP/9.9\r\nHost: a\r\n\r\n{second}"),
        format!("GET\0 /rest/v1/products HTTP/1.1\r\nHost: a\r\n\r\n{second}"),
    ] {
        let answer = raw_request(app.server.port(), head.as_bytes()).await;
        assert!(answer.status == 0 || (400..500).contains(&answer.status), "{head:?}: {}", answer.text);
        assert!(
            !answer.text.contains("\"login\""),
            "a second request was taken from the body of {head:?}: {}",
            answer.text
        );
    }
    app.anon().get("/rest/v1/products?limit=1").await.expect_status(200);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let app = TestApp::with_sql(SHOP).await;
    let large = format!(
        "GET /rest/v1/products HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(300_000)
    );
    let many = (0..5_000).fold(String::new(), |lines, number| lines + &format!("X-{number}: y\r\n"));
    let many = format!("GET /rest/v1/products HTTP/1.1\r\nHost: a\r\n{many}Connection: close\r\n\r\n");

    for request in [large, many] {
        let answer = raw_request(app.server.port(), request.as_bytes()).await;
        assert!(answer.status == 0 || (400..500).contains(&answer.status), "{}", answer.text);
    }
    app.anon().get("/rest/v1/products?limit=1").await.expect_status(200);
}

#[tokio::test]
async fn slow_and_silent_clients_do_not_stop_others() {
    let app = TestApp::with_sql(SHOP).await;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
        if number % 2 == 0 {
            stream
                .write_all(b"POST /rest/v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n")
                .await
                .unwrap();
        }
        silent.push(stream);
    }

    for _ in 0..20 {
        // A connection of its own, before `server.header_timeout` lets the silent ones go.
        let client = app.anon();
        let answer =
            tokio::time::timeout(Duration::from_secs(8), client.get("/rest/v1/products?limit=1")).await;
        answer.expect("others are not waited for").expect_status(200);
    }
    drop(silent);
}

#[tokio::test]
async fn queries_of_clients_who_left_are_cancelled() {
    let app = TestApp::with_sql(SHOP).await;
    let key = app.server.keys().service_role_key;
    let mut stream = TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
    let request =
        format!("GET /rest/v1/rpc/sleep_for?seconds=600 HTTP/1.1\r\nHost: a\r\napikey: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let sleeping = "select count(*)::text from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    crate::harness::eventually("the query", async || app.database.value(sleeping).await == "1").await;

    drop(stream);

    crate::harness::eventually("its end", async || app.database.value(sleeping).await == "0").await;
}
