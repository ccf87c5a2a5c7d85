//! Tests of the bounds of the pool: no test waits for time to pass.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{BoundedPool, PoolError};
use super::poll_once;

/// Work that has begun and goes on until it is told to end.
struct Running {
    end: Sender<()>,
    handle: JoinHandle<Result<(), PoolError>>,
}

impl Running {
    async fn begin(pool: &BoundedPool, shares: u32) -> Self {
        let (end, ending) = channel();
        let (begun, beginning) = oneshot::channel();
        let pool = pool.clone();
        let work = move || {
            begun.send(()).unwrap();
            ending.recv().unwrap();
        };
        let handle = tokio::spawn(async move { pool.run(shares, work).await });
        beginning.await.unwrap();
        Self { end, handle }
    }

    async fn finish(self) {
        self.end.send(()).unwrap();
        self.handle.await.unwrap().unwrap();
    }
}

fn pool(concurrency: usize, queue: usize) -> BoundedPool {
    BoundedPool::new(NonZeroUsize::new(concurrency).unwrap(), queue)
}

#[tokio::test]
async fn one_more_than_may_run_waits_for_a_slot() {
    let pool = pool(2, 1);
    let first = Running::begin(&pool, 1).await;
    let second = Running::begin(&pool, 1).await;
    let mut third = pin!(pool.run(1, || 3));

    assert!(poll_once(third.as_mut()).is_pending());
    first.finish().await;
    assert_eq!(third.await, Ok(3));
    second.finish().await;
}

#[tokio::test]
async fn one_more_than_may_wait_is_refused_at_once() {
    let pool = pool(1, 1);
    let running = Running::begin(&pool, 1).await;
    let mut waiting = pin!(pool.run(1, || "waited"));
    assert!(poll_once(waiting.as_mut()).is_pending());

    assert_eq!(poll_once(pin!(pool.run(1, || "refused"))), Poll::Ready(Err(PoolError::Busy)));
    running.finish().await;
    assert_eq!(waiting.await, Ok("waited"));
    assert_eq!(pool.run(1, || "free again").await, Ok("free again"));
}

#[tokio::test]
async fn who_goes_away_while_waiting_gives_the_place_up() {
    let pool = pool(1, 1);
    let running = Running::begin(&pool, 1).await;
    {
        let mut gone = pin!(pool.run(1, || ()));
        assert!(poll_once(gone.as_mut()).is_pending());
    }
    let mut next = pin!(pool.run(1, || "next"));

    assert!(poll_once(next.as_mut()).is_pending());
    running.finish().await;
    assert_eq!(next.await, Ok("next"));
}

#[tokio::test]
async fn who_goes_away_during_the_work_frees_the_slot_at_its_end() {
    let pool = pool(1, 1);
    let Running { end, handle } = Running::begin(&pool, 1).await;
    handle.abort();
    assert!(handle.await.unwrap_err().is_cancelled());
    let mut next = pin!(pool.run(1, || "next"));

    assert!(poll_once(next.as_mut()).is_pending(), "the work goes on");
    end.send(()).unwrap();
    assert_eq!(next.await, Ok("next"));
}

#[tokio::test]
async fn work_of_several_shares_takes_as_many_slots_and_at_most_all() {
    let pool = pool(3, 1);
    let large = Running::begin(&pool, 2).await;
    let small = Running::begin(&pool, 1).await;
    let mut whole = pin!(pool.run(100, || "alone"));

    assert!(poll_once(whole.as_mut()).is_pending());
    large.finish().await;
    assert!(poll_once(whole.as_mut()).is_pending());
    small.finish().await;
    assert_eq!(whole.await, Ok("alone"));
}

#[tokio::test]
async fn work_that_panics_frees_its_slot() {
    let pool = pool(1, 0);

    assert_eq!(pool.run(1, || panic!("on purpose")).await, Err::<(), _>(PoolError::Abandoned));
    assert_eq!(pool.run(1, || 2).await, Ok(2));
}
