//! Settings that the database itself holds: read at the start, and again when it says so.

use serde_json::json;

use super::SHOP;
use crate::harness::{Caller, Database, Options, TestApp, eventually, now, sign};

/// Sets or resets something for the login of callers in this database only, and tells the server.
async fn configure(database: &Database, change: &str) {
    database
        .run_as_superuser(&format!(
            "do $$ begin execute format('alter role authenticator in database %I {change}', current_database()); end $$;
             notify pgrst, 'reload config'"
        ))
        .await;
}

#[tokio::test]
async fn settings_of_the_authenticator_hold_from_the_start_and_after_a_notice() {
    let database = Database::create().await;
    database.run(SHOP).await;
    configure(&database, "set pgrst.db_max_rows = ''3''").await;
    let app = TestApp::on(database, Options::default()).await;
    let rows = async || app.service().get("/rest/v1/products?select=id").await.expect_status(200).rows();
    assert_eq!(rows().await, 3);

    configure(&app.database, "set pgrst.db_max_rows = ''7''").await;
    eventually("the new page size", async || rows().await == 7).await;

    // What is wrong is told, and what the server was started with holds.
    configure(&app.database, "set pgrst.db_max_rows = ''many''").await;
    eventually("all rows", async || rows().await == 20).await;
    eventually("the complaint", async || app.server.log().contains("a setting in the database is wrong"))
        .await;

    configure(&app.database, "reset pgrst.db_max_rows").await;
    eventually("the configuration", async || {
        app.server.log().matches("the configuration was read again").count() >= 3
    })
    .await;
    assert_eq!(rows().await, 20);
}

#[tokio::test]
async fn a_signing_secret_in_the_database_replaces_the_one_before_at_once() {
    let database = Database::create().await;
    database.run(SHOP).await;
    let app = TestApp::on(database, Options::default()).await;
    let secret = "a secret that the database holds, long enough";
    let old = app.caller(&Caller::role_only("authenticated"));
    let claims = json!({ "role": "authenticated", "exp": now() + 600 });
    let new = app.anon().bearer(&sign(&claims, secret));
    old.get("/rest/v1/products?limit=1").await.expect_status(200);
    new.get("/rest/v1/products?limit=1").await.expect_error(401, "PGRST301");

    configure(&app.database, &format!("set pgrst.jwt_secret = ''{secret}''")).await;

    eventually("the new secret", async || new.get("/rest/v1/products?limit=1").await.status == 200).await;
    old.get("/rest/v1/products?limit=1").await.expect_error(401, "PGRST301");
}

#[tokio::test]
async fn an_explanation_follows_the_settings_in_the_database() {
    let database = Database::create().await;
    database.run(SHOP).await;
    let app = TestApp::on(database, Options::default()).await;
    let question = json!({"claims": {}, "table": "products", "verb": "select"});
    let role = async || {
        let told =
            app.service().post("/security/v1/explain", question.clone()).await.expect_status(200).json();
        told["role"].clone()
    };
    assert_eq!(role().await, "anon");

    configure(&app.database, "set pgrst.db_anon_role = ''authenticated''").await;

    eventually("the new role of callers without a token", async || role().await == "authenticated").await;
}
