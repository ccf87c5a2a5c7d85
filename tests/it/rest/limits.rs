//! Hostile sizes: a 4xx in bounded time, never a 5xx of ours, and the server goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::SHOP;
use crate::harness::{Options, TestApp, eventually, raw_request};

/// Generous: a build without optimisation on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

/// Refused by the client's fault, quickly.
fn refused(status: u16, since: Instant, what: &str) {
    assert!((400..500).contains(&status), "{what}: {status}");
    let took = since.elapsed();
    assert!(took < BOUND, "{what}: {took:?}");
}

#[tokio::test]
async fn deep_trees_are_refused() {
    let app = TestApp::with_sql(SHOP).await;
    for depth in [65, 1_000, 5_000] {
        let tree = format!("/rest/v1/products?or=({}id.eq.1{})", "and(".repeat(depth), ")".repeat(depth));
        let embeds =
            format!("/rest/v1/orders?select={}id{}", "order_lines(".repeat(depth), ")".repeat(depth));
        let arrows = format!("/rest/v1/products?select=data{}", "->a".repeat(depth));
        for path in [tree, embeds] {
            let start = Instant::now();
            let answer = app.anon().get(&path).await;
            refused(answer.status, start, &path[..40]);
        }
        let start = Instant::now();
        let answer = app.anon().get(&arrows).await;
        assert!(answer.status < 500, "{}", answer.text());
        assert!(start.elapsed() < BOUND);
    }
}

#[tokio::test]
async fn endless_select_lists_and_addresses_are_refused() {
    let app = TestApp::with_sql(SHOP).await;
    let start = Instant::now();
    let select = format!("/rest/v1/products?select={}", vec!["id"; 1_700].join(","));
    refused(app.anon().get(&select).await.status, start, "1,700 columns");

    for values in [40_000, 1_000_000] {
        let start = Instant::now();
        let path = format!("/rest/v1/products?id=in.({})", vec!["1"; values].join(","));
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = raw_request(app.server.port(), request.as_bytes()).await;
        // 431 where so much is not even read as far as its end.
        assert!(matches!(answer.status, 414 | 431), "{values} values: {}", answer.text);
        refused(answer.status, start, "a long address");
    }
}

#[tokio::test]
async fn as_many_values_as_fit_into_an_address_do_not_hurt() {
    let app = TestApp::with_sql(SHOP).await;
    let path = format!("/rest/v1/products?select=id&id=in.({})", vec!["1"; 30_000].join(","));
    let start = Instant::now();

    let answer = app.anon().get(&path).await;

    answer.expect_status(200).expect_json(&json!([{ "id": 1 }]));
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

#[tokio::test]
async fn bodies_have_a_limit_in_size_and_depth() {
    let app = TestApp::with_sql(SHOP).await;
    let large = json!({ "name": "x".repeat(2 << 20) });
    let answer = app.service().try_send(reqwest::Method::POST, "/rest/v1/products", Some(large)).await;
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 413, "{}", answer.text());
    } // else the server closed the connection while the body was still coming, which is as good

    let mut deep: Value = json!(1);
    for _ in 0..130 {
        deep = json!([deep]);
    }
    let answer = app
        .service()
        .post("/rest/v1/products", json!({ "id": 99, "name": "deep", "price": 1, "data": deep }))
        .await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    let text = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer =
        app.service().send_text(reqwest::Method::POST, "/rest/v1/products", "application/json", text).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
}

#[tokio::test]
async fn bytes_that_are_no_text_never_reach_the_database() {
    let app = TestApp::with_sql(SHOP).await;
    let key = app.server.keys().anon_key;
    for path in [
        "/rest/v1/products?name=eq.%00",
        "/rest/v1/products?name=eq.%C0%A7",
        "/rest/v1/products?name=eq.%ED%A0%80",
        "/rest/v1/products?select=%FF",
        "/rest/v1/prod%00ucts",
        "/rest/v1/%C0%AE%C0%AE/products",
        "/rest/v1/rpc/%00",
        "/rest/v1/products?%00=eq.1",
    ] {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nConnection: close\r\n\r\n");
        let answer = raw_request(app.server.port(), bytes.as_bytes()).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.text);
    }
    let body = b"{\"id\": 77, \"name\": \"\\u0000\", \"price\": 1}".to_vec();
    let answer =
        app.service().send_text(reqwest::Method::POST, "/rest/v1/products", "application/json", body).await;
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    let answer = app
        .service()
        .send_text(
            reqwest::Method::POST,
            "/rest/v1/products",
            "application/json",
            b"{\"name\":\"\xFF\xFE\"}".to_vec(),
        )
        .await;
    assert!((400..500).contains(&answer.status), "{}", answer.text());
}

#[tokio::test]
async fn numbers_of_any_size_are_a_value_or_a_refusal() {
    let app = TestApp::with_sql(SHOP).await;
    for path in [
        "/rest/v1/products?limit=99999999999999999999",
        "/rest/v1/products?offset=99999999999999999999",
        "/rest/v1/products?limit=-1",
        "/rest/v1/products?id=eq.99999999999999999999",
        "/rest/v1/products?price=eq.1e400000",
        "/rest/v1/products?id=eq.NaN",
        "/rest/v1/products?select=data->99999999999999999999",
    ] {
        let answer = app.anon().get(path).await;
        assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.text());
    }
    let range = app.anon().header("range", "99999999999999999999-").get("/rest/v1/products").await;
    assert!(range.status < 500, "{}", range.text());
}

#[tokio::test]
async fn a_page_has_at_most_a_thousand_rows() {
    let app = TestApp::with_sql(
        "create table many as select n from generate_series(1, 1500) n;
         alter table many enable row level security; create policy p on many using (true)",
    )
    .await;

    let page = app.anon().prefer("count=exact").get("/rest/v1/many?order=n").await.expect_status(206);

    assert_eq!(page.rows(), 1000);
    assert_eq!(page.header("content-range"), "0-999/1500");
}

#[tokio::test]
async fn a_result_over_the_limit_is_a_clear_refusal_and_streams_as_csv() {
    let database = crate::harness::Database::create().await;
    database
        .run(
            "create table wide as select n, repeat('x', 10000) as text from generate_series(1, 900) n;
             alter table wide enable row level security; create policy p on wide using (true)",
        )
        .await;
    let app = TestApp::on(database, Options::default().set("rest.max_result_bytes", "1mib")).await;

    let whole = app.anon().get("/rest/v1/wide").await;
    assert!((400..500).contains(&whole.status), "{} with {} bytes", whole.status, whole.body.len());
    assert!(whole.json()["message"].is_string());
    let csv = app.anon().header("accept", "text/csv").get("/rest/v1/wide").await.expect_status(200);
    assert_eq!(csv.text().lines().count(), 901);
    assert_eq!(app.anon().get("/rest/v1/wide?limit=10").await.expect_status(200).rows(), 10);
}

#[tokio::test]
async fn a_pattern_that_takes_for_ever_is_cut_at_the_limit_and_frees_its_connection() {
    let database = crate::harness::Database::create().await;
    database
        .run(
            "create table words as select n as id, repeat('a', 2001) || 'b' as text from generate_series(1, 50) n;
             alter table words enable row level security; create policy p on words using (true)",
        )
        .await;
    let options = Options::default()
        .set("database.statement_timeout", "300ms")
        .set("database.max_connections", "17")
        .set("database.acquire_timeout", "60s");
    let app = TestApp::on(database, options).await;
    // Twice the same is an even number, and the text has an odd one: every way to divide it is tried.
    let path = r"/rest/v1/words?select=id&text=match.^(a%2B)(a%2B)(a%2B)(a%2B)%5C1%5C2%5C3%5C4b$";

    let mut attacks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = app.anon();
        attacks.spawn(async move { client.get(path).await });
    }

    while let Some(answer) = attacks.join_next().await {
        answer.unwrap().expect_error(500, "57014");
    }
    for _ in 0..20 {
        // The limit is short for a busy machine.
        let read = async || app.anon().get("/rest/v1/words?select=id&limit=1").await.status == 200;
        eventually("a read", read).await;
    }
    let running = "select count(*)::text from pg_stat_activity where datname = current_database() and state = 'active' and query like '%words%' and pid <> pg_backend_pid()";
    assert_eq!(app.database.value(running).await, "0");
}
