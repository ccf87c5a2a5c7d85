//! The set-up against real servers: as superuser, as a plain owner with CREATEROLE, and twice at once.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sqlx::{ConnectOptions, Connection, Executor};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod accounts;
mod realtime;

use super::super::embedded::tests::packaged;
use super::super::embedded::{EmbeddedConfig, EmbeddedPostgres};
use super::*;
use crate::kernel::random::Random;

/// A throwaway server.
struct Server {
    postgres: EmbeddedPostgres,
    _directory: TempDir,
}

impl Server {
    async fn start() -> Self {
        Self::of(None).await
    }

    async fn of(binaries: Option<PathBuf>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let config = EmbeddedConfig {
            is_durable: false,
            binaries,
            ..EmbeddedConfig::new(directory.path().join("data"))
        };
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let postgres = EmbeddedPostgres::start(&config, &Random::system(), &tracker, &cancel).await.unwrap();
        Self { postgres, _directory: directory }
    }

    fn owner(&self) -> PgConnectOptions {
        self.postgres.owner_options()
    }

    fn embedded(&self) -> BootstrapOptions {
        let passwords = self.postgres.passwords().clone();
        BootstrapOptions {
            is_embedded: true,
            goforward_password: Some(passwords.goforward),
            authenticator_password: Some(passwords.authenticator),
        }
    }

    async fn authenticator(&self) -> PgConnection {
        let options =
            self.postgres.login_options(AUTHENTICATOR_LOGIN, &self.postgres.passwords().authenticator);
        options.connect().await.unwrap()
    }

    /// A database `app` owned by a login `app` that may create roles and is no superuser, as hosters give it.
    async fn plain_owner(&self) -> PgConnectOptions {
        let mut connection = self.owner().connect().await.unwrap();
        connection.execute("create role app login createrole password 'app'").await.unwrap();
        connection.execute("create database app owner app").await.unwrap();
        self.owner().username("app").password("app").database("app")
    }
}

async fn scalar<T>(connection: &mut PgConnection, sql: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Runs a statement as an API role with claims, as one request does.
async fn count_as(connection: &mut PgConnection, role: &str, claims: &str, sql: &'static str) -> i64 {
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)")
        .bind(role)
        .bind(claims)
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut *transaction).await.unwrap()
}

#[tokio::test]
async fn a_fresh_embedded_database_lacks_nothing_and_a_second_run_changes_nothing() {
    let server = Server::start().await;

    let first = run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();
    let before: String = scalar(&mut owner, "select pg_snapshot_xmax(pg_current_snapshot())::text").await;
    let second = run(&server.owner(), &server.embedded()).await.unwrap();
    let after: String = scalar(&mut owner, "select pg_snapshot_xmax(pg_current_snapshot())::text").await;

    assert_eq!(first.missing, []);
    assert_eq!(first.applied.len(), migrations::MIGRATIONS.len());
    assert!(second.applied.is_empty() && second.missing.is_empty());
    assert_eq!(before, after, "a second run writes nothing");
    assert!(first.capabilities.superuser && first.capabilities.event_triggers);
    assert_eq!(first.capabilities.bypass_rls, BypassRls::Attribute);
    for extension in ["pgcrypto", "uuid-ossp"] {
        assert!(first.capabilities.extensions.iter().any(|name| name == extension));
    }
    server.postgres.stop().await;
}

#[tokio::test]
async fn the_authenticator_has_no_rights_but_to_become_an_api_role() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();
    owner
        .execute("create table notes as select 1 as id; alter table notes enable row level security")
        .await
        .unwrap();
    let mut login = server.authenticator().await;

    assert!(login.execute("select from notes").await.is_err());
    assert!(login.execute("set role postgres").await.is_err());
    assert!(login.execute("set role goforward").await.is_err());
    for role in API_ROLES {
        let mut transaction = login.begin().await.unwrap();
        sqlx::query("select set_config('role', $1, true)")
            .bind(role)
            .execute(&mut *transaction)
            .await
            .unwrap();
        assert!(transaction.execute("select from goforward.migrations").await.is_err());
    }
    assert_eq!(scalar::<String>(&mut login, "show statement_timeout").await, "8s");
    server.postgres.stop().await;
}

#[tokio::test]
async fn a_table_made_by_sql_is_open_to_the_api_roles_and_filtered_by_its_policies() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();
    owner
        .execute(
            "create table notes (id bigserial primary key, owner uuid default auth.uid(), key uuid default uuid_generate_v4());
             alter table notes enable row level security;
             create policy own on notes to authenticated using (owner = auth.uid());
             insert into notes (owner) values ('00000000-0000-4000-8000-000000000001'), (null)",
        )
        .await
        .unwrap();
    let mut login = server.authenticator().await;
    let alice = r#"{"sub":"00000000-0000-4000-8000-000000000001","role":"authenticated","email":"a@b.c"}"#;
    let count = "select count(*) from public.notes";

    assert_eq!(count_as(&mut login, "anon", "", count).await, 0);
    assert_eq!(count_as(&mut login, "authenticated", alice, count).await, 1);
    assert_eq!(count_as(&mut login, "service_role", "", count).await, 2);
    let insert = "with new as (insert into public.notes default values returning 1) select count(*) from new";
    assert_eq!(count_as(&mut login, "service_role", alice, insert).await, 1);
    server.postgres.stop().await;
}

#[tokio::test]
async fn claims_are_read_from_both_forms_and_nothing_is_null() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut connection = server.owner().connect().await.unwrap();
    let all = "select concat_ws('|', coalesce(auth.uid()::text, '-'), coalesce(auth.role(), '-'),
                      coalesce(auth.email(), '-'), coalesce(auth.jwt()::text, '-'))";

    assert_eq!(scalar::<String>(&mut connection, all).await, "-|-|-|-");
    connection.execute("set request.jwt.claims = ''").await.unwrap();
    assert_eq!(scalar::<String>(&mut connection, all).await, "-|-|-|-");
    connection.execute(r#"set request.jwt.claims = '{"sub": "", "role": "anon"}'"#).await.unwrap();
    assert_eq!(scalar::<String>(&mut connection, all).await, r#"-|anon|-|{"sub": "", "role": "anon"}"#);
    connection.execute("set request.jwt.claim.role = 'authenticated'").await.unwrap();
    connection.execute("set request.jwt.claim.email = 'a@b.c'").await.unwrap();
    assert!(scalar::<String>(&mut connection, all).await.starts_with("-|authenticated|a@b.c|"));
    server.postgres.stop().await;
}

#[tokio::test]
async fn schema_changes_are_announced_and_temporary_tables_are_not() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut listener = sqlx::postgres::PgListener::connect_with(
        &sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(server.owner()).await.unwrap(),
    )
    .await
    .unwrap();
    listener.listen("pgrst").await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();

    for (statement, is_announced) in [
        ("create temp table scratch (id serial primary key, name text default 'x')", false),
        ("create table kept (id int)", true),
        ("alter table scratch add column more int", false),
        ("grant select on kept to anon", true),
        ("drop table scratch", false),
        ("drop table kept", true),
    ] {
        owner.execute(statement).await.unwrap();
        owner.execute("notify pgrst, 'end'").await.unwrap();
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last| last != "end") {
            heard.push(listener.recv().await.unwrap().payload().to_owned());
        }
        assert_eq!(heard.contains(&"reload schema".to_owned()), is_announced, "{statement}");
    }
    server.postgres.stop().await;
}

#[tokio::test]
async fn two_nodes_that_start_at_once_share_the_work() {
    let server = Server::start().await;
    let (owner, options) = (server.owner(), server.embedded());

    let runs = futures_util::future::join_all((0..4).map(|_| run(&owner, &options))).await;

    let applied: usize = runs.into_iter().map(|report| report.unwrap().applied.len()).sum();
    assert_eq!(applied, migrations::MIGRATIONS.len());
    server.postgres.stop().await;
}

#[tokio::test]
async fn a_changed_migration_and_a_foreign_auth_schema_are_refused() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();
    owner.execute("update goforward.migrations set checksum = '\\x00'").await.unwrap();
    let refused = run(&server.owner(), &server.embedded()).await.unwrap_err();
    assert!(matches!(refused, BootstrapError::ChangedMigration { .. }));

    let app = server.plain_owner().await;
    let mut inside = server.owner().database("app").connect().await.unwrap();
    inside.execute("create schema auth").await.unwrap();
    let refused = run(&app, &BootstrapOptions::default()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "schema auth belongs to role postgres, so another system lives in this database: use a database of its own, \
         or start with `--only rest`"
    );
    server.postgres.stop().await;
}

/// What an owner without superuser gets: everything works, with stand-ins, and the report says which.
async fn plain_owner_gets(server: Server, bypass: BypassRls) {
    let app = server.plain_owner().await;
    let options = BootstrapOptions {
        authenticator_password: Some(Secret::new("chosen")),
        ..BootstrapOptions::default()
    };

    let report = run(&app, &options).await.unwrap();
    let again = run(&app, &options).await.unwrap();

    assert!(!report.capabilities.superuser && !report.capabilities.event_triggers);
    assert_eq!(report.capabilities.bypass_rls, bypass);
    let missing: Vec<&str> = report.missing.iter().map(|missing| missing.what.as_str()).collect();
    assert_eq!(missing, ["BYPASSRLS of role service_role", "event triggers that announce schema changes"]);
    assert_eq!(again.missing, report.missing);
    assert!(report.missing.iter().all(|missing| !missing.is_blocking && !missing.sql_to_fix.is_empty()));
    let mut owner = app.connect().await.unwrap();
    owner
        .execute("create table notes as select 1 as id; alter table notes enable row level security")
        .await
        .unwrap();
    if bypass == BypassRls::Policies {
        let schemas = ["public".to_owned()];
        assert_eq!(ensure_service_role_policies(&mut owner, &schemas).await.unwrap(), 1);
        assert_eq!(ensure_service_role_policies(&mut owner, &schemas).await.unwrap(), 0);
    }
    let mut login = app.clone().username(AUTHENTICATOR_LOGIN).password("chosen").connect().await.unwrap();
    assert_eq!(count_as(&mut login, "anon", "", "select count(*) from public.notes").await, 0);
    assert_eq!(count_as(&mut login, "service_role", "", "select count(*) from public.notes").await, 1);

    // What the report tells to run does help.
    let mut superuser = server.owner().database("app").connect().await.unwrap();
    for missing in &report.missing {
        superuser.execute(sqlx::AssertSqlSafe(missing.sql_to_fix.clone())).await.unwrap();
    }
    let fixed = run(&app, &options).await.unwrap();
    assert_eq!(fixed.missing, []);
    assert_eq!(fixed.capabilities.bypass_rls, BypassRls::Attribute);
    server.postgres.stop().await;
}

#[tokio::test]
async fn an_owner_without_superuser_gets_stand_ins_and_the_sql_to_replace_them() {
    let server = Server::start().await;
    let bypass =
        if server.postgres.pg_version().major < 16 { BypassRls::Membership } else { BypassRls::Policies };
    plain_owner_gets(server, bypass).await;
}

#[tokio::test]
async fn the_same_holds_on_the_newest_server() {
    if let Some(bin) = packaged(18).await {
        plain_owner_gets(Server::of(Some(bin)).await, BypassRls::Policies).await;
    }
}

#[tokio::test]
async fn an_owner_that_may_not_create_roles_is_told_what_to_run() {
    let server = Server::start().await;
    let app = server.plain_owner().await;
    let mut superuser = server.owner().connect().await.unwrap();
    superuser.execute("alter role app nocreaterole").await.unwrap();

    let report = run(&app, &BootstrapOptions::default()).await.unwrap();

    let blocking: Vec<&str> =
        report.missing.iter().filter(|item| item.is_blocking).map(|item| item.what.as_str()).collect();
    assert!(blocking.contains(&"role authenticator") && blocking.contains(&"role anon"), "{blocking:?}");
    server.postgres.stop().await;
}
