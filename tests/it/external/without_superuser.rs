//! A database whose owner may create roles and is no superuser, as hosters give it: what works otherwise, and what
//! `goforward doctor` says of it.

use serde_json::{Value, json};

use super::{NOTES, Postgres, SECRET, anon, on, service};
use crate::harness::{Caller, Client, Server, eventually, run_command};

/// A server with a login `app` that owns the database `app`.
async fn hosted() -> (Postgres, String) {
    let postgres = Postgres::start();
    postgres.run("create role app login createrole password 'app'").await;
    postgres.run("create database app owner app").await;
    let url = postgres.url_as("app", "app", "app");
    (postgres, url)
}

#[tokio::test]
async fn a_plain_owner_gets_the_whole_service() {
    let (postgres, url) = hosted().await;
    let server = Server::start(on(&url)).await;
    Postgres::run_as(&url, NOTES).await;
    eventually("the tables", async || anon(&server).get("/rest/v1/diaries").await.status == 200).await;

    anon(&server).get("/rest/v1/notes?id=eq.2").await.expect_json(&json!([{ "id": 2, "text": "second" }]));
    anon(&server).post("/rest/v1/notes", json!({ "id": 3, "text": "x" })).await.expect_error(401, "42501");
    let alice = Caller::user("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa");
    let alice = Client::new(server.url()).apikey(&server.keys().anon_key).bearer(&alice.token(SECRET));
    assert_eq!(alice.get("/rest/v1/diaries").await.rows(), 1);
    assert_eq!(anon(&server).get("/rest/v1/diaries").await.rows(), 0);
    // The service key sees all rows and writes them, by whichever stand-in this server's version allows.
    eventually("all rows", async || service(&server).get("/rest/v1/diaries").await.rows() == 2).await;
    let body = json!({ "id": 3, "owner": "cccccccc-cccc-4ccc-8ccc-cccccccccccc", "text": "three" });
    service(&server).post("/rest/v1/diaries", body).await.expect_status(201);
    service(&server).get("/rest/v1/diaries?select=id").await.expect_json(&json!([
        { "id": 1 }, { "id": 2 }, { "id": 3 }
    ]));
    let roles = "select count(*)::text from pg_roles where rolbypassrls and rolname <> 'postgres' or rolsuper and rolname <> 'postgres'";
    assert_eq!(postgres.value(roles).await, "0", "nothing took rights that the owner does not have");
}

#[tokio::test]
async fn a_table_made_by_sql_is_served_though_nothing_announces_it() {
    let (_postgres, url) = hosted().await;
    let server = Server::start(on(&url)).await;
    let anon = anon(&server);
    anon.get("/rest/v1/notes").await.expect_error(404, "PGRST205");

    for round in 0..5 {
        Postgres::run_as(
            &url,
            &NOTES.replace("notes", &format!("notes{round}")).replace("diaries", &format!("diaries{round}")),
        )
        .await;
        let path = format!("/rest/v1/notes{round}?id=eq.1&select=id");
        eventually("the table", async || anon.get(&path).await.status == 200).await;
    }
}

fn doctor(url: &str) -> (Option<i32>, Vec<Value>) {
    let environment = [("DATABASE_URL", url), ("GOFORWARD_AUTH__JWT_SECRET", SECRET)];
    let output = run_command(&["doctor", "--json"], &environment);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let findings = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), findings)
}

fn named<'a>(findings: &'a [Value], part: &str) -> Option<&'a Value> {
    findings.iter().find(|finding| finding["title"].as_str().is_some_and(|title| title.contains(part)))
}

#[tokio::test]
async fn doctor_says_what_is_missing_what_it_means_and_the_sql_that_helps() {
    let (postgres, url) = hosted().await;
    let (code, before) = tokio::task::spawn_blocking({
        let url = url.clone();
        move || doctor(&url)
    })
    .await
    .unwrap();
    assert_eq!(code, Some(1), "before the first start the roles are missing");
    assert_eq!(named(&before, "role anon").unwrap()["severity"], "problem");

    let mut server = Server::start(on(&url)).await;
    server.stop().await;
    let (code, after) = tokio::task::spawn_blocking({
        let url = url.clone();
        move || doctor(&url)
    })
    .await
    .unwrap();

    assert_eq!(code, Some(0), "what has a fallback is no problem: {after:#?}");
    for part in ["event triggers", "BYPASSRLS"] {
        let finding = named(&after, part).unwrap_or_else(|| panic!("{part}: {after:#?}"));
        assert_eq!(finding["severity"], "note");
        assert!(!finding["meaning"].as_str().unwrap().is_empty());
        // The SQL does what it says, run by a superuser.
        let sql = finding["sql"].as_str().unwrap();
        Postgres::run_as(&postgres.url_of("app"), sql).await;
    }
    let (code, cured) = tokio::task::spawn_blocking(move || doctor(&url)).await.unwrap();
    assert_eq!(code, Some(0));
    assert!(
        cured.iter().all(|finding| !["event triggers that", "BYPASSRLS of"]
            .iter()
            .any(|part| finding["title"].as_str().unwrap().contains(part))),
        "{cured:#?}"
    );
}

#[test]
fn doctor_on_a_database_that_refuses_is_one_line() {
    let postgres = Postgres::start();
    let url = postgres.url_as("postgres", "wrong", "postgres");
    let output = run_command(&["doctor"], &[("DATABASE_URL", &url), ("GOFORWARD_AUTH__JWT_SECRET", SECRET)]);

    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: "), "{text}");
}
