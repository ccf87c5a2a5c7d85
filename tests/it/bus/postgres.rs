//! The bus over PostgreSQL.

use std::time::{Duration, Instant};

use bytes::Bytes;
use goforward::kernel::bus::{Bus, Delivery, postgres};
use goforward::kernel::db::login::Login;
use goforward::kernel::random::Random;
use sqlx::postgres::{PgConnectOptions, PgListener};

use super::{Node, acquainted, message, messages_cross_in_order, next, nodes_come_and_go, quiet, terms};
use crate::harness::{Database, eventually, eventually_within};

fn node(database: &Database) -> Node {
    let login: PgConnectOptions = database.url().parse().unwrap();
    Node::new(|tasks| postgres::start(Login::from(login), terms(), &Random::system(), tasks))
}

const END_CONNECTIONS: &str = "select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'goforward bus'";

#[tokio::test]
async fn messages_cross() {
    let database = Database::create().await;
    messages_cross_in_order([(); 3].map(|()| node(&database))).await;
}

#[tokio::test]
async fn nodes_know_who_is_there() {
    let database = Database::create().await;
    nodes_come_and_go(|| node(&database)).await;
}

#[tokio::test]
async fn a_lost_connection_is_a_gap_and_another_is_made() {
    let database = Database::create().await;
    let (one, two) = (node(&database), node(&database));
    acquainted(&[&one, &two]).await;
    let (mut at_one, mut at_two) = (one.listen(), two.listen());
    quiet(&[&one, &two], &mut [&mut at_one, &mut at_two]).await;

    database.run_as_superuser(END_CONNECTIONS).await;

    assert_eq!(next(&mut at_one).await, Some(Delivery::Gap));
    assert_eq!(next(&mut at_two).await, Some(Delivery::Gap));
    acquainted(&[&one, &two]).await;
    eventually("both to be connected", async || one.bus.status().connected && two.bus.status().connected)
        .await;
    one.say("after");
    assert_eq!(message(&mut at_two).await, "after");
}

#[tokio::test]
async fn what_is_no_message_of_ours_is_ignored_and_counted() {
    let database = Database::create().await;
    let (one, two) = (node(&database), node(&database));
    acquainted(&[&one, &two]).await;
    let mut at_two = two.listen();
    quiet(&[&one], &mut [&mut one.listen(), &mut at_two]).await;

    database
        .run(
            "select pg_notify('goforward_bus', said)
             from unnest(array['', '{}', '#', '#0/1x', 'AQ==', repeat('A', 7996), 'é']) as said",
        )
        .await;
    // A row that is gone is a loss, as any other.
    database.run("select pg_notify('goforward_bus', '#00000000000000ff/1')").await;

    one.say("still there");
    assert_eq!(next(&mut at_two).await.map(|delivery| matches!(delivery, Delivery::Message(_))), Some(true));
    assert_eq!(two.counted("goforward_bus_ignored_total"), 7);
}

#[tokio::test]
async fn what_was_recorded_brings_nobody_back() {
    let database = Database::create().await;
    let mut listener = PgListener::connect(&database.url()).await.unwrap();
    listener.listen("goforward_bus").await.unwrap();
    let (one, two) = (node(&database), node(&database));
    acquainted(&[&one, &two]).await;
    let mut at_two = two.listen();
    one.say("recorded");
    assert_eq!(message(&mut at_two).await, "recorded");
    one.stop().await;
    eventually("its stop to be heard", async || two.bus.peers() == 0).await;

    let mut recorded = Vec::new();
    while let Ok(Ok(heard)) = tokio::time::timeout(Duration::from_secs(1), listener.recv()).await {
        recorded.push(heard.payload().to_owned());
    }
    assert!(recorded.len() >= 4, "{recorded:?}");
    let before = two.counted("goforward_bus_ignored_total");
    for payload in &recorded {
        database.run(&format!("select pg_notify('goforward_bus', '{payload}')")).await;
    }

    let three = node(&database);
    acquainted(&[&two, &three]).await;
    three.say("after");
    assert_eq!(message(&mut at_two).await, "after");
    assert_eq!(two.counted("goforward_bus_ignored_total"), before + recorded.len());
}

#[tokio::test]
async fn large_messages_leave_nothing_behind() {
    let database = Database::create().await;
    database
        .run(
            "insert into goforward.bus_messages values (1, 1, 'x', now() - interval '16 seconds'),
                 (1, 2, 'x', now() + interval '1 minute')",
        )
        .await;
    let (one, two) = (node(&database), node(&database));
    acquainted(&[&one, &two]).await;
    let kept =
        "select string_agg(number::text, ',' order by number) from goforward.bus_messages where sender = 1";
    assert_eq!(database.value(kept).await, "2", "old rows go when a node comes");
    let mut at_two = two.listen();
    one.broadcast(Bytes::from(vec![1; 6_000]));
    assert_eq!(message(&mut at_two).await.len(), 6_000);
    assert_eq!(database.value("select count(*) from goforward.bus_messages where sender <> 1").await, "1");
    one.broadcast(Bytes::from(vec![1; 5_900]));
    assert_eq!(message(&mut at_two).await.len(), 5_900);
    assert_eq!(database.value("select count(*) from goforward.bus_messages where sender <> 1").await, "1");
}

#[tokio::test]
async fn rows_are_gone_soon_after_they_were_read_also_where_their_node_is() {
    let database = Database::create().await;
    let (one, two) = (node(&database), node(&database));
    acquainted(&[&one, &two]).await;
    let mut at_two = two.listen();
    one.broadcast(Bytes::from(vec![1; 6_000]));
    assert_eq!(message(&mut at_two).await.len(), 6_000);
    one.kill();
    assert_eq!(database.value("select count(*) from goforward.bus_messages").await, "1");
    eventually_within(Duration::from_mins(1), "the row to be removed", async || {
        database.value("select count(*) from goforward.bus_messages").await == "0"
    })
    .await;
}

#[tokio::test]
async fn of_large_messages_only_as_much_passes_as_may_be_and_the_receiver_knows() {
    const LARGE: usize = 2 * 1024 * 1024;
    let database = Database::create().await;
    let (one, two) = (node(&database), node(&database));
    acquainted(&[&one, &two]).await;
    let mut at_two = two.listen();
    quiet(&[&one], &mut [&mut one.listen(), &mut at_two]).await;
    let (mut passed, mut gaps, begun) = (0, 0, Instant::now());
    for number in 0..20 {
        one.broadcast(Bytes::from(vec![1; LARGE]));
        let mark = format!("mark {number}");
        one.say(&mark);
        loop {
            match next(&mut at_two).await.unwrap() {
                Delivery::Gap => gaps += 1,
                Delivery::Message(message) if message.payload == mark => break,
                Delivery::Message(_) => passed += 1,
            }
        }
    }
    // 16 MiB at once, and 64 more a minute.
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let most = 16 / 2 + seconds * 64 / 60 / 2 + 1;
    assert!((7..=most).contains(&passed), "{passed} of {most} in {seconds} s");
    // Small ones all came, and each loss was told before the next of them.
    assert_eq!(gaps, 20 - passed);
    assert_eq!(one.counted("goforward_bus_dropped_total{reason=\"too_much\"}"), 20 - passed);
}

#[tokio::test]
async fn more_than_it_carries_is_dropped_and_the_receiver_knows() {
    let database = Database::create().await;
    let (one, two) = (node(&database), node(&database));
    acquainted(&[&one, &two]).await;
    let mut at_two = two.listen();
    quiet(&[&one], &mut [&mut one.listen(), &mut at_two]).await;
    for number in 0..50_000_u32 {
        one.say(&number.to_string());
    }
    let (mut last, mut received, mut gaps) = (None, 0, 0);
    // What was published last may be among the lost: the next sign of life tells.
    while gaps == 0 {
        match next(&mut at_two).await.unwrap() {
            Delivery::Message(message) => {
                let number: u32 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                assert!(last.map_or(number == 0, |last| number == last + 1), "a loss without a gap");
                (last, received) = (Some(number), received + 1);
            }
            Delivery::Gap => gaps += 1,
        }
    }
    assert!((8_000..50_000).contains(&received), "{received}");
}
