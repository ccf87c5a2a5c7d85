//! Ten thousand interleaved requests of a hundred callers, some cancelled, timed out or failed: everyone is always oneself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};

use crate::harness::{Answer, Caller, Client, Options, TestApp};
use crate::rest::SHOP;

const CALLERS: usize = 100;
const REQUESTS: usize = 10_000;
const AT_ONCE: usize = 64;

struct Asker {
    id: String,
    role: &'static str,
    client: Client,
}

#[tokio::test]
async fn every_request_runs_as_its_own_caller() {
    let database = crate::harness::Database::create().await;
    database.run(SHOP).await;
    let app = TestApp::on(database, Options::default().set("database.statement_timeout", "200ms")).await;
    let secret = app.server.keys().jwt_secret;
    let askers: Arc<Vec<Asker>> = Arc::new((0..CALLERS).map(|number| asker(&app, &secret, number)).collect());

    let mut wrong: Vec<String> = stream::iter(0..REQUESTS)
        .map(|number| {
            let askers = Arc::clone(&askers);
            async move { ask(&askers[(number * 7) % CALLERS], number).await }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |complaint| complaint)
        .collect()
        .await;

    wrong.truncate(10);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn asker(app: &TestApp, secret: &str, number: usize) -> Asker {
    let id = format!("{number:08}-0000-4000-8000-000000000000");
    let role = ["authenticated", "authenticated", "anon", "service_role"][number % 4];
    let caller = Caller::user(&id).claim("role", json!(role)).claim("number", json!(number));
    Asker { id, role, client: app.anon().bearer(&caller.token(secret)) }
}

/// One request; a complaint if the answer is not the asker's own.
async fn ask(asker: &Asker, number: usize) -> Option<String> {
    match number % 10 {
        0 => {
            // Given up half way: the connection must come back clean.
            let path = "/rest/v1/rpc/sleep_for?seconds=0.05";
            let _given_up = tokio::time::timeout(Duration::from_millis(10), asker.client.get(path)).await;
            None
        }
        1 => {
            let answer = asker.client.post("/rest/v1/rpc/fail_with", json!({ "state": "22012" })).await;
            (answer.json()["code"] != "22012" && !was_late(&answer))
                .then(|| format!("{}: {}", asker.id, answer.text()))
        }
        2 if number % 100 == 2 => {
            let answer = asker.client.post("/rest/v1/rpc/sleep_for", json!({ "seconds": 1 })).await;
            (answer.json()["code"] != "57014").then(|| format!("{}: {}", asker.id, answer.text()))
        }
        3 => {
            // A function may set something for the session; nobody else may find it.
            let answer =
                asker.client.post("/rest/v1/rpc/set_for_session", json!({ "value": asker.id })).await;
            (answer.status != 200 && !was_late(&answer)).then(|| format!("{}: {}", asker.id, answer.text()))
        }
        4 => {
            let answer = asker.client.get("/rest/v1/orders?select=customer").await;
            if was_late(&answer) { None } else { foreign_rows(asker, &answer.json()) }
        }
        _ => {
            let answer = asker.client.get("/rest/v1/rpc/whoami").await;
            if was_late(&answer) { None } else { who(asker, &answer.json()) }
        }
    }
}

/// A machine that pauses runs into the timeout, which says nothing of who was asked for. What another's cancellation had hit
/// would say so in other words.
fn was_late(answer: &Answer) -> bool {
    answer.status == 500 && answer.json()["message"] == "canceling statement due to statement timeout"
}

fn foreign_rows(asker: &Asker, rows: &Value) -> Option<String> {
    let count = rows.as_array().map_or(usize::MAX, Vec::len);
    let expected = if asker.role == "service_role" { 30 } else { 0 };
    (count != expected).then(|| format!("{} ({}) saw {rows}", asker.id, asker.role))
}

fn who(asker: &Asker, answer: &Value) -> Option<String> {
    let own = answer["role"] == asker.role
        && answer["id"] == asker.id.as_str()
        && answer["claims"]["sub"] == asker.id.as_str()
        && answer["claims"]["role"] == asker.role
        && answer["login"] == "authenticator";
    (!own).then(|| format!("{} ({}) was taken for {answer}", asker.id, asker.role))
}

#[tokio::test]
async fn anonymous_callers_do_not_inherit_the_claims_before_them() {
    let app = TestApp::with_sql(SHOP).await;
    for number in 0..50 {
        let id = format!("{number:08}-0000-4000-8000-000000000000");
        app.user(&id).get("/rest/v1/rpc/whoami").await.expect_status(200);
        let anonymous = app.client().get("/rest/v1/rpc/whoami").await.expect_status(200).json();
        assert_eq!((&anonymous["role"], &anonymous["id"]), (&json!("anon"), &json!(null)));
        assert_eq!(anonymous["claims"], json!({ "role": "anon" }));
    }
}

#[tokio::test]
async fn what_a_function_leaves_in_its_session_reaches_no_other_request() {
    let app = TestApp::with_sql(
        "create function leave() returns text language plpgsql stable as $$ begin
           perform set_config('app.left', 'something', false);
           perform set_config('response.headers', '[{\"X-Left\": \"1\"}]', false);
           perform set_config('statement_timeout', '1', false);
           return 'left'; end $$;
         create function look() returns text language sql stable as $$ select current_setting('app.left', true) $$;
         create table plain (id int primary key); alter table plain enable row level security;
         create policy p on plain using (true);",
    )
    .await;
    let client = app.anon();

    for _ in 0..20 {
        client.get("/rest/v1/rpc/leave").await.expect_status(200);
        let looked = client.get("/rest/v1/rpc/look").await;
        assert!(!looked.text().contains("something"), "{}", looked.text());
        let read = client.get("/rest/v1/plain").await;
        assert_eq!(read.status, 200);
        assert_eq!(read.header("x-left"), "");
    }
}
