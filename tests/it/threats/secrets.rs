//! Nothing secret shows in logs, errors, metrics or process titles (threats A12, I15), and files are private.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Caller, Options, Server, TestApp, eventually};
use crate::rest::{ALICE, SHOP};

#[tokio::test]
async fn keys_and_tokens_do_not_show_in_the_log() {
    let app = TestApp::with_sql(SHOP).await;
    let keys = app.server.keys();
    let token = Caller::user(ALICE).token(&keys.jwt_secret);
    let forged = format!("{}x", &token[..token.len() - 3]);

    app.anon().bearer(&token).get("/rest/v1/orders").await.expect_status(200);
    app.anon().bearer(&forged).get("/rest/v1/orders").await.expect_status(401);
    app.client().get(&format!("/rest/v1/products?limit=1&apikey={}", keys.anon_key)).await.expect_status(200);
    app.client()
        .get(&format!("/rest/v1/nope?apikey={}&id=eq.1", keys.service_role_key))
        .await
        .expect_status(404);
    app.client().apikey(&keys.service_role_key).get("/rest/v1/nope").await.expect_status(404);

    // Lines are written in batches.
    eventually("the log", async || app.server.log().matches("/rest/v1/nope").count() >= 2).await;
    // The first line of a start shows the anon key, which is public, on purpose.
    let log: String = app.server.log().lines().filter(|line| !line.contains("goforward is ready")).collect();
    assert!(log.contains("/rest/v1/"), "the access log is on: {log}");
    for secret in [&keys.anon_key, &keys.service_role_key, &keys.jwt_secret, &token, &forged] {
        let signature = secret.rsplit('.').next().unwrap();
        assert!(!log.contains(signature), "a secret shows in the log");
    }
}

#[tokio::test]
async fn what_a_caller_sends_cannot_forge_a_line_of_the_log() {
    let app = TestApp::with_sql(SHOP).await;

    app.anon()
        .header("user-agent", "x")
        .get("/rest/v1/products?name=eq.a%0A%7B%22kind%22%3A%22audit%22%7D")
        .await
        .expect_status(200);

    assert!(!app.server.log().lines().any(|line| line.trim_start().starts_with("{\"kind\":\"audit\"")));
}

#[tokio::test]
async fn errors_tell_nothing_of_the_inside() {
    let app = TestApp::with_sql(SHOP).await;
    for path in [
        "/rest/v1/products?select=nope",
        "/rest/v1/products?id=eq.x",
        "/rest/v1/rpc/fail_with?state=XX000",
        "/rest/v1/products?select=a(",
        "/nothing",
    ] {
        let answer = app.anon().get(path).await;
        let text = answer.text().to_lowercase();
        for word in
            ["panicked", ".rs:", "select coalesce", "pgrst_source", "postgres://", "/src/", "stack backtrace"]
        {
            assert!(!text.contains(word), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn the_files_that_hold_secrets_are_private() {
    let server = Server::start(Options::default()).await;
    let keys = server.keys();
    let mut open = Vec::new();
    visit(server.data(), &mut |path| {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        let holds = std::fs::read(path).is_ok_and(|bytes| contains(&bytes, keys.jwt_secret.as_bytes()));
        if holds && mode & 0o077 != 0 {
            open.push(format!("{} is {:o}", path.display(), mode & 0o777));
        }
    });

    assert!(open.is_empty(), "{open:?}");
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.is_file() {
            look(&path);
        }
    }
}
