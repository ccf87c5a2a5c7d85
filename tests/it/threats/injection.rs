//! User text never becomes SQL text (threats E01, E02, E22): every position of the grammar, with words that would show.

use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::harness::{Answer, TestApp, Walk};
use crate::rest::{ALICE, SHOP};

const PAYLOADS: [&str; 18] = [
    "'",
    "\"",
    "\\",
    "';",
    "--",
    "/*",
    "');select pg_sleep(45)--",
    "\" from pg_authid--",
    "id\"; drop table products; --",
    "$1",
    "$$",
    "E'\\''",
    "x'||(select current_user)||'",
    "(select 1)",
    "%27%20or%20true",
    "\u{2019}",
    "\u{ff07}",
    "a\nb",
];

/// Places of the grammar; `{}` takes the payload.
const PLACES: [&str; 34] = [
    "/rest/v1/products?select={}",
    "/rest/v1/products?select=id,{}:name",
    "/rest/v1/products?select=name::{}",
    "/rest/v1/products?select=data->{}",
    "/rest/v1/products?select=data->>{}",
    "/rest/v1/products?select={}(id)",
    "/rest/v1/orders?select=order_lines!{}(quantity)",
    "/rest/v1/orders?select={}:order_lines(quantity)",
    "/rest/v1/orders?select=...{}(quantity)",
    "/rest/v1/products?select=price.{}()",
    "/rest/v1/products?{}=eq.1",
    "/rest/v1/products?id={}",
    "/rest/v1/products?id={}.1",
    "/rest/v1/products?name=eq.{}",
    "/rest/v1/products?name=in.({})",
    "/rest/v1/products?name=in.(\"{}\")",
    "/rest/v1/products?name=like.{}",
    "/rest/v1/products?name=match.{}",
    "/rest/v1/products?name=fts({}).x",
    "/rest/v1/products?name=eq({}).1",
    "/rest/v1/products?name=is.{}",
    "/rest/v1/products?tags=cs.{{}}",
    "/rest/v1/products?data->>{}=eq.1",
    "/rest/v1/products?or=({})",
    "/rest/v1/products?or=(name.eq.{})",
    "/rest/v1/products?and=(not.{}.eq.1)",
    "/rest/v1/products?order={}",
    "/rest/v1/products?order=name.{}",
    "/rest/v1/products?order=data->{}.desc",
    "/rest/v1/orders?order=order_lines({})",
    "/rest/v1/products?limit={}",
    "/rest/v1/{}",
    "/rest/v1/rpc/{}",
    "/rest/v1/rpc/whoami?{}=1",
];

fn filled(place: &str, payload: &str) -> String {
    place.replace("{}", &utf8_percent_encode(payload, NON_ALPHANUMERIC).to_string())
}

/// No answer may be ours to blame, tell of a syntax error, or come late.
fn harmless(answer: &Answer, since: Instant, what: &str) {
    assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.text());
    assert!(since.elapsed() < Duration::from_secs(30), "{what} took {:?}", since.elapsed());
    let text = answer.text();
    assert!(!text.contains("42601") && !text.contains("syntax error at or near"), "{what}: {text}");
}

#[tokio::test]
async fn no_place_of_an_address_reaches_the_sql_text() {
    let app = TestApp::with_sql(SHOP).await;
    let client = app.user(ALICE);

    for place in PLACES {
        for payload in PAYLOADS {
            let (path, start) = (filled(place, payload), Instant::now());
            let answer = client.get(&path).await;
            harmless(&answer, start, &path);
        }
    }

    assert_eq!(app.database.value("select count(*)::text from products").await, "20");
}

#[tokio::test]
async fn no_place_of_a_write_reaches_the_sql_text() {
    let app = TestApp::with_sql(SHOP).await;
    let client = app.service();

    for payload in PAYLOADS {
        for path in [
            filled("/rest/v1/products?columns={}", payload),
            filled("/rest/v1/products?columns=id,{}", payload),
            filled("/rest/v1/products?on_conflict={}", payload),
            filled("/rest/v1/products?select={}", payload),
        ] {
            let start = Instant::now();
            let body = json!([{ "id": 500, "name": payload, "price": 1, payload: 1 }]);
            let answer = client.clone().prefer("resolution=merge-duplicates").post(&path, body).await;
            harmless(&answer, start, &path);
        }
        let start = Instant::now();
        let answer = client.post("/rest/v1/rpc/fail_with", json!({ payload: 1 })).await;
        harmless(&answer, start, payload);
        let answer = client
            .clone()
            .prefer(&format!("timezone={}", payload.replace('\n', " ")))
            .get("/rest/v1/products?limit=1")
            .await;
        harmless(&answer, start, payload);
    }
    let rows = client
        .post("/rest/v1/products", json!({ "id": 501, "name": "'; drop table products; --", "price": 1 }))
        .await;
    rows.expect_status(201);
    assert_eq!(
        app.database.value("select name from products where id = 501").await,
        "'; drop table products; --"
    );
}

#[tokio::test]
async fn headers_do_not_reach_the_sql_text() {
    let app = TestApp::with_sql(SHOP).await;
    for payload in PAYLOADS.iter().filter(|text| text.is_ascii() && !text.contains('\n')) {
        for (name, value) in [
            ("accept-profile", (*payload).to_owned()),
            ("prefer", format!("count={payload}")),
            ("prefer", format!("timezone={payload}")),
            ("prefer", format!("max-affected={payload}, handling=strict")),
            ("range", (*payload).to_owned()),
            ("accept", format!("application/vnd.pgrst.plan+json; for=\"{payload}\"")),
            ("cookie", format!("a={payload}")),
            ("traceparent", (*payload).to_owned()),
            ("x-request-id", (*payload).to_owned()),
        ] {
            let start = Instant::now();
            let answer = app.anon().header(name, &value).get("/rest/v1/products?limit=1").await;
            harmless(&answer, start, &format!("{name}: {value}"));
        }
    }
}

#[tokio::test]
async fn random_nonsense_is_never_an_error_of_ours() {
    let app = TestApp::with_sql(SHOP).await;
    let client = app.user(ALICE);
    let mut walk = Walk::new();
    let words = [
        "select",
        "id",
        "name",
        "(",
        ")",
        ",",
        ".",
        "eq",
        "not",
        "and",
        "or",
        "in",
        "=",
        "&",
        "!",
        "inner",
        "...",
        "::",
        ":",
        "->",
        "->>",
        "*",
        "\"",
        "'",
        "{",
        "}",
        "null",
        "order",
        "limit",
        "1",
        "-1",
        "any",
        "all",
        "desc",
        "nullsfirst",
        "count()",
        "products",
        "order_lines",
        "orders",
        "fts",
        "is",
        "%00",
        "%F0%9F%98%80",
        "%C3",
    ];
    for _ in 0..2_000 {
        let length = 1 + walk.below(12);
        let query: String = (0..length).map(|_| walk.pick(&words)).collect();
        let path = format!("/rest/v1/{}?{query}", walk.pick(&["products", "orders", "rpc/whoami"]));
        let start = Instant::now();
        let answer = client.get(&path).await;
        harmless(&answer, start, &format!("seed {}: {path}", walk.seed()));
    }
}

#[tokio::test]
async fn a_function_cannot_split_the_answer() {
    let app = TestApp::with_sql(
        "create function split(name text, value text) returns void language plpgsql as $$ begin
           perform set_config('response.headers', json_build_array(json_build_object(name, value))::text, true); end $$",
    )
    .await;
    for (name, value) in
        [("x-a", "b\r\nset-cookie: c=d"), ("x-a\r\nset-cookie", "c=d"), ("x a", "b"), ("", "b")]
    {
        let answer = app.anon().post("/rest/v1/rpc/split", json!({ "name": name, "value": value })).await;
        assert_eq!(answer.header("set-cookie"), "", "{name:?}: {value:?}");
        assert!(answer.status == 500 || answer.status < 300, "{}", answer.text());
    }
}
