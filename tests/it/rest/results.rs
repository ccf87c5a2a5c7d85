//! What comes back: exact bytes, exact digits, formats beyond PostgREST's, and the order of commit and answer.

use serde_json::json;

use super::{ALICE, SHOP};
use crate::harness::{TestApp, raw_request};

#[tokio::test]
async fn numbers_keep_every_digit() {
    let app = TestApp::with_sql(
        "create table numbers (id int primary key, big bigint, exact numeric);
         alter table numbers enable row level security;
         create policy p on numbers using (true) with check (true)",
    )
    .await;
    let body =
        r#"{"id":1,"big":9223372036854775807,"exact":12345678901234567890.123456789012345678901234567890}"#;

    let client = app.anon().prefer("return=representation");
    let inserted =
        client.send_text(reqwest::Method::POST, "/rest/v1/numbers", "application/json", body).await;

    assert_eq!(inserted.expect_status(201).text(), format!("[{body}]"));
    let found = app
        .anon()
        .get("/rest/v1/numbers?select=id&exact=eq.12345678901234567890.123456789012345678901234567890")
        .await;
    found.expect_json(&json!([{ "id": 1 }]));
}

#[tokio::test]
async fn rows_come_as_lines_of_json() {
    let app = TestApp::with_sql(SHOP).await;
    let lines = app
        .anon()
        .header("accept", "application/x-ndjson")
        .get("/rest/v1/products?select=id,name&id=lt.4&order=id")
        .await;

    let lines = lines.expect_status(200);
    assert!(lines.header("content-type").contains("ndjson"), "{:?}", lines.headers);
    assert_eq!(
        lines.text().trim_end(),
        "{\"id\":1,\"name\":\"product 1\"}\n{\"id\":2,\"name\":\"product 2\"}\n{\"id\":3,\"name\":\"product 3\"}"
    );
}

#[tokio::test]
async fn rows_come_as_csv() {
    let app = TestApp::with_sql(SHOP).await;
    let csv = app
        .anon()
        .header("accept", "text/csv")
        .get("/rest/v1/products?select=id,name&id=lt.3&order=id")
        .await;

    assert_eq!(csv.expect_status(200).text(), "id,name\n1,\"product 1\"\n2,\"product 2\"");
}

#[tokio::test]
async fn the_length_is_exact_without_compression_and_compression_is_only_for_those_who_ask() {
    let app = TestApp::with_sql(SHOP).await;
    let path = "/rest/v1/products?select=id,name,tags,data&order=id";

    let plain = app.anon().get(path).await.expect_status(200);
    assert_eq!(plain.header("content-length"), plain.body.len().to_string());
    assert_eq!(plain.header("content-encoding"), "");
    for encoding in ["gzip", "br", "zstd"] {
        let packed = app.anon().header("accept-encoding", encoding).get(path).await.expect_status(200);
        assert_eq!(packed.header("content-encoding"), encoding);
        let mut vary =
            packed.headers.get_all("vary").iter().map(|value| value.to_str().unwrap().to_lowercase());
        assert!(vary.any(|value| value.contains("accept-encoding")), "{:?}", packed.headers);
        assert!(packed.body.len() < plain.body.len());
    }
    let small = app.anon().header("accept-encoding", "gzip").get("/rest/v1/products?select=id&id=eq.1").await;
    assert_eq!(small.header("content-encoding"), "");
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_commit_fails_the_request() {
    let app = TestApp::with_sql(
        "create table pairs (id int primary key, other int references pairs (id) deferrable initially deferred);
         alter table pairs enable row level security;
         create policy p on pairs using (true) with check (true)",
    )
    .await;

    let refused = app
        .anon()
        .prefer("return=representation")
        .post("/rest/v1/pairs", json!({ "id": 1, "other": 99 }))
        .await;
    refused.expect_error(409, "23503");
    let rolled_back = app
        .anon()
        .prefer("tx=rollback, return=representation")
        .post("/rest/v1/pairs", json!({ "id": 1, "other": 99 }))
        .await;
    assert!(rolled_back.status == 201 || rolled_back.status == 409, "{}", rolled_back.text());
    assert_eq!(app.database.value("select count(*)::text from pairs").await, "0");
}

#[tokio::test]
async fn one_bad_row_in_many_leaves_nothing_behind() {
    let app = TestApp::with_sql(SHOP).await;
    let rows = json!([{ "note": "mine" }, { "note": "foreign", "customer": super::BOB }]);

    app.user(ALICE)
        .header("prefer", "missing=default")
        .post("/rest/v1/orders?columns=note,customer", rows)
        .await
        .expect_error(403, "42501");

    assert_eq!(
        app.database.value("select count(*)::text from orders where note in ('mine', 'foreign')").await,
        "0"
    );
}

#[tokio::test]
async fn a_head_request_has_the_headers_of_get_and_no_body() {
    let app = TestApp::with_sql(SHOP).await;
    let path = "/rest/v1/products?select=id&order=id&limit=3";
    let (get, head) =
        (app.anon().prefer("count=exact").get(path).await, app.anon().prefer("count=exact").head(path).await);

    assert_eq!((head.status, head.header("content-range")), (get.status, get.header("content-range")));
    assert_eq!(get.header("content-range"), "0-2/16");
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn a_function_words_the_status_line_and_cannot_break_it() {
    let app = TestApp::with_sql(
        "create function pay() returns void language plpgsql as $$ begin
           raise sqlstate 'PT402' using message = 'Pay first'; end $$;
         create function leave() returns void language plpgsql as $$ begin
           raise sqlstate 'PGRST' using message = '{\"code\":\"1\",\"message\":\"m\"}',
             detail = '{\"status\":418,\"status_text\":\"No coffee\",\"headers\":{}}'; end $$;
         create function split() returns void language plpgsql as $$ begin
           raise sqlstate 'PT402' using message = E'a\\r\\nX-Mine: 1'; end $$;",
    )
    .await;
    let key = app.server.keys().anon_key;

    for (function, line) in [
        ("pay", "HTTP/1.1 402 Pay first\r\n"),
        ("leave", "HTTP/1.1 418 No coffee\r\n"),
        ("split", "HTTP/1.1 402 Payment Required\r\n"),
    ] {
        let request = format!(
            "POST /rest/v1/rpc/{function} HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let answer = raw_request(app.server.port(), request.as_bytes()).await;
        assert!(answer.text.starts_with(line), "{}", answer.text);
        assert!(!answer.text.contains("\nX-Mine"), "{}", answer.text);
    }
}
