//! The audit log of tables: who wrote and read what, that nobody can say it was somebody else, and that it stays.

mod forging;
mod log;
mod reads;
mod triggers;
mod writes;

use goforward::catalog::model::QualifiedName;
use goforward::policy::model::Verb;
use goforward::policy::store::audit_triggers::{self, AuditTriggerError, TriggerChange};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::harness::{Database, Options, TestApp};

/// Who writes and reads here.
pub const ALICE: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
/// Somebody else.
pub const BOB: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// A table that everybody may use, a child of it, and one that is never audited.
pub const NOTES: &str = "
    create table notes (id int primary key, text text, price numeric);
    create table remarks (id int primary key, note_id int references notes on delete cascade, text text);
    create table plain (id int primary key, text text);
    alter table notes enable row level security;
    alter table remarks enable row level security;
    alter table plain enable row level security;
    create policy p on notes using (true) with check (true);
    create policy p on remarks using (true) with check (true);
    create policy p on plain using (true) with check (true);
    grant all on notes, remarks, plain to anon, authenticated, service_role";

/// A server on a database with [`NOTES`] and more, where these actions on `notes` and `remarks` are audited.
pub async fn audited(actions: &[&str], more: &str) -> TestApp {
    let database = audited_database(actions, more).await;
    TestApp::on(database, Options::default()).await
}

/// The database alone.
pub async fn audited_database(actions: &[&str], more: &str) -> Database {
    let database = Database::create().await;
    database.run(NOTES).await;
    database.run(more).await;
    audit(&database, "notes", actions).await;
    audit(&database, "remarks", actions).await;
    database
}

/// Lets the rules of a table ask for records of these actions, and makes its triggers.
pub async fn audit(database: &Database, table: &str, actions: &[&str]) {
    let list = actions.join(",");
    let rules = format!(
        "insert into goforward.table_security (schema_name, table_name, audit_actions)
         values ('public', '{table}', '{{{list}}}')"
    );
    database.run(&rules).await;
    ensure(&database.url(), table, actions).await.unwrap();
}

/// Brings the triggers of a table to these actions, as the owner at `url`.
pub async fn ensure(
    url: &str,
    table: &str,
    actions: &[&str],
) -> Result<Vec<TriggerChange>, AuditTriggerError> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let verbs =
        Verb::ALL.into_iter().filter(|verb| !verb.is_read() && actions.contains(&verb.word())).collect();
    audit_triggers::ensure(&mut connection, &QualifiedName::new("public", table), &verbs).await
}

/// The records that meet a condition, oldest first.
pub async fn records(database: &Database, condition: &str) -> Vec<Value> {
    let sql = format!(
        "select coalesce(jsonb_agg(to_jsonb(l) order by id), '[]')::text from goforward.audit_log l where {condition}"
    );
    serde_json::from_str(&database.value(&sql).await).unwrap()
}

/// The same, each as verb, key, old and new values.
pub async fn changes(database: &Database, condition: &str) -> Vec<Value> {
    let change =
        |record: &Value| json!([record["verb"], record["key"], record["old_values"], record["new_values"]]);
    records(database, condition).await.iter().map(change).collect()
}
