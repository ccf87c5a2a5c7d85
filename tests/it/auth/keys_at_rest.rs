//! Where keys must not be found: not in the database, not in logs. And what a check writes.

use serde_json::json;

use super::keys::{backend, made, text};
use super::{client, options, signed_in, user};
use crate::harness::TestApp;

#[tokio::test]
async fn a12_no_log_and_no_table_holds_a_key() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let backend = backend(&app).await;
    let key = text(&made(&me, json!({"name": "a", "kind": "personal"})).await);
    let verify = json!({"key": key});

    backend.post("/auth/v1/keys/verify", verify.clone()).await.expect_status(200);
    client(&app).post("/auth/v1/keys/exchange", verify.clone()).await.expect_status(200);
    client(&app).post("/auth/v1/keys/exchange?apikey=nothing", verify).await.expect_status(200);
    client(&app).bearer(&key).get("/rest/v1/").await.expect_status(200);
    app.client().get(&format!("/rest/v1/?apikey={key}")).await;

    assert!(!app.server.log().contains(&key), "the key is in the log");
    let stored: String = app
        .database
        .value("select string_agg(k::text, ' ') || (select string_agg(e::text, ' ') from auth.users as e) from goforward.auth_api_keys as k")
        .await;
    assert!(!stored.contains(&key) && stored.contains(&key[..18]), "{stored}");
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_a_minute() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let backend = backend(&app).await;
    let key = text(&made(&me, json!({"name": "a", "kind": "personal"})).await);
    let last = "select xmin::text from goforward.auth_api_keys where kind = 'personal'";
    let check = || backend.post("/auth/v1/keys/verify", json!({"key": key}));

    check().await.expect_status(200);
    let first: String = app.database.value(last).await;
    for _ in 0..5 {
        check().await.expect_status(200);
    }
    let second: String = app.database.value(last).await;
    app.database.run("update goforward.auth_api_keys set last_used_at = now() - interval '61 seconds'").await;
    check().await.expect_status(200);
    let third: String = app.database.value("select (now() - last_used_at < interval '30 seconds')::text from goforward.auth_api_keys where kind = 'personal'").await;

    assert_eq!((first, third.as_str()), (second, "true"));
}
