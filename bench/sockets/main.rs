//! The clients of bench/realtime: sockets that join, leave, send and listen, and the server that does nothing else.
//!
//! ```text
//! sockets hold   URL COUNT                     joins so many and stays until its input ends
//! sockets churn  URL COUNT                     connects, joins and leaves so often, eight at once
//! sockets fanout URL RECEIVERS MESSAGES BYTES  deliveries a second; with `bare:HOST:PORT` as URL, of the bare server
//! sockets bare   PORT                          hands every message to all others, by tokio-tungstenite alone
//! sockets feed   URL POSTGRES TOKENS RATE SECONDS WRITERS OWNERS
//!                                              commit-to-delivery times of one subscriber for each token of the file
//! ```
//! Each prints one line of JSON.

mod bare;
mod client;
mod fanout;
mod feed;

use std::error::Error;
use std::time::Instant;

use futures_util::StreamExt;
use serde_json::json;
use tokio::io::AsyncReadExt;

use client::{Client, many};

/// What ends a measurement.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let said = match given[..] {
        ["hold", url, count] => hold(url, count.parse()?).await?,
        ["churn", url, count] => churn(url, count.parse()?).await?,
        ["fanout", url, receivers, messages, bytes] => {
            fanout::run(url, receivers.parse()?, messages.parse()?, bytes.parse()?).await?
        }
        ["bare", port] => return bare::serve(port.parse()?).await,
        ["feed", url, postgres, tokens, rate, seconds, writers, owners] => {
            let load = feed::Load {
                rate: rate.parse()?,
                seconds: seconds.parse()?,
                writers: writers.parse()?,
                owners: owners.parse()?,
            };
            feed::run(url, postgres, tokens, load).await?
        }
        _ => return Err("see the first lines of bench/sockets/main.rs".into()),
    };
    println!("{said}");
    Ok(())
}

/// Joins `count` sockets to rooms of ten and keeps them until the input ends.
async fn hold(url: &str, count: usize) -> Result<serde_json::Value, Failure> {
    let start = Instant::now();
    let clients = many(count, 64, |number| {
        let url = url.to_owned();
        async move {
            let mut client = Client::connect(&url).await?;
            client.join(&format!("room {}", number / 10), json!({}), None).await?;
            Ok(client)
        }
    })
    .await?;
    println!("{}", json!({"joined": clients.len(), "seconds": start.elapsed().as_secs_f64()}));
    // The pings of the server are answered, as a client would.
    let reading: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(async move { client.socket.for_each(|_| async {}).await }))
        .collect();
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    for task in &reading {
        task.abort();
    }
    Ok(json!({"left": reading.len()}))
}

async fn churn(url: &str, count: usize) -> Result<serde_json::Value, Failure> {
    let start = Instant::now();
    many(count, 8, |number| {
        let url = url.to_owned();
        async move {
            let mut client = Client::connect(&url).await?;
            client.join(&format!("room {}", number % 100), json!({}), None).await?;
            client.close().await
        }
    })
    .await?;
    Ok(json!({"cycles": count, "seconds": start.elapsed().as_secs_f64()}))
}
