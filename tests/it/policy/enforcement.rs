//! Rules about rows in PostgreSQL itself: for any SQL of a caller, repaired where they drift, gone with the rules.

use std::str::FromStr as _;

use goforward::catalog::model::Catalog;
use goforward::policy::desired::is_enforced;
use goforward::policy::model::TableSecurity;
use goforward::policy::store::{Expected, RuleStore, StoreError};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{ALICE, BOB, ORDERS, Setup, public};
use crate::harness::{Caller, Database, PATIENCE, TestApp, eventually};

const COUNT: &str = "select count(*)::text from orders";
const OPEN: &str = r#"{"open": "not archived"}"#;

fn narrowing() -> Vec<String> {
    ["delete", "insert", "select", "update"].map(|verb| format!("goforward_restrict_{verb}")).into()
}

fn opening() -> Vec<String> {
    ["delete", "insert", "select", "update"].map(|verb| format!("goforward_permit_{verb}")).into()
}

#[tokio::test]
async fn ownership_and_filters_hold_for_any_sql_of_a_caller() {
    let setup = Setup::new().await;
    let rules = json!({"require_ownership": true, "ownership_column": "owner",
                       "custom_filters": {"open": "not archived"}});
    setup.put("orders", rules).await.unwrap();

    let (alice, bob) = (Caller::user(ALICE), Caller::user(BOB));
    let run = async |caller: &Caller, sql: &str| setup.database.as_caller(caller, sql, false).await;
    assert_eq!(run(&alice, COUNT).await.unwrap(), "1");
    assert_eq!(run(&bob, COUNT).await.unwrap(), "1");
    assert_eq!(run(&Caller::role_only("anon"), COUNT).await.unwrap(), "0");
    assert_eq!(run(&Caller::role_only("service_role"), COUNT).await.unwrap(), "3");
    assert_eq!(run(&alice, "insert into orders (id) values (9) returning id").await.unwrap(), "9");
    for refused in [
        format!("insert into orders (id, owner) values (9, '{BOB}')"),
        "insert into orders (id, archived) values (9, true)".to_owned(),
        format!("update orders set owner = '{BOB}'"),
    ] {
        assert_eq!(run(&alice, &refused).await.unwrap_err(), "42501", "{refused}");
    }
    let deleted = "with gone as (delete from orders returning id) select string_agg(id::text, ' ') from gone";
    assert_eq!(run(&alice, deleted).await.unwrap(), "1");

    // What is there is what decisions expect to find.
    assert!(enforced(&setup.catalog().await));
    assert_eq!(setup.applied().await, Vec::<String>::new(), "a second run finds nothing to do");
}

fn enforced(catalog: &Catalog) -> bool {
    let rules = TableSecurity::parse(json!({"require_ownership": true, "ownership_column": "owner",
                                            "custom_filters": {"open": "not archived"}}));
    is_enforced(catalog, &public("orders"), &rules.unwrap())
}

#[tokio::test]
async fn what_somebody_alters_by_hand_is_noticed_and_mended_though_its_comment_stayed() {
    let setup = Setup::new().await;
    let rules = json!({"require_ownership": true, "ownership_column": "owner",
                       "custom_filters": {"open": "not archived"}});
    setup.put("orders", rules).await.unwrap();
    let replaced =
        "public.orders: replace policy goforward_restrict_select, which somebody else made or altered";
    for (alteration, mended) in [
        ("alter policy goforward_restrict_select on orders using (true)", replaced),
        ("alter policy goforward_restrict_select on orders to service_role", replaced),
        (
            "alter policy goforward_restrict_update on orders with check (true)",
            "public.orders: replace policy goforward_restrict_update, which somebody else made or altered",
        ),
        ("comment on policy goforward_restrict_select on orders is 'mine'", replaced),
        (
            "drop policy goforward_restrict_insert on orders",
            "public.orders: make policy goforward_restrict_insert",
        ),
        ("alter table orders disable row level security", "public.orders: switch row-level security on"),
    ] {
        setup.database.run(alteration).await;
        assert!(!enforced(&setup.catalog().await), "{alteration}");
        assert_eq!(setup.planned().await, [mended], "{alteration}");
        assert_eq!(setup.applied().await, [mended], "{alteration}");
        assert!(enforced(&setup.catalog().await), "{alteration}");
        assert_eq!(setup.planned().await, Vec::<String>::new(), "{alteration}");
    }
}

#[tokio::test]
async fn policies_follow_the_rules_and_go_with_them_while_row_level_security_stays_on() {
    let setup = Setup::new().await;
    let all = [opening(), narrowing()].concat();
    setup.put("orders", json!({"custom_filters": {"open": "not archived"}})).await.unwrap();
    assert_eq!(setup.own_policies("orders").await, all);

    let rules = json!({"require_ownership": true, "ownership_column": "owner", "public_read": true});
    setup.put("orders", rules).await.unwrap();
    let without_select: Vec<String> =
        all.iter().filter(|name| *name != "goforward_restrict_select").cloned().collect();
    assert_eq!(setup.own_policies("orders").await, without_select);
    let anon = Caller::role_only("anon");
    assert_eq!(setup.database.as_caller(&anon, COUNT, false).await.unwrap(), "3");

    setup.store.delete(&setup.catalog().await, &public("orders"), Expected::Any, "a test").await.unwrap();
    assert_eq!(setup.own_policies("orders").await, Vec::<String>::new());
    assert_eq!(setup.database.as_caller(&anon, COUNT, false).await.unwrap(), "0", "closed, not open");
}

#[tokio::test]
async fn rules_written_or_removed_by_plain_sql_are_put_in_force_by_the_server() {
    let database = Database::create().await;
    database.run(ORDERS).await;
    let app = TestApp::on(database, crate::harness::Options::default()).await;
    let own = "select count(*)::text from pg_policy where polrelid = 'orders'::regclass and polname like 'goforward\\_%'
               and polname <> 'goforward_service_role'";
    let insert = format!(
        "insert into goforward.table_security (schema_name, table_name, custom_filters) values ('public', 'orders', '{OPEN}')"
    );
    app.database.run(&insert).await;
    eventually("the policies", async || app.database.value(own).await == "8").await;

    app.database.run("create policy everybody on orders for select using (true)").await;
    eventually("the end of what stands in", async || app.database.value(own).await == "4").await;
    let insert = "insert into orders (id) values (9)";
    let alice = Caller::user(ALICE);
    assert_eq!(app.database.as_caller(&alice, insert, false).await.unwrap_err(), "42501");

    app.database.run("drop policy everybody on orders").await;
    eventually("what stands in again", async || app.database.value(own).await == "8").await;
    app.database.run("delete from goforward.table_security").await;
    eventually("the end of all", async || app.database.value(own).await == "0").await;
}

#[tokio::test]
async fn a_rule_that_cannot_be_enforced_is_told_of_once_and_put_in_force_when_it_can() {
    let database = Database::create().await;
    database.run(ORDERS).await;
    let app = TestApp::on(database, crate::harness::Options::default()).await;
    let filter = |text: &str| {
        format!(
            "insert into goforward.table_security (schema_name, table_name, custom_filters)
             values ('public', 'orders', jsonb_build_object('a', '{text}'))
             on conflict (schema_name, table_name) do update set custom_filters = excluded.custom_filters"
        )
    };
    app.database.run(&filter("random() > 0.5")).await;
    let told = "rules are not in force";
    eventually("the complaint", async || app.server.log().contains(told)).await;
    for table in ["one", "two", "three"] {
        app.database
            .run(&format!("create table {table} (); alter table {table} enable row level security"))
            .await;
        let path = format!("/rest/v1/{table}");
        eventually("the reload", async || app.service().get(&path).await.status == 200).await;
    }
    let policies = "select count(*)::text from pg_policy where polrelid = 'orders'::regclass and polname like 'goforward\\_r%'";
    assert_eq!(app.database.value(policies).await, "0");

    app.database.run(&filter("not archived")).await;
    eventually("the policies", async || app.database.value(policies).await == "4").await;
    assert_eq!(app.server.log().matches(told).count(), 1, "{}", app.server.log());
}

#[tokio::test]
async fn who_does_not_own_the_table_is_told_and_changes_nothing() {
    let setup = Setup::new().await;
    // The login that owns our own schema, and no table of the user's.
    let options = PgConnectOptions::from_str(&setup.database.url_as("goforward")).unwrap();
    let stranger = RuleStore::new(options.into(), true);
    let catalog = setup.catalog().await;
    let filter = TableSecurity::parse(json!({"custom_filters": {"open": "not archived"}})).unwrap();
    let hidden = TableSecurity::parse(json!({"hidden_fields": ["secret"]})).unwrap();
    for rules in [&filter, &hidden] {
        let error = stranger.put(&catalog, &public("orders"), rules, Expected::Any, "x").await.unwrap_err();
        assert!(matches!(&error, StoreError::NotOwner { login, .. } if login == "goforward"), "{error}");
        assert!(error.to_string().contains("to goforward`"), "{error}");
    }
    assert_eq!(stranger.list().await.unwrap(), []);
    let plain = TableSecurity::parse(json!({"require_auth": true})).unwrap();
    stranger.put(&catalog, &public("orders"), &plain, Expected::Any, "x").await.unwrap();
}

#[tokio::test]
async fn a_table_in_use_is_waited_for_without_stopping_its_readers() {
    let setup = Setup::new().await;
    let mut reader = PgConnection::connect(&setup.database.url()).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    reading.execute("select from orders").await.unwrap();
    // Open beforehand, as the change gives up after a while.
    let mut other = PgConnection::connect(&setup.database.url_as("postgres")).await.unwrap();

    let mut change = Box::pin(setup.put("orders", json!({"custom_filters": {"open": "not archived"}})));
    let waiting =
        "select (count(*) > 0)::text from pg_locks where relation = 'orders'::regclass and not granted";
    let others = async {
        let mut value = async |sql: &'static str| -> String {
            sqlx::query_scalar(sql).fetch_one(&mut other).await.unwrap()
        };
        // Each would wait behind the change if that waited for its lock without end.
        for _ in 0..3 {
            eventually("the change's turn", async || value(waiting).await == "true").await;
            assert_eq!(value(COUNT).await, "3");
        }
    };
    tokio::select! {
        done = &mut change => panic!("the table is locked, but: {done:?}"),
        done = tokio::time::timeout(PATIENCE, others) => done.expect("the readers get through"),
    }
    reading.commit().await.unwrap();
    change.await.unwrap();
    assert_eq!(setup.own_policies("orders").await.len(), 8);
}
