//! A client of Phoenix Channels over a real WebSocket, as small as a test needs it.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{PATIENCE, TestApp, eventually, said};

/// One socket that speaks version 2.0.0 (or 1.0.0, read and written as if it were 2.0.0).
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    version: &'static str,
    last_ref: u64,
    /// What came while something else was waited for.
    waiting: Vec<Event>,
}

/// A message of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The reference that it answers.
    pub reference: Option<String>,
    /// The topic.
    pub topic: String,
    /// The event's name.
    pub name: String,
    /// The payload; a binary broadcast's as `{type, event, payload, meta}` with bytes as text.
    pub payload: Value,
}

impl Event {
    /// Whether it is a reply that something was done.
    pub fn is_ok(&self) -> bool {
        self.name == "phx_reply" && self.payload["status"] == "ok"
    }

    /// Why something was not done.
    pub fn reason(&self) -> &str {
        self.payload["response"]["reason"].as_str().unwrap_or_default()
    }
}

impl TestApp {
    /// A socket with this key, by version 2.0.0.
    pub async fn socket(&self, key: &str) -> Socket {
        self.socket_of("2.0.0", key).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A socket of any version; an error where the server refuses it.
    pub async fn socket_of(&self, version: &'static str, key: &str) -> Result<Socket, Error> {
        Socket::connect(self.server.port(), version, key).await
    }

    /// The bare stream, with more headers.
    pub async fn open_socket(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(WebSocketStream<TcpStream>, http::Response<Option<Vec<u8>>>), Error> {
        open(self.server.port(), path, headers).await
    }
}

async fn open(
    port: u16,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(WebSocketStream<TcpStream>, http::Response<Option<Vec<u8>>>), Error> {
    let address = format!("127.0.0.1:{port}");
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    client_async(request, TcpStream::connect(&address).await?).await
}

impl Socket {
    /// A socket to a server on this port; an error where there is none, or it refuses.
    pub async fn connect(port: u16, version: &'static str, key: &str) -> Result<Self, Error> {
        let path = format!("/realtime/v1/websocket?apikey={key}&vsn={version}");
        let (stream, _) = open(port, &path, &[]).await?;
        Ok(Self { stream, version, last_ref: 0, waiting: Vec::new() })
    }

    /// Sends a message and gives its reference.
    pub async fn send(&mut self, join_ref: Option<&str>, topic: &str, event: &str, payload: Value) -> String {
        self.last_ref += 1;
        let reference = self.last_ref.to_string();
        let frame = match self.version {
            "1.0.0" => json!({
                "join_ref": join_ref, "ref": reference, "topic": topic, "event": event, "payload": payload,
            }),
            _ => json!([join_ref, reference, topic, event, payload]),
        };
        self.send_raw(Message::Text(frame.to_string().into())).await;
        reference
    }

    /// Sends any frame.
    pub async fn send_raw(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Sends a message on a topic and waits for the reply.
    pub async fn ask(&mut self, topic: &str, event: &str, payload: Value) -> Event {
        let reference = self.send(None, topic, event, payload).await;
        self.wait_for(|event| event.reference.as_deref() == Some(&reference)).await
    }

    /// Joins a topic with this configuration and gives the reply.
    pub async fn try_join(&mut self, topic: &str, payload: Value) -> Event {
        let reference = (self.last_ref + 1).to_string();
        self.send(Some(&reference), topic, "phx_join", payload).await;
        self.wait_for(|event| event.reference.as_deref() == Some(&reference)).await
    }

    /// The same; again while the server cannot tell yet, as clients do.
    pub async fn join_in_the_end(&mut self, topic: &str, payload: &Value) -> Event {
        let mut reply = None;
        eventually("an answer that is final", async || {
            let answer = self.try_join(topic, payload.clone()).await;
            let is_final = !answer.reason().starts_with("UnableToConnectToProject");
            reply = Some(answer);
            is_final
        })
        .await;
        reply.unwrap()
    }

    /// Joins a topic, which must be allowed in the end.
    pub async fn join(&mut self, topic: &str, config: Value) -> Event {
        let reply = self.join_in_the_end(topic, &json!({ "config": config })).await;
        assert!(reply.is_ok(), "{reply:?}");
        reply
    }

    /// Sends a broadcast as clients of version 1.0.0 do.
    pub async fn broadcast(&mut self, topic: &str, event: &str, payload: Value) {
        self.send(None, topic, "broadcast", json!({"type": "broadcast", "event": event, "payload": payload}))
            .await;
    }

    /// The next message that fits; others stay for later.
    pub async fn wait_for(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        if let Some(place) = self.waiting.iter().position(&fits) {
            return self.waiting.remove(place);
        }
        loop {
            let event = self.receive().await.expect("the server closed the socket");
            if fits(&event) {
                return event;
            }
            self.waiting.push(event);
        }
    }

    /// The next message of this name.
    pub async fn event(&mut self, name: &str) -> Event {
        self.wait_for(|event| event.name == name).await
    }

    /// The next message; none once the connection is gone.
    pub async fn try_next(&mut self) -> Option<Event> {
        if self.waiting.is_empty() { self.receive().await } else { Some(self.waiting.remove(0)) }
    }

    /// Asks to join; the reply comes as the others do. An error where the connection is gone.
    pub async fn begin_to_join(&mut self, topic: &str, payload: Value) -> Result<(), Error> {
        let frame = json!(["1", "1", topic, "phx_join", payload]);
        self.stream.send(Message::Text(frame.to_string().into())).await
    }

    /// Everything that has arrived once a heartbeat has gone there and back.
    pub async fn settled(&mut self) -> Vec<Event> {
        let beat = self.ask("phoenix", "heartbeat", json!({})).await;
        assert!(beat.is_ok());
        std::mem::take(&mut self.waiting)
    }

    /// The code with which the server closes the socket.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a close frame") {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("the socket ended without a close frame: {other:?}"),
            }
        }
    }

    /// Goes away without a word.
    pub fn drop_connection(self) {
        drop(self.stream);
    }

    async fn receive(&mut self) -> Option<Event> {
        loop {
            let message =
                tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    said::keep("sockets", text.as_bytes());
                    return Some(read_text(&text));
                }
                Some(Ok(Message::Binary(bytes))) => return Some(read_binary(&bytes)),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

fn read_text(text: &str) -> Event {
    let message: Value = serde_json::from_str(text).unwrap();
    let word = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(list) = message.as_array() {
        return Event {
            reference: word(&list[1]),
            topic: word(&list[2]).unwrap(),
            name: word(&list[3]).unwrap(),
            payload: list[4].clone(),
        };
    }
    Event {
        reference: word(&message["ref"]),
        topic: word(&message["topic"]).unwrap(),
        name: word(&message["event"]).unwrap(),
        payload: message["payload"].clone(),
    }
}

/// Kind 4.
fn read_binary(frame: &[u8]) -> Event {
    assert_eq!(frame[0], 4, "the kind of frame");
    let lengths = [frame[1], frame[2], frame[3]].map(usize::from);
    let mut at = 5;
    let [topic, event, metadata] = lengths.map(|length| {
        let part = String::from_utf8(frame[at..at + length].to_vec()).unwrap();
        at += length;
        part
    });
    let payload = match frame[4] {
        1 => serde_json::from_slice(&frame[at..]).unwrap(),
        _ => Value::from(String::from_utf8_lossy(&frame[at..])),
    };
    let mut content = json!({"type": "broadcast", "event": event, "payload": payload});
    if !metadata.is_empty() {
        content["meta"] = serde_json::from_str(&metadata).unwrap();
    }
    Event { reference: None, topic, name: "broadcast".to_owned(), payload: content }
}
