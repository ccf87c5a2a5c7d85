//! The triggers behind the records: made, mended and removed, on tables of every shape.

use goforward::policy::store::audit_triggers::{AuditTriggerError, TriggerChange};
use serde_json::json;

use super::{NOTES, changes, ensure, records};
use crate::harness::Database;

const WRITES: [&str; 3] = ["insert", "update", "delete"];

async fn with(sql: &str) -> Database {
    let database = Database::create().await;
    database.run(sql).await;
    database
}

const TRIGGERS: &str =
    "select string_agg(tgrelid::regclass || ' ' || tgname, ', ' order by tgrelid::regclass::text, tgname)
    from pg_trigger where not tgisinternal and tgname like 'goforward_audit_%' and tgenabled = 'O'";

#[tokio::test]
async fn triggers_are_made_once_and_follow_the_rules() {
    let database = with(NOTES).await;

    assert_eq!(ensure(&database.url(), "notes", &WRITES).await.unwrap().len(), 4);
    assert_eq!(ensure(&database.url(), "notes", &WRITES).await.unwrap(), []);
    assert_eq!(ensure(&database.url(), "notes", &["update"]).await.unwrap().len(), 3);
    assert_eq!(database.value(TRIGGERS).await, "notes goforward_audit_update");
    assert_eq!(ensure(&database.url(), "notes", &[]).await.unwrap().len(), 1);
    assert_eq!(database.value(TRIGGERS).await, "");
}

#[tokio::test]
async fn a_trigger_that_was_switched_off_is_made_anew() {
    let database = with(NOTES).await;
    ensure(&database.url(), "notes", &["insert"]).await.unwrap();
    database.run("alter table notes disable trigger goforward_audit_insert").await;

    let mended = ensure(&database.url(), "notes", &["insert"]).await.unwrap();

    assert!(matches!(&mended[..], [TriggerChange::Drop(..), TriggerChange::Create(..)]), "{mended:?}");
    database.run("insert into notes values (1)").await;
    assert_eq!(records(&database, "true").await.len(), 1);
}

#[tokio::test]
async fn only_tables_can_be_audited() {
    let database = with("create view a_view as select 1 as one").await;

    let of_view = ensure(&database.url(), "a_view", &WRITES).await;
    let of_nothing = ensure(&database.url(), "nothing", &WRITES).await;

    assert!(matches!(of_view, Err(AuditTriggerError::NotATable(_))), "{of_view:?}");
    assert!(matches!(of_nothing, Err(AuditTriggerError::Missing(_))), "{of_nothing:?}");
}

#[tokio::test]
async fn partitions_leave_one_record_a_row_by_whatever_name_they_are_written() {
    let database = with(
        "
        create table parts (id int, day int, text text, primary key (id, day)) partition by range (day);
        create table parts_low partition of parts for values from (0) to (10);
        create table parts_high partition of parts for values from (10) to (20)",
    )
    .await;
    ensure(&database.url(), "parts", &WRITES).await.unwrap();

    database.run("insert into parts values (1, 1, 'a'), (2, 11, 'b')").await;
    database.run("insert into parts_low values (3, 3, 'c')").await;
    database.run("update parts set day = day + 10 where day < 5").await;
    database.run("delete from parts where id = 2").await;

    let found = changes(&database, "true").await;
    let moved = |id: i32, from: i32| json!(["update", { "id": id, "day": from }, { "day": from }, { "day": from + 10 }]);
    assert_eq!(found[0], json!(["insert", { "id": 1, "day": 1 }, null, { "id": 1, "day": 1, "text": "a" }]));
    assert_eq!(found[2], json!(["insert", { "id": 3, "day": 3 }, null, { "id": 3, "day": 3, "text": "c" }]));
    assert!(found.contains(&moved(1, 1)) && found.contains(&moved(3, 3)), "{found:#?}");
    assert_eq!(found[5][0], "delete");
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[tokio::test]
async fn a_row_that_is_held_back_between_partitions_is_never_paired_with_another() {
    let database = with(
        "
        create table parts (id int primary key, text text) partition by range (id);
        create table parts_low partition of parts for values from (0) to (10);
        create table parts_high partition of parts for values from (10) to (30);
        create function hold_back() returns trigger language plpgsql as
            $$ begin if new.id = 11 then return null; end if; return new; end $$;
        create trigger hold_back before insert on parts_high for each row execute function hold_back();
        insert into parts values (1, 'one'), (2, 'two')",
    )
    .await;
    ensure(&database.url(), "parts", &["update"]).await.unwrap();

    database.run("update parts set id = id + 10").await;

    let found = changes(&database, "true").await;
    let expected = [
        json!(["update", { "id": 1 }, { "id": 1, "text": "one" }, null]),
        json!(["update", { "id": 2 }, { "id": 2, "text": "two" }, null]),
        json!(["update", { "id": 12 }, null, { "id": 12, "text": "two" }]),
    ];
    assert!(found.len() == 3 && expected.iter().all(|change| found.contains(change)), "{found:#?}");
}

#[tokio::test]
async fn columns_may_have_any_name_and_type() {
    let database = with("
        create type mood as enum ('good', 'bad');
        create table odd (origin text, key_columns int[], new_rows jsonb, old_rows bytea, unpaired mood, r date,
            before text, after text, image text, name text, place int, \"quo\"\"ted\" text)")
    .await;
    ensure(&database.url(), "odd", &WRITES).await.unwrap();

    database.run("insert into odd (origin, unpaired, new_rows) values ('a', 'good', '{\"x\": 1}')").await;
    database.run("update odd set key_columns = '{1,2}', \"quo\"\"ted\" = 'q', old_rows = '\\x00ff'").await;
    database.run("alter table odd drop column place, add column later int default 7").await;
    database.run("update odd set later = 8; delete from odd").await;

    let found = changes(&database, "true").await;
    assert_eq!(found[0][1], json!(null), "no primary key, no key");
    assert_eq!(found[1][3], json!({ "key_columns": [1, 2], "quo\"ted": "q", "old_rows": "\\x00ff" }));
    assert_eq!(found[2][3], json!({ "later": 8 }));
    assert_eq!((&found[3][2]["origin"], &found[3][2]["new_rows"]), (&json!("a"), &json!({ "x": 1 })));
    assert_eq!(found.len(), 4);
}

#[tokio::test]
async fn a_value_that_only_looks_different_has_changed() {
    let database = with(NOTES).await;
    ensure(&database.url(), "notes", &["update"]).await.unwrap();

    database.run("insert into notes values (1, 'a', 1.0); update notes set price = 1.00, text = 'a'").await;

    let written = database.value("select new_values::text from goforward.audit_log").await;
    assert_eq!(written, "{\"price\": 1.00}");
}

#[tokio::test]
async fn a_table_in_use_is_not_waited_for_without_end() {
    let database = with(NOTES).await;
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&database.url()).await.unwrap();
    let mut holding = sqlx::Connection::begin(&mut other).await.unwrap();
    sqlx::Executor::execute(&mut *holding, "lock table notes in access exclusive mode").await.unwrap();

    let refused = ensure(&database.url(), "notes", &WRITES).await.unwrap_err();

    let AuditTriggerError::Database(error) = refused else { panic!("{refused:?}") };
    assert_eq!(
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
        Some("55P03")
    );
    holding.rollback().await.unwrap();
    assert_eq!(ensure(&database.url(), "notes", &WRITES).await.unwrap().len(), 4);
}
