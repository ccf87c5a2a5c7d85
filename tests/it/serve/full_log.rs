//! Threat L07, the log's part: the disk that the log is on is full. Service goes on, the lost lines are counted, and a stop
//! is as gentle as ever.

use std::os::unix::fs::symlink;

use crate::harness::{Client, Database, Options, TestApp, eventually, free_port};
use crate::rest::SHOP;

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing_and_its_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goforward.log");
    symlink("/dev/full", &file).unwrap();
    let database = Database::create().await;
    database.run(SHOP).await;
    let port = free_port();
    let options =
        Options::default().admin(port).set("log.file", file.to_str().unwrap()).set("log.rotation", "size");
    let mut app = TestApp::on(database, options).await;

    for _ in 0..50 {
        app.anon().get("/rest/v1/products?limit=1").await.expect_status(200);
    }

    let admin = Client::new(format!("http://127.0.0.1:{port}"));
    eventually("50 lost lines", async || {
        let metrics = admin.get("/metrics").await.expect_status(200).text();
        let count = metrics.lines().find_map(|line| line.strip_prefix("goforward_log_lines_dropped_total "));
        count.is_some_and(|count| count.parse::<u64>().unwrap() >= 50)
    })
    .await;
    assert!(app.server.stop().await.success());
}
