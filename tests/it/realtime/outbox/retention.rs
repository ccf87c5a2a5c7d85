//! Changes go when they are old or too many, and whoever needed them is told.

use std::time::Duration;

use goforward::realtime::changes::{Backlog, Cursor, FeedError, OutboxFeed};
use goforward::realtime::store::retention::{Keep, advance, tend_messages};

use super::{Outbox, THINGS, next, run, told, try_next};

/// Everything is old.
const NOTHING: Keep = Keep { changes: Duration::ZERO, bytes: u64::MAX, messages: Duration::from_hours(72) };
/// Nothing is.
const EVERYTHING: Keep = Keep { changes: Duration::from_hours(1), ..NOTHING };

async fn all_round(outbox: &Outbox) {
    for _ in 0..8 {
        assert!(advance(&outbox.service, NOTHING).await.unwrap());
    }
}

async fn kept(outbox: &Outbox) -> String {
    outbox.database.value("select count(*)::text from realtime.changes").await
}

/// A feed, and the cursor of what it gave.
async fn given(outbox: &Outbox) -> (OutboxFeed, Cursor) {
    let mut feed = outbox.feed().await;
    outbox.database.run("insert into things values (1)").await;
    let batch = next(&mut feed).await;
    let cursor = batch.cursor(&batch.transactions[0], &batch.transactions[0].changes[0]);
    (feed, cursor)
}

#[tokio::test]
async fn a_change_is_kept_for_its_time_and_goes_after_it() {
    let outbox = Outbox::new(THINGS).await;
    outbox.database.run("insert into things values (1)").await;
    // The database is a copy of one that was made when the tests began.
    outbox.database.run_as_superuser("update realtime.retention set opened_at = clock_timestamp()").await;

    assert!(!advance(&outbox.service, EVERYTHING).await.unwrap());
    for _ in 0..7 {
        advance(&outbox.service, NOTHING).await.unwrap();
        assert_eq!(kept(&outbox).await, "1");
    }
    advance(&outbox.service, NOTHING).await.unwrap();
    assert_eq!(kept(&outbox).await, "0");
}

#[tokio::test]
async fn the_size_is_bounded_whatever_the_time() {
    let outbox = Outbox::new(THINGS).await;
    let keep = Keep { bytes: 8 << 20, ..EVERYTHING };
    for round in 0..20 {
        let fill = format!(
            "insert into things select n, (select string_agg(md5(random()::text), '') from generate_series(1, 60))
             from generate_series({}, {}) as n",
            round * 1000,
            round * 1000 + 999
        );
        outbox.database.run(&fill).await;
        advance(&outbox.service, keep).await.unwrap();
    }
    let size = "select sum(pg_total_relation_size(relid))::text from pg_partition_tree('realtime.changes')";
    let size: u64 = outbox.database.value(size).await.parse().unwrap();
    assert!(size < 30 << 20, "{size}: of 20 times 2 MB eight are there, and one that is being written to");
    assert_ne!(kept(&outbox).await, "0");
}

#[tokio::test]
async fn a_cursor_older_than_what_is_kept_is_told_so() {
    let outbox = Outbox::new(THINGS).await;
    let (feed, old) = given(&outbox).await;
    outbox.database.run("insert into things values (2)").await;

    all_round(&outbox).await;

    let here = feed.position().borrow().clone().unwrap().seen;
    assert!(matches!(feed.history().backlog(&old, here).await.unwrap(), Backlog::Resync));
}

#[tokio::test]
async fn what_goes_while_somebody_reads_it_is_told_too() {
    let outbox = Outbox::new(THINGS).await;
    let (_feed, cursor) = given(&outbox).await;
    outbox.database.run("insert into things select generate_series(10, 3000)").await;
    let feed = outbox.feed().await;
    let here = feed.position().borrow().clone().unwrap();
    let Backlog::Missed(mut missed) = feed.history().backlog(&cursor, here.seen).await.unwrap() else {
        panic!("all is there")
    };
    assert!(missed.next().await.unwrap().is_some());

    all_round(&outbox).await;

    let end = loop {
        match missed.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(end, Err(FeedError::Resync)), "{end:?}");
}

#[tokio::test]
async fn a_feed_that_was_away_for_too_long_says_so_and_goes_on() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    outbox.database.run("insert into things values (1)").await;
    all_round(&outbox).await;

    assert!(matches!(try_next(&mut feed).await, Err(FeedError::Resync)));
    outbox.database.run("insert into things values (2)").await;
    assert_eq!(told(&mut feed, 1).await, "I2");
}

#[tokio::test]
async fn what_nobody_has_seen_yet_is_never_removed() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let (mut open, mut other) = (outbox.owner().await, outbox.owner().await);
    run(&mut open, "begin; insert into things values (1)").await;
    run(&mut other, "insert into things values (2)").await;
    assert_eq!(told(&mut feed, 1).await, "I2");

    let mut refused = 0;
    for _ in 0..16 {
        match advance(&outbox.service, NOTHING).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.as_database_error().unwrap().code().unwrap(), "55P03");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "its partition is not emptied");
    run(&mut open, "commit").await;

    assert_eq!(told(&mut feed, 1).await, "I1");
    all_round(&outbox).await;
    assert_eq!(kept(&outbox).await, "0");
}

#[tokio::test]
async fn a_partition_that_is_missing_fails_no_write() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    for slot in 0..8 {
        outbox.database.run_as_superuser(&format!("drop table realtime.changes_{slot}")).await;
    }

    outbox.database.run("insert into things values (1)").await;

    assert_eq!(told(&mut feed, 1).await, "I1");
    assert!(!advance(&outbox.service, NOTHING).await.unwrap());
}

#[tokio::test]
async fn messages_have_a_partition_for_each_day_and_go_after_three() {
    let outbox = Outbox::new(THINGS).await;
    let days = "select string_agg(relname, ' ' order by relname) from pg_inherits
        join pg_class on pg_class.oid = inhrelid where inhparent = 'realtime.messages'::regclass";
    let keep = EVERYTHING;
    tend_messages(&outbox.service, keep).await.unwrap();
    let first = outbox.database.value(days).await;
    assert_eq!(first.split(' ').count(), 5, "four days and the rest: {first}");
    let today = outbox.database.value("select to_char(now() at time zone 'utc', 'YYYY_MM_DD')").await;
    assert!(first.starts_with(&format!("messages_{today}")), "{first}");

    outbox
        .database
        .run_as_superuser(
            "create table realtime.messages_2001_01_01 partition of realtime.messages
                 for values from ('2001-01-01') to ('2001-01-02');
             insert into realtime.messages (topic, extension, inserted_at) values
                 ('a', 'broadcast', '2001-01-01'), ('b', 'broadcast', '2001-02-01'), ('c', 'broadcast', now())",
        )
        .await;
    tend_messages(&outbox.service, keep).await.unwrap();
    assert_eq!(outbox.database.value(days).await, first);
    assert_eq!(outbox.database.value("select string_agg(topic, ',') from realtime.messages").await, "c");
}
