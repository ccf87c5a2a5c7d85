//! One sends, all others receive: deliveries a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use crate::Failure;
use crate::client::{Client, many};

/// Messages under way: enough to keep the server busy, too few to make it close anybody.
const UNDER_WAY: usize = 64;

pub(crate) async fn run(url: &str, receivers: usize, messages: usize, bytes: usize) -> Result<Value, Failure> {
    let bare = url.strip_prefix("bare:").map(|place| format!("ws://{place}"));
    let is_bare = bare.is_some();
    let url = bare.unwrap_or_else(|| url.to_owned());
    let member = move |url: String| async move {
        let mut client = Client::connect(&url).await?;
        if !is_bare {
            client.join("everybody", json!({}), None).await?;
        }
        Ok::<_, Failure>(client)
    };
    let mut sender = member(url.clone()).await?;
    let clients = many(receivers, 64, |_| member(url.clone())).await?;
    let (heard, room) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(UNDER_WAY)));
    let listening: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(listen(client, messages, (receivers, Arc::clone(&heard), Arc::clone(&room)))))
        .collect();
    let start = Instant::now();
    let text = message(bytes);
    for _ in 0..messages {
        tokio::time::timeout(Duration::from_secs(30), room.acquire()).await??.forget();
        sender.socket.send(Message::text(text.clone())).await?;
    }
    for task in listening {
        task.await??;
    }
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = (receivers * messages) as f64 / seconds;
    Ok(json!({"deliveries_per_second": rate, "seconds": seconds}))
}

/// As it is delivered too, so that both servers write the same frames.
fn message(bytes: usize) -> String {
    json!({"topic": "realtime:everybody", "event": "broadcast", "ref": null,
           "payload": {"type": "broadcast", "event": "note", "payload": {"text": "x".repeat(bytes)}}})
    .to_string()
}

async fn listen(
    mut client: Client,
    messages: usize,
    (receivers, heard, room): (usize, Arc<AtomicUsize>, Arc<Semaphore>),
) -> Result<(), Failure> {
    let mut count = 0;
    while count < messages {
        let next = tokio::time::timeout(Duration::from_secs(30), client.socket.next()).await;
        let next = next.map_err(|_| format!("heard {count} of {messages}"))?;
        match next.ok_or("the connection ended")?? {
            Message::Text(text) if text.contains("\"broadcast\"") => count += 1,
            Message::Close(frame) => return Err(format!("closed: {frame:?}").into()),
            _ => continue,
        }
        // When a message has reached everybody, or as many have, the next may go.
        if (heard.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(receivers) {
            room.add_permits(1);
        }
    }
    Ok(())
}
