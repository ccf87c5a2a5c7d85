//! A relation that nothing protects is closed to every role without BYPASSRLS, wherever it is named.

use serde_json::json;

use super::{ALICE, SHOP};
use crate::harness::{Options, TestApp};

#[tokio::test]
async fn an_unprotected_table_is_refused_with_the_sql_that_protects_it() {
    let app = TestApp::with_sql(SHOP).await;

    let anonymous = app.anon().get("/rest/v1/unprotected").await.expect_error(401, "42501");
    assert!(anonymous.header("www-authenticate").starts_with("Bearer"), "{:?}", anonymous.headers);
    let hint = anonymous.json()["hint"].as_str().unwrap().to_lowercase();
    assert!(hint.contains("alter table") && hint.contains("enable row level security"), "{hint}");
    app.user(ALICE).get("/rest/v1/unprotected").await.expect_error(403, "42501");
    app.service()
        .get("/rest/v1/unprotected?select=id")
        .await
        .expect_status(200)
        .expect_json(&json!([{ "id": 1 }]));
}

#[tokio::test]
async fn the_hint_does_what_it_says() {
    let app = TestApp::with_sql(SHOP).await;
    let refused = app.anon().get("/rest/v1/unprotected").await.expect_status(401).json();
    let hint = refused["hint"].as_str().unwrap();
    let start = hint.to_lowercase().find("alter table").expect("SQL in the hint");
    let sql = hint[start..].split(';').next().unwrap().split(" (").next().unwrap().to_owned();

    app.database.run(&sql).await;

    let open = async || app.anon().get("/rest/v1/unprotected").await.status == 200;
    crate::harness::eventually("the protected table to be served", open).await;
}

#[tokio::test]
async fn no_position_in_a_request_reaches_an_unprotected_table() {
    let app = TestApp::with_sql(SHOP).await;
    app.database
        .run(
            "alter table other_unprotected enable row level security;
             create policy p on other_unprotected using (true) with check (true);
             notify pgrst, 'reload schema'",
        )
        .await;
    let alice = app.user(ALICE);
    let reachable = async || alice.get("/rest/v1/other_unprotected").await.status == 200;
    crate::harness::eventually("the parent to be served", reachable).await;

    for path in [
        "/rest/v1/other_unprotected?select=id,unprotected(secret)",
        "/rest/v1/other_unprotected?select=id,unprotected!inner(id)",
        "/rest/v1/other_unprotected?select=id,...unprotected(secret)",
        "/rest/v1/other_unprotected?select=id,unprotected()&unprotected.secret=eq.x",
        "/rest/v1/other_unprotected?select=id,unprotected(id)&unprotected=not.is.null",
        "/rest/v1/other_unprotected?select=id,unprotected(id)&order=unprotected(secret)",
        "/rest/v1/other_unprotected?select=id,unprotected(count())",
    ] {
        let answer = alice.get(path).await;
        assert!(matches!(answer.status, 400 | 403), "{path}: {} {}", answer.status, answer.text());
        answer.expect_nowhere("open secret");
    }
    let writes = alice.post("/rest/v1/unprotected", json!({ "id": 2 })).await;
    writes.expect_error(403, "42501");
    alice.patch("/rest/v1/unprotected?id=eq.1", json!({ "secret": "x" })).await.expect_error(403, "42501");
    alice.delete("/rest/v1/unprotected?id=eq.1").await.expect_error(403, "42501");
    assert_eq!(
        app.database.value("select string_agg(id || secret, ',') from unprotected").await,
        "1open secret"
    );
}

#[tokio::test]
async fn a_view_is_open_only_if_it_asks_as_the_caller_and_its_tables_are_protected() {
    let app = TestApp::with_sql(SHOP).await;

    let asking = app.anon().get("/rest/v1/invoker_view?id=eq.1").await;
    if app.database.value("show server_version_num").await.as_str() < "150000" {
        // No view can ask as the caller there.
        asking.expect_error(401, "42501");
    } else {
        asking.expect_json(&json!([{ "id": 1, "name": "product 1" }]));
    }
    app.anon().get("/rest/v1/open_view").await.expect_error(401, "42501").expect_nowhere("open secret");
    app.anon().get("/rest/v1/invoker_over_unprotected").await.expect_error(401, "42501");
    app.anon().get("/rest/v1/stale").await.expect_error(401, "42501");
}

#[tokio::test]
async fn all_rows_at_once_are_neither_changed_nor_deleted() {
    let app = TestApp::with_sql(SHOP).await;
    let alice = app.user(ALICE);

    for path in ["/rest/v1/orders", "/rest/v1/orders?select=id", "/rest/v1/orders?order=id&columns=note"] {
        let deleted = alice.clone().prefer("return=representation").delete(path).await;
        assert!((400..500).contains(&deleted.status), "{path}: {}", deleted.text());
        let changed = alice.patch(path, json!({ "note": "gone" })).await;
        assert!((400..500).contains(&changed.status), "{path}: {}", changed.text());
    }
    assert_eq!(app.database.value("select count(*)::text from orders where note like 'order %'").await, "30");
    alice.delete("/rest/v1/orders?id=eq.2").await.expect_status(204);
}

#[tokio::test]
async fn the_postgrest_profile_opens_what_postgrest_opens() {
    let options = Options::default().set("rest.profile", "postgrest").set("rest.anon_role", "anon");
    let database = crate::harness::Database::create().await;
    database.run(SHOP).await;
    let app = TestApp::on(database, options).await;

    app.anon()
        .get("/rest/v1/unprotected?select=id")
        .await
        .expect_status(200)
        .expect_json(&json!([{ "id": 1 }]));
    app.anon().delete("/rest/v1/other_unprotected").await.expect_status(204);
    assert_eq!(app.database.value("select count(*)::text from other_unprotected").await, "0");
}
