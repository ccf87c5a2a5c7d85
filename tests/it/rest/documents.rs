//! The paths around the tables: the description at the root, OPTIONS, GraphQL's and the functions' stand-ins.

use serde_json::json;

use super::SHOP;
use crate::harness::TestApp;

#[tokio::test]
async fn the_root_describes_what_the_caller_may_see() {
    let app = TestApp::with_sql(SHOP).await;

    let described = app.service().get("/rest/v1/").await.expect_status(200).json();

    assert_eq!(described["swagger"], "2.0");
    assert!(described["paths"]["/products"]["get"].is_object(), "{}", described["paths"]);
    assert!(described["paths"]["/rpc/whoami"]["post"].is_object());
    assert_eq!(app.service().head("/rest/v1/").await.status, 200);
}

#[tokio::test]
async fn options_says_which_methods_a_relation_has() {
    let app = TestApp::with_sql(SHOP).await;

    let table = app.anon().options("/rest/v1/products").await.expect_status(200);
    assert_eq!(table.header("allow"), "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE");
    let preflight = app
        .client()
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "apikey,authorization,content-type,prefer,x-client-info")
        .options("/rest/v1/products")
        .await;
    assert!(matches!(preflight.status, 200 | 204), "{}", preflight.status);
    let allowed = preflight.header("access-control-allow-headers").to_lowercase();
    for name in ["apikey", "authorization", "content-type", "prefer", "x-client-info"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(!preflight.header("access-control-allow-origin").is_empty());
}

#[tokio::test]
async fn graphql_says_that_it_is_not_enabled() {
    let app = TestApp::start().await;

    let answer = app.anon().post("/graphql/v1", json!({ "query": "{ a }" })).await.expect_status(200);

    assert_eq!(answer.json(), json!({ "errors": [{ "message": "pg_graphql extension is not enabled." }] }));
}

#[tokio::test]
async fn graphql_is_answered_by_the_sql_function_where_there_is_one() {
    let app = TestApp::with_sql(
        r#"create schema if not exists graphql_public;
           grant usage on schema graphql_public to anon, authenticated, service_role;
           create or replace function graphql_public.graphql("operationName" text default null, query text default null,
             variables jsonb default null, extensions jsonb default null) returns jsonb language sql as
             $$ select jsonb_build_object('data', jsonb_build_object('query', query, 'n', variables -> 'n', 'as', current_user)) $$;
           grant execute on all functions in schema graphql_public to anon, authenticated, service_role"#,
    )
    .await;

    let answer = app.anon().post("/graphql/v1", json!({ "query": "{ a }", "variables": { "n": 1 } })).await;

    answer.expect_status(200).expect_json(&json!({ "data": { "query": "{ a }", "n": 1, "as": "anon" } }));
}

#[tokio::test]
async fn edge_functions_are_not_there_but_browsers_can_read_that() {
    let app = TestApp::start().await;

    let answer =
        app.anon().header("origin", "https://example.com").post("/functions/v1/hello", json!({})).await;

    let answer = answer.expect_status(404);
    assert!(!answer.header("access-control-allow-origin").is_empty(), "{:?}", answer.headers);
}
