//! Which filters are stored: conditions of the row and of what the caller may see, nothing that acts, runs as somebody
//! else or tells of the server.

use goforward::policy::store::StoreError;
use serde_json::json;

use super::{ALICE, Setup, public};
use crate::harness::Caller;

/// Functions and views for filters to trip over.
const TRAPS: &str = "
    create function definer() returns boolean language sql stable security definer as 'select true';
    create function unstable() returns boolean language sql as 'select true';
    create function honest(int) returns boolean language sql immutable as 'select $1 > 0';
    create function same(int, int) returns boolean language sql volatile as 'select $1 = $2';
    create operator === (function = same, leftarg = int, rightarg = int);
    create function step(boolean, boolean) returns boolean language sql volatile as 'select $1 and $2';
    create aggregate every_time(boolean) (sfunc = step, stype = boolean, initcond = 'true');
    create view hidden_definer as select id from orders where definer();
    create view over_it as select id from hidden_definer;
    create domain guarded as text check (value <> '' and unstable());
    create view harmless as select team from members";

#[tokio::test]
async fn a_filter_that_acts_or_tells_too_much_is_refused_by_name_and_nothing_changes() {
    let setup = Setup::new().await;
    setup.database.run(TRAPS).await;
    for (filter, expected) in [
        // Not a condition, or none of this table.
        ("id", "must be type boolean"),
        ("'maybe'", "invalid input syntax"),
        ("nothing > 1", "does not exist"),
        ("count(*) > 1", "aggregate functions are not allowed"),
        ("row_number() over () = 1", "window functions are not allowed"),
        ("generate_series(1, 2) = 1", "set-returning functions are not allowed"),
        ("not archived and", "syntax error"),
        ("id = 1 order by id", "syntax error"),
        ("exists (select from orders o where o.team = team)", "it reads public.orders itself"),
        // What acts.
        ("exists (delete from members returning true)", "syntax error"),
        ("exists (with x as (delete from members returning 1) select from x)", "must be at the top level"),
        ("exists (select from members for update)", "it locks rows"),
        ("pg_sleep(1) is null", "pg_sleep(double precision): it is volatile"),
        ("random() > 0.5", "random(): it is volatile"),
        ("set_config('role', 'postgres', true) is not null", "it is volatile"),
        ("nextval('s') > 0", "does not exist"),
        ("pg_advisory_xact_lock(1) is null", "it is volatile"),
        ("unstable()", "unstable(): it is volatile"),
        ("id === 1", "same(integer,integer): it is volatile"),
        ("(select every_time(true) from members)", "step(boolean,boolean): it is volatile"),
        ("id = any (array(select id from members where random() > 0.5 and who is null))", "random()"),
        ("note::guarded is not null", "unstable(): it is volatile"),
        ("txid_current() > 0", "tells of the server"),
        // What runs as somebody else.
        ("definer()", "definer(): it runs with the rights of its owner"),
        ("exists (select from over_it)", "definer(): it runs with the rights of its owner"),
        // What tells of the server and of others, or runs text.
        ("pg_read_file('postgresql.conf') is not null", "it is volatile"),
        ("version() like 'PostgreSQL%'", "tells of the server"),
        ("inet_server_port() = 5432", "tells of the server"),
        ("query_to_xml('select 1', true, true, '') is not null", "query_to_xml"),
        ("table_to_xml('members', true, true, '') is not null", "table_to_xml"),
        ("exists (select from pg_stat_activity)", "is not for callers"),
        ("exists (select from pg_authid)", "is not for callers"),
        ("exists (select from information_schema.tables)", "is not for callers"),
        ("exists (select from goforward.table_security)", "is not for callers"),
    ] {
        let rules = json!({"custom_filters": {"fine": "not archived", "tested": filter}});
        let error = setup.put("orders", rules).await.unwrap_err();
        assert!(matches!(&error, StoreError::Filter { name, .. } if name == "tested"), "{filter}: {error}");
        assert!(error.to_string().contains(expected), "{filter}: {error}");
    }
    assert_eq!(setup.store.list().await.unwrap(), []);
    assert_eq!(setup.own_policies("orders").await, Vec::<String>::new());
    let probes = "select count(*)::text from pg_policy where polname = 'goforward_probe'";
    assert_eq!(setup.database.value(probes).await, "0");
}

#[tokio::test]
async fn conditions_of_the_row_and_of_what_the_caller_may_see_are_stored_and_hold() {
    let setup = Setup::new().await;
    setup.database.run(TRAPS).await;
    for (filter, seen) in [
        ("not archived", "2"),
        ("owner = (select auth.uid())", "2"),
        ("team in (select m.team from members m where m.who = (select auth.uid()))", "3"),
        ("exists (select from harmless h where h.team = orders.team)", "3"),
        ("honest(id) and public.orders.note is null", "3"),
        ("current_setting('request.jwt.claims', true)::jsonb ->> 'role' = 'anon'", "0"),
        ("id between 1 and 2 or note ilike 'x;y -- (%'", "2"),
        ("created_by_nobody.yes from (values (true)) as created_by_nobody (yes)", ""),
        ("(select yes from (values (true)) as v (yes))", "3"),
        ("now() > '2000-01-01' and current_user <> 'anon'", "3"),
    ] {
        let stored = setup.put("orders", json!({"custom_filters": {"a": filter}})).await;
        if seen.is_empty() {
            assert!(matches!(stored, Err(StoreError::Filter { .. })), "{filter}");
            continue;
        }
        stored.unwrap_or_else(|error| panic!("{filter}: {error}"));
        let count = "select count(*)::text from orders";
        let found = setup.database.as_caller(&Caller::user(ALICE), count, false).await;
        assert_eq!(found.as_deref(), Ok(seen), "{filter}");
    }
}

#[tokio::test]
async fn filters_of_views_are_checked_too() {
    let setup = Setup::new().await;
    setup.database.run(TRAPS).await;
    let put = async |filter: &str| setup.put("order_list", json!({"custom_filters": {"a": filter}})).await;
    for (filter, expected) in [
        ("secret = 's'", "does not exist"),
        ("random() > 0.5", "it is volatile"),
        ("exists (select from over_it)", "definer()"),
        ("id", "must be type boolean"),
    ] {
        let error = put(filter).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{filter}: {error}");
    }
    put("not archived").await.unwrap();
    assert!(setup.store.get(&public("order_list")).await.is_ok());
    // A view made of what a filter may not use can have a filter that does not use it.
    setup.put("hidden_definer", json!({"custom_filters": {"a": "id > 1"}})).await.unwrap();
    assert_eq!(setup.applied().await, Vec::<String>::new());
}
