//! What becomes of the bodies of uploads that are refused before they are read.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::start;
use crate::harness::TestApp;

/// An upload whose client waits to be told to send, with this key; then whatever follows on the same connection.
async fn waiting_upload(app: &TestApp, key: &str, follow: &str) -> String {
    let head = format!(
        "POST /storage/v1/object/private/waiting.txt HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-type: text/plain\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    );
    let mut socket = TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut begin = vec![0; 12];
    socket.read_exact(&mut begin).await.unwrap();
    // The server may have closed the connection already.
    let _sent = socket.write_all(follow.as_bytes()).await;
    let mut rest = Vec::new();
    let _read = socket.read_to_end(&mut rest).await;
    String::from_utf8_lossy(&begin).into_owned() + &String::from_utf8_lossy(&rest)
}

#[tokio::test]
async fn who_waits_to_be_told_to_send_is_told_or_refused_and_the_connection_ends() {
    let app = start().await;
    let keys = app.server.keys();
    let next = "GET /storage/v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for _ in 0..20 {
        let refused = waiting_upload(&app, &keys.anon_key, next).await;
        let head = refused.to_lowercase();
        assert!(head.starts_with("http/1.1 400"), "{refused}");
        assert!(head.contains("connection: close"), "{refused}");
        assert_eq!(head.matches("http/1.1").count(), 1, "nothing else is read from it: {refused}");
    }
    let accepted = waiting_upload(&app, &keys.service_role_key, &format!("hello{next}")).await;
    assert!(accepted.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{accepted}");
    assert!(accepted.ends_with(r#"{"healthy":true}"#), "{accepted}");
}
