//! Rate limits that nodes share (threats I10 and L08).

use std::time::{Duration, Instant};

use goforward::kernel::clock::Clock;
use goforward::kernel::limits::{
    Decision, LimitKey, LimitSubject, Limiter, MemoryLimiter, Quota, RedisLimiter,
};
use goforward::kernel::redis::Redis;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::harness::{PATIENCE, RedisServer, eventually};

/// Less than a hundred waits for Redis.
const PROMPT: Duration = Duration::from_secs(3);

/// One that waits for a slow Redis, so that only what a test does to Redis is the cause of what it sees.
fn limiter(settings: Redis) -> RedisLimiter {
    let local = MemoryLimiter::new(1_000, Clock::system());
    let tasks = (&TaskTracker::new(), CancellationToken::new());
    RedisLimiter::start_with_patience(settings, local, PATIENCE, tasks)
}

async fn shared(limiters: &[&RedisLimiter]) {
    eventually("Redis to answer", async || limiters.iter().all(|limiter| limiter.is_shared())).await;
}

fn user(name: &str) -> LimitKey {
    LimitKey { rule: "test", object: None, subject: LimitSubject::User(name.into()) }
}

/// How many of so many requests pass.
async fn passed(limiter: &RedisLimiter, key: &LimitKey, quota: Quota, requests: usize) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        passed += usize::from(limiter.take(key, quota).await == Decision::Allowed);
    }
    passed
}

#[tokio::test]
async fn three_nodes_together_let_pass_what_one_would() {
    let server = RedisServer::start().await;
    let [one, two, three] = [(); 3].map(|()| limiter(server.settings()));
    shared(&[&one, &two, &three]).await;
    let quota = Quota { requests: 100, per: Duration::from_mins(10), burst: 100 };
    let key = user("ann");
    let (a, b, c) = tokio::join!(
        passed(&one, &key, quota, 100),
        passed(&two, &key, quota, 100),
        passed(&three, &key, quota, 100)
    );
    assert!((100..=110).contains(&(a + b + c)), "{a} + {b} + {c}");
    assert_eq!(passed(&two, &user("bob"), quota, 10).await, 10);
    let Decision::Refused { retry_after } = three.take(&key, quota).await else { panic!("not refused") };
    assert!(retry_after <= Duration::from_secs(6), "{retry_after:?}");
}

#[tokio::test]
async fn redis_decides_as_memory_does() {
    let server = RedisServer::start().await;
    let limiter = limiter(server.settings());
    shared(&[&limiter]).await;
    for (requests, burst) in [(10, 3), (1, 1), (1_000, 1), (3, 10)] {
        let quota = Quota { requests, per: Duration::from_hours(1), burst };
        let key = user(&format!("{requests} {burst}"));
        let memory = MemoryLimiter::new(100, Clock::manual(1_800_000_000));
        for turn in 0..15 {
            if turn % 4 == 3 {
                limiter.give_back(&key, quota).await;
                memory.forget_one(&key, quota);
            }
            let (ours, theirs) = (limiter.take(&key, quota).await, memory.decide(&key, quota));
            assert_eq!(ours == Decision::Allowed, theirs == Decision::Allowed, "{quota:?} {turn}");
            if let (Decision::Refused { retry_after: ours }, Decision::Refused { retry_after: theirs }) =
                (ours, theirs)
            {
                assert!(theirs.abs_diff(ours) < Duration::from_secs(20), "{ours:?} {theirs:?}");
            }
        }
    }
    assert!(limiter.is_shared());
}

#[tokio::test]
async fn counts_end_by_themselves() {
    let server = RedisServer::start().await;
    let limiter = limiter(server.settings());
    shared(&[&limiter]).await;
    let quota = Quota { requests: 10, per: Duration::from_secs(1), burst: 20 };
    assert_eq!(passed(&limiter, &user("ann"), quota, 20).await, 20);
    assert_ne!(server.ask(&[b"DBSIZE"]).await, "int(0)");
    eventually("the count to be gone", async || server.ask(&[b"DBSIZE"]).await == "int(0)").await;
}

#[tokio::test]
async fn limits_hold_without_redis() {
    let mut server = RedisServer::start().await;
    let limiter = limiter(server.settings());
    shared(&[&limiter]).await;
    let quota = Quota { requests: 5, per: Duration::from_hours(1), burst: 5 };
    server.kill();

    assert_eq!(passed(&limiter, &user("ann"), quota, 50).await, 5);
    assert!(!limiter.is_shared());

    server.begin().await;
    shared(&[&limiter]).await;
    assert_eq!(passed(&limiter, &user("ann"), quota, 50).await, 5);
}

#[tokio::test]
async fn a_redis_that_takes_no_counts_is_as_good_as_none() {
    let server = RedisServer::start().await;
    let limiter = limiter(server.settings());
    shared(&[&limiter]).await;
    let quota = Quota { requests: 5, per: Duration::from_hours(1), burst: 5 };
    server.ask(&[b"CONFIG", b"SET", b"maxmemory", b"1"]).await;
    assert_eq!(passed(&limiter, &user("ann"), quota, 50).await, 5);
    assert!(!limiter.is_shared());
    server.ask(&[b"CONFIG", b"SET", b"maxmemory", b"0"]).await;
    shared(&[&limiter]).await;
}

#[tokio::test]
async fn a_redis_that_is_down_at_the_start_is_asked_once_it_is_there() {
    let mut server = RedisServer::down();
    let limiter = limiter(server.settings());
    let quota = Quota { requests: 5, per: Duration::from_hours(1), burst: 5 };
    assert_eq!(passed(&limiter, &user("ann"), quota, 50).await, 5);
    server.begin().await;
    shared(&[&limiter]).await;
}

#[tokio::test]
async fn a_redis_that_hangs_costs_one_time_limit_and_then_nothing() {
    let server = RedisServer::start().await;
    let local = MemoryLimiter::new(1_000, Clock::system());
    let tasks = (&TaskTracker::new(), CancellationToken::new());
    let limiter = RedisLimiter::start(server.settings(), local, tasks);
    shared(&[&limiter]).await;
    let quota = Quota { requests: 5, per: Duration::from_hours(1), burst: 5 };
    let key = user("ann");
    server.hang();

    let started = Instant::now();
    assert_eq!(limiter.take(&key, quota).await, Decision::Allowed);
    let first = started.elapsed();
    let started = Instant::now();
    let passed = passed(&limiter, &key, quota, 100).await;
    let others = started.elapsed();
    server.go_on();

    assert!((Duration::from_millis(40)..PROMPT).contains(&first), "{first:?}");
    assert!(others < PROMPT, "{others:?}");
    assert_eq!(passed, 4);
    shared(&[&limiter]).await;
}

#[tokio::test]
async fn a_flushed_or_spoiled_redis_opens_nothing_for_good() {
    let server = RedisServer::start().await;
    let limiter = limiter(server.settings());
    shared(&[&limiter]).await;
    let quota = Quota { requests: 5, per: Duration::from_hours(1), burst: 5 };
    let key = user("ann");
    assert_eq!(passed(&limiter, &key, quota, 20).await, 5);
    server.ask(&[b"FLUSHALL"]).await;
    assert_eq!(passed(&limiter, &key, quota, 20).await, 5);

    let keys = server.ask(&[b"KEYS", b"*"]).await;
    let name = keys.split('"').nth(1).unwrap().as_bytes();
    for spoiled in [
        &[&b"SET"[..], name, b"nonsense"][..],
        &[b"SET", name, b"nan"],
        &[b"SET", name, b"inf"],
        &[b"SET", name, b"9e99"],
        &[b"SET", name, b"-9e99"],
    ] {
        server.ask(spoiled).await;
        assert_eq!(passed(&limiter, &key, quota, 20).await, 5, "{spoiled:?}");
    }
    server.ask(&[b"DEL", name]).await;
    server.ask(&[b"RPUSH", name, b"a"]).await;
    assert_eq!(passed(&limiter, &key, quota, 20).await, 5);
    assert!(limiter.is_shared());
}
