//! What an operator sees of the requests: one line each, with ids that lead further, and numbers for all of them.

use serde_json::{Value, json};

use crate::harness::{Caller, Client, Options, Server, TestApp, eventually, free_port, run_command, sign};
use crate::rest::{ALICE, SHOP};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The lines of the log that are JSON.
fn lines(server: &Server) -> Vec<Value> {
    server.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The lines that belong to a request, once there are so many.
async fn lines_of(server: &Server, request_id: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    eventually("the lines of the log", async || {
        found = lines(server);
        found.retain(|line| line["request_id"] == request_id);
        found.len() >= count
    })
    .await;
    found
}

#[tokio::test]
async fn a_trace_id_reaches_sql_the_access_line_and_the_slow_query() {
    let app = TestApp::with(Options::default().set("log.slow_query", "1ms")).await;
    app.database
        .run(
            "create function trace() returns text language sql stable as $$
                 select current_setting('request.trace_id', true) from pg_sleep(0.01) $$",
        )
        .await;
    let client = app.anon().header("x-request-id", "traced");
    eventually("the function", async || app.anon().get("/rest/v1/rpc/trace").await.status == 200).await;

    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    client.clone().header("traceparent", &parent).get("/rest/v1/rpc/trace").await.expect_json(&json!(TRACE));
    // Whoever comes after has no trace of another's.
    let untraced = client.header("x-request-id", "untraced").get("/rest/v1/rpc/trace").await.json();
    assert!(untraced.is_null() || untraced == "", "{untraced}");

    let traced = lines_of(&app.server, "traced", 2).await;
    let messages: Vec<&str> = traced.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(messages.contains(&"slow query") && messages.contains(&"request"), "{traced:?}");
    for line in traced {
        assert_eq!(line["trace_id"], TRACE, "{line}");
        assert!(!line["sql"].to_string().contains(TRACE), "no trace id in SQL text: {line}");
    }
    for line in lines_of(&app.server, "untraced", 2).await {
        assert_eq!(line.get("trace_id"), None, "{line}");
    }
}

#[tokio::test]
async fn every_request_is_one_line_of_json_that_says_who_asked_what_and_how_it_ended() {
    let app = TestApp::with_sql(SHOP).await;
    let user = app.user(ALICE).header("user-agent", "tests/1");
    user.clone()
        .header("x-request-id", "good")
        .get("/rest/v1/orders?select=id&apikey=x")
        .await
        .expect_status(200);
    user.header("x-request-id", "bad").get("/rest/v1/nope").await.expect_status(404);

    for (id, status, path) in [("good", 200, "/rest/v1/orders"), ("bad", 404, "/rest/v1/nope")] {
        let lines = lines_of(&app.server, id, 1).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        for (field, expected) in [
            ("kind", json!("access")),
            ("level", json!("INFO")),
            ("service", json!("rest")),
            ("method", json!("GET")),
            ("path", json!(path)),
            ("status", json!(status)),
            ("role", json!("authenticated")),
            ("ip", json!("127.0.0.1")),
            ("user_agent", json!("tests/1")),
        ] {
            assert_eq!(line[field], expected, "{field} of {line}");
        }
        assert!(line["duration_ms"].as_f64().is_some_and(|took| took > 0.0), "{line}");
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_the_last_hop_that_nobody_vouches_for() {
    let database = crate::harness::Database::create().await;
    let app =
        TestApp::on(database, Options::default().set("server.trusted_proxies", "127.0.0.0/8,10.0.0.0/8"))
            .await;
    // The client itself wrote the first one.
    let hops = "192.0.2.66, 203.0.113.7, 10.1.2.3";

    app.anon()
        .header("x-forwarded-for", hops)
        .header("x-request-id", "proxied")
        .get("/rest/v1/")
        .await
        .expect_status(200);

    assert_eq!(lines_of(&app.server, "proxied", 1).await[0]["ip"], "203.0.113.7");
}

#[tokio::test]
async fn the_public_url_stands_in_everything_that_names_an_address() {
    let public = "https://api.example.com";
    let app = TestApp::with(Options::default().set("server.public_url", public)).await;

    assert_eq!(app.server.keys().api_url, public);
    let document = app.service().get("/rest/v1/").await.expect_status(200).json();
    assert_eq!((&document["host"], &document["schemes"]), (&json!("api.example.com:443"), &json!(["https"])));
    let answer = app.anon().get("/rest/v1/").await;
    assert!(
        !answer.header("strict-transport-security").is_empty(),
        "pages come over TLS: {:?}",
        answer.headers
    );
    assert!(app.server.log().contains(public), "{}", app.server.log());
}

#[tokio::test]
async fn metrics_tell_refusals_the_memory_of_tokens_and_what_the_process_uses() {
    let port = free_port();
    let options = Options::default().admin(port).config(
        "server:\n  max_url_bytes: 1KB\n  rate_limits:\n    per_user:\n      requests: 3\n      period: 1h\n",
    );
    let database = crate::harness::Database::create().await;
    database.run(SHOP).await;
    let app = TestApp::on(database, options).await;
    let user = app.user(ALICE);
    for _ in 0..3 {
        user.get("/rest/v1/products?limit=1").await.expect_status(200);
    }
    user.get("/rest/v1/products?limit=1").await.expect_status(429);
    app.anon().bearer("a.b.c").get("/rest/v1/products").await.expect_status(401);
    app.anon().get(&format!("/rest/v1/products?x={}", "y".repeat(2_000))).await.expect_status(414);

    let text =
        Client::new(format!("http://127.0.0.1:{port}")).get("/metrics").await.expect_status(200).text();

    for line in [
        "goforward_token_checks_total{result=\"verified\"} 1",
        "goforward_token_checks_total{result=\"cached\"} 3",
        "goforward_token_checks_total{result=\"refused\"} 1",
        "goforward_http_refusals_total{service=\"rest\",reason=\"rate\"} 1",
        "goforward_http_refusals_total{service=\"rest\",reason=\"credentials\"} 1",
        "goforward_http_refusals_total{service=\"rest\",reason=\"size\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for name in [
        "goforward_http_requests_total{",
        "goforward_http_request_duration_seconds_bucket{",
        "goforward_db_seconds_bucket{",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_disk_read_bytes_total ",
        "process_network_receive_bytes_total ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{text}");
    }
}

#[tokio::test]
async fn a_secret_can_come_from_a_file_and_is_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let secret = "a signing secret in a file of its own, with a line end";
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let file = file.to_str().unwrap();
    let database = crate::harness::Database::create().await;
    database.run(SHOP).await;
    let options = Options::default()
        .environment("DATABASE_URL", &database.url())
        .environment("GOFORWARD_AUTH__JWT_SECRET_FILE", file);
    let server = Server::start(options).await;

    let claims = Caller::user(ALICE);
    let client =
        Client::new(server.url()).apikey(&server.keys().anon_key).bearer(&sign(claims.claims(), secret));
    client.get("/rest/v1/orders").await.expect_status(200);

    let printed = run_command(
        &["config", "print"],
        &[("DATABASE_URL", database.url().as_str()), ("GOFORWARD_AUTH__JWT_SECRET_FILE", file)],
    );
    let text = String::from_utf8_lossy(&printed.stdout);
    assert!(text.contains("GOFORWARD_AUTH__JWT_SECRET_FILE"), "{text}");
    assert!(!text.contains(secret) && !server.log().contains(secret), "{text}");
}
