//! One client of protocol 1.0.0, and many of them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::Failure;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connected socket.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Result<Self, Failure> {
        // As large as a message: all of it is cleared before every read.
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let (socket, _) = tokio::time::timeout(PATIENCE, connect_async_with_config(url, Some(config), false)).await??;
        Ok(Self { socket })
    }

    /// Joins a channel and waits until it is live.
    pub(crate) async fn join(&mut self, topic: &str, config: Value, token: Option<&str>) -> Result<(), Failure> {
        let listens = config.get("postgres_changes").is_some();
        let mut payload = json!({"config": config});
        if let Some(token) = token {
            payload["access_token"] = token.into();
        }
        let join = json!({"topic": format!("realtime:{topic}"), "event": "phx_join", "payload": payload, "ref": "1", "join_ref": "1"});
        self.socket.send(Message::text(join.to_string())).await?;
        loop {
            let message = self.next().await?;
            let event = message["event"].as_str().unwrap_or_default();
            let status = message["payload"]["status"].as_str().unwrap_or_default();
            match (event, status) {
                ("phx_reply", "ok") if !listens => return Ok(()),
                ("phx_reply", "error") | ("system", "error") => return Err(message.to_string().into()),
                ("system", "ok") => return Ok(()),
                _ => {}
            }
        }
    }

    /// The next text message.
    pub(crate) async fn next(&mut self) -> Result<Value, Failure> {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await? {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
                Some(Ok(Message::Close(frame))) => return Err(format!("closed: {frame:?}").into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the connection ended".into()),
            }
        }
    }

    pub(crate) async fn close(mut self) -> Result<(), Failure> {
        self.socket.close(None).await?;
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }
}

/// Does `count` things, `at_once` at a time, in no particular order.
pub(crate) async fn many<T, F>(
    count: usize,
    at_once: usize,
    mut make: impl FnMut(usize) -> F,
) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let (mut running, mut made) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        if running.len() >= at_once {
            made.push(running.join_next().await.ok_or("nothing runs")???);
        }
        running.spawn(make(number));
    }
    while let Some(done) = running.join_next().await {
        made.push(done??);
    }
    Ok(made)
}
