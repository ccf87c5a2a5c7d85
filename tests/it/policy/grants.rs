//! Grants on columns: taken where rules keep a column from a role for good, given back when none does any more.

use std::str::FromStr as _;

use goforward::policy::store::{Expected, RuleStore};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use super::{ALICE, Setup, public};
use crate::harness::Caller;

/// The grants of the table and of its columns, as PostgreSQL stores them.
async fn grants(setup: &Setup) -> String {
    let of_table = "select coalesce((select string_agg(x, ' ' order by x) from (select unnest(relacl)::text as x) y), '')
                    from pg_class where oid = 'orders'::regclass";
    let of_columns =
        "select count(*)::text from pg_attribute where attrelid = 'orders'::regclass and attacl is not null";
    format!("{} / {}", setup.database.value(of_table).await, setup.database.value(of_columns).await)
}

#[tokio::test]
async fn a_hidden_column_is_taken_from_the_role_and_comes_back_with_the_last_rule() {
    let setup = Setup::new().await;
    let before = grants(&setup).await;
    let run = async |sql: &str| setup.database.as_caller(&Caller::user(ALICE), sql, false).await;
    setup.put("orders", json!({"hidden_fields": ["secret"]})).await.unwrap();

    assert_eq!(run("select secret from orders").await.unwrap_err(), "42501");
    assert_eq!(run("select to_jsonb(orders) from orders").await.unwrap_err(), "42501");
    assert_eq!(run("select count(*)::text from orders where note is null").await.unwrap(), "3");
    // Who does not see a column does not write it either, unless a rule says so.
    assert_eq!(run("update orders set secret = 'x'").await.unwrap_err(), "42501");
    assert_eq!(run("update orders set note = 'x' where id = 1 returning note").await.unwrap(), "x");
    assert_eq!(run("insert into orders (id, secret) values (9, 'x')").await.unwrap_err(), "42501");
    assert_eq!(run("insert into orders (id, note) values (9, 'x') returning id").await.unwrap(), "9");
    let service = Caller::role_only("service_role");
    assert_eq!(setup.database.as_caller(&service, "select secret from orders", false).await.unwrap(), "s");
    assert_eq!(setup.applied().await, Vec::<String>::new(), "a second run finds nothing to do");

    let rules = json!({"hidden_fields": ["secret"], "field_permissions": {"secret": {"can_write": true}}});
    setup.put("orders", rules).await.unwrap();
    assert_eq!(run("update orders set secret = 'x' where id = 1 returning id").await.unwrap(), "1");
    assert_eq!(run("select secret from orders").await.unwrap_err(), "42501");

    let catalog = setup.catalog().await;
    setup.store.delete(&catalog, &public("orders"), Expected::Any, "a test").await.unwrap();
    assert_eq!(grants(&setup).await, before);
    assert_eq!(setup.database.value("select count(*)::text from goforward.narrowed_grants").await, "0");
}

#[tokio::test]
async fn a_new_column_is_granted_and_a_whole_grant_is_narrowed_again() {
    let setup = Setup::new().await;
    let alice = Caller::user(ALICE);
    setup.put("orders", json!({"hidden_fields": ["secret"]})).await.unwrap();
    setup.database.run("alter table orders add column later text default 'l'").await;
    assert_eq!(
        setup.database.as_caller(&alice, "select later from orders", false).await.unwrap_err(),
        "42501"
    );

    let applied = setup.applied().await;
    assert!(
        applied.contains(&"public.orders: correct select of authenticated: add later".to_owned()),
        "{applied:?}"
    );
    assert_eq!(setup.database.as_caller(&alice, "select later from orders", false).await.unwrap(), "l");

    setup.database.run("grant select on orders to authenticated").await;
    assert_eq!(
        setup.applied().await,
        ["public.orders: leave authenticated select on id, owner, team, note, archived, later only"]
    );
    assert_eq!(
        setup.database.as_caller(&alice, "select secret from orders", false).await.unwrap_err(),
        "42501"
    );
}

#[tokio::test]
async fn what_others_took_is_not_given_back() {
    let setup = Setup::new().await;
    setup.put("orders", json!({"hidden_fields": ["secret"]})).await.unwrap();
    setup.database.run("revoke all on orders from anon, authenticated").await;
    let before = grants(&setup).await;

    let applied = setup.applied().await;
    assert!(applied.iter().all(|change| change.contains("forget that")) && applied.len() == 6, "{applied:?}");
    setup.store.delete(&setup.catalog().await, &public("orders"), Expected::Any, "a test").await.unwrap();
    assert_eq!(grants(&setup).await, before);
}

#[tokio::test]
async fn a_store_without_column_grants_gives_all_back() {
    let setup = Setup::new().await;
    let before = grants(&setup).await;
    setup.put("orders", json!({"hidden_fields": ["secret"]})).await.unwrap();
    assert_ne!(grants(&setup).await, before);

    let options = PgConnectOptions::from_str(&setup.database.url()).unwrap();
    let store = RuleStore::new(options.into(), false);
    let applied = store.apply(&setup.catalog().await, None).await.unwrap();
    assert!(applied.failures.is_empty() && !applied.changes.is_empty());
    assert_eq!(grants(&setup).await, before);
    assert!(store.plan(&setup.catalog().await, None).await.unwrap().changes.is_empty());
}

#[tokio::test]
async fn a_hidden_owner_column_still_ties_rows_to_their_owner() {
    let setup = Setup::new().await;
    let rules = json!({"require_ownership": true, "ownership_column": "owner", "hidden_fields": ["owner"],
                       "custom_filters": {"open": "not archived"}});
    setup.put("orders", rules).await.unwrap();
    let run = async |sql: &str| setup.database.as_caller(&Caller::user(ALICE), sql, false).await;
    assert_eq!(run("select string_agg(id::text, ' ') from orders").await.unwrap(), "1");
    assert_eq!(run("select owner from orders").await.unwrap_err(), "42501");
    let insert = format!("insert into orders (id, owner) values (9, '{ALICE}') returning id");
    assert_eq!(run(&insert).await.unwrap(), "9", "the owner can be filled in");
}
