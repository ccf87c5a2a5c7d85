//! Unwanted input in what callers write: counted, cleaned or refused, in every form that a write can take.

use reqwest::Method;
use serde_json::{Value, json};

use super::USER;
use crate::harness::{Client, Database, Options, TestApp, eventually, free_port};

/// A table whose columns ask for each policy, a view over it, and one nobody has rules for.
const NOTES: &str = "
create table notes (
  id int primary key, watched text, cleaned text, strict text, name text, tags text[], data jsonb, kept text);
alter table notes enable row level security;
create policy everybody on notes using (true) with check (true);
create table free (id int primary key, strict text);
alter table free enable row level security;
create policy everybody on free using (true) with check (true);
insert into goforward.table_security (schema_name, table_name, field_permissions) values ('public', 'notes', '{
  \"watched\": {\"input\": \"monitor\"}, \"cleaned\": {\"input\": \"clean\"}, \"strict\": {\"input\": \"reject\"},
  \"name\": {\"input\": \"clean\", \"input_kind\": \"name\"},
  \"tags\": {\"input\": \"clean\"}, \"data\": {\"input\": \"clean\"},
  \"kept\": {\"input\": \"reject\", \"hidden\": true, \"can_write\": true}}');";

/// A text that hides the order in which it is read.
const BAD: &str = "a\u{202e}b";

async fn refused(user: &Client, method: Method, path: &str, media: &str, body: &str) {
    let answer = user.send_text(method.clone(), path, media, body.to_owned()).await;
    let answer = answer.expect_error(400, "input_refused");
    assert!(
        answer.json()["details"].as_str().unwrap().contains("strict"),
        "{method} {path}: {}",
        answer.text()
    );
}

#[tokio::test]
async fn a_refused_text_is_refused_in_every_form_and_named_with_its_column() {
    let app = TestApp::with_sql(NOTES).await;
    let user = app.user(USER);
    let json = json!({"id": 1, "strict": BAD}).to_string();
    let in_rows = json!([{"id": 1, "strict": "x"}, {"id": 2, "strict": BAD}]).to_string();
    let escaped = r#"{"id": 1, "\u0073trict": "a\u202eb"}"#;
    let twice = format!(r#"{{"id": 1, "strict": "{BAD}", "strict": "x"}}"#);
    let nested = json!({"id": 1, "strict": {"key": [BAD]}}).to_string();

    for body in [&*json, &in_rows, escaped, &twice, &nested] {
        refused(&user, Method::POST, "/rest/v1/notes", "application/json", body).await;
        refused(&user, Method::POST, "/rest/v1/notes?columns=id,strict", "application/json", body).await;
    }
    refused(&user, Method::POST, "/rest/v1/notes?on_conflict=id", "application/json", &json).await;
    refused(&user, Method::PUT, "/rest/v1/notes?id=eq.1", "application/json", &json).await;
    refused(&user, Method::PATCH, "/rest/v1/notes?id=eq.1", "application/json", &json).await;
    refused(&user, Method::POST, "/rest/v1/notes", "text/csv", &format!("id,strict\n1,\"{BAD}\"")).await;
    let form = "id=1&strict=a%E2%80%AEb";
    refused(&user, Method::POST, "/rest/v1/notes", "application/x-www-form-urlencoded", form).await;

    assert_eq!(app.database.value("select count(*) from notes").await, "0");
    let unreadable = user.send_text(
        Method::POST,
        "/rest/v1/notes?columns=id,strict",
        "application/json",
        r#"{"id": 1, "strict": "a\ud800"}"#,
    );
    unreadable.await.expect_error(400, "PGRST102");
    // What PostgreSQL would not even look at is not looked at either.
    user.post("/rest/v1/notes?columns=id", json!({"id": 1, "strict": BAD})).await.expect_status(201);
}

#[tokio::test]
async fn a_cleaned_text_is_stored_clean_and_everything_beside_it_as_it_came() {
    let app = TestApp::with_sql(NOTES).await;
    let user = app.user(USER).prefer("return=representation");
    let body = format!(
        r#"{{"id": 1, "cleaned": "{BAD}", "name": "{BAD}", "tags": ["{BAD}", "c"], "watched": "{BAD}",
             "data": {{"{BAD}": [1.10, {{"deep": "{BAD}"}}]}}}}"#
    );

    let made = user.send_text(Method::POST, "/rest/v1/notes", "application/json", body).await;

    let row = &made.expect_status(201).json()[0];
    let clean = json!(["ab", "ab", ["ab", "c"]]);
    assert_eq!(json!([row["cleaned"], row["name"], row["tags"]]), clean);
    assert_eq!(row["watched"], BAD, "it is only counted");
    assert_eq!(app.database.value("select data::text from notes").await, r#"{"ab": [1.10, {"deep": "ab"}]}"#);
    user.patch("/rest/v1/notes?id=eq.1", json!({"cleaned": format!("{BAD}c")})).await.expect_status(200);
    assert_eq!(app.database.value("select cleaned from notes").await, "abc");
}

#[tokio::test]
async fn what_looks_like_sql_is_text_like_any_other() {
    let app = TestApp::with_sql(NOTES).await;
    for (id, text) in [
        "Robert'); drop table students;--",
        "select * from notes where 1=1 or 'a'='a'",
        "O'Brien & sons; \"quoted\" -- and more",
    ]
    .into_iter()
    .enumerate()
    {
        let row = json!({"id": id, "strict": text, "cleaned": text});
        let made = app.user(USER).prefer("return=representation").post("/rest/v1/notes", row).await;
        let made = made.expect_status(201).json();
        assert_eq!((&made[0]["strict"], &made[0]["cleaned"]), (&json!(text), &json!(text)));
    }
}

#[tokio::test]
async fn the_rules_hold_for_those_whom_rules_bind_and_tell_nothing_that_others_may_not_know() {
    let app = TestApp::with_sql(NOTES).await;
    let user = app.user(USER);

    let hidden = user.post("/rest/v1/notes", json!({"id": 1, "kept": BAD})).await;
    hidden.expect_error(400, "input_refused").expect_nowhere("kept");
    app.service().post("/rest/v1/notes", json!({"id": 1, "strict": BAD})).await.expect_status(201);
    user.post("/rest/v1/free", json!({"id": 1, "strict": BAD})).await.expect_status(201);
    // Who may not write at all learns that, and nothing about the value.
    app.database.run("update goforward.table_security set require_auth = true").await;
    let closed = async || app.anon().get("/rest/v1/notes").await.status == 401;
    eventually("the rule to hold", closed).await;
    let anonymous = app.anon().post("/rest/v1/notes", json!({"id": 2, "strict": BAD})).await;
    anonymous.expect_error(401, "authentication_required");
}

#[tokio::test]
async fn rules_about_input_follow_a_column_into_views_and_stay_where_access_is_opened() {
    let app = TestApp::with_sql(
        "create table notes (id int primary key, body text, secret text);
         alter table notes enable row level security;
         create policy everybody on notes using (true) with check (true);
         create view plain as select id, body as words, secret from notes;
         insert into goforward.table_security (schema_name, table_name, field_permissions) values
           ('public', 'notes', '{\"body\": {\"input\": \"reject\"}, \"secret\": {\"hidden\": true}}'),
           ('public', 'plain', '{\"words\": {\"can_read\": true}, \"secret\": {\"input\": \"monitor\"}}');",
    )
    .await;
    let user = app.user(USER);

    user.post("/rest/v1/plain", json!({"id": 1, "words": BAD})).await.expect_error(400, "input_refused");
    user.post("/rest/v1/plain", json!({"id": 1, "words": "fine"})).await.expect_status(201);
    // A rule about input opens nothing.
    let rows: Value = user.get("/rest/v1/plain").await.expect_status(200).json();
    assert_eq!(rows, json!([{"id": 1, "words": "fine"}]));
}

#[tokio::test]
async fn findings_are_counted_by_class_and_logged_without_the_text() {
    let port = free_port();
    let database = Database::create().await;
    database.run(NOTES).await;
    let app = TestApp::on(database, Options::default().admin(port)).await;

    let row = json!({"id": 1, "watched": format!("watchword {BAD}")});
    app.user(USER).post("/rest/v1/notes", row).await.expect_status(201);

    let counted = "goforward_input_findings_total{class=\"bidi\",policy=\"monitor\"}";
    let seen = async || app.server.log().contains("unwanted input");
    eventually("the finding to be logged", seen).await;
    let metrics = Client::new(format!("http://127.0.0.1:{port}")).get("/metrics").await.text();
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!app.server.log().contains("watchword"));
}
