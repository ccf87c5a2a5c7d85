//! Changes of the database on their way to a node, against real servers: nothing is lost, nothing comes twice, and in order.

mod capture;
mod feed;
mod hints;
mod history;
mod outages;
mod retention;

use std::sync::Arc;

use goforward::kernel::random::Random;
use goforward::realtime::changes::{Batch, Change, ChangeFeed, ChangeKind, FeedError, OutboxFeed};
use goforward::realtime::store::capture::sync;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

use crate::harness::{Database, PATIENCE};

/// A table of the application.
pub const THINGS: &str = "create table things (id int primary key, text text);
    alter publication supabase_realtime add table things";

/// A database with capture, and the pool of the service that reads it.
pub struct Outbox {
    pub database: Database,
    pub service: PgPool,
    pub wake: Arc<Notify>,
}

impl Outbox {
    /// With these tables, captured as the publication says.
    pub async fn new(sql: &str) -> Self {
        let database = Database::create().await;
        database.run(sql).await;
        let service =
            PgPoolOptions::new().max_connections(4).connect(&database.url_as("goforward")).await.unwrap();
        let outbox = Self { database, service, wake: Arc::default() };
        assert_eq!(sync(&mut outbox.owner().await).await.unwrap(), []);
        outbox
    }

    /// A connection of the tables' owner.
    pub async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.database.url()).await.unwrap()
    }

    /// A feed that stands at this moment.
    pub async fn feed(&self) -> OutboxFeed {
        started(self.new_feed()).await
    }

    /// One that has not started.
    pub fn new_feed(&self) -> OutboxFeed {
        let (random, wake) = (Random::system(), Arc::clone(&self.wake));
        OutboxFeed::new(&self.service, (Uuid::from_bytes(random.bytes()), wake), 2, &random)
    }
}

/// Lets a feed find its place.
pub async fn started(mut feed: OutboxFeed) -> OutboxFeed {
    let mut position = feed.position();
    tokio::select! {
        batch = feed.next() => panic!("too early: {batch:?}"),
        found = timeout(PATIENCE, position.wait_for(Option::is_some)) => drop(found.unwrap().unwrap()),
    }
    feed
}

/// Runs a statement that must work.
pub async fn run(connection: &mut PgConnection, sql: &'static str) {
    connection.execute(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The next batch.
pub async fn next(feed: &mut OutboxFeed) -> Batch {
    try_next(feed).await.unwrap()
}

pub async fn try_next(feed: &mut OutboxFeed) -> Result<Batch, FeedError> {
    timeout(PATIENCE, feed.next()).await.expect("something to come")
}

/// The next so many changes, each as one word; transactions are separated by `|`.
pub async fn told(feed: &mut OutboxFeed, count: usize) -> String {
    let mut words = Vec::new();
    let mut changes = 0;
    while changes < count {
        for transaction in next(feed).await.transactions {
            changes += transaction.changes.len();
            let told: Vec<String> = transaction.changes.iter().map(word).collect();
            words.push(told.join(" "));
        }
    }
    words.join(" | ")
}

/// `I3`: the row with id 3 is new; of a row without an id the letter alone.
pub fn word(change: &Change) -> String {
    let letter = match change.kind {
        ChangeKind::Insert => "I",
        ChangeKind::Update => "U",
        ChangeKind::Delete => "D",
        ChangeKind::Truncate => "T",
        ChangeKind::Message => "M",
    };
    let id = image(change).map(|image| image["id"].clone()).and_then(|id| id.as_i64());
    id.map_or_else(|| letter.to_owned(), |id| format!("{letter}{id}"))
}

/// The row as it is, or as it was.
pub fn image(change: &Change) -> Option<serde_json::Value> {
    let image = change.new.as_ref().or(change.old.as_ref())?;
    Some(serde_json::from_str(image.raw().get()).unwrap())
}

/// Nothing comes before this does: whatever was to come had come by then.
pub async fn nothing_before_the_end(outbox: &Outbox, feed: &mut OutboxFeed) {
    outbox.database.run("insert into things values (999)").await;
    assert_eq!(told(feed, 1).await, "I999");
}
