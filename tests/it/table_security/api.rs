//! The rules of tables as an API: who may use it, versions, conditions, effects.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::USER;
use crate::harness::{Answer, TestApp, eventually};
use crate::rest::{ALICE, BOB, SHOP};

const ORDERS: &str = "/security/v1/tables/public.orders";

async fn put(app: &TestApp, path: &str, rules: Value) -> Answer {
    app.service().send(Method::PUT, path, Some(rules)).await
}

#[tokio::test]
async fn only_servers_manage_rules() {
    let app = TestApp::with_sql(SHOP).await;
    for client in [app.anon(), app.user(ALICE)] {
        for (method, path) in [
            (Method::GET, "/security/v1/tables"),
            (Method::GET, ORDERS),
            (Method::PUT, ORDERS),
            (Method::PATCH, ORDERS),
            (Method::DELETE, ORDERS),
            (Method::GET, "/security/v1/tables/public.orders/history"),
            (Method::POST, "/security/v1/explain"),
            (Method::POST, "/security/v1/check"),
            (Method::GET, "/security/v1/lint"),
        ] {
            client.send(method, path, Some(json!({}))).await.expect_error(403, "not_allowed");
        }
    }
    assert_eq!(app.database.value("select count(*) from goforward.table_security").await, "0");
}

#[tokio::test]
async fn rules_are_made_read_changed_and_removed_and_each_version_is_kept() {
    let app = TestApp::with_sql(SHOP).await;
    let service = app.service();

    let made =
        put(&app, ORDERS, json!({"require_auth": true, "display_name": "Orders"})).await.expect_status(201);
    assert_eq!(made.header("etag"), "\"v1\"");
    let shown = service.get(ORDERS).await.expect_status(200).json();
    assert_eq!(
        (&shown["schema"], &shown["table"], &shown["require_auth"]),
        (&json!("public"), &json!("orders"), &json!(true))
    );
    // An answer can be sent back as it is.
    put(&app, ORDERS, shown).await.expect_status(200);
    let patched = service
        .patch(ORDERS, json!({"require_auth": null, "public_read": true}))
        .await
        .expect_status(200)
        .json();
    assert_eq!((&patched["require_auth"], &patched["display_name"]), (&json!(false), &json!("Orders")));
    service.get("/security/v1/tables").await.expect_status(200);
    service.delete(ORDERS).await.expect_status(204);
    service.get(ORDERS).await.expect_error(404, "no_rules");

    let history = service.get("/security/v1/tables/public.orders/history").await.expect_status(200).json();
    let actions: Vec<&str> =
        history.as_array().unwrap().iter().map(|past| past["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["deleted", "changed", "changed", "created"]);
    assert_eq!(history[3]["changed_by"], "service_role");
}

#[tokio::test]
async fn of_two_changes_to_one_version_one_wins() {
    let app = TestApp::with_sql(SHOP).await;
    let tag = put(&app, ORDERS, json!({})).await.expect_status(201).header("etag").to_owned();
    let change = async |name: &str| {
        let client = app.service().header("If-Match", &tag);
        client.patch(ORDERS, json!({"display_name": name})).await.status
    };

    let mut statuses =
        [tokio::join!(change("a"), change("b"), change("c"))].map(|(a, b, c)| [a, b, c]).concat();

    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
    app.service()
        .header("If-None-Match", "*")
        .send(Method::PUT, ORDERS, Some(json!({})))
        .await
        .expect_error(412, "version_mismatch");
    app.service()
        .header("If-Match", "v1")
        .patch(ORDERS, json!({}))
        .await
        .expect_error(400, "invalid_condition");
}

/// What was checked (who may change conditions on rows) was checked against what was read.
#[tokio::test]
async fn a_change_without_a_condition_is_one_of_the_version_that_was_read() {
    let app = TestApp::with_sql(SHOP).await;
    let insert = "insert into goforward.table_security (schema_name, table_name) values ('public', 'orders')";
    let update = "update goforward.table_security set custom_filters = '{\"open\": \"id > 0\"}'";
    let waiting = "select (count(*) > 0)::text from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";

    for (meanwhile, method) in [(insert, Method::PUT), (update, Method::PUT), (update, Method::DELETE)] {
        let mut connection = PgConnection::connect(&app.database.url()).await.unwrap();
        let mut other = connection.begin().await.unwrap();
        other.execute(meanwhile).await.unwrap();
        let service = app.service();
        let change = tokio::spawn(async move { service.send(method, ORDERS, Some(json!({}))).await });
        eventually("the change to wait", async || app.database.value(waiting).await == "true").await;
        other.commit().await.unwrap();
        change.await.unwrap().expect_error(412, "version_mismatch");
    }
    app.service().delete(ORDERS).await.expect_status(204);
}

#[tokio::test]
async fn wrong_rules_are_refused_whole_and_say_what_is_wrong() {
    let app = TestApp::with_sql(SHOP).await;
    for (rules, status, code, word) in [
        (json!({"requre_auth": true}), 400, "invalid_rules", "requre_auth"),
        (json!({"hidden_fields": ["nothing"]}), 422, "no_such_column", "nothing"),
        (json!({"custom_filters": {"a": "random() < 0.5"}}), 422, "invalid_filter", "a"),
        (json!({"custom_filters": {"a": "true) or (true"}}), 400, "invalid_rules", "custom_filters.a"),
        (json!({"custom_filters": {"a": "id"}}), 422, "invalid_filter", "a"),
    ] {
        let answer = put(&app, ORDERS, rules).await.expect_error(status, code);
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    put(&app, "/security/v1/tables/public.nothing", json!({})).await.expect_error(404, "no_such_table");
    put(&app, "/security/v1/tables/orders", json!({})).await.expect_error(400, "invalid_table_name");
    let not_json = app.service().send_text(Method::PUT, ORDERS, "application/json", "{").await;
    not_json.expect_error(400, "invalid_body");
    assert_eq!(app.database.value("select count(*) from goforward.table_security").await, "0");
}

#[tokio::test]
async fn a_rule_holds_from_the_answer_on() {
    let app = TestApp::with_sql(SHOP).await;
    app.anon().get("/rest/v1/products?select=id").await.expect_status(200);

    put(&app, "/security/v1/tables/public.products", json!({"require_auth": true})).await.expect_status(201);

    let refused = app.anon().get("/rest/v1/products?select=id").await;
    refused.expect_error(401, "authentication_required");
    app.user(ALICE).get("/rest/v1/products?select=id").await.expect_status(200);
}

#[tokio::test]
async fn owned_rows_are_ones_own_in_rest_and_in_sql() {
    let app = TestApp::with_sql(
        "create table notes (id int primary key, owner uuid, text text);
         insert into notes values (1, 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'mine'), (2, 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb', 'his');",
    )
    .await;
    let rules = json!({"require_ownership": true, "ownership_column": "owner"});
    put(&app, "/security/v1/tables/public.notes", rules).await.expect_status(201);
    let alice = app.user(ALICE);

    let seen = async || alice.get("/rest/v1/notes?select=id").await.text() == r#"[{"id":1}]"#;
    eventually("Alice to see her note only", seen).await;
    assert_eq!(
        app.database
            .as_caller(
                &crate::harness::Caller::user(BOB),
                "select string_agg(id::text, ',') from notes",
                false
            )
            .await,
        Ok("2".to_owned())
    );
    // An owner that is left out is the caller; another one is refused.
    alice.post("/rest/v1/notes", json!({"id": 3, "text": "new"})).await.expect_status(201);
    assert_eq!(app.database.value("select owner from notes where id = 3").await, ALICE);
    alice.post("/rest/v1/notes", json!({"id": 4, "owner": BOB})).await.expect_error(403, "42501");
    alice.patch("/rest/v1/notes?id=eq.2", json!({"text": "taken"})).await.expect_status(204);
    assert_eq!(app.database.value("select text from notes where id = 2").await, "his");
    app.anon().get("/rest/v1/notes").await.expect_json(&json!([]));
    app.service()
        .get("/rest/v1/notes?select=id&order=id")
        .await
        .expect_json(&json!([{"id": 1}, {"id": 2}, {"id": 3}]));
}

#[tokio::test]
async fn an_explanation_names_what_decides() {
    let app = TestApp::with_sql(SHOP).await;
    let rules = json!({"require_mfa": true, "hidden_fields": ["note"]});
    put(&app, ORDERS, rules).await.expect_status(201);
    let ask = async |question: Value| {
        app.service().post("/security/v1/explain", question).await.expect_status(200).json()
    };
    let user = |aal: &str| json!({"role": "authenticated", "sub": ALICE, "aal": aal});

    for (claims, table, verb, rule) in [
        (json!({}), "orders", "select", "require_mfa"),
        (user("aal1"), "orders", "update", "require_mfa"),
        (user("aal2"), "orders", "select", "none"),
        (user("aal2"), "unprotected", "select", "unprotected"),
        (user("aal2"), "nothing", "select", "unknown_table"),
        (json!({"role": "service_role"}), "orders", "delete", "none"),
    ] {
        let answer = ask(json!({"claims": claims, "table": table, "verb": verb})).await;
        assert_eq!((&answer["rule"], &answer["allowed"]), (&json!(rule), &json!(rule == "none")), "{answer}");
    }
    let answer = ask(json!({"claims": user("aal2"), "table": "orders", "verb": "select"})).await;
    assert_eq!(answer["columns"]["note"], json!({"read": "hidden", "write": false}));
    assert_eq!(answer["row_policies"][0]["name"], "own");
    assert!(!answer["sql"].as_str().unwrap().contains("note"), "{answer}");

    let own = app.database.value(&format!("select min(id) from orders where customer = '{ALICE}'")).await;
    let other = app.database.value(&format!("select min(id) from orders where customer = '{BOB}'")).await;
    for (id, allowed) in [(own, true), (other, false)] {
        let question =
            json!({"claims": user("aal2"), "table": "orders", "verb": "select", "key": {"id": id}});
        let answer = app.service().post("/security/v1/check", question).await.expect_status(200).json();
        assert_eq!(answer["allowed"], allowed, "{answer}");
    }
    let question = json!({"claims": {"role": "postgres"}, "table": "orders", "verb": "select"});
    app.service().post("/security/v1/check", question).await.expect_error(400, "role_refused");
    app.service()
        .post("/security/v1/check", json!({"table": "orders", "verb": "truncate"}))
        .await
        .expect_error(400, "invalid_body");
}

#[tokio::test]
async fn a_limit_counts_one_caller_however_the_table_is_asked_for() {
    let app = TestApp::with_sql(SHOP).await;
    let rules = json!({"rate_limit": {"requests": 3, "window_seconds": 600}});
    put(&app, "/security/v1/tables/public.products", rules).await.expect_status(201);
    let user = app.user(USER);

    user.get("/rest/v1/products?select=id").await.expect_status(200);
    user.head("/rest/v1/products?select=id").await.expect_status(200);
    user.get("/rest/v1/pr%6fducts?select=id&limit=1").await.expect_status(200);

    for path in ["/rest/v1/products", "/rest/v1/products?select=name", "/rest/v1/invoker_view?limit=1"] {
        let answer = user.get(path).await;
        if path.contains("view") && answer.status == 403 {
            continue; // Before PostgreSQL 15 there are no such views.
        }
        let refused = answer.expect_error(429, "over_table_rate_limit");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert_eq!(refused.header("ratelimit-limit"), "3");
    }
    app.user(BOB).get("/rest/v1/products?select=id").await.expect_status(200);
    app.service().get("/rest/v1/products?select=id").await.expect_status(200);
}

#[tokio::test]
async fn lint_finds_what_nothing_protects() {
    let app = TestApp::with_sql(SHOP).await;

    let findings = app.service().get("/security/v1/lint").await.expect_status(200).json();

    let found = findings
        .as_array()
        .unwrap()
        .iter()
        .any(|finding| finding["object"] == "public.unprotected" && finding["severity"] == "problem");
    assert!(found, "{findings}");
}
