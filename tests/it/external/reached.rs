//! How an external database is named, and what a start makes of it.

use serde_json::json;

use super::{NOTES, Postgres, SECRET, anon, on, service};
use crate::harness::{Options, Server, run_command};

#[tokio::test]
async fn a_superusers_database_is_prepared_and_served() {
    let postgres = Postgres::start();
    let server = Server::start(on(&postgres.url())).await;
    postgres.run(NOTES).await;

    crate::harness::eventually("the table", async || {
        anon(&server).get("/rest/v1/notes?select=id&order=id").await.status == 200
    })
    .await;
    anon(&server).get("/rest/v1/notes?id=eq.1").await.expect_json(&json!([{ "id": 1, "text": "first" }]));
    assert_eq!(service(&server).get("/rest/v1/diaries").await.rows(), 2, "service_role has BYPASSRLS");
    assert_eq!(anon(&server).get("/rest/v1/diaries").await.rows(), 0);
    let logins = "select string_agg(rolname, ' ' order by rolname) from pg_roles where rolcanlogin";
    assert_eq!(postgres.value(logins).await, "authenticator goforward postgres");
}

#[tokio::test]
async fn a_database_is_named_by_host_port_name_user_and_password() {
    let postgres = Postgres::start();
    postgres.run("create database shop").await;
    let options = Options::default()
        .set("auth.jwt_secret", SECRET)
        .set("database.host", "127.0.0.1")
        .set("database.port", &postgres.port().to_string())
        .set("database.name", "shop")
        .set("database.user", "postgres")
        .set("database.password", Postgres::password());
    let server = Server::start(options).await;

    Postgres::run_as(&postgres.url_of("shop"), NOTES).await;

    crate::harness::eventually("the table", async || anon(&server).get("/rest/v1/notes").await.status == 200)
        .await;
    assert!(server.log().contains("database shop"), "{}", server.log());
    assert!(!server.log().contains(Postgres::password()), "no password in the log");
}

#[test]
fn what_no_waiting_helps_against_is_one_line_that_says_what_to_do() {
    let postgres = Postgres::start();
    for (url, advice) in [
        (postgres.url_as("postgres", "wrong", "postgres"), "database.password"),
        (postgres.url_as("nobody", "wrong", "postgres"), "database.user"),
        (postgres.url_of("absent"), "create the database"),
    ] {
        let environment = [("DATABASE_URL", url.as_str()), ("GOFORWARD_AUTH__JWT_SECRET", SECRET)];
        for only in [&[][..], &["--only", "rest"]] {
            let arguments = [&["serve", "--port", "0", "--host", "127.0.0.1"], only].concat();
            let output = run_command(&arguments, &environment);

            assert_eq!(output.status.code(), Some(1));
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.lines().last().unwrap_or_default();
            assert!(last.starts_with("error: ") && last.contains(advice), "{text}");
            assert!(!text.contains("wrong"), "no password in the message: {text}");
        }
    }
}
