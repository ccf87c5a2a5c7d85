//! Threat L06: deadlocks and serialization failures, many at once. Each is a 500 with PostgreSQL's code as in PostgREST,
//! nothing is tried again behind the caller's back, and what was acknowledged happened exactly once.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{Client, Database, Options, TestApp};

const SQL: &str = "create table accounts (id int primary key, balance int not null);
    insert into accounts select n, 1000 from generate_series(1, 4) n;
    create table ledger (transfer int not null);
    alter table accounts enable row level security;
    alter table ledger enable row level security;
    create function move(giver int, taker int, transfer int) returns int language plpgsql as $$ begin
      update accounts set balance = balance - 1 where id = giver;
      perform pg_sleep(0.01);
      update accounts set balance = balance + 1 where id = taker;
      insert into ledger values (transfer);
      return transfer; end $$;
    create function move_serializable(giver int, taker int, transfer int) returns int language plpgsql
      set default_transaction_isolation = 'serializable' as $$ begin
      perform sum(balance) from accounts;
      return move(giver, taker, transfer); end $$";

/// A server whose PostgreSQL looks for deadlocks early.
async fn app() -> TestApp {
    let database = Database::create().await;
    database
        .run_as_superuser(
            "do $$ begin execute format('alter database %I set deadlock_timeout = 20', current_database()); end $$",
        )
        .await;
    database.run(SQL).await;
    // Most of them wait for those who wait for locks.
    TestApp::on(database, Options::default().set("database.acquire_timeout", "60s")).await
}

/// Moves money round, each pair both ways at once; the transfers acknowledged, and the failures by code.
async fn storm(client: &Client, function: &'static str) -> (Vec<i64>, BTreeMap<String, usize>) {
    let mut requests = tokio::task::JoinSet::new();
    for transfer in 0..160 {
        let client = client.clone();
        requests.spawn(async move {
            let (giver, taker) = [(1, 2), (2, 1), (3, 4), (4, 3)][transfer % 4];
            let body = json!({ "giver": giver, "taker": taker, "transfer": transfer });
            (transfer, client.post(&format!("/rest/v1/rpc/{function}"), body).await)
        });
    }
    let (mut acknowledged, mut failures) = (Vec::new(), BTreeMap::<String, usize>::new());
    while let Some(outcome) = requests.join_next().await {
        let (transfer, answer) = outcome.unwrap();
        if answer.status == 200 {
            acknowledged.push(i64::try_from(transfer).unwrap());
        } else {
            assert_eq!(answer.status, 500, "{}", answer.text());
            *failures.entry(answer.json()["code"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    acknowledged.sort_unstable();
    (acknowledged, failures)
}

async fn each_happened_once(app: &TestApp, client: &Client, acknowledged: &[i64]) {
    let ledger = client.get("/rest/v1/ledger?order=transfer").await.expect_status(200).json();
    let entries: Vec<i64> =
        ledger.as_array().unwrap().iter().filter_map(|row| row["transfer"].as_i64()).collect();
    assert_eq!(entries, acknowledged);
    assert_eq!(app.database.value("select sum(balance)::text from accounts").await, "4000");
}

#[tokio::test]
async fn deadlocks_are_told_and_every_acknowledged_call_happened_once() {
    let app = app().await;
    let client = app.service();

    let (acknowledged, failures) = storm(&client, "move").await;

    assert_eq!(failures.keys().collect::<Vec<_>>(), ["40P01"], "{failures:?}");
    assert!(!acknowledged.is_empty());
    each_happened_once(&app, &client, &acknowledged).await;
}

#[tokio::test]
async fn serialization_failures_are_told_and_every_acknowledged_call_happened_once() {
    let app = app().await;
    let client = app.service();

    let (acknowledged, failures) = storm(&client, "move_serializable").await;

    assert!(failures.contains_key("40001"), "{failures:?}");
    assert!(failures.keys().all(|code| matches!(code.as_str(), "40001" | "40P01")), "{failures:?}");
    assert!(!acknowledged.is_empty());
    each_happened_once(&app, &client, &acknowledged).await;
}
