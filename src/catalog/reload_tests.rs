//! The reload task against a real server: what is noticed, what survives failures.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::load::{LoadOptions, event_trigger_present, load};
use super::reload::{CatalogHandle, ReloadOptions};
use super::test_database::{cluster, own_cluster, run};
use crate::kernel::random::Random;

fn options(database: &PgConnectOptions) -> ReloadOptions {
    let load = LoadOptions { schemas: vec!["public".to_owned()], ..LoadOptions::default() };
    ReloadOptions::new(database.clone(), load, &Random::seeded(1))
}

/// A handle whose task ends with the returned guard.
async fn started(options: ReloadOptions) -> (CatalogHandle, tokio_util::sync::DropGuard) {
    let stop = CancellationToken::new();
    let handle = CatalogHandle::start(options, &TaskTracker::new(), stop.clone());
    handle.ready().await;
    (handle, stop.drop_guard())
}

/// Waits until the catalog is as wanted.
async fn until(handle: &CatalogHandle, wanted: impl Fn(&super::Catalog) -> bool) {
    let mut changes = handle.changes();
    let seen = tokio::time::timeout(Duration::from_secs(20), async {
        while !wanted(&handle.current()) {
            changes.changed().await.expect("the task runs");
        }
    });
    seen.await.expect("the catalog becomes as wanted");
}

fn has(name: &'static str) -> impl Fn(&super::Catalog) -> bool {
    move |catalog| catalog.relation("public", name).is_some()
}

const EVENT_TRIGGER: &str = "
create function public.announce() returns event_trigger language plpgsql as $$
begin notify pgrst, 'reload schema'; end $$;
create event trigger announce_ddl on ddl_command_end execute function public.announce();
create event trigger announce_drop on sql_drop execute function public.announce();";

#[tokio::test]
async fn a_new_table_is_known_by_the_poll_alone() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database().await;
    let (handle, _stop) = started(ReloadOptions { channel: None, ..options(&database) }).await;
    run(&database, "create table fresh (id int)").await;
    until(&handle, has("fresh")).await;
    run(&database, "alter table fresh rename column id to other").await;
    until(&handle, |catalog| {
        catalog.relation("public", "fresh").is_some_and(|relation| relation.column("other").is_some())
    })
    .await;
    run(&database, "comment on table fresh is 'new'").await;
    until(&handle, |catalog| {
        catalog.relation("public", "fresh").is_some_and(|found| found.comment.is_some())
    })
    .await;
    run(&database, "alter table fresh enable row level security").await;
    until(&handle, |catalog| {
        catalog.relation("public", "fresh").is_some_and(|found| found.protection.is_protected())
    })
    .await;
    run(&database, "create role cat_new").await;
    until(&handle, |catalog| catalog.roles.contains_key("cat_new")).await;
    run(&database, "drop table fresh").await;
    until(&handle, |catalog| catalog.relation("public", "fresh").is_none()).await;
}

#[tokio::test]
async fn writes_and_temporary_tables_reload_nothing() {
    let Some(cluster) = own_cluster() else { return };
    let database = cluster.database().await;
    run(&database, "create table t (id int)").await;
    let mut connection = PgConnection::connect_with(&database).await.expect("connected");
    let before = super::load::fingerprint(&mut connection).await.expect("read");
    run(&database, "insert into t values (1); create temp table x (id int, y text); drop table x; create temp table z (id int)")
        .await;
    assert_eq!(super::load::fingerprint(&mut connection).await.expect("read"), before);
    run(&database, "alter table t alter id set default 1").await;
    assert_ne!(super::load::fingerprint(&mut connection).await.expect("read"), before);
}

#[tokio::test]
async fn messages_ask_for_schema_or_configuration_or_both() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database().await;
    let quiet = ReloadOptions {
        poll: Duration::from_hours(1),
        channel: Some("Some \"channel\"".to_owned()),
        ..options(&database)
    };
    let (handle, _stop) = started(quiet).await;
    let mut config = handle.config_requests();
    let version = handle.current().version;
    run(
        &database,
        "notify \"Some \"\"channel\"\"\", 'reload config'; notify \"Some \"\"channel\"\"\", 'nonsense'",
    )
    .await;
    config.changed().await.expect("asked");
    assert_eq!(handle.current().version, version);
    run(&database, "create table by_message (id int); notify \"Some \"\"channel\"\"\", 'reload schema'")
        .await;
    until(&handle, has("by_message")).await;
    assert!(!config.has_changed().expect("runs"));
    run(&database, "create table by_empty (id int); notify \"Some \"\"channel\"\"\"").await;
    until(&handle, has("by_empty")).await;
    config.changed().await.expect("asked");
}

#[tokio::test]
async fn a_recheck_finds_a_new_table_and_is_cheap_otherwise() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database().await;
    let quiet = ReloadOptions { poll: Duration::from_hours(1), channel: None, ..options(&database) };
    let (handle, _stop) = started(quiet).await;
    run(&database, "create table quiet (id int)").await;
    // The first look is younger than a second, so the first questions change nothing.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !has("quiet")(&handle.current()) {
        handle.recheck().await;
        assert!(Instant::now() < deadline);
    }
    let version = handle.current().version;
    for _ in 0..100 {
        handle.recheck().await;
    }
    assert_eq!(handle.current().version, version);
    run(&database, "create table by_hand (id int)").await;
    handle.reload().await;
    assert!(has("by_hand")(&handle.current()));
}

#[tokio::test]
async fn after_a_storm_of_ddl_the_catalog_is_the_database() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database().await;
    let mut connection = PgConnection::connect_with(&database).await.expect("connected");
    assert!(!event_trigger_present(&mut connection, "pgrst").await.expect("read"));
    run(&database, EVENT_TRIGGER).await;
    assert!(event_trigger_present(&mut connection, "pgrst").await.expect("read"));
    assert!(!event_trigger_present(&mut connection, "other").await.expect("read"));
    let (handle, _stop) = started(options(&database)).await;
    let first = handle.current().version;
    let storm = |worker: usize| {
        let database = database.clone();
        async move {
            let mut connection = PgConnection::connect_with(&database).await.expect("connected");
            for step in 0..40 {
                let name = format!("storm_{worker}_{}", step % 7);
                let sql = match step % 5 {
                    0 | 1 => format!("create table if not exists {name} (id int primary key, c{step} text)"),
                    2 => format!("drop table if exists {name} cascade"),
                    3 => format!("create or replace view v_{worker} as select {step} as a"),
                    _ => format!(
                        "create or replace function f_{worker}() returns int language sql as 'select {step}'"
                    ),
                };
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.expect("DDL");
            }
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create table last_{worker} (id int)")))
                .execute(&mut connection)
                .await
                .expect("DDL");
        }
    };
    tokio::join!(storm(0), storm(1), storm(2));
    until(&handle, |catalog| {
        (0..3).all(|worker| catalog.relation("public", &format!("last_{worker}")).is_some())
    })
    .await;
    let truth = load(&mut connection, &options(&database).load, None).await.expect("loaded");
    let columns = |catalog: &super::Catalog| {
        let mut all: Vec<String> = catalog
            .relations
            .values()
            .map(|relation| format!("{} {:?}", relation.name, relation.columns.keys().collect::<Vec<_>>()))
            .collect();
        all.sort_unstable();
        all
    };
    assert_eq!(columns(&handle.current()), columns(&truth));
    assert!(handle.current().version - first < 100, "123 statements coalesce");
}

#[tokio::test]
async fn a_failing_reload_keeps_the_snapshot_and_recovers() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database().await;
    run(&database, "create table kept (id int)").await;
    let (handle, _stop) = started(options(&database)).await;
    let mut wrong = options(&database).load;
    wrong.authenticator = Some("nobody_at_all".to_owned());
    handle.set_load_options(wrong).await;
    assert!(handle.is_stale() && has("kept")(&handle.current()));
    handle.set_load_options(options(&database).load).await;
    assert!(!handle.is_stale());
    // Its connections die, and what happens meanwhile is not lost.
    run(
        &database,
        "create table meanwhile (id int);
         select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
    until(&handle, has("meanwhile")).await;
    run(&database, "create table again (id int); notify pgrst").await;
    until(&handle, has("again")).await;
}

#[tokio::test]
async fn changed_rules_are_named_while_nothing_can_be_read_and_no_longer() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database().await;
    let name = database.get_database().unwrap_or_default().to_owned();
    let (handle, _stop) = started(ReloadOptions { channel: None, ..options(&database) }).await;
    let changed = super::QualifiedName::new("public", "kept");
    let postgres = cluster.options("postgres");
    // Its connections end, and there are no new ones.
    run(&postgres, &format!("alter database {name} allow_connections false")).await;
    let sessions = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    run(&postgres, &sessions).await;

    handle.reload_rules(&changed).await;

    assert!(handle.is_stale());
    assert_eq!(handle.current().changed_rules.iter().collect::<Vec<_>>(), [&changed]);
    run(&postgres, &format!("alter database {name} allow_connections true")).await;
    until(&handle, |catalog| catalog.changed_rules.is_empty()).await;
    assert!(!handle.is_stale());
}
