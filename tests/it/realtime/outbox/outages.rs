//! What the feed survives: connections that die under it, and a database that is another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use goforward::realtime::changes::FeedError;
use sqlx::{Connection, PgConnection};

use super::{Outbox, THINGS, image, next, run, told, try_next};
use crate::harness::Walk;

/// Ends all sessions of the service.
const KILL: &str = "select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and usename = 'goforward' and pid <> pg_backend_pid()";

#[tokio::test]
async fn connections_that_are_killed_lose_nothing_and_double_nothing() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let mut walk = Walk::new();
    let is_over = Arc::new(AtomicBool::new(false));
    let (url, over) = (outbox.database.url(), Arc::clone(&is_over));
    let writing = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for id in 1.. {
            sqlx::query("insert into things values ($1)").bind(id).execute(&mut connection).await.unwrap();
            if over.load(Ordering::SeqCst) {
                return id;
            }
        }
        unreachable!("there is always another number");
    });

    let (mut ids, mut kills) = (Vec::new(), 0);
    while kills < 20 {
        let batch = next(&mut feed).await;
        ids.extend(
            batch
                .transactions
                .iter()
                .flat_map(|one| &one.changes)
                .map(|one| image(one).unwrap()["id"].clone()),
        );
        if walk.once_in(3) {
            kills += 1;
            outbox.database.run_as_superuser(KILL).await;
        }
    }
    is_over.store(true, Ordering::SeqCst);
    let last: i32 = writing.await.unwrap();
    while ids.last() != Some(&last.into()) {
        let batch = next(&mut feed).await;
        ids.extend(
            batch
                .transactions
                .iter()
                .flat_map(|one| &one.changes)
                .map(|one| image(one).unwrap()["id"].clone()),
        );
    }

    let expected: Vec<serde_json::Value> = (1..=last).map(Into::into).collect();
    assert_eq!(ids, expected, "seed {}", walk.seed());
}

#[tokio::test]
async fn a_database_that_is_another_is_told_once_and_the_feed_goes_on() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    let mut owner = outbox.owner().await;
    run(&mut owner, "insert into things values (1)").await;
    let before = next(&mut feed).await.epoch;

    outbox.database.run_as_superuser("update realtime.retention set epoch = gen_random_uuid()").await;

    assert!(matches!(try_next(&mut feed).await, Err(FeedError::Resync)));
    run(&mut owner, "insert into things values (2)").await;
    let batch = next(&mut feed).await;
    assert_ne!(batch.epoch, before);
    assert_eq!(super::word(&batch.transactions[0].changes[0]), "I2");
}

#[tokio::test]
async fn a_copy_of_the_database_is_another() {
    let outbox = Outbox::new(THINGS).await;
    let other = Outbox::new(THINGS).await;
    let epoch = "select epoch::text from realtime.retention";
    assert_eq!(
        outbox.database.value(epoch).await,
        other.database.value(epoch).await,
        "copies of one template"
    );

    let mut epochs = BTreeSet::new();
    for one in [&outbox, &other] {
        let feed = one.feed().await;
        epochs.insert(format!("{:?}", feed.position().borrow().as_ref().unwrap().epoch));
    }

    assert_eq!(epochs.len(), 2);
}

#[tokio::test]
async fn a_closed_pool_ends_the_feed() {
    let outbox = Outbox::new(THINGS).await;
    let mut feed = outbox.feed().await;
    outbox.database.run("insert into things values (1)").await;
    assert_eq!(told(&mut feed, 1).await, "I1");

    outbox.service.close().await;

    assert!(matches!(try_next(&mut feed).await, Err(FeedError::Closed)));
}
