//! The log itself: records stay as they are, and only those who must can see them.

use serde_json::json;

use super::{ALICE, audited, audited_database, records};
use crate::harness::{Caller, Database};

/// What PostgreSQL says to a statement of the superuser, who owns everything.
async fn refused(database: &Database, sql: &str) -> Option<String> {
    let mut connection =
        <sqlx::PgConnection as sqlx::Connection>::connect(&database.url_as("postgres")).await.unwrap();
    let answer = sqlx::Executor::execute(&mut connection, sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await;
    let error = answer.err()?;
    Some(error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default())
}

const KEPT: &str = "records of the audit log are never changed or removed";

#[tokio::test]
async fn nobody_changes_or_removes_a_record() {
    let database = audited_database(&["insert"], "").await;
    database.run("insert into notes values (1)").await;

    for sql in [
        "update goforward.audit_log set actor = 'somebody'",
        "delete from goforward.audit_log",
        "delete from goforward.audit_log where id = 1",
        "truncate goforward.audit_log",
        "set session_replication_role = replica; delete from goforward.audit_log",
        "insert into goforward.audit_log (id, verb, database_role, proved) overriding system value
             values (1, 'x', 'x', true) on conflict (id) do update set verb = 'x'",
        "set role goforward; delete from goforward.audit_log",
    ] {
        assert_eq!(refused(&database, sql).await.as_deref(), Some(KEPT), "{sql}");
    }

    assert_eq!(records(&database, "verb = 'insert'").await.len(), 1);
}

#[tokio::test]
async fn old_records_are_forgotten_and_that_is_recorded() {
    let database = audited_database(&["insert"], "").await;
    database
        .run_as_superuser(
            "insert into goforward.audit_log (verb, database_role, proved, occurred_at)
             select 'old', 'x', false, now() - n * interval '1 day' from generate_series(0, 9) as n",
        )
        .await;

    let forget = "select goforward.forget_audit_records(now() - interval '4 days 1 hour')::text";
    assert_eq!(database.value(forget).await, "5");

    assert_eq!(records(&database, "verb = 'old'").await.len(), 5);
    let forgotten = records(&database, "verb = 'forget'").await;
    assert_eq!((forgotten.len(), &forgotten[0]["row_count"]), (1, &json!(5)));
    let young = refused(&database, "select goforward.forget_audit_records(now())").await;
    assert_eq!(young.as_deref(), Some("records of the last day are kept in any case"));
    // Having forgotten old ones is no leave to remove young ones.
    let both = "begin; select goforward.forget_audit_records(now() - interval '2 days');
                delete from goforward.audit_log where verb = 'old'; commit";
    assert_eq!(refused(&database, both).await.as_deref(), Some(KEPT));
    assert_eq!(records(&database, "verb = 'old'").await.len(), 5);
}

#[tokio::test]
async fn no_role_of_a_caller_reads_or_writes_the_log_or_its_key() {
    let database = audited_database(&["insert"], "").await;
    let statements = [
        "select count(*)::text from goforward.audit_log",
        "insert into goforward.audit_log (verb, database_role, proved, actor) values ('x', 'x', true, 'me')",
        "select encode(secret, 'hex') from goforward.audit_key",
        "select count(*)::text from goforward.audit_nonces",
        "insert into goforward.audit_nonces (nonce, transaction) values (gen_random_uuid(), '1')",
        "select (goforward.current_audit_origin()).actor",
        "select goforward.forget_audit_records(now() - interval '2 days')::text",
    ];

    // Without a superuser the service role may have to be a member of the owner, who can do everything here.
    let is_owner = "select pg_has_role('service_role', 'goforward', 'usage')::text";
    let mut roles = vec!["anon", "authenticated", "authenticator"];
    if database.value(is_owner).await == "false" {
        roles.push("service_role");
    }
    for role in roles {
        for sql in statements {
            let answer = database.as_caller(&Caller::role_only(role), sql, true).await;
            assert_eq!(answer, Err("42501".to_owned()), "{role}: {sql}");
        }
    }
}

#[tokio::test]
async fn the_key_is_whole_and_not_in_what_the_server_says() {
    let app = audited(&["insert", "select"], "").await;
    app.user(ALICE).post("/rest/v1/notes", json!({ "id": 1 })).await.expect_status(201);
    let secret = app.database.value("select encode(secret, 'hex') from goforward.audit_key").await;

    assert_eq!(secret.len(), 64);
    assert!(!app.server.log().contains(&secret));
    let pads = "select (count(*) = 64)::text from goforward.audit_key, generate_series(0, 63) as place
        where get_byte(inner_pad, place) # 54 = get_byte(outer_pad, place) # 92
          and get_byte(inner_pad, place) # 54 = case when place < 32 then get_byte(secret, place) else 0 end";
    assert_eq!(app.database.value(pads).await, "true");
}
