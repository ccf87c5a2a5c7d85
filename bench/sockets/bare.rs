//! What a fan-out costs at least: every message goes to all other connections, by tokio-tungstenite alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::Failure;

/// Messages that wait for one connection.
const QUEUE: usize = 1024;

type Connections = Arc<Mutex<HashMap<u64, mpsc::Sender<Message>>>>;

pub(crate) async fn serve(port: u16) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let connections = Connections::default();
    let mut last = 0;
    loop {
        let (stream, _) = listener.accept().await?;
        last += 1;
        tokio::spawn(one(stream, last, Arc::clone(&connections)));
    }
}

async fn one(stream: TcpStream, id: u64, connections: Connections) {
    let (queue, mut waiting) = mpsc::channel::<Message>(QUEUE);
    // Before the client knows that it is connected, so that it misses nothing.
    connections.lock().unwrap_or_else(PoisonError::into_inner).insert(id, queue);
    let Ok(socket) = accept_async(stream).await else { return };
    let (mut writing, mut reading) = socket.split();
    let writer = tokio::spawn(async move {
        let mut messages = Vec::new();
        while waiting.recv_many(&mut messages, QUEUE).await > 0 {
            for message in messages.drain(..) {
                if writing.feed(message).await.is_err() {
                    return;
                }
            }
            if writing.flush().await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = reading.next().await {
        if message.is_text() {
            let open = connections.lock().unwrap_or_else(PoisonError::into_inner);
            for (other, queue) in &*open {
                if *other != id {
                    // Who does not keep up misses it; the clients of the bench notice.
                    let _ = queue.try_send(message.clone());
                }
            }
        }
    }
    connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    writer.abort();
}
