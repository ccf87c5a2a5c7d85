//! The bus over Redis.

use std::time::{Duration, Instant};

use bytes::Bytes;
use goforward::kernel::bus::{Bus, Delivery, Subject, redis};
use goforward::kernel::db::login::Login;
use goforward::kernel::db::project;
use goforward::kernel::random::Random;
use goforward::kernel::redis::Redis;
use goforward::kernel::secret::Secret;
use goforward::kernel::vault::RootSecrets;
use sqlx::postgres::PgConnectOptions;

use super::{Node, acquainted, message, messages_cross_in_order, next, nodes_come_and_go, quiet, terms};
use crate::harness::{Database, RedisServer, eventually};

fn node(settings: Redis) -> Node {
    Node::new(|tasks| redis::start(settings, terms(), &Subject::ALL, &Random::system(), tasks))
}

#[tokio::test]
async fn messages_cross() {
    let server = RedisServer::start().await;
    messages_cross_in_order([(); 3].map(|()| node(server.settings()))).await;
}

#[tokio::test]
async fn nodes_know_who_is_there() {
    let server = RedisServer::start().await;
    nodes_come_and_go(|| node(server.settings())).await;
}

#[tokio::test]
async fn projects_in_one_redis_do_not_hear_each_other() {
    let server = RedisServer::start().await;
    let (one, two) = (node(server.settings()), node(server.settings()));
    let other = Redis::new(&Secret::new(server.url()), "other", None).unwrap();
    let (three, four) = (node(other.clone()), node(other));
    acquainted(&[&one, &two]).await;
    acquainted(&[&three, &four]).await;
    let mut at_four = four.listen();
    one.say("theirs");
    three.say("ours");
    assert_eq!(message(&mut at_four).await, "ours");
    assert_eq!(four.bus.peers(), 1);
}

#[tokio::test]
async fn a_killed_redis_is_a_gap_and_nobody_waits_meanwhile() {
    let mut server = RedisServer::start().await;
    let (one, two) = (node(server.settings()), node(server.settings()));
    acquainted(&[&one, &two]).await;
    let (mut at_one, mut at_two) = (one.listen(), two.listen());
    quiet(&[&one, &two], &mut [&mut at_one, &mut at_two]).await;

    server.kill();
    eventually("the loss to be noticed", async || !one.bus.status().connected && !two.bus.status().connected)
        .await;
    let before = one.counted("goforward_bus_dropped_total");
    let started = Instant::now();
    for _ in 0..10_000 {
        one.say("lost");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(one.counted("goforward_bus_dropped_total"), before + 10_000);

    server.begin().await;
    assert_eq!(next(&mut at_one).await, Some(Delivery::Gap));
    assert_eq!(next(&mut at_two).await, Some(Delivery::Gap));
    acquainted(&[&one, &two]).await;
    assert!(one.bus.status().connected);
    one.say("after");
    two.say("after");
    assert_eq!(message(&mut at_one).await, "after");
    assert_eq!(message(&mut at_two).await, "after");
}

#[tokio::test]
async fn a_redis_that_is_down_at_the_start_is_waited_for_in_the_background() {
    let mut server = RedisServer::down();
    let (one, two) = (node(server.settings()), node(server.settings()));
    let mut at_two = two.listen();
    one.say("to nobody");
    assert!(!one.bus.status().connected);
    server.begin().await;
    acquainted(&[&one, &two]).await;
    assert_eq!(next(&mut at_two).await, Some(Delivery::Gap));
    one.say("hello");
    assert_eq!(next(&mut at_two).await.map(|delivery| matches!(delivery, Delivery::Message(_))), Some(true));
}

#[tokio::test]
async fn what_is_no_message_of_ours_is_ignored_and_counted() {
    let server = RedisServer::start().await;
    let (one, two) = (node(server.settings()), node(server.settings()));
    acquainted(&[&one, &two]).await;
    let mut at_two = two.listen();
    quiet(&[&one], &mut [&mut one.listen(), &mut at_two]).await;

    let newer = [&[2, 0][..], &7_u64.to_be_bytes(), &1_u64.to_be_bytes(), b"x"].concat();
    let nobody = [&[1, 0][..], &0_u64.to_be_bytes(), &1_u64.to_be_bytes(), b"x"].concat();
    let large = vec![1; 9 * 1024 * 1024];
    for wrong in [&b""[..], b"{}", b"\x01", &[0xff; 4_000], &newer, &nobody, &large] {
        server.ask(&[b"PUBLISH", b"goforward:test:broadcast", wrong]).await;
        server.ask(&[b"PUBLISH", b"goforward:test:nodes", wrong]).await;
    }

    one.say("still there");
    assert_eq!(next(&mut at_two).await.map(|delivery| matches!(delivery, Delivery::Message(_))), Some(true));
    assert_eq!(two.counted("goforward_bus_ignored_total"), 14);
    assert_eq!((one.bus.peers(), two.bus.peers()), (1, 1));
}

#[tokio::test]
async fn a_redis_that_hangs_fills_a_bounded_queue_and_nobody_waits() {
    let server = RedisServer::start().await;
    let (one, two) = (node(server.settings()), node(server.settings()));
    acquainted(&[&one, &two]).await;
    let mut at_two = two.listen();
    quiet(&[&one], &mut [&mut one.listen(), &mut at_two]).await;

    server.hang();
    let started = Instant::now();
    let payload = Bytes::from(vec![1; 10_000]);
    for _ in 0..20_000 {
        one.broadcast(payload.clone());
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // 16 MiB wait, and what was handed over already.
    let dropped = one.counted("goforward_bus_dropped_total");
    assert!((17_000..20_000).contains(&dropped), "{dropped}");
    eventually("the node to give the connection up", async || !one.bus.status().connected).await;

    server.go_on();
    eventually("both to be connected", async || one.bus.status().connected && two.bus.status().connected)
        .await;
    acquainted(&[&one, &two]).await;
    one.say("after");
    while message(&mut at_two).await != "after" {}
}

#[tokio::test]
async fn a_password_is_given_and_a_wrong_one_shows_nowhere() {
    let server = RedisServer::with(&["--requirepass", "right-horse"]).await;
    let with = |password: &str| {
        let url = format!("{}?pass={password}", server.url());
        Redis::new(&Secret::new(url), "test", None).unwrap()
    };
    let (one, two) = (node(with("right-horse")), node(with("right-horse")));
    acquainted(&[&one, &two]).await;
    let error = with("wrong-horse").version().await.unwrap_err().to_string();
    assert!(!error.contains("horse"), "{error}");
}

#[tokio::test]
async fn tls_is_checked_against_the_authority() {
    let (_server, port, authority) = RedisServer::with_tls().await;
    let url = Secret::new(format!("rediss://localhost:{port}"));
    let trusting = Redis::new(&url, "test", Some(&authority)).unwrap();
    let (one, two) = (node(trusting.clone()), node(trusting.clone()));
    acquainted(&[&one, &two]).await;
    assert!(trusting.version().await.is_ok());
    let error = Redis::new(&url, "test", None).unwrap().version().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let by_address = Secret::new(format!("rediss://127.0.0.1:{port}"));
    assert!(Redis::new(&by_address, "test", Some(&authority)).unwrap().version().await.is_err());
}

#[tokio::test]
async fn where_a_server_does_not_say_what_it_is_only_nodes_with_the_same_secret_share_a_name() {
    let database = Database::create().await;
    database
        .run_as_superuser(
            "do $$ begin create role it_named login; exception when duplicate_object then end $$",
        )
        .await;
    let login = Login::from(database.url_as("it_named").parse::<PgConnectOptions>().unwrap());
    let name = async |secret: &str| {
        let roots = RootSecrets::new(&Secret::new(secret), &[]);
        project::name(&login, Some(&roots)).await.unwrap()
    };
    assert_eq!(name("one").await, name("two").await);

    database.run_as_superuser("revoke execute on function pg_control_system() from public").await;

    assert_eq!(name("one").await, name("one").await);
    assert_ne!(name("one").await, name("two").await);
}
