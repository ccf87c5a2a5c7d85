//! Who is asleep is woken; who is not is left alone, since NOTIFY holds up the whole server.

use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use tokio::task::JoinHandle;

use super::{Outbox, THINGS, run};
use goforward::realtime::changes::{ChangeFeed, OutboxFeed};

use crate::harness::eventually;

/// Reads until it is given up; the times at which something came.
fn keep_reading(mut feed: OutboxFeed) -> (JoinHandle<()>, tokio::sync::mpsc::UnboundedReceiver<Instant>) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let task =
        tokio::spawn(
            async move { while feed.next().await.is_ok() && sender.send(Instant::now()).is_ok() {} },
        );
    (task, receiver)
}

async fn sleeps(outbox: &Outbox) -> bool {
    outbox.database.value("select bool_or(idle)::text from realtime.readers").await == "true"
}

/// How many hints came until this one.
async fn heard(outbox: &Outbox, listener: &mut PgListener) -> usize {
    outbox.database.run("notify goforward_changes, 'end'").await;
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
    let (task, mut came) = keep_reading(outbox.feed().await);
    let mut owner = outbox.owner().await;

    eventually("it to sleep", async || sleeps(&outbox).await).await;
    run(&mut owner, "begin; insert into things values (1), (2); insert into things values (3); commit").await;
    came.recv().await.unwrap();
    assert_eq!(heard(&outbox, &mut listener).await, 1, "one of a transaction");

    // As long as something comes it stays awake.
    assert!(!sleeps(&outbox).await);
    for id in 100..200 {
        sqlx::query("insert into things values ($1)").bind(id).execute(&mut owner).await.unwrap();
    }
    assert_eq!(heard(&outbox, &mut listener).await, 0);

    // A transaction that began while somebody slept and ends when nobody does needs none either.
    eventually("it to sleep", async || sleeps(&outbox).await).await;
    let mut other = outbox.owner().await;
    run(&mut owner, "begin; insert into things values (4)").await;
    run(&mut other, "insert into things values (5)").await;
    assert_eq!(heard(&outbox, &mut listener).await, 1);
    eventually("it to be awake", async || !sleeps(&outbox).await).await;
    run(&mut owner, "commit").await;
    assert_eq!(heard(&outbox, &mut listener).await, 0);
    assert_eq!(outbox.database.value("select count(*)::text from realtime.hints").await, "0");
    task.abort();
}

#[tokio::test]
async fn a_sleeper_is_fast() {
    let outbox = Outbox::new(THINGS).await;
    let (task, mut came) = keep_reading(outbox.feed().await);
    let mut owner = outbox.owner().await;

    // Nobody waits for the look that comes anyway: of several tries one is faster than that.
    let mut fastest = Duration::MAX;
    for id in 0..5 {
        eventually("it to sleep", async || sleeps(&outbox).await).await;
        sqlx::query("insert into things values ($1)").bind(id).execute(&mut owner).await.unwrap();
        let written = Instant::now();
        fastest = fastest.min(came.recv().await.unwrap() - written);
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
    task.abort();
}

#[tokio::test]
async fn without_any_hint_it_is_read_all_the_same() {
    let outbox = Outbox::new(THINGS).await;
    outbox.database.run_as_superuser("drop trigger hint on realtime.hints").await;
    let (task, mut came) = keep_reading(outbox.feed().await);
    let mut owner = outbox.owner().await;

    eventually("it to sleep", async || sleeps(&outbox).await).await;
    run(&mut owner, "insert into things values (1)").await;
    tokio::time::timeout(Duration::from_secs(10), came.recv()).await.unwrap().unwrap();

    // This server's own writes wake it at once.
    eventually("it to sleep", async || sleeps(&outbox).await).await;
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

    eventually("it to sleep", async || sleeps(&outbox).await).await;
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
