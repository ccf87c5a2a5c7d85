//! The tables of accounts: on an empty database, and on schemas `auth` that Supabase made.

use super::super::{adoption, migrations};
use super::*;

const SUPABASE: &str = include_str!("supabase_auth.sql");
/// Everything that the store relies on, as lines of text.
const SHAPE: &str = "
    select format('%s.%s %s%s%s', class.relname, field.attname, format_type(field.atttypid, field.atttypmod),
                  case when field.attnotnull then ' not null' else '' end, field.attgenerated)
    from pg_attribute as field join pg_class as class on class.oid = field.attrelid
    where class.relnamespace = 'auth'::regnamespace and class.relname = any ($1)
        and field.attnum > 0 and not field.attisdropped
    union all
    select format('%s unique %s', indrelid::regclass, indexrelid::regclass) from pg_index
    where indrelid::regclass::text like 'auth.%' and indisunique
    union all
    select format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) from pg_constraint
    where connamespace = 'auth'::regnamespace and contype = 'f'
    union all
    select format('%s protected', relname) from pg_class
    where relnamespace = 'auth'::regnamespace and relname = any ($1) and relrowsecurity
    union all
    select format('%s: %s', enumtypid::regtype, enumlabel) from pg_enum
    order by 1";

async fn shape(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(SHAPE)
        .bind(adoption::TABLES.as_slice())
        .fetch_all(connection)
        .await
        .unwrap()
        .into_iter()
        // The test's own table beside ours.
        .filter(|line: &String| !line.contains("sso_providers"))
        .collect()
}

impl Server {
    /// A database of `role`, with what Supabase left in it.
    async fn restored(&self, database: &'static str, role: &'static str) -> PgConnectOptions {
        let mut connection = self.owner().connect().await.unwrap();
        let make = format!("create database {database} owner {role}");
        connection.execute(sqlx::AssertSqlSafe(make)).await.unwrap();
        let options = self.owner().database(database);
        let mut inside = options.connect().await.unwrap();
        inside.execute(sqlx::AssertSqlSafe(format!("set role {role}"))).await.unwrap();
        inside.execute(SUPABASE).await.unwrap();
        options
    }

    async fn service(&self, database: &str) -> PgConnection {
        let options = self.postgres.login_options(SERVICE_LOGIN, &self.postgres.passwords().goforward);
        options.database(database).connect().await.unwrap()
    }
}

#[tokio::test]
async fn an_empty_database_gets_tables_that_nobody_but_goforward_reads() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();

    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'auth'::regnamespace and relkind = 'r'
             and relrowsecurity and pg_get_userbyid(relowner) = 'goforward' order by 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let types: Vec<String> = sqlx::query_scalar(
        "select typname::text from pg_type where typnamespace = 'auth'::regnamespace and typtype = 'e' order by 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let granted: i64 = scalar(
        &mut owner,
        "select count(*) from pg_class, unnest(array['anon', 'authenticated', 'service_role', 'authenticator']) as role
         where relnamespace in ('auth'::regnamespace, 'goforward'::regnamespace) and relkind in ('r', 'S')
             and (relname <> 'table_security' and has_any_column_privilege(role, oid, 'select,insert,update,references')
                  or relkind = 'r' and has_table_privilege(role, oid, 'insert,update,delete,truncate,trigger'))",
    )
    .await;

    assert_eq!(tables, adoption::TABLES);
    assert_eq!(types, adoption::TYPES);
    assert_eq!(granted, 0, "not even service_role reads password hashes");
    server.postgres.stop().await;
}

#[tokio::test]
async fn an_account_has_one_address_and_takes_what_belongs_to_it_along() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut service = server.service("postgres").await;
    service
        .execute(
            "insert into auth.users (id, email, email_confirmed_at, phone_confirmed_at) values
                 ('00000000-0000-4000-8000-000000000001', 'ada@example.com', '2026-02-01', '2026-01-01');
             insert into auth.identities (user_id, provider, provider_id, identity_data) values
                 ('00000000-0000-4000-8000-000000000001', 'email', 'x', '{\"email\": \"Ada@Example.com\"}');
             insert into auth.sessions (id, user_id) values
                 ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001');
             insert into goforward.auth_api_keys (kind, user_id, session_id, name, prefix, digest) values
                 ('session', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', 'n', 'p',
                  sha256('k'));
             insert into goforward.auth_user_roles (user_id, role) values
                 ('00000000-0000-4000-8000-000000000001', 'user')",
        )
        .await
        .unwrap();

    let other =
        "insert into auth.users (id, email, is_sso_user) values (gen_random_uuid(), 'ada@example.com', ";
    let twice = service.execute(sqlx::AssertSqlSafe(format!("{other} false)"))).await.unwrap_err();
    assert!(twice.to_string().contains("users_email_partial_key"), "{twice}");
    service.execute(sqlx::AssertSqlSafe(format!("{other} true)"))).await.unwrap();
    let derived: String = scalar(
        &mut service,
        "select concat_ws(' ', confirmed_at::date, identity.email)
         from auth.users join auth.identities as identity on identity.user_id = users.id",
    )
    .await;
    assert_eq!(derived, "2026-01-01 ada@example.com");

    service.execute("delete from auth.users where not is_sso_user").await.unwrap();
    let left: i64 = scalar(
        &mut service,
        "select (select count(*) from auth.identities) + (select count(*) from auth.sessions)
             + (select count(*) from goforward.auth_api_keys) + (select count(*) from goforward.auth_user_roles)",
    )
    .await;
    assert_eq!(left, 0);
    server.postgres.stop().await;
}

/// Restores a project as `role`, prepares it as `login`, and looks at the result.
async fn is_completed(server: &Server, role: &'static str, login: &PgConnectOptions) {
    let options = BootstrapOptions { is_embedded: false, ..server.embedded() };
    let report = run(login, &options).await.unwrap();
    let again = run(login, &options).await.unwrap();
    assert_eq!(report.applied.len(), migrations::MIGRATIONS.len());
    assert!(again.applied.is_empty());
    let database = login.get_database().unwrap().to_owned();
    let mut owner = server.owner().database(&database).connect().await.unwrap();

    let mut fresh = server.owner().connect().await.unwrap();
    assert_eq!(shape(&mut owner).await, shape(&mut fresh).await, "as on an empty database");
    for migration in
        migrations::MIGRATIONS.iter().filter(|migration| migration.name.ends_with("_auth_schema"))
    {
        owner.execute(migration.sql).await.unwrap();
    }
    assert_eq!(shape(&mut owner).await, shape(&mut fresh).await, "a second time changes nothing");

    let kept =
        "select concat_ws(' ', users.email, encrypted_password, provider_id = users.id::text, token, aal,
                    is_anonymous)
                from auth.users join auth.identities on identities.user_id = users.id
                join auth.sessions on sessions.user_id = users.id
                join auth.refresh_tokens on session_id = sessions.id";
    let mut service = server.service(&database).await;
    assert_eq!(
        scalar::<String>(&mut service, kept).await,
        "ada@example.com $2a$10$imported t abcdefghijkl aal1 f"
    );
    service.execute("update auth.users set phone = '49123'").await.unwrap();
    owner.execute(sqlx::AssertSqlSafe(format!("set role {role}"))).await.unwrap();
    let seen: i64 = scalar(&mut owner, "select count(*) from auth.people where phone = '49123'").await;
    assert_eq!(seen, 1, "whoever made it still reads it");
}

#[tokio::test]
async fn a_schema_of_supabase_is_completed_and_stays_its_owners() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();
    owner.execute("create role supabase_auth_admin noinherit createrole login").await.unwrap();

    let restored = server.restored("project", "supabase_auth_admin").await;
    is_completed(&server, "supabase_auth_admin", &restored).await;

    let mut inside = restored.connect().await.unwrap();
    let holder: String = scalar(
        &mut inside,
        "select relowner::regrole::text from pg_class where oid = 'auth.users'::regclass",
    )
    .await;
    assert_eq!(holder, "supabase_auth_admin");
    server.postgres.stop().await;
}

/// Restores without owners, as a superuser and as an owner that is none.
async fn restored_dumps_go_over(server: Server) {
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();
    owner.execute("create role app login createrole password 'app'; grant goforward to app").await.unwrap();

    let by_superuser = server.restored("by_superuser", "postgres").await;
    is_completed(&server, "postgres", &by_superuser).await;
    let by_app = server.restored("by_app", "app").await.username("app").password("app");
    is_completed(&server, "app", &by_app).await;

    for database in [by_superuser, server.owner().database("by_app")] {
        let mut inside = database.connect().await.unwrap();
        let holders: String = scalar(
            &mut inside,
            "select concat_ws(' ', (select nspowner::regrole from pg_namespace where nspname = 'auth'),
                 (select relowner::regrole from pg_class where oid = 'auth.users'::regclass),
                 (select proowner::regrole from pg_proc where oid = 'auth.uid()'::regprocedure))",
        )
        .await;
        assert_eq!(holders, "goforward goforward goforward");
    }
    server.postgres.stop().await;
}

#[tokio::test]
async fn a_dump_restored_without_its_owners_goes_over_to_goforward() {
    restored_dumps_go_over(Server::start().await).await;
}

#[tokio::test]
async fn the_same_holds_for_dumps_on_the_newest_server() {
    if let Some(bin) = packaged(18).await {
        restored_dumps_go_over(Server::of(Some(bin)).await).await;
    }
}

#[tokio::test]
async fn accounts_of_another_system_are_not_touched() {
    let server = Server::start().await;
    let mut owner = server.owner().connect().await.unwrap();
    owner.execute("create schema auth; create table auth.users (id int, name text)").await.unwrap();

    let refused = run(&server.owner(), &server.embedded()).await.unwrap_err();

    assert!(
        matches!(refused, BootstrapError::ForeignSchema { ref owner, .. } if owner == "postgres"),
        "{refused}"
    );
    let columns: i64 =
        scalar(&mut owner, "select count(*) from information_schema.columns where table_schema = 'auth'")
            .await;
    assert_eq!(columns, 2);
    server.postgres.stop().await;
}
