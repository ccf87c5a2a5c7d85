//! From a commit to those who may see the row: writers at a rate, subscribers under row security.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::Failure;
use crate::client::{Client, many};

/// What is written.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Rows a second, in transactions of one; 0 for as many as can be.
    pub(crate) rate: u32,
    /// How long.
    pub(crate) seconds: u32,
    /// Connections that write.
    pub(crate) writers: u32,
    /// Rows belong by turns to so many owners, from number 0: the last digits of their id.
    pub(crate) owners: u32,
}

type Commits = Arc<Mutex<HashMap<i64, Instant>>>;

pub(crate) async fn run(url: &str, postgres: &str, tokens: &str, load: Load) -> Result<Value, Failure> {
    let tokens: Vec<String> = std::fs::read_to_string(tokens)?.lines().map(str::to_owned).collect();
    let clients = many(tokens.len(), 32, |number| {
        let (url, token) = (url.to_owned(), tokens[number].clone());
        async move {
            let mut client = Client::connect(&url).await?;
            let changes = json!({"postgres_changes": [{"event": "*", "schema": "public", "table": "notes"}]});
            client.join(&format!("notes {number}"), changes, Some(&token)).await?;
            Ok(client)
        }
    })
    .await?;
    let (heard, mut hearing) = mpsc::channel(100_000);
    let listening: Vec<_> = clients.into_iter().map(|client| tokio::spawn(listen(client, heard.clone()))).collect();
    drop(heard);
    let commits = Commits::default();
    let start = Instant::now();
    let writing: Vec<_> = (0..load.writers)
        .map(|number| tokio::spawn(write(postgres.to_owned(), (number, load), Arc::clone(&commits))))
        .collect();
    let arrivals = tokio::spawn(async move {
        let mut arrivals = Vec::new();
        // Everything is over when nothing has come for a while.
        while let Ok(Some(arrival)) = tokio::time::timeout(Duration::from_secs(3), hearing.recv()).await {
            arrivals.push(arrival);
        }
        arrivals
    });
    for writer in writing {
        writer.await??;
    }
    let wrote = start.elapsed().as_secs_f64();
    let arrivals: Vec<(i64, Instant)> = arrivals.await?;
    for task in listening {
        task.abort();
    }
    let commits = commits.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(summary(&commits, &arrivals, (start, wrote)))
}

fn summary(commits: &HashMap<i64, Instant>, arrivals: &[(i64, Instant)], (start, wrote): (Instant, f64)) -> Value {
    // A change may arrive before the writer hears that it is committed.
    let mut took: Vec<f64> = arrivals
        .iter()
        .filter_map(|(id, at)| Some(at.saturating_duration_since(*commits.get(id)?).as_secs_f64() * 1e3))
        .collect();
    took.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "figures")]
    let at = |part: f64| took.get(((took.len().max(1) - 1) as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    let last = arrivals.iter().map(|(_, at)| *at).max();
    let took_all = last.map_or(f64::NAN, |last| last.duration_since(start).as_secs_f64());
    let rate = |seconds: f64| commits.len() as f64 / seconds;
    json!({"commits": commits.len(), "deliveries": arrivals.len(), "p50_ms": at(0.5), "p99_ms": at(0.99),
           "commits_per_second": rate(wrote), "delivered_per_second": rate(took_all.max(wrote))})
}

async fn listen(mut client: Client, heard: mpsc::Sender<(i64, Instant)>) {
    while let Some(Ok(message)) = client.socket.next().await {
        let Message::Text(text) = message else { continue };
        let now = Instant::now();
        let Ok(message) = serde_json::from_str::<Value>(&text) else { continue };
        if let Some(id) = message["payload"]["data"]["record"]["id"].as_i64()
            && heard.send((id, now)).await.is_err()
        {
            return;
        }
    }
}

async fn write(postgres: String, (number, load): (u32, Load), commits: Commits) -> Result<(), Failure> {
    let (client, connection) = tokio_postgres::connect(&postgres, tokio_postgres::NoTls).await?;
    let driving = tokio::spawn(connection);
    let insert = client
        .prepare(
            "insert into notes (owner, body) values (('00000000-0000-4000-8000-' || lpad($1, 12, '0'))::uuid,
                'a note of ordinary length') returning id",
        )
        .await?;
    let end = Instant::now() + Duration::from_secs(load.seconds.into());
    let pause = (load.rate > 0).then(|| Duration::from_secs(load.writers.into()) / load.rate);
    // By turns, so that writes are spread evenly.
    let mut ticks = pause.map(|pause| {
        tokio::time::interval_at(tokio::time::Instant::now() + pause * number / load.writers, pause)
    });
    let mut owner = number % load.owners;
    while Instant::now() < end {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let id: i64 = client.query_one(&insert, &[&owner.to_string()]).await?.get(0);
        commits.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Instant::now());
        owner = (owner + load.writers) % load.owners;
    }
    drop(client);
    driving.await??;
    Ok(())
}
