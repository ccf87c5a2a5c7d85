//! What a request may ask for beside rows: one object, an upper bound, a rehearsal, counts, plans, timings.

use serde_json::json;

use super::SHOP;
use crate::harness::{Client, Database, Options, TestApp, eventually};

const OBJECT: &str = "application/vnd.pgrst.object+json";

async fn shop(options: Options) -> TestApp {
    let database = Database::create().await;
    database.run(SHOP).await;
    database.run("analyze products").await;
    TestApp::on(database, options).await
}

#[tokio::test]
async fn one_object_is_one_row_or_a_refusal_that_changes_nothing() {
    let app = shop(Options::default()).await;
    let one = app.service().header("accept", OBJECT);

    one.get("/rest/v1/products?id=eq.3&select=id").await.expect_json(&json!({ "id": 3 }));
    one.get("/rest/v1/products?id=lt.3").await.expect_error(406, "PGRST116");
    one.get("/rest/v1/products?id=eq.0").await.expect_error(406, "PGRST116");
    let change = json!({ "price": 99 });
    let returning = one.prefer("return=representation");
    returning.patch("/rest/v1/products?id=lt.3", change.clone()).await.expect_error(406, "PGRST116");
    assert_eq!(app.database.value("select count(*)::text from products where price = 99").await, "0");
    let changed = returning.patch("/rest/v1/products?id=eq.3", change).await.expect_status(200);
    assert_eq!(changed.json()["price"].as_f64(), Some(99.0));
}

#[tokio::test]
async fn more_rows_than_max_affected_are_left_as_they_were() {
    let app = shop(Options::default()).await;
    let bounded = app.service().prefer("handling=strict, max-affected=2");

    bounded.delete("/rest/v1/order_lines?order_id=gt.0").await.expect_error(400, "PGRST124");
    assert_ne!(app.database.value("select count(*)::text from order_lines").await, "0");
    bounded.patch("/rest/v1/products?id=lt.3", json!({ "price": 7 })).await.expect_status(204);
    assert_eq!(app.database.value("select count(*)::text from products where price = 7").await, "2");
}

#[tokio::test]
async fn a_put_writes_the_row_of_its_address_and_no_other() {
    let app = shop(Options::default()).await;
    let row =
        |id: i32| json!({ "id": id, "name": "put", "price": 1, "tags": [], "data": {}, "hidden": false });

    let put = reqwest::Method::PUT;
    app.service()
        .send(put.clone(), "/rest/v1/products?id=eq.50", Some(row(51)))
        .await
        .expect_error(400, "PGRST115");
    assert_eq!(app.database.value("select count(*)::text from products where name = 'put'").await, "0");
    let returning = app.service().prefer("return=representation");
    returning.send(put, "/rest/v1/products?id=eq.50", Some(row(50))).await.expect_status(201);
    assert_eq!(app.database.value("select id::text from products where name = 'put'").await, "50");
}

#[tokio::test]
async fn counts_are_exact_planned_or_estimated_as_asked_for() {
    let app = shop(Options::default().set("rest.max_rows", "5")).await;
    let total = async |client: Client, mode: &str| {
        let answer = client.prefer(&format!("count={mode}")).get("/rest/v1/products?select=id").await;
        assert!(matches!(answer.status, 200 | 206), "{}", answer.text());
        answer.header("content-range").to_owned()
    };

    assert_eq!(total(app.service(), "exact").await, "0-4/20");
    assert_eq!(total(app.service(), "planned").await, "0-4/20");
    // More rows than a page has: the planner is asked; fewer: they are counted.
    assert_eq!(total(app.service(), "estimated").await, "0-4/20");
    let few = app.service().prefer("count=estimated").get("/rest/v1/products?id=lt.4&select=id").await;
    assert_eq!(few.header("content-range"), "0-2/3");
    // The planner knows of rows that the caller may not see.
    assert_eq!(total(app.anon(), "exact").await, "0-4/16");
    for mode in ["planned", "estimated"] {
        assert_ne!(total(app.anon(), mode).await, "0-4/20", "{mode}");
    }
}

#[tokio::test]
async fn a_rehearsal_answers_as_the_real_thing_and_leaves_nothing() {
    let app = shop(Options::default().set("rest.tx_end", "commit-allow-override")).await;
    let body = json!({ "id": 70, "name": "rehearsed", "price": 1 });
    let prefer =
        |transaction: &str| app.service().prefer(&format!("return=representation, tx={transaction}"));

    let answer = prefer("rollback").post("/rest/v1/products", body.clone()).await.expect_status(201);
    assert_eq!(answer.json()[0]["name"], "rehearsed");
    assert!(answer.header("preference-applied").contains("tx=rollback"), "{:?}", answer.headers);
    assert_eq!(app.database.value("select count(*)::text from products where id = 70").await, "0");
    prefer("commit").post("/rest/v1/products", body).await.expect_status(201);
    assert_eq!(app.database.value("select count(*)::text from products where id = 70").await, "1");
}

#[tokio::test]
async fn an_execution_plan_is_shown_where_that_is_switched_on() {
    let plan = "application/vnd.pgrst.plan+json";
    let path = "/rest/v1/products?id=eq.1";
    let app = shop(Options::default().set("rest.plan_enabled", "true")).await;
    let shown = app.service().header("accept", plan).get(path).await.expect_status(200);
    assert!(shown.header("content-type").starts_with(plan), "{:?}", shown.headers);
    assert!(shown.json()[0]["Plan"]["Node Type"].is_string(), "{}", shown.text());

    let app = shop(Options::default()).await;
    app.service().header("accept", plan).get(path).await.expect_error(406, "PGRST107");
}

#[tokio::test]
async fn a_function_can_answer_in_a_media_type_of_its_own() {
    let app = shop(Options::default()).await;
    app.database
        .run(
            r#"create domain "text/html" as text;
               create function page() returns "text/html" language sql stable as
                 $$ select ('<p>' || count(*) || '</p>')::"text/html" from products $$"#,
        )
        .await;
    eventually("the function", async || app.service().get("/rest/v1/rpc/page").await.status == 200).await;

    let answer =
        app.service().header("accept", "text/html").get("/rest/v1/rpc/page").await.expect_status(200);

    assert!(answer.header("content-type").starts_with("text/html"), "{:?}", answer.headers);
    assert_eq!(answer.text(), "<p>20</p>");
}

#[tokio::test]
async fn timings_and_statements_are_told_where_that_is_switched_on() {
    let options = Options::default().set("rest.server_timing", "true").set("log.queries", "true");
    let app = shop(options).await;

    let answer = app.service().get("/rest/v1/products?name=eq.hidden-value").await.expect_status(200);
    for step in ["jwt;dur=", "parse;dur=", "plan;dur=", "transaction;dur=", "response;dur="] {
        assert!(answer.header("server-timing").contains(step), "{:?}", answer.headers);
    }
    let refused = app.anon().bearer("a.b.c").get("/rest/v1/products").await.expect_status(401);
    assert_eq!(refused.header("server-timing"), "");
    let query = || {
        let log = app.server.log();
        log.lines().find(|line| line.contains("\"message\":\"query\"")).map(str::to_owned)
    };
    eventually("the statement in the log", async || query().is_some()).await;
    let line = query().unwrap();
    assert!(line.contains("products") && line.contains("request_id"), "{line}");
    assert!(!line.contains("hidden-value"), "values stay out of it: {line}");
}
