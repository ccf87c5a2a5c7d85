//! What breaks the protocol, or tries to.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::start;
use crate::harness::{TestApp, eventually, open_files, resident_mib};

#[tokio::test]
async fn g11_frames_that_are_no_messages_are_passed_over() {
    let (app, key) = start().await;
    let mut socket = app.socket(&key).await;
    for frame in
        ["", "{", "[]", "null", r#"["1","1","t"]"#, "[1,2,3,4,5]", r#"[null,null,"phoenix","heartbeat"]"#]
    {
        socket.send_raw(Message::Text(frame.into())).await;
    }
    for frame in [&[][..], &[3], &[3, 255, 255, 255, 255, 255, 1], &[9, 1, 2], &[0, 0, 0, 0]] {
        socket.send_raw(Message::Binary(frame.to_vec().into())).await;
    }
    assert_eq!(socket.settled().await, []);
}

#[tokio::test]
async fn g11_a_message_that_is_too_large_ends_the_socket_with_1009() {
    let (app, key) = start().await;
    let mut socket = app.socket(&key).await;
    // The header of a text frame of 100 MB is enough.
    let (mut stream, _) =
        app.open_socket(&format!("/realtime/v1/websocket?apikey={key}"), &[]).await.unwrap();
    let mut header = vec![0x81, 0xff];
    header.extend(100_000_000_u64.to_be_bytes());
    header.extend([0; 4]);
    stream.get_mut().write_all(&header).await.unwrap();
    let answer = stream.next().await.unwrap().unwrap();
    assert!(matches!(answer, Message::Close(Some(frame)) if u16::from(frame.code) == 1009));
    assert!(socket.ask("phoenix", "heartbeat", json!({})).await.is_ok(), "others are not affected");
}

#[tokio::test]
async fn g11_broken_frames_end_the_socket_and_nothing_else() {
    let (app, key) = start().await;
    let mut other = app.socket(&key).await;
    for (bytes, code) in [
        // Not masked.
        (&[0x81, 0x01, b'x'][..], 1002),
        // A reserved opcode.
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        // A fragmented ping.
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),
        // Text that is not UTF-8.
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        // A continuation of nothing.
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),
    ] {
        let path = format!("/realtime/v1/websocket?apikey={key}");
        let (mut stream, _) = app.open_socket(&path, &[]).await.unwrap();
        stream.get_mut().write_all(bytes).await.unwrap();
        let answer = stream.next().await.unwrap().unwrap();
        assert!(
            matches!(&answer, Message::Close(Some(frame)) if u16::from(frame.code) == code),
            "{bytes:?}: {answer:?}"
        );
    }
    assert!(other.ask("phoenix", "heartbeat", json!({})).await.is_ok());
}

#[tokio::test]
async fn pings_are_answered_and_fragments_put_together() {
    let (app, key) = start().await;
    let path = format!("/realtime/v1/websocket?apikey={key}");
    let (mut stream, _) = app.open_socket(&path, &[]).await.unwrap();
    stream.send(Message::Ping(vec![1, 2].into())).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), Message::Pong(vec![1, 2].into()));
    // A heartbeat in two fragments with a ping in between.
    let beat = br#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}"#;
    let (head, tail) = beat.split_at(10);
    for (opcode, part) in [(0x01, head), (0x89, &b"p"[..]), (0x80, tail)] {
        let mut frame = vec![opcode, 0x80 | u8::try_from(part.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(part);
        stream.get_mut().write_all(&frame).await.unwrap();
    }
    assert_eq!(stream.next().await.unwrap().unwrap(), Message::Pong(vec![b'p'].into()));
    let Message::Text(reply) = stream.next().await.unwrap().unwrap() else { panic!("a reply") };
    assert!(reply.contains(r#""status":"ok""#), "{reply}");
}

#[tokio::test]
async fn g09_a_client_that_does_not_read_is_disconnected_and_others_go_on() {
    let (app, key) = start().await;
    let (mut slow, mut reader) = (app.socket(&key).await, app.socket(&key).await);
    let mut sender = app.socket(&key).await;
    slow.join("realtime:room", json!({})).await;
    reader.join("realtime:room", json!({})).await;
    sender.join("realtime:room", json!({})).await;
    let payload = json!("x".repeat(100_000));
    // Far more than the buffers of both ends of a connection and the queue.
    for _ in 0..200 {
        sender.broadcast("realtime:room", "e", payload.clone()).await;
        reader.event("broadcast").await;
    }
    eventually("the slow one is closed", async || {
        let closed = r#"goforward_realtime_refused_total{reason="slow_consumer"} 1"#;
        app.client().get("/metrics").await.text().contains(closed)
    })
    .await;
    assert!(sender.settled().await.is_empty());
}

#[tokio::test]
async fn g10_connecting_and_leaving_gives_everything_back() {
    let (app, key) = start().await;
    let pid = app.server.pid();
    let round = async |count: usize| {
        for _ in 0..count {
            let mut sockets = Vec::new();
            for _ in 0..20 {
                let mut socket = app.socket(&key).await;
                socket.join("realtime:room", json!({"presence": {"enabled": true}})).await;
                sockets.push(socket);
            }
        }
    };
    round(5).await;
    all_closed(&app).await;
    let (memory, files) = (resident_mib(pid), open_files(pid));
    round(25).await;
    all_closed(&app).await;
    eventually("files are closed", async || open_files(pid) <= files + 3).await;
    let memory_after = resident_mib(pid);
    assert!(memory_after < memory + 16, "{memory} MiB before, {memory_after} after");
}

/// A client that sends only half of the handshake holds no socket.
#[tokio::test]
async fn a_handshake_that_is_given_up_leaves_nothing() {
    let (app, key) = start().await;
    let address = format!("127.0.0.1:{}", app.server.port());
    for _ in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "GET /realtime/v1/websocket?apikey={key} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 512];
        let read = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        assert!(answer.starts_with("http/1.1 101"), "{answer}");
        assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    }
    all_closed(&app).await;
}

async fn all_closed(app: &TestApp) {
    eventually("all sockets are closed", async || {
        app.client().get("/metrics").await.text().contains("goforward_realtime_sockets 0")
    })
    .await;
}
