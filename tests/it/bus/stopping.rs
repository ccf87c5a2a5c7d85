//! A node that is stopped while it connects, to something that takes connections and then says nothing, stops all the same.

use std::time::{Duration, Instant};

use goforward::kernel::bus::{Subject, postgres, redis};
use goforward::kernel::clock::Clock;
use goforward::kernel::db::login::Login;
use goforward::kernel::limits::{MemoryLimiter, RedisLimiter};
use goforward::kernel::random::Random;
use goforward::kernel::redis::Redis;
use goforward::kernel::secret::Secret;
use sqlx::postgres::PgConnectOptions;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Node, terms};
use crate::harness::PATIENCE;

/// Less than a connection to Redis (3 s) or PostgreSQL (5 s) is given.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A connection on which the client waits for the answer to its first words. It stays open while it is held.
async fn waiting(listener: &TcpListener) -> TcpStream {
    let spoken_to = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        assert!(connection.read(&mut [0; 64]).await.unwrap() > 0);
        connection
    };
    tokio::time::timeout(PATIENCE, spoken_to).await.expect("nobody connects")
}

async fn stops_at_once(node: Node) {
    let since = Instant::now();
    tokio::time::timeout(PATIENCE, node.stop()).await.expect("it does not stop");
    assert!(since.elapsed() < AT_ONCE, "after {:?}", since.elapsed());
}

#[tokio::test]
async fn a_stop_interrupts_connecting_to_a_postgresql_that_says_nothing() {
    for mode in ["disable", "require", "verify-full"] {
        let (listener, port) = silent().await;
        let url = format!("postgres://user:password@127.0.0.1:{port}/database?sslmode={mode}");
        let login = Login::from(url.parse::<PgConnectOptions>().unwrap());
        let node = Node::new(|tasks| postgres::start(login, terms(), &Random::system(), tasks));

        let _held = waiting(&listener).await;

        stops_at_once(node).await;
    }
}

#[tokio::test]
async fn a_stop_interrupts_the_handshake_of_tls_with_postgresql() {
    let (listener, port) = silent().await;
    let url = format!("postgres://user:password@127.0.0.1:{port}/database?sslmode=require");
    let login = Login::from(url.parse::<PgConnectOptions>().unwrap());
    let node = Node::new(|tasks| postgres::start(login, terms(), &Random::system(), tasks));

    let mut held = waiting(&listener).await;
    // Yes to TLS; then the greeting of the client is never answered.
    tokio::io::AsyncWriteExt::write_all(&mut held, b"S").await.unwrap();
    let greeted = tokio::time::timeout(PATIENCE, held.read(&mut [0; 64])).await;
    assert!(greeted.expect("no greeting").unwrap() > 0);

    stops_at_once(node).await;
}

#[tokio::test]
async fn a_stop_interrupts_connecting_to_a_redis_that_says_nothing() {
    for scheme in ["redis", "rediss"] {
        let (listener, port) = silent().await;
        let url = Secret::new(format!("{scheme}://localhost:{port}"));
        let settings = Redis::new(&url, "test", None).unwrap();
        let node =
            Node::new(|tasks| redis::start(settings, terms(), &Subject::ALL, &Random::system(), tasks));

        let _held = waiting(&listener).await;

        stops_at_once(node).await;
    }
}

#[tokio::test]
async fn a_stop_interrupts_the_limits_connecting_to_a_redis_that_says_nothing() {
    let (listener, port) = silent().await;
    let settings = Redis::new(&Secret::new(format!("redis://127.0.0.1:{port}")), "test", None).unwrap();
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let local = MemoryLimiter::new(10, Clock::system());
    let _limiter = RedisLimiter::start(settings, local, (&tracker, stop.clone()));
    let _held = waiting(&listener).await;

    let since = Instant::now();
    stop.cancel();
    tracker.close();
    tokio::time::timeout(PATIENCE, tracker.wait()).await.expect("it does not stop");
    assert!(since.elapsed() < AT_ONCE, "after {:?}", since.elapsed());
}
