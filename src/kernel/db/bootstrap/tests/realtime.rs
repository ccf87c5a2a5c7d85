//! The schema of messages and changes: on an empty database, and where Supabase made one.

use super::*;

const SUPABASE: &str = include_str!("supabase_realtime.sql");

#[tokio::test]
async fn an_empty_database_gets_publications_and_changes_that_no_caller_reads() {
    let server = Server::start().await;
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();

    let publications: Vec<String> = sqlx::query_scalar("select pubname::text from pg_publication order by 1")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    let granted: Vec<String> = sqlx::query_scalar(
        "select distinct relname::text
         from pg_class, unnest(array['anon', 'authenticated', 'service_role', 'authenticator']) as role
         where relnamespace = 'realtime'::regnamespace and relkind in ('r', 'p', 'S')
             and (has_any_column_privilege(role, oid, 'select,insert,update,references')
                  or relkind <> 'S' and has_table_privilege(role, oid, 'insert,update,delete,truncate,trigger'))",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let callable: i64 = scalar(
        &mut owner,
        "select count(*) from pg_proc, unnest(array['anon', 'authenticated', 'service_role']) as role
         where pronamespace = 'realtime'::regnamespace and proname in (
                 'capture', 'capture_message', 'leave_hint', 'sync_capture', 'hint')
             and has_function_privilege(role, oid, 'execute')",
    )
    .await;

    assert_eq!(publications, ["supabase_realtime", "supabase_realtime_messages_publication"]);
    assert_eq!(granted, ["messages"], "whose policies decide");
    assert_eq!(callable, 0);
    server.postgres.stop().await;
}

/// What a project left in a database of `login` goes on, completed.
async fn is_completed(server: &Server, login: &PgConnectOptions) {
    let options = BootstrapOptions { is_embedded: false, ..server.embedded() };
    run(login, &options).await.unwrap();
    assert!(run(login, &options).await.unwrap().applied.is_empty());
    let mut inside = login.connect().await.unwrap();

    let policies: String = scalar(
        &mut inside,
        "select string_agg(polname, ',') from pg_policy where polrelid = 'realtime.messages'::regclass",
    )
    .await;
    assert_eq!(policies, "members");
    inside.execute("do $$ begin perform realtime.send('{\"a\": 1}', 'e', 'room'); end $$").await.unwrap();
    let events: String =
        scalar(&mut inside, "select string_agg(event, ',' order by inserted_at) from realtime.messages")
            .await;
    assert_eq!(events, "kept,e");
    let captured: i64 = scalar(
        &mut inside,
        "select count(*) from realtime.changes where kind = 'M' and new ->> 'event' = 'e'",
    )
    .await;
    assert_eq!(captured, 1, "the server hears of it");
    inside.close().await.unwrap();
}

async fn projects_are_completed(server: Server) {
    run(&server.owner(), &server.embedded()).await.unwrap();
    let mut owner = server.owner().connect().await.unwrap();
    owner
        .execute(
            "create role supabase_realtime_admin noinherit; create role app login createrole password 'app';
             grant goforward to app",
        )
        .await
        .unwrap();

    // As Supabase made it: messages belong to a role for them, the rest to a superuser.
    owner.execute("create database by_supabase").await.unwrap();
    let by_supabase = server.owner().database("by_supabase");
    let mut inside = by_supabase.connect().await.unwrap();
    inside.execute(SUPABASE).await.unwrap();
    inside
        .execute(
            "alter table realtime.messages owner to supabase_realtime_admin;
             grant usage, create on schema realtime to supabase_realtime_admin;
             alter function realtime.topic() owner to supabase_realtime_admin",
        )
        .await
        .unwrap();
    is_completed(&server, &by_supabase).await;
    let holders: String = scalar(
        &mut inside,
        "select concat_ws(' ', (select nspowner::regrole from pg_namespace where nspname = 'realtime'),
             (select relowner::regrole from pg_class where oid = 'realtime.messages'::regclass),
             (select relowner::regrole from pg_class where oid = 'realtime.messages_2024_11_01'::regclass),
             (select proowner::regrole from pg_proc where oid = 'realtime.apply_rls(jsonb, integer)'::regprocedure))",
    )
    .await;
    assert_eq!(holders, "goforward supabase_realtime_admin goforward postgres");

    // Restored by an owner who is no superuser.
    owner.execute("create database by_app owner app").await.unwrap();
    let by_app = server.owner().username("app").password("app").database("by_app");
    by_app.connect().await.unwrap().execute(SUPABASE).await.unwrap();
    is_completed(&server, &by_app).await;
    server.postgres.stop().await;
}

#[tokio::test]
async fn a_schema_of_supabase_is_completed_and_keeps_its_policies() {
    projects_are_completed(Server::start().await).await;
}

#[tokio::test]
async fn the_same_holds_for_schemas_on_the_newest_server() {
    if let Some(bin) = packaged(18).await {
        projects_are_completed(Server::of(Some(bin)).await).await;
    }
}

#[tokio::test]
async fn messages_of_another_system_are_not_touched() {
    let server = Server::start().await;
    let mut owner = server.owner().connect().await.unwrap();
    owner.execute("create schema realtime; create table realtime.messages (id int)").await.unwrap();

    let refused = run(&server.owner(), &server.embedded()).await.unwrap_err();

    assert!(
        matches!(refused, BootstrapError::ForeignSchema { ref schema, .. } if schema == "realtime"),
        "{refused}"
    );
    server.postgres.stop().await;
}
