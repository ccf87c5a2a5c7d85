//! Who is asleep is woken; who is not is left alone, since NOTIFY holds up the whole server.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Outbox, THINGS, run, started};
use goforward::realtime::changes::{ChangeFeed, OutboxFeed};

use crate::harness::{PATIENCE, eventually};

/// Reads until it is given up, and says when something came.
fn keep_reading(mut feed: OutboxFeed) -> (JoinHandle<()>, UnboundedReceiver<()>) {
    let (sender, receiver) = unbounded_channel();
    let task = tokio::spawn(async move { while feed.next().await.is_ok() && sender.send(()).is_ok() {} });
    (task, receiver)
}

async fn sleeps(connection: &mut PgConnection) -> bool {
    let idle = sqlx::query_scalar("select coalesce(bool_or(idle), false) from realtime.readers");
    idle.fetch_one(connection).await.unwrap()
}

/// How many hints came until this one.
async fn heard(connection: &mut PgConnection, listener: &mut PgListener) -> usize {
    run(connection, "notify goforward_changes, 'end'").await;
    let mut count = 0;
    while listener.recv().await.unwrap().payload() != "end" {
        count += 1;
    }
    count
}

#[tokio::test]
async fn no_hint_is_sent_while_the_reader_is_awake_and_one_wakes_it() {
    let outbox = Outbox::new(THINGS).await;
    let mut listener = PgListener::connect_with(&outbox.service).await.unwrap();
    listener.listen("goforward_changes").await.unwrap();
    let feed = outbox.new_feed().with_linger(Duration::from_secs(3));
    let (task, mut came) = keep_reading(started(feed).await);
    let (mut owner, mut observer) = (outbox.owner().await, outbox.owner().await);

    eventually("it to sleep", async || sleeps(&mut observer).await).await;
    run(&mut owner, "begin; insert into things values (1), (2); insert into things values (3); commit").await;
    came.recv().await.unwrap();
    assert_eq!(heard(&mut observer, &mut listener).await, 1, "one of a transaction");

    // As long as something comes it stays awake.
    assert!(!sleeps(&mut observer).await);
    for id in 100..200 {
        sqlx::query("insert into things values ($1)").bind(id).execute(&mut owner).await.unwrap();
    }
    assert_eq!(heard(&mut observer, &mut listener).await, 0);

    // A transaction that began while somebody slept and ends when nobody does needs none either.
    eventually("it to sleep", async || sleeps(&mut observer).await).await;
    let mut other = outbox.owner().await;
    run(&mut owner, "begin; insert into things values (4)").await;
    run(&mut other, "insert into things values (5)").await;
    assert_eq!(heard(&mut observer, &mut listener).await, 1);
    eventually("it to be awake", async || !sleeps(&mut observer).await).await;
    run(&mut owner, "commit").await;
    assert_eq!(heard(&mut observer, &mut listener).await, 0);
    assert_eq!(outbox.database.value("select count(*)::text from realtime.hints").await, "0");
    task.abort();
}

#[tokio::test]
async fn a_hint_wakes_a_sleeper() {
    let outbox = Outbox::new(THINGS).await;
    // By itself it would not look for an hour.
    let feed = outbox.new_feed().with_idle_pause(Duration::from_hours(1));
    let (task, mut came) = keep_reading(started(feed).await);
    let mut owner = outbox.owner().await;

    for id in 0..3 {
        eventually("it to sleep", async || sleeps(&mut owner).await).await;
        sqlx::query("insert into things values ($1)").bind(id).execute(&mut owner).await.unwrap();
        timeout(PATIENCE, came.recv()).await.expect("it to be woken").unwrap();
    }
    task.abort();
}

#[tokio::test]
async fn without_any_hint_it_is_read_all_the_same() {
    let outbox = Outbox::new(THINGS).await;
    outbox.database.run_as_superuser("drop trigger hint on realtime.hints").await;
    let (task, mut came) = keep_reading(outbox.feed().await);
    let mut owner = outbox.owner().await;

    eventually("it to sleep", async || sleeps(&mut owner).await).await;
    run(&mut owner, "insert into things values (1)").await;
    timeout(Duration::from_secs(10), came.recv()).await.unwrap().unwrap();

    // This server's own writes wake it at once.
    eventually("it to sleep", async || sleeps(&mut owner).await).await;
    run(&mut owner, "insert into things values (2)").await;
    outbox.wake.notify_one();
    came.recv().await.unwrap();
    task.abort();
}

#[tokio::test]
async fn a_transaction_can_be_prepared_while_somebody_sleeps() {
    let outbox = Outbox::new(THINGS).await;
    let (task, mut came) = keep_reading(outbox.feed().await);
    let mut owner = outbox.owner().await;
    if outbox.database.value("show max_prepared_transactions").await == "0" {
        // The function that decides it sees the statement alone.
        let decides = "select (not 'prepare transaction ''x''' !~* '^\\s*prepare\\s+transaction')::text";
        assert_eq!(outbox.database.value(decides).await, "true");
        task.abort();
        return;
    }

    eventually("it to sleep", async || sleeps(&mut owner).await).await;
    run(&mut owner, "begin; insert into things values (1); prepare transaction 'things'").await;
    run(&mut owner, "commit prepared 'things'").await;
    came.recv().await.unwrap();
    task.abort();
}

#[tokio::test]
async fn a_feed_that_ends_takes_its_mark_away() {
    let outbox = Outbox::new(THINGS).await;
    let feed = outbox.feed().await;
    let mark = "insert into realtime.readers values (gen_random_uuid(), true, now() - interval '2 days')";
    outbox.database.run_as_superuser(mark).await;

    feed.close().await;

    assert_eq!(outbox.database.value("select count(*)::text from realtime.readers").await, "0");
}
