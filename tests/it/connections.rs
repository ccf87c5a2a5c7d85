//! The connections of services: what a caller who goes away leaves behind.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use goforward::kernel::db::login::Login;
use goforward::kernel::db::pool;
use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::harness::Database;

/// Polls a beginning so many times, as a request that is dropped meanwhile does; whether it came to its end.
async fn begin_and_leave(pool: &PgPool, polls: usize) -> bool {
    let mut beginning = pin!(pool::begin(pool));
    for _ in 0..polls {
        if let Poll::Ready(transaction) = beginning.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            transaction.unwrap().rollback().await.unwrap();
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn a_transaction_that_nobody_waits_for_any_more_leaves_none_behind() {
    let database = Database::create().await;
    let options: PgConnectOptions = database.url_as("goforward").parse().unwrap();
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let pool = pool::start(Login::from(options), 1, (&tracker, stop.clone())).await.unwrap();
    sqlx::query("select 1").execute(&pool).await.unwrap();

    let mut left = 0;
    for round in 0..60 {
        left += usize::from(!begin_and_leave(&pool, round % 6 + 1).await);
        // All statements of a transaction have the time of its start.
        let started = "select transaction_timestamp()::text";
        let first: String = sqlx::query_scalar(started).fetch_one(&pool).await.unwrap();
        let second: String = sqlx::query_scalar(started).fetch_one(&pool).await.unwrap();
        assert_ne!(
            first, second,
            "two statements ran in a transaction that somebody had left (round {round})"
        );
    }

    // Whoever asks once cannot have it yet.
    assert!(left >= 10, "only {left} were left");
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}
