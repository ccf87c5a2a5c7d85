//! The edge through the real executable: health, headers, CORS, request ids, limits of rate.

mod observed;

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Options, TestApp};
use crate::rest::{ALICE, BOB, SHOP};

#[tokio::test]
async fn health_tells_living_from_ready_and_nothing_else() {
    let app = TestApp::start().await;

    for path in ["/health/live", "/health/ready"] {
        let answer = app.client().get(path).await.expect_status(200);
        assert!(answer.body.len() < 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_keeps_a_sensible_one_of_the_client() {
    let app = TestApp::with_sql(SHOP).await;

    let own = app.anon().get("/rest/v1/products?limit=1").await;
    assert!(own.header("x-request-id").len() >= 8, "{:?}", own.headers);
    let given = app.anon().header("x-request-id", "from-the-client-42").get("/rest/v1/nope").await;
    assert_eq!(given.header("x-request-id"), "from-the-client-42");
    let hostile = app.anon().header("x-request-id", &"x".repeat(5_000)).get("/rest/v1/nope").await;
    assert!(hostile.header("x-request-id").len() < 300);
}

#[tokio::test]
async fn security_headers_are_on_every_class_of_answer() {
    let app = TestApp::with_sql(SHOP).await;
    for path in
        ["/rest/v1/products?limit=1", "/rest/v1/nope", "/rest/v1/unprotected", "/nothing", "/health/live"]
    {
        let answer = app.anon().get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!answer.header("referrer-policy").is_empty(), "{path}");
        assert!(
            !answer.header("x-frame-options").is_empty()
                || !answer.header("content-security-policy").is_empty(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_browser_may_read_the_headers_that_the_clients_need() {
    let app = TestApp::with_sql(SHOP).await;
    let answer = app
        .anon()
        .header("origin", "https://app.example.com")
        .prefer("count=exact")
        .get("/rest/v1/products?limit=1")
        .await;

    let exposed = answer.header("access-control-expose-headers").to_lowercase();
    for name in ["content-range", "content-location", "location", "preference-applied"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert_ne!(answer.header("access-control-allow-origin"), "");
    assert_ne!(
        (answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials")),
        ("*", "true")
    );
}

#[tokio::test]
async fn with_a_list_of_origins_only_these_are_allowed() {
    let app =
        TestApp::with(Options::default().set("server.cors.allowed_origins", "https://good.example")).await;
    let allowed = async |origin: &str| {
        let answer = app
            .anon()
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .options("/rest/v1/x")
            .await;
        answer.header("access-control-allow-origin").to_owned()
    };

    assert_eq!(allowed("https://good.example").await, "https://good.example");
    for origin in [
        "https://evil.example",
        "https://good.example.evil.example",
        "https://evilgood.example",
        "null",
        "http://good.example",
    ] {
        assert_eq!(allowed(origin).await, "", "{origin}");
    }
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let options = Options::default()
        .config("server:\n  rate_limits:\n    per_ip:\n      requests: 5\n      period: 60s\n");
    let app = TestApp::with(options).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(app.anon().get("/rest/v1/").await);
    }

    let refused = answers.iter().find(|answer| answer.status == 429).expect("a refusal");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(answers[0].status == 200, "{}", answers[0].text());
    // An address that the client writes itself does not make it another client.
    let spoofed = app.anon().header("x-forwarded-for", "203.0.113.7").get("/rest/v1/").await;
    assert_eq!(spoofed.status, 429);
    app.client().get("/health/live").await.expect_status(200);
    // The other way to the same tables is limited as well.
    let mut graphql = Vec::new();
    for _ in 0..20 {
        graphql.push(app.anon().get("/graphql/v1").await.status);
    }
    assert!(graphql.contains(&429), "{graphql:?}");
}

#[tokio::test]
async fn metrics_count_requests_without_a_label_per_path() {
    let port = crate::harness::free_port();
    let app = TestApp::with(Options::default().admin(port)).await;
    app.database.run(SHOP).await;
    let admin = crate::harness::Client::new(format!("http://127.0.0.1:{port}"));
    for number in 0..200 {
        app.anon().get(&format!("/rest/v1/nope{number}?id=eq.{number}")).await;
    }

    let metrics = admin.get("/metrics").await.expect_status(200).text();

    assert!(metrics.contains("# TYPE"), "{metrics}");
    assert!(!metrics.contains("nope17"), "a path became a label");
    let series = metrics.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 500, "{series} series");
    for word in ["process_", "requests", "duration"] {
        assert!(metrics.contains(word), "no {word} in {metrics}");
    }
}

#[tokio::test]
async fn an_unknown_path_says_where_the_apis_are() {
    let app = TestApp::start().await;

    let answer = app.anon().post("/no/such/thing", json!({})).await.expect_status(404);

    assert!(answer.json()["message"].is_string());
    assert!(answer.text().contains("/rest/v1"), "{}", answer.text());
}

#[tokio::test]
async fn whoever_does_not_get_on_in_the_configured_time_is_let_go() {
    let options = Options::default()
        .set("server.header_timeout", "2s")
        .set("server.read_timeout", "200ms")
        .set("server.request_timeout", "1s");
    let database = crate::harness::Database::create().await;
    database.run(SHOP).await;
    let app = TestApp::on(database, options).await;
    let key = app.server.keys().anon_key;
    // The defaults are 10 s and more.
    let within = Duration::from_secs(9);

    let head = "GET /rest/v1/products HTTP/1.1\r\nHost: a\r\n".to_owned();
    let body =
        format!("POST /rest/v1/products HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nContent-Length: 9\r\n\r\n[");
    for (sent, answered) in [(head, ""), (body, "HTTP/1.1 408 ")] {
        let mut stream = TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(within, stream.read_to_string(&mut answer)).await;
        assert!(read.is_ok(), "still waiting after {within:?} for the rest of {sent:?}");
        assert!(answer.starts_with(answered), "{answer}");
    }
    app.anon().get("/rest/v1/rpc/sleep_for?seconds=600").await.expect_status(504);
}

#[tokio::test]
async fn compressed_bodies_are_refused_and_never_unpacked() {
    let app = TestApp::with_sql(SHOP).await;
    let send = async |coding: &str, body: Vec<u8>| {
        let request = app.service().request(reqwest::Method::POST, "/rest/v1/products");
        let request = request.header("content-type", "application/json").header("content-encoding", coding);
        let response = request.body(body).send().await.unwrap();
        let take = response.headers().get("accept-encoding").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), take)
    };
    // Ten kilobytes that would be ten megabytes.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b' '; 10 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();

    for coding in ["gzip", "GZIP", "br", "zstd", "deflate", "identity, gzip", "gzip, gzip", "nonsense"] {
        assert_eq!(send(coding, bomb.clone()).await, (415, Some("identity".to_owned())), "{coding}");
    }
    let row = json!({ "id": 600, "name": "plain", "price": 1 }).to_string();
    assert_eq!(send("identity", row.into_bytes()).await, (201, None));
}

#[tokio::test]
async fn no_condition_tells_of_another_callers_answer() {
    let app = TestApp::with_sql(SHOP).await;
    let path = "/rest/v1/orders?select=id&order=id";
    let first = app.user(ALICE).get(path).await.expect_status(200);
    let tags = [first.header("etag").to_owned(), "*".to_owned(), "\"any\"".to_owned()];

    for tag in tags.iter().filter(|tag| !tag.is_empty()) {
        for (name, value) in
            [("if-none-match", tag.as_str()), ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")]
        {
            let own = app.user(BOB).header(name, value).get(path).await.expect_status(200);
            assert_ne!(own.text(), first.text());
            assert!(own.rows() > 0);
            // The same caller gets the rows again too: what a tag would stand for may have changed.
            app.user(ALICE).header(name, value).get(path).await.expect_status(200).expect_json(&first.json());
        }
    }
    assert_eq!(first.header("cache-control"), "private, no-store");
}
