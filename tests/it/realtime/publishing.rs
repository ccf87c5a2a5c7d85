//! Publishing tables, so that their changes are followed: by the API and by the command line.

use serde_json::{Value, json};

use super::options;
use crate::harness::{Database, TestApp, run_command};

const TABLES: &str = "/realtime/v1/api/tables";
const ANN: &str = "11111111-1111-4111-8111-111111111111";

const SETUP: &str = "
create table public.notes (id int8 primary key);
create table public.\"Odd.name\" (id int8 primary key);
create table public.days (day date) partition by range (day);
create table public.days_2020 partition of public.days for values from ('2020-01-01') to ('2021-01-01');
create view public.seen as select * from public.notes;
create unlogged table public.quick (id int8);
alter table public.notes enable row level security;
create policy everybody on public.notes for select using (true);
grant select on public.notes to anon, authenticated, service_role;";

async fn start() -> TestApp {
    let database = Database::create().await;
    database.run(SETUP).await;
    TestApp::on(database, options()).await
}

/// What the server says to a subscription to the table.
async fn said(app: &TestApp) -> String {
    let mut socket = app.socket(&app.server.keys().anon_key).await;
    let changes = json!([{"event": "*", "schema": "public", "table": "notes"}]);
    socket.join("realtime:db", json!({"postgres_changes": changes})).await;
    socket.event("system").await.payload["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_published_table_is_followed_until_it_is_withdrawn() {
    let app = start().await;
    let service = app.service();
    service.get(TABLES).await.expect_status(200).expect_json(&json!([]));
    assert!(said(&app).await.starts_with("Unable to subscribe"));

    let notes = json!({"schema": "public", "table": "notes", "is_captured": true});
    let wish = json!({"table": "public.notes"});
    service.post(TABLES, wish.clone()).await.expect_status(201).expect_json(&notes);
    service.post(TABLES, wish).await.expect_status(200).expect_json(&notes);
    service.post(TABLES, json!({"table": "public.Odd.name"})).await.expect_status(201);
    service.post(TABLES, json!({"table": "public.days"})).await.expect_status(201);
    let listed = service.get(TABLES).await.json();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|table| &table["table"]).collect();
    assert_eq!(names, ["Odd.name", "days", "notes"]);
    assert!(listed.as_array().unwrap().iter().all(|table| table["is_captured"] == true), "{listed}");
    assert_eq!(said(&app).await, "Subscribed to PostgreSQL");

    service.delete(&format!("{TABLES}/public.notes")).await.expect_status(204);
    service.delete(&format!("{TABLES}/public.notes")).await.expect_error(404, "table_not_published");
    assert!(said(&app).await.starts_with("Unable to subscribe"));
    let records = "select coalesce(string_agg(concat_ws(' ', verb, schema_name, table_name, outcome, error_code), ', ' order by id), '')
                   from goforward.audit_log where verb like 'realtime.table.%' and table_name = 'notes'";
    crate::harness::eventually("what was done is on record", async || {
        app.database.value(records).await
            == "realtime.table.publish public notes done, realtime.table.publish public notes done, \
                realtime.table.withdraw public notes done, realtime.table.withdraw public notes refused table_not_published"
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_done() {
    let app = start().await;
    app.database
        .run_as_superuser("alter table goforward.audit_log add check (verb not like 'realtime.%') not valid")
        .await;
    let wish = json!({"table": "public.notes"});
    app.service().post(TABLES, wish).await.expect_error(503, "database_unavailable");
    app.service().get(TABLES).await.expect_status(200).expect_json(&json!([]));
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_and_named() {
    let app = start().await;
    let service = app.service();
    for (table, status, code, message) in [
        ("notes", 400, "invalid_table_name", "the table is not named"),
        ("public.absent", 404, "no_such_table", "there is no table public.absent"),
        ("public.days_2020", 422, "table_unsuitable", "it is a partition of public.days: publish that"),
        ("public.seen", 422, "table_unsuitable", "it is a view: publish the tables that it reads"),
        ("public.quick", 422, "table_unsuitable", "it is unlogged or temporary"),
        ("auth.users", 422, "table_unsuitable", "it is in a schema of goforward or of PostgreSQL itself"),
        ("realtime.messages", 422, "table_unsuitable", "it is in a schema of goforward"),
        ("pg_catalog.pg_class", 422, "table_unsuitable", "it is in a schema of goforward"),
    ] {
        let answer = service.post(TABLES, json!({ "table": table })).await.expect_error(status, code);
        let said = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(said.contains(message), "{table}: {said}");
    }
    service
        .post(TABLES, json!({"table": "public.notes", "when": "now"}))
        .await
        .expect_error(400, "invalid_body");
    service.get(TABLES).await.expect_json(&json!([]));
    for stranger in [app.anon(), app.user(ANN)] {
        stranger.get(TABLES).await.expect_error(403, "not_allowed");
        stranger.post(TABLES, json!({"table": "public.notes"})).await.expect_error(403, "not_allowed");
        stranger.delete(&format!("{TABLES}/public.notes")).await.expect_error(403, "not_allowed");
    }
    app.client().get(TABLES).await.expect_error(401, "no_authorization");
}

#[tokio::test]
async fn a_table_that_is_published_with_all_others_stays() {
    let app = start().await;
    app.database
        .run_as_superuser(
            "drop publication supabase_realtime; create publication supabase_realtime for all tables",
        )
        .await;
    let service = app.service();
    let names: Vec<String> = service
        .get(TABLES)
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["table"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["Odd.name", "days", "notes"]);
    service.post(TABLES, json!({"table": "public.notes"})).await.expect_status(200);
    service.delete(&format!("{TABLES}/public.notes")).await.expect_error(409, "published_otherwise");

    app.database.run_as_superuser("drop publication supabase_realtime").await;
    service.post(TABLES, json!({"table": "public.notes"})).await.expect_error(409, "not_prepared");
}

#[tokio::test]
async fn the_command_line_publishes_tables_without_a_server() {
    let database = Database::create().await;
    database.run(SETUP).await;
    let url = database.url();
    let realtime = |arguments: &[&str]| {
        let output = run_command(&[&["realtime"], arguments].concat(), &[("DATABASE_URL", &url)]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(realtime(&["tables"]), (0, String::new(), String::new()));
    assert_eq!(realtime(&["publish", "public.notes"]).1, "public.notes: published\n");
    assert_eq!(realtime(&["publish", "public.notes"]).1, "public.notes: published already\n");
    assert_eq!(realtime(&["tables"]).1, "public.notes\n");
    let listed: Value = serde_json::from_str(&realtime(&["tables", "--json"]).1).unwrap();
    assert_eq!(listed, json!([{"schema": "public", "table": "notes", "is_captured": true}]));
    assert_eq!(
        realtime(&["withdraw", "public.notes"]),
        (0, "public.notes: withdrawn\n".to_owned(), String::new())
    );
    for (arguments, error) in [
        (&["withdraw", "public.notes"][..], "error: public.notes is not published\n"),
        (&["publish", "notes"], "error: name the table as schema.table, such as public.orders\n"),
        (
            &["publish", "public.absent"],
            "error: there is no table public.absent. Check the name and its case; write it as schema.table\n",
        ),
        (
            &["publish", "public.seen"],
            "error: public.seen cannot be published: it is a view: publish the tables that it reads\n",
        ),
    ] {
        let (code, out, errors) = realtime(arguments);
        assert_eq!((code, out.as_str(), errors.as_str()), (1, "", error), "{arguments:?}");
    }
    let records =
        "select coalesce(string_agg(concat_ws(' ', verb, schema_name, table_name), ', ' order by id), '')
                   from goforward.audit_log where verb like 'realtime.%'";
    assert_eq!(
        database.value(records).await,
        "realtime.table.publish public notes, realtime.table.publish public notes, realtime.table.withdraw public notes"
    );
}
