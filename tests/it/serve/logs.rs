//! The log while the server runs: levels that change without a restart, files that are begun anew.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::harness::{Database, Options, TestApp, eventually};

async fn app(config: &Path) -> TestApp {
    let file = config.to_str().unwrap();
    TestApp::on(Database::create().await, Options::default().argument("--config").argument(file)).await
}

#[tokio::test]
async fn levels_change_at_a_signal_and_stay_where_the_file_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, "log:\n  level: info\n").unwrap();
    let app = app(&config).await;
    let log = |word: &str| app.server.log().contains(word);
    app.anon().get("/rest/v1/before").await.expect_status(404);
    eventually("a line per request", async || log("/rest/v1/before")).await;

    fs::write(&config, "log:\n  access: false\n  level: debug\n").unwrap();
    app.server.signal(Signal::HUP);
    eventually("the change", async || log("the log levels were read again")).await;
    app.anon().get("/rest/v1/quiet").await.expect_status(404);
    app.anon().bearer("a.b.c").get("/rest/v1/quiet").await.expect_status(401);
    eventually("what only debug tells", async || log("credentials refused")).await;
    assert!(!log("/rest/v1/quiet"), "access lines are off: {}", app.server.log());

    fs::write(&config, "log:\n  levle: info\n").unwrap();
    app.server.signal(Signal::HUP);
    eventually("the mistake", async || log("unknown key `log.levle`; did you mean `log.level`?")).await;
    app.anon().get("/rest/v1/still-quiet").await.expect_status(404);
    app.anon().bearer("d.e.f").get("/rest/v1/still-quiet").await.expect_status(401);
    eventually("debug still tells", async || app.server.log().matches("credentials refused").count() == 2)
        .await;
    assert!(!log("/rest/v1/still-quiet"), "{}", app.server.log());
}

#[tokio::test]
async fn a_full_log_file_is_moved_aside_and_only_as_many_are_kept_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (config, logs) = (folder.path().join("config.yaml"), folder.path().join("logs"));
    let file = logs.join("goforward.log");
    let yaml = format!(
        "log:\n  file: {}\n  rotation: size\n  max_file_bytes: 64KB\n  keep_files: 2\n",
        file.display()
    );
    fs::write(&config, yaml).unwrap();
    let app = app(&config).await;
    let client = app.anon();

    // About 2 KB of log for each, so some 400 KB in all.
    let long = "x".repeat(2_000);
    for number in 0..200 {
        client.get(&format!("/rest/v1/n{number}?a=eq.{long}")).await.expect_status(404);
    }

    // A file may be moved aside meanwhile.
    let has_it = |path| fs::read_to_string(path).is_ok_and(|text| text.contains("/rest/v1/n199"));
    let last = || newest(&logs).into_iter().any(has_it);
    eventually("the last line", async || last()).await;
    let files = newest(&logs);
    assert!((2..=3).contains(&files.len()), "the current one and at most two old ones: {files:?}");
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.len() < 80 * 1024, "{} holds {} bytes", path.display(), text.len());
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["timestamp"].is_string() && line["kind"].is_string(), "{line}");
        }
    }
    assert_eq!(app.server.log(), "", "nothing on the standard output beside the file");
}

fn newest(logs: &Path) -> Vec<PathBuf> {
    fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().path()).collect()
}
