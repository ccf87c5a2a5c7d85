//! Whoever comes back with a cursor gets exactly what it missed, wherever it left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use goforward::realtime::changes::{
    Backlog, Batch, ChangeFeed, Cursor, History, Missed, OutboxFeed, Position, Snapshot,
};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::{broadcast, watch};

use super::{Outbox, THINGS, image, word};
use crate::harness::Walk;

const WRITERS: usize = 6;
const TRANSACTIONS: usize = 60;
/// The id whose insert says that all is written.
const END: i64 = 1_000_000;

/// A change as these tests tell one from another: each writes a text of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    id: i64,
    what: String,
}

/// What comes, with the cursor behind it.
fn taken(batch: &Batch) -> Vec<(Told, Cursor)> {
    let mut taken = Vec::new();
    for transaction in &batch.transactions {
        for change in &transaction.changes {
            let image = image(change).unwrap();
            let what = format!("{} {}", word(change), image["text"].as_str().unwrap_or_default());
            let told = Told { id: image["id"].as_i64().unwrap(), what };
            taken.push((told, batch.cursor(transaction, change)));
        }
    }
    taken
}

/// Writes and rolls back at random, in rows of its own; what was committed, in order.
async fn write(mut connection: PgConnection, writer: usize, mut walk: Walk) -> Vec<Told> {
    let mut committed = Vec::new();
    let mut present: BTreeMap<i64, String> = BTreeMap::new();
    for number in 0..TRANSACTIONS {
        let (mut told, mut after) = (Vec::new(), present.clone());
        connection.execute("begin").await.unwrap();
        for step in 0..=walk.below(4) {
            let id = i64::try_from(writer * 100 + walk.below(5)).unwrap();
            let text = format!("{writer}-{number}-{step}");
            let (sql, letter, text) = match after.get(&id) {
                None => ("insert into things (text, id) values ($1, $2)", "I", text),
                Some(_) if walk.once_in(3) => {
                    ("delete from things where text = $1 and id = $2", "D", after[&id].clone())
                }
                Some(_) => ("update things set text = $1 where id = $2", "U", text),
            };
            sqlx::query(sql).bind(&text).bind(id).execute(&mut connection).await.unwrap();
            told.push(Told { id, what: format!("{letter}{id} {text}") });
            if letter == "D" {
                after.remove(&id)
            } else {
                after.insert(id, text)
            };
            if walk.once_in(4) {
                tokio::task::yield_now().await;
            }
        }
        if walk.once_in(5) {
            connection.execute("rollback").await.unwrap();
        } else {
            connection.execute("commit").await.unwrap();
            committed.extend(told);
            present = after;
        }
    }
    committed
}

/// Random writers, a transaction that is open all the time, and a last row.
async fn write_all(outbox: &Outbox) -> Vec<Told> {
    let mut open = outbox.owner().await;
    open.execute("begin; insert into things values (900, 'open')").await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(outbox.owner().await, writer, Walk::new()));
    }
    let mut committed = writers.join_all().await.concat();
    open.execute("commit").await.unwrap();
    committed.push(Told { id: 900, what: "I900 open".to_owned() });
    outbox.database.run(&format!("insert into things values ({END}, 'end')")).await;
    committed.push(Told { id: END, what: format!("I{END} end") });
    committed
}

/// Each once, and what happened to a row in order.
fn assert_same(found: &[Told], expected: &[Told], why: &str) {
    let set: BTreeSet<&Told> = found.iter().collect();
    assert_eq!(set.len(), found.len(), "doubles: {why}");
    let missing: Vec<_> = expected.iter().filter(|told| !set.contains(told)).collect();
    assert!(missing.is_empty(), "missing {missing:?}: {why}");
    assert_eq!(found.len(), expected.len(), "more than expected: {why}");
    let rows = |all: &[Told]| {
        let mut rows: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for told in all {
            rows.entry(told.id).or_default().push(told.what.clone());
        }
        rows
    };
    assert_eq!(rows(found), rows(expected), "order: {why}");
}

/// The past of a feed, and where that is.
#[derive(Clone)]
struct Past {
    history: History,
    position: watch::Receiver<Option<Position>>,
}

impl Past {
    fn of(feed: &OutboxFeed) -> Self {
        Self { history: feed.history(), position: feed.position() }
    }

    /// What came after a cursor, and up to where.
    async fn since(&self, since: &Cursor) -> (Missed, Snapshot) {
        let here = self.position.borrow().clone().unwrap().seen;
        match self.history.backlog(since, here.clone()).await.unwrap() {
            Backlog::Missed(missed) => (missed, here),
            Backlog::Resync => panic!("all is there"),
        }
    }
}

async fn missed(past: &Past, since: &Cursor) -> Vec<(Told, Cursor)> {
    let (mut missed, _) = past.since(since).await;
    let mut all = Vec::new();
    while let Some(batch) = missed.next().await.unwrap() {
        all.extend(taken(&batch));
    }
    all
}

fn without_cursors(taken: &[(Told, Cursor)]) -> Vec<Told> {
    taken.iter().map(|(told, _)| told.clone()).collect()
}

#[tokio::test]
async fn from_any_cursor_exactly_the_rest_comes() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let start = feed.position().borrow().clone().unwrap().cursor();
    let past = Past::of(&feed);
    let reading = tokio::spawn(async move {
        let mut live = Vec::new();
        while live.last().is_none_or(|(told, _): &(Told, Cursor)| told.id != END) {
            live.extend(taken(&feed.next().await.unwrap()));
        }
        (live, feed)
    });

    let committed = write_all(&outbox).await;

    let (live, _feed) = reading.await.unwrap();
    assert_same(&without_cursors(&live), &committed, "live");
    assert_same(&without_cursors(&missed(&past, &start).await), &committed, "from the start");
    let mut walk = Walk::new();
    for _ in 0..40 {
        let why = format!("seed {}", walk.seed());
        let place = walk.below(live.len());
        // As a client has it: a text.
        let cursor: Cursor = live[place].1.text().unwrap().parse().unwrap();
        let rest = missed(&past, &cursor).await;
        let mut all = without_cursors(&live[..=place]);
        all.extend(without_cursors(&rest));
        assert_same(&all, &committed, &why);
        // And again from somewhere in what it got then.
        if !rest.is_empty() {
            let again = walk.below(rest.len());
            let mut all = without_cursors(&live[..=place]);
            all.extend(without_cursors(&rest[..=again]));
            all.extend(without_cursors(&missed(&past, &rest[again].1).await));
            assert_same(&all, &committed, &why);
        }
    }
}

/// Follows the live batches from now on, as a channel does, after what it missed since `since`.
async fn rejoin(mut live: broadcast::Receiver<Arc<Batch>>, past: Past, since: Cursor) -> Vec<Told> {
    let (mut missed, until) = past.since(&since).await;
    let mut all = Vec::new();
    while let Some(batch) = missed.next().await.unwrap() {
        all.extend(taken(&batch));
    }
    while all.last().is_none_or(|(told, _)| told.id != END) && !all.iter().any(|(told, _)| told.id == END) {
        let batch = live.recv().await.unwrap();
        if !until.covers(&batch.after) {
            all.extend(taken(&batch));
        }
    }
    without_cursors(&all)
}

#[tokio::test]
async fn whoever_rejoins_in_the_midst_of_it_misses_nothing_and_sees_nothing_twice() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let start = feed.position().borrow().clone().unwrap().cursor();
    let past = Past::of(&feed);
    let (sender, _) = broadcast::channel(100_000);
    let hub = sender.clone();
    let reading = tokio::spawn(async move {
        let mut cursors = Vec::new();
        let mut walk = Walk::new();
        let mut clients = tokio::task::JoinSet::new();
        let mut seen: Vec<Told> = Vec::new();
        while seen.last().is_none_or(|told| told.id != END) {
            let batch = Arc::new(feed.next().await.unwrap());
            let _ = hub.send(Arc::clone(&batch));
            for (told, cursor) in taken(&batch) {
                seen.push(told);
                cursors.push((seen.len(), cursor));
            }
            if walk.once_in(4) && clients.len() < 40 {
                let (count, cursor) = cursors[walk.below(cursors.len())].clone();
                let before = seen[..count].to_vec();
                let rejoined = rejoin(hub.subscribe(), past.clone(), cursor);
                clients.spawn(async move { (before, rejoined.await) });
            }
        }
        (clients.join_all().await, rejoin(hub.subscribe(), past, start).await)
    });

    let committed = write_all(&outbox).await;

    let (clients, late) = reading.await.unwrap();
    assert!(!clients.is_empty());
    for (mut all, rest) in clients {
        all.extend(rest);
        assert_same(&all, &committed, "rejoined");
    }
    assert_same(&late, &committed, "after it all");
}

#[tokio::test]
async fn a_part_of_a_large_transaction_is_a_place_too() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let past = Past::of(&feed);
    let mut owner = PgConnection::connect(&outbox.database.url()).await.unwrap();
    owner.execute("insert into things select n, 'x' from generate_series(1, 3500) as n").await.unwrap();

    let mut live = Vec::new();
    while live.len() < 3500 {
        live.extend(taken(&feed.next().await.unwrap()));
    }

    for place in [0, 1, 998, 999, 1000, 2750, 3498, 3499] {
        let rest = missed(&past, &live[place].1).await;
        assert_eq!(without_cursors(&rest), without_cursors(&live[place + 1..]), "{place}");
    }
}
