//! A gentle stop fails no request, a second signal does not wait, and a lost database is survived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};
use tokio::net::TcpStream;

use crate::harness::{TestApp, eventually};
use crate::rest::SHOP;

#[tokio::test]
async fn no_request_under_load_fails_when_the_server_is_told_to_stop() {
    let mut app = TestApp::with_sql(SHOP).await;
    let (stopping, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (client, stopping, answered) = (app.anon(), Arc::clone(&stopping), Arc::clone(&answered));
        clients.spawn(async move {
            loop {
                let told = stopping.load(Ordering::SeqCst);
                match client.try_send(reqwest::Method::GET, "/rest/v1/products?limit=5", None).await {
                    Ok(answer) => assert_eq!(answer.status, 200, "{}", answer.text()),
                    // Only a connection that could not be made is fine, and only after the signal.
                    Err(error) => {
                        return assert!(
                            told || (error.is_connect() && stopping.load(Ordering::SeqCst)),
                            "{error:?}"
                        );
                    }
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    eventually("some load", async || answered.load(Ordering::SeqCst) > 200).await;

    stopping.store(true, Ordering::SeqCst);
    let status = app.server.stop().await;

    assert!(status.success(), "{status}");
    while let Some(result) = clients.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let mut app = TestApp::with_sql(SHOP).await;
    let mut locker = PgConnection::connect(&app.database.url_as("postgres")).await.unwrap();
    locker.execute("begin; lock table products in access exclusive mode").await.unwrap();
    let client = app.service();
    let slow = tokio::spawn(async move { client.get("/rest/v1/products?limit=1").await });
    let waiting = "select (count(*) > 0)::text from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("the query", async || app.database.value(waiting).await == "true").await;

    app.server.signal(Signal::TERM);
    eventually("the signal to be noticed", async || is_stopping(&app).await).await;
    locker.execute("rollback").await.unwrap();

    assert!(app.server.ended().await.success());
    slow.await.unwrap().expect_status(200);
}

/// Whether the server takes no connections any more.
async fn is_stopping(app: &TestApp) -> bool {
    TcpStream::connect(("127.0.0.1", app.server.port())).await.is_err()
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let mut app = TestApp::with_sql(SHOP).await;
    let client = app.service();
    let slow = tokio::spawn(async move { client.try_get("/rest/v1/rpc/sleep_for?seconds=60").await });
    let sleeping = "select count(*)::text from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    eventually("the query", async || app.database.value(sleeping).await == "1").await;

    app.server.signal(Signal::TERM);
    let begin = Instant::now();
    eventually("the first signal to be noticed", async || is_stopping(&app).await).await;
    app.server.signal(Signal::TERM);
    app.server.ended().await;

    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    slow.abort();
}

#[tokio::test]
async fn lost_connections_are_replaced_without_a_restart() {
    let app = TestApp::with_sql(SHOP).await;
    let anon = app.anon();
    anon.get("/rest/v1/products?limit=1").await.expect_status(200);

    app.database
        .run_as_superuser("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
        .await;

    for _ in 0..20 {
        let status = anon.get("/rest/v1/products?limit=1").await.status;
        assert!(matches!(status, 200 | 503), "{status}");
    }
    eventually("service to return", async || anon.get("/rest/v1/products?limit=1").await.status == 200).await;
    eventually("readiness to return", async || app.client().get("/health/ready").await.status == 200).await;
}
