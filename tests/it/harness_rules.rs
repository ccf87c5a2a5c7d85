//! The harness's own promises: tests cannot meet each other through the database.

use crate::harness::{Caller, Database};

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (one, other) = (Database::empty().await, Database::empty().await);
    one.run("create table only_here ()").await;

    assert_eq!(one.value("select count(*)::text from pg_class where relname = 'only_here'").await, "1");
    assert_eq!(other.value("select count(*)::text from pg_class where relname = 'only_here'").await, "0");
}

#[tokio::test]
async fn a_caller_in_psql_has_role_and_claims_and_nothing_else() {
    let database = Database::empty().await;
    database.run_as_superuser("grant pg_monitor to current_user").await;
    let caller = Caller::role_only("pg_monitor").claim("sub", "someone".into());

    let role = database.as_caller(&caller, "select current_user::text", false).await;
    let subject = database
        .as_caller(&caller, "select current_setting('request.jwt.claims')::json->>'sub'", false)
        .await;
    let refused = database.as_caller(&caller, "create role x", false).await;

    assert_eq!(role.as_deref(), Ok("pg_monitor"));
    assert_eq!(subject.as_deref(), Ok("someone"));
    assert_eq!(refused, Err("42501".to_owned()));
}
