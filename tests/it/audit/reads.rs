//! Reads that the rules ask about: on record before they are answered, or not answered.

use serde_json::{Value, json};

use super::{ALICE, BOB, audited, audited_database, records};
use crate::harness::{Options, Server, TestApp, eventually};

const ROWS: &str = "
    insert into notes values (1, 'secret one'), (2, 'secret two'); insert into remarks values (1, 1, 'r');
    create function all_notes() returns setof notes language sql stable as 'select * from notes';
    create function note_count() returns int language sql stable as 'select count(*)::int from notes';
    create view shown as select * from notes;
    do $$ begin
      if current_setting('server_version_num')::int >= 150000 then -- before, views never ask as the caller
        alter view shown set (security_invoker = true);
      end if; end $$;
    grant select on shown to authenticated";

/// The ways to read that this version of PostgreSQL has.
async fn has_views(app: &TestApp) -> bool {
    app.database.value("show server_version_num").await.as_str() >= "150000"
}

/// Verb, table, rows and outcome of every record.
async fn outline(app: &TestApp) -> Vec<Value> {
    let outline = |record: &Value| {
        json!([record["verb"], record["table_name"], record["row_count"], record["outcome"]])
    };
    records(&app.database, "true").await.iter().map(outline).collect()
}

#[tokio::test]
async fn every_way_to_read_a_table_is_on_record_when_the_answer_is_there() {
    let done = |table: &str, rows: i64| json!(["select", table, rows, "done"]);
    for (path, accept, expected) in [
        ("/rest/v1/notes", "application/json", vec![done("notes", 2)]),
        ("/rest/v1/notes?id=eq.1", "application/json", vec![done("notes", 1)]),
        ("/rest/v1/notes?id=eq.9", "application/json", vec![done("notes", 0)]),
        ("/rest/v1/notes?select=id", "text/csv", vec![done("notes", 2)]),
        ("/rest/v1/notes", "application/x-ndjson", vec![done("notes", 2)]),
        ("/rest/v1/notes?id=eq.1", "application/vnd.pgrst.object+json", vec![done("notes", 1)]),
        (
            "/rest/v1/notes?select=id,remarks(id)",
            "application/json",
            vec![done("notes", 2), done("remarks", 2)],
        ),
        ("/rest/v1/shown?id=eq.2", "application/json", vec![done("notes", 1)]),
        ("/rest/v1/rpc/all_notes", "application/json", vec![done("notes", 2)]),
        ("/rest/v1/plain", "application/json", vec![]),
        ("/rest/v1/rpc/note_count", "application/json", vec![]),
    ] {
        let app = shared(&["select"]).await;
        if path.contains("shown") && !has_views(&app).await {
            continue;
        }
        let answer = app.user(ALICE).header("accept", accept).get(path).await.expect_status(200);

        assert_eq!(outline(&app).await, expected, "{path}");
        for record in records(&app.database, "true").await {
            assert_eq!(record["request_id"], answer.header("x-request-id"), "{path}");
            assert_eq!((&record["actor"], &record["proved"]), (&json!(ALICE), &json!(true)), "{path}");
            assert_eq!((&record["ip"], &record["role"]), (&json!("127.0.0.1"), &json!("authenticated")));
        }
    }
}

async fn shared(actions: &[&str]) -> TestApp {
    audited(actions, ROWS).await
}

#[tokio::test]
async fn a_head_request_reads_too() {
    let app = shared(&["select"]).await;
    app.user(ALICE).head("/rest/v1/notes").await.expect_status(200);
    assert_eq!(outline(&app).await, [json!(["select", "notes", 2, "done"])]);
}

#[tokio::test]
async fn rows_that_a_write_shows_were_read() {
    let app = shared(&["select", "update"]).await;
    let alice = app.user(ALICE);

    alice.patch("/rest/v1/notes?id=eq.1", json!({ "text": "x" })).await.expect_status(204);
    assert_eq!(outline(&app).await, [json!(["update", "notes", null, "done"])]);

    let showing = alice.prefer("return=representation");
    showing.patch("/rest/v1/notes?id=eq.1", json!({ "text": "y" })).await.expect_status(200);
    let mut found = outline(&app).await.split_off(1);
    found.sort_by_key(ToString::to_string);
    let expected = [json!(["select", "notes", 1, "done"]), json!(["update", "notes", null, "done"])];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_refusal_is_on_record_with_its_code() {
    let app = audited(&["select", "delete"], "revoke all on notes from anon").await;

    app.anon().get("/rest/v1/notes").await.expect_error(401, "42501");
    app.anon().delete("/rest/v1/notes?id=eq.1").await.expect_error(401, "42501");
    app.user(BOB).get("/rest/v1/notes?price=eq.nothing").await.expect_error(400, "22P02");

    eventually("three records", async || outline(&app).await.len() == 3).await;
    let found: Vec<_> = records(&app.database, "true")
        .await
        .iter()
        .map(|record| json!([record["verb"], record["outcome"], record["error_code"], record["actor"]]))
        .collect();
    assert_eq!(
        found,
        [
            json!(["select", "refused", "42501", null]),
            json!(["delete", "refused", "42501", null]),
            json!(["select", "failed", "22P02", BOB]),
        ]
    );
}

#[tokio::test]
async fn an_answer_that_tells_only_how_many_rows_there_are_is_on_record() {
    let app = shared(&["select"]).await;
    let single = app.user(ALICE).header("accept", "application/vnd.pgrst.object+json");

    single.get("/rest/v1/notes").await.expect_error(406, "PGRST116");

    let found = records(&app.database, "true").await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((&found[0]["outcome"], &found[0]["error_code"]), (&json!("failed"), &json!("PGRST116")));
    assert_eq!(found[0]["row_count"], 2);
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_shown() {
    let app = shared(&["select"]).await;
    let alice = app.user(ALICE);
    app.database.run_as_superuser("alter table goforward.audit_log rename to elsewhere").await;

    let mut paths = vec!["/rest/v1/notes", "/rest/v1/notes?select=text", "/rest/v1/rpc/all_notes"];
    if has_views(&app).await {
        paths.push("/rest/v1/shown");
    }
    for path in paths {
        let answer = alice.get(path).await.expect_error(503, "audit_unavailable");
        assert_eq!(answer.expect_nowhere("secret").header("retry-after"), "1");
    }
    let csv = alice.clone().header("accept", "text/csv").get("/rest/v1/notes").await;
    csv.expect_error(503, "audit_unavailable").expect_nowhere("secret");
    let showing = alice.clone().prefer("return=representation");
    let refused = showing.patch("/rest/v1/notes?id=eq.1", json!({ "price": 7 })).await;
    refused.expect_error(503, "audit_unavailable").expect_nowhere("secret");
    assert_eq!(app.database.value("select price::text from notes where id = 1").await, "", "it was undone");
    alice.get("/rest/v1/plain").await.expect_status(200);

    app.database.run_as_superuser("alter table goforward.elsewhere rename to audit_log").await;
    assert_eq!(alice.get("/rest/v1/notes").await.expect_status(200).rows(), 2);
}

#[tokio::test]
async fn a_lost_connection_costs_the_log_nothing_that_was_answered() {
    let app = shared(&["select"]).await;
    let alice = app.user(ALICE);
    let end = "select count(pg_terminate_backend(pid))::text from pg_stat_activity
        where datname = current_database() and usename = 'goforward' and query like '%goforward.audit_log%'";
    let mut answered = 0;
    for round in 0..5 {
        let status = alice.get("/rest/v1/notes").await.status;
        assert!(status == 200 || status == 503, "{status}");
        answered += usize::from(status == 200);
        let ended = app.database.value(end).await;
        assert!(round > 0 || ended == "1", "the log has one connection, not {ended}");
    }

    let found = records(&app.database, "outcome = 'done'").await.len();
    assert!(found >= answered && answered >= 1, "{found} records of {answered} answers");
}

#[tokio::test]
async fn many_readers_at_once_are_all_on_record() {
    let app = shared(&["select"]).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let client = app.user(ALICE);
        readers.spawn(async move { client.get("/rest/v1/notes?id=eq.1").await });
    }
    let mut ids = std::collections::BTreeSet::new();
    while let Some(answer) = readers.join_next().await {
        ids.insert(answer.unwrap().expect_status(200).header("x-request-id").to_owned());
    }

    let found = records(&app.database, "true").await;
    let recorded: std::collections::BTreeSet<_> =
        found.iter().map(|record| record["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((found.len(), recorded), (200, ids));
}

#[tokio::test]
async fn a_server_without_the_log_shows_nothing_that_must_be_on_record() {
    let database = audited_database(&["select", "insert"], ROWS).await;
    let alone = Options::default().database(&database.url_as("authenticator"));
    let server = Server::start(alone.argument("--only").argument("rest")).await;
    let app = TestApp { server, database };

    let alice = app.user(ALICE);
    alice.get("/rest/v1/notes").await.expect_error(503, "audit_unavailable").expect_nowhere("secret");
    alice.get("/rest/v1/plain").await.expect_status(200);
    alice.post("/rest/v1/notes", json!({ "id": 3 })).await.expect_status(201);

    let found = records(&app.database, "true").await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["actor"], &found[0]["proved"]), (&Value::Null, &json!(false)));
}
