//! Rules that changed and cannot be read again: nothing may stay open by the old ones.

use reqwest::Method;
use serde_json::json;

use super::USER;
use crate::harness::{Options, Server, TestApp, eventually};
use crate::rest::SHOP;

/// Keeps every server from reading the catalog, and from nothing else.
const BLIND: &str = "revoke select on pg_catalog.pg_event_trigger from public";
const SEEING: &str = "grant select on pg_catalog.pg_event_trigger to public";
const PRODUCTS: &str = "/security/v1/tables/public.products";

#[tokio::test]
async fn a_table_is_closed_where_its_changed_rules_cannot_be_read() {
    let app = TestApp::with_sql(SHOP).await;
    let neighbour = TestApp {
        server: Server::start(Options::default().database(&app.database.url())).await,
        database: crate::harness::Database::create().await,
    };
    let ask =
        async |app: &TestApp, table: &str| app.user(USER).get(&format!("/rest/v1/{table}?select=id")).await;
    ask(&app, "products").await.expect_status(200);

    app.database.run_as_superuser(BLIND).await;
    let rules = json!({"require_mfa": true});
    let stored = app.service().send(Method::PUT, PRODUCTS, Some(rules)).await.expect_status(201);

    assert!(stored.header("warning").starts_with("199 - \"The change is stored"), "{:?}", stored.headers);
    ask(&app, "products").await.expect_error(503, "rules_not_current");
    ask(&app, "orders").await.expect_status(200);
    app.service().get("/rest/v1/products?select=id").await.expect_status(200);
    let told = async || app.server.log().contains("it is closed until they can");
    eventually("the log to say so", told).await;
    let closed = async || ask(&neighbour, "products").await.status == 503;
    eventually("the neighbour to close it as well", closed).await;

    app.database.run_as_superuser(SEEING).await;
    for app in [&app, &neighbour] {
        let read = async || ask(app, "products").await.status == 403;
        eventually("the rules to be read", read).await;
        ask(app, "products").await.expect_error(403, "insufficient_aal");
    }

    app.database.run_as_superuser(BLIND).await;
    let removed = app.service().delete(PRODUCTS).await.expect_status(204);
    assert!(!removed.header("warning").is_empty());
    ask(&app, "products").await.expect_error(503, "rules_not_current");
    app.database.run_as_superuser(SEEING).await;
    let open = async || ask(&app, "products").await.status == 200;
    eventually("the end of the rules to be read", open).await;
    let changed = app.service().send(Method::PUT, PRODUCTS, Some(json!({}))).await.expect_status(201);
    assert_eq!(changed.headers.get("warning"), None);
}
