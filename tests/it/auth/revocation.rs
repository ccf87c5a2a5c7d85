//! What ends a session is seen everywhere within a second: by every service and by every node.

use reqwest::Method;
use serde_json::{Value, json};

use super::{client, options, refused_within_a_second, sign_in, signed_in, user};
use crate::harness::{Client, Server, TestApp};

/// An app, a second node on its database, and a session whose token both have seen.
async fn two_nodes() -> (TestApp, Server, Value, [Client; 2]) {
    let app = TestApp::with(options()).await;
    app.database.run("create table notes (id int); alter table notes enable row level security").await;
    let other = Server::start(options().database(&app.database.url())).await;
    let session = user(&app, "ada@example.com").await;
    let token = session["access_token"].as_str().unwrap();
    let key = app.server.keys().anon_key;
    let clients = [app.server.url(), other.url()].map(|url| Client::new(url).apikey(&key).bearer(token));
    for client in &clients {
        crate::harness::eventually("the table is served", async || {
            client.get("/rest/v1/notes").await.status == 200
        })
        .await;
    }
    (app, other, session, clients)
}

#[tokio::test]
async fn c05_a_token_is_refused_after_its_logout() {
    let (app, _other, session, clients) = two_nodes().await;

    signed_in(&app, &session).post("/auth/v1/logout", Value::Null).await.expect_status(204);

    refused_within_a_second(&clients, (401, "session_not_found")).await;
}

#[tokio::test]
async fn c04_a_token_is_refused_after_its_account_is_banned_or_deleted() {
    let (app, _other, _session, clients) = two_nodes().await;

    app.database.run("update auth.users set banned_until = now() + interval '1 day'").await;
    refused_within_a_second(&clients, (403, "user_banned")).await;
    sign_in(&client(&app), "ada@example.com", "wrong").await.expect_error(400, "invalid_credentials");
    sign_in(&client(&app), "ada@example.com", super::PASSWORD).await.expect_error(400, "user_banned");
    app.database.run("delete from auth.users").await;

    refused_within_a_second(&clients, (401, "session_not_found")).await;
}

#[tokio::test]
async fn a_new_password_elsewhere_ends_this_session() {
    let (app, _other, _session, clients) = two_nodes().await;
    let elsewhere =
        sign_in(&client(&app), "ada@example.com", super::PASSWORD).await.expect_status(200).json();

    let body = serde_json::json!({"password": "another one 7"});
    signed_in(&app, &elsewhere)
        .send(reqwest::Method::PUT, "/auth/v1/user", Some(body))
        .await
        .expect_status(200);

    refused_within_a_second(&clients, (401, "session_not_found")).await;
}

#[tokio::test]
async fn a_server_without_state_lets_tokens_live_until_they_expire() {
    let app = TestApp::with(options().set("auth.sessions.stateless", "true")).await;
    app.database.run("create table notes (id int); alter table notes enable row level security").await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    crate::harness::eventually("the table is served", async || me.get("/rest/v1/notes").await.status == 200)
        .await;

    me.post("/auth/v1/logout", Value::Null).await.expect_status(204);

    me.get("/rest/v1/notes").await.expect_status(200);
    me.get("/auth/v1/user").await.expect_error(403, "session_not_found");
}

#[tokio::test]
async fn a_table_for_verified_accounts_asks_the_account_and_not_the_token() {
    let app = TestApp::with(options().set("auth.email.autoconfirm", "false")).await;
    app.database
        .run(
            "create table notes (id int); grant select on notes to authenticated;
             insert into goforward.table_security (schema_name, table_name, require_verified)
             values ('public', 'notes', true)",
        )
        .await;
    let verified = signed_in(&app, &user(&app, "ada@example.com").await);
    let anonymous =
        client(&app).post("/auth/v1/signup", serde_json::json!({})).await.expect_status(200).json();

    crate::harness::eventually("the rules are in force", async || {
        verified.get("/rest/v1/notes").await.status == 200
    })
    .await;
    let refused = signed_in(&app, &anonymous).get("/rest/v1/notes").await;

    refused.expect_error(403, "verification_required");
}

#[tokio::test]
async fn c06_no_request_prolongs_a_session() {
    let app = TestApp::with(options().set("auth.sessions.lifetime", "1h")).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let ends = "select not_after::text from auth.sessions";
    let before = app.database.value(ends).await;
    assert!(!before.is_empty());
    let id = app.database.value("select id::text from auth.sessions").await;

    for method in [Method::PUT, Method::PATCH, Method::POST] {
        for not_after in [json!(null), json!("2099-01-01T00:00:00Z"), json!("2001-01-01T00:00:00Z")] {
            let body = json!({"not_after": not_after});
            let status = me.send(method.clone(), &format!("/auth/v1/sessions/{id}"), Some(body)).await.status;
            assert!((400..500).contains(&status), "{method}: {status}");
        }
    }

    assert_eq!(app.database.value(ends).await, before);
}
