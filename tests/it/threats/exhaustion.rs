//! Threat I12: no descriptors are left. Accepting pauses without a busy loop, who is connected is served, and when there
//! are some again everything goes on by itself.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpStream;

use crate::harness::{TestApp, eventually, idle, open_files, processor_time_within};
use crate::rest::SHOP;

/// How many more connections than descriptors come.
const TOO_MANY: usize = 60;

#[tokio::test]
async fn without_descriptors_accepting_pauses_and_goes_on_when_there_are_some() {
    let app = TestApp::with_sql(SHOP).await;
    // What the start still does is not counted.
    idle(app.server.pid()).await;
    let connected = app.anon();
    connected.get("/rest/v1/products?limit=1").await.expect_status(200);
    let pid = app.server.pid();
    let process = Pid::from_raw(pid.try_into().unwrap());
    let limit = open_files(pid) + 8;
    let lower = Rlimit { current: Some(limit as u64), ..getrlimit(Resource::Nofile) };
    let before = prlimit(process, Resource::Nofile, lower).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..TOO_MANY {
        // The operating system accepts for the server, which cannot.
        sockets.push(TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap());
    }
    eventually("exhaustion", async || app.server.log().contains("cannot accept connections for a moment"))
        .await;

    let used = processor_time_within(pid, Duration::from_secs(2)).await;

    // A busy loop would use most of these two seconds.
    assert!(used < 60, "{used} hundredths of a second");
    connected.get("/rest/v1/products?limit=1").await.expect_status(200);
    drop(sockets);
    eventually("service for who is new", async || app.client().get("/health/live").await.status == 200).await;
    app.anon().get("/rest/v1/products?limit=1").await.expect_status(200);
    prlimit(process, Resource::Nofile, before).unwrap();
    app.anon().get("/rest/v1/products?limit=1").await.expect_status(200);
}
