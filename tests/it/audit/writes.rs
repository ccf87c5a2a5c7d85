//! Writes to audited tables: each row that changes leaves one record in the same transaction, however it came to that.

use serde_json::json;

use super::{ALICE, BOB, audited, audited_database, changes, records};
use crate::harness::{Caller, Options, TestApp};

const WRITES: [&str; 3] = ["insert", "update", "delete"];

#[tokio::test]
async fn every_row_written_by_rest_leaves_one_record() {
    let app = audited(&WRITES, "").await;
    let alice = app.user(ALICE);

    let two = json!([{ "id": 1, "text": "a", "price": 1.0 }, { "id": 2, "text": "b", "price": null }]);
    alice.post("/rest/v1/notes", two).await.expect_status(201);
    alice.patch("/rest/v1/notes?id=eq.1", json!({ "text": "c" })).await.expect_status(204);
    let merge = alice.clone().prefer("resolution=merge-duplicates");
    let upserted = json!([{ "id": 2, "text": "d" }, { "id": 3, "text": "e" }]);
    merge.post("/rest/v1/notes", upserted).await.expect_status(201);
    let put = json!({ "id": 3, "text": "f", "price": 2 });
    alice.send(reqwest::Method::PUT, "/rest/v1/notes?id=eq.3", Some(put)).await.expect_status(204);
    alice.delete("/rest/v1/notes?id=lt.3").await.expect_status(204);
    alice.patch("/rest/v1/notes?id=eq.99", json!({ "text": "nobody" })).await.expect_status(204);

    let found = changes(&app.database, "table_name = 'notes'").await;
    let expected = [
        json!(["insert", { "id": 1 }, null, { "id": 1, "text": "a", "price": 1.0 }]),
        json!(["insert", { "id": 2 }, null, { "id": 2, "text": "b", "price": null }]),
        json!(["update", { "id": 1 }, { "text": "a" }, { "text": "c" }]),
        json!(["insert", { "id": 3 }, null, { "id": 3, "text": "e", "price": null }]),
        json!(["update", { "id": 2 }, { "text": "b" }, { "text": "d" }]),
        json!(["update", { "id": 3 }, { "text": "e", "price": null }, { "text": "f", "price": 2 }]),
        json!(["delete", { "id": 1 }, { "id": 1, "text": "c", "price": 1.0 }, null]),
        json!(["delete", { "id": 2 }, { "id": 2, "text": "d", "price": null }, null]),
    ];
    let missing: Vec<_> = expected.iter().filter(|change| !found.contains(change)).collect();
    assert!(missing.is_empty() && found.len() == expected.len(), "missing {missing:#?} in {found:#?}");
    let foreign = format!("actor is distinct from '{ALICE}' or not proved or role <> 'authenticated'");
    assert_eq!(records(&app.database, &foreign).await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_record_says_who_asked_and_in_which_request() {
    let app = audited(&WRITES, "").await;
    let caller = Caller::user(ALICE).claim("session_id", json!("5e551017"));
    let client = app.caller(&caller).header("user-agent", "till \u{e9}/1.0");

    let answer = client.post("/rest/v1/notes", json!({ "id": 1 })).await.expect_status(201);
    let named = client.clone().header("x-request-id", "order-17").delete("/rest/v1/notes?id=eq.1").await;

    let found = records(&app.database, "true").await;
    assert_eq!(found[0]["request_id"], answer.header("x-request-id"));
    assert_eq!((named.header("x-request-id"), &found[1]["request_id"]), ("order-17", &json!("order-17")));
    for (field, expected) in [
        ("actor", ALICE),
        ("role", "authenticated"),
        ("ip", "127.0.0.1"),
        ("agent", "till \u{e9}/1.0"),
        ("session", "5e551017"),
        ("database_role", "authenticated"),
        ("schema_name", "public"),
        ("table_name", "notes"),
        ("outcome", "done"),
    ] {
        assert_eq!(found[0][field], expected, "{field}");
    }
    assert_eq!(found[0]["proved"], true);
}

#[tokio::test]
async fn a_key_is_no_person() {
    let app = audited(&WRITES, "").await;

    app.service().post("/rest/v1/notes", json!({ "id": 1 })).await.expect_status(201);
    app.anon().post("/rest/v1/notes", json!({ "id": 2 })).await.expect_status(201);

    let who: Vec<_> = records(&app.database, "true")
        .await
        .iter()
        .map(|record| json!([record["role"], record["actor"], record["proved"]]))
        .collect();
    assert_eq!(who, [json!(["service_role", null, true]), json!(["anon", null, true])]);
}

#[tokio::test]
async fn a_function_writes_as_its_caller_whoever_owns_it() {
    let functions = "
        create function add_note(id int) returns void language sql as 'insert into notes values (id)';
        create function add_note_as_owner(id int) returns void language sql security definer
            set search_path = public as 'insert into notes values (id)';
        create function change_twice(which int) returns setof notes language plpgsql as $$ begin
            update notes set text = 'once' where id = which;
            return query update notes set text = 'twice' where id = which returning *; end $$";
    let app = audited(&WRITES, functions).await;

    for (name, argument) in [("add_note", "id"), ("add_note_as_owner", "id"), ("change_twice", "which")] {
        let id = if name == "add_note_as_owner" { 2 } else { 1 };
        let answer = app.user(BOB).post(&format!("/rest/v1/rpc/{name}"), json!({ argument: id })).await;
        assert!(answer.status < 300 || name == "add_note_as_owner", "{name}: {}", answer.text());
        if answer.status >= 300 {
            // Refused by rest.definer_functions: then by somebody who may.
            app.service().post("/rest/v1/rpc/add_note_as_owner", json!({ "id": 2 })).await.expect_status(204);
        }
    }

    let found = records(&app.database, "true").await;
    let verbs: Vec<_> = found.iter().map(|record| record["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["insert", "insert", "update", "update"]);
    assert!(found.iter().all(|record| record["proved"] == true), "{found:#?}");
    assert_eq!((&found[0]["actor"], &found[3]["actor"]), (&json!(BOB), &json!(BOB)));
    assert_eq!(found[2]["new_values"], json!({ "text": "once" }));
    assert_eq!(found[3]["old_values"], json!({ "text": "once" }));
}

#[tokio::test]
async fn plain_sql_leaves_the_same_records_without_an_actor() {
    let app = audited(&WRITES, "").await;
    app.database
        .run_as_superuser("insert into notes values (1); update notes set text = 'x'; delete from notes")
        .await;
    let as_bob = app.database.as_caller(&Caller::user(BOB), "insert into notes values (2)", true).await;

    as_bob.unwrap();
    let found: Vec<_> = records(&app.database, "true")
        .await
        .iter()
        .map(|record| json!([record["verb"], record["actor"], record["role"], record["proved"]]))
        .collect();
    let unproved = |verb: &str| json!([verb, null, null, false]);
    assert_eq!(found, ["insert", "update", "delete", "insert"].map(unproved));
    let roles = records(&app.database, "database_role = 'authenticated'").await;
    assert_eq!(roles.len(), 1, "the role that SQL switched to is known");
}

#[tokio::test]
async fn what_a_foreign_key_removes_is_recorded_too() {
    let app =
        audited(&WRITES, "insert into notes values (1); insert into remarks values (1, 1), (2, 1)").await;

    app.user(ALICE).delete("/rest/v1/notes?id=eq.1").await.expect_status(204);

    let removed = records(&app.database, "verb = 'delete' and proved").await;
    let tables: Vec<_> = removed.iter().map(|record| record["table_name"].as_str().unwrap()).collect();
    assert_eq!(tables.iter().filter(|table| **table == "remarks").count(), 2, "{tables:?}");
    assert_eq!(tables.len(), 3, "{tables:?}");
}

#[tokio::test]
async fn emptying_a_table_is_recorded() {
    let app = audited(&WRITES, "insert into plain values (1)").await;

    app.database.run_as_superuser("truncate notes cascade").await;

    let found = changes(&app.database, "table_name in ('notes', 'remarks')").await;
    assert_eq!(found, [json!(["truncate", null, null, null]), json!(["truncate", null, null, null])]);
}

#[tokio::test]
async fn a_write_that_is_undone_leaves_no_record() {
    let app = audited(&WRITES, "insert into notes values (1), (2)").await;
    let alice = app.user(ALICE);

    let duplicate = json!([{ "id": 3 }, { "id": 1 }]);
    alice.post("/rest/v1/notes", duplicate).await.expect_error(409, "23505");
    let limited = alice.clone().prefer("handling=strict, max-affected=1");
    limited.patch("/rest/v1/notes?id=gt.0", json!({ "text": "x" })).await.expect_error(400, "PGRST124");
    let sql = "with gone as (delete from notes returning 1) select count(*)::text from gone";
    assert_eq!(app.database.as_caller(&Caller::user(ALICE), sql, false).await.unwrap(), "2");

    let done = records(&app.database, "outcome = 'done' and occurred_at is not null").await;
    assert_eq!(done, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn verbs_and_tables_that_nobody_asked_about_leave_no_record() {
    let app = audited(&["delete"], "").await;
    let alice = app.user(ALICE);

    for table in ["notes", "plain"] {
        alice.post(&format!("/rest/v1/{table}"), json!({ "id": 1, "text": "a" })).await.expect_status(201);
        let path = format!("/rest/v1/{table}?id=eq.1");
        alice.patch(&path, json!({ "text": "b" })).await.expect_status(204);
        alice.delete(&path).await.expect_status(204);
    }

    let found = records(&app.database, "true").await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((&found[0]["verb"], &found[0]["table_name"]), (&json!("delete"), &json!("notes")));
}

#[tokio::test]
async fn rules_that_are_switched_off_take_no_actor_away() {
    let add = "create function add_note(id int) returns void language sql as 'insert into notes values (id)'";
    let database = audited_database(&["insert"], add).await;
    database.run("update goforward.table_security set active = false").await;
    let app = TestApp::on(database, Options::default()).await;

    app.user(BOB).post("/rest/v1/rpc/add_note", json!({ "id": 1 })).await.expect_status(204);

    let found = records(&app.database, "true").await;
    assert_eq!((found.len(), &found[0]["actor"], &found[0]["proved"]), (1, &json!(BOB), &json!(true)));
}

#[tokio::test]
async fn a_statement_of_many_rows_leaves_as_many_records() {
    let app = audited(&WRITES, "").await;

    let rows: Vec<_> = (0..2_000).map(|id| json!({ "id": id, "text": format!("n{id}") })).collect();
    app.user(ALICE).post("/rest/v1/notes", json!(rows)).await.expect_status(201);
    app.user(ALICE).patch("/rest/v1/notes?id=gte.0", json!({ "text": "same" })).await.expect_status(204);

    let paired = "select count(*)::text from goforward.audit_log
        where verb = 'update' and old_values = jsonb_build_object('text', 'n' || (key ->> 'id'))
          and new_values = '{\"text\": \"same\"}'";
    assert_eq!(app.database.value(paired).await, "2000", "each new row with its own old one");
    assert_eq!(records(&app.database, &format!("actor = '{ALICE}'")).await.len(), 4_000);
}
