//! What other backends learn of tokens (RFC 7662): of those in force what they stand for, of others nothing.

use reqwest::Method;
use serde_json::{Value, json};

use super::keys::{backend, made, text};
use super::{client, options, refresh, refresh_token, signed_in, user};
use crate::harness::{Answer, Client, TestApp};

async fn introspect(client: &Client, token: &str) -> Answer {
    let body = format!("token={token}&token_type_hint=access_token");
    client.send_text(Method::POST, "/auth/v1/introspect", "application/x-www-form-urlencoded", body).await
}

async fn told(client: &Client, token: &str) -> Value {
    introspect(client, token).await.expect_status(200).json()
}

#[tokio::test]
async fn tokens_in_force_are_told_and_of_others_nothing_is() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let (me, backend) = (signed_in(&app, &session), backend(&app).await);
    let wish = json!({"name": "a", "kind": "personal", "scopes": ["rest:*:select", "storage:*:*"]});
    let key = text(&made(&me, wish).await);
    let short = client(&app).post("/auth/v1/keys/exchange", json!({"key": key})).await.json();
    let tokens = [
        ("bearer", session["access_token"].as_str().unwrap().to_owned()),
        ("refresh_token", refresh_token(&session)),
        ("api_key", key),
        ("bearer", short["access_token"].as_str().unwrap().to_owned()),
    ];

    for (kind, token) in &tokens {
        let told = told(&backend, token).await;
        assert_eq!((&told["active"], &told["token_type"]), (&json!(true), &json!(kind)), "{told}");
        assert_eq!(told["sub"], session["user"]["id"], "{told}");
    }
    for (_, token) in &tokens[2..] {
        assert_eq!(told(&backend, token).await["scope"], "rest:*:select storage:*:*");
    }
    let next = refresh(&client(&app), &refresh_token(&session)).await.json();
    assert_eq!(told(&backend, &refresh_token(&session)).await, json!({"active": false}));
    assert_eq!(told(&backend, &refresh_token(&next)).await["active"], true);
    app.database.run("update auth.users set banned_until = now() + interval '1 day'").await;
    for token in tokens.iter().map(|(_, token)| token.as_str()).chain(["x", "a.b.c", "gf_personal_x"]) {
        assert_eq!(told(&backend, token).await, json!({"active": false}), "{token}");
    }
}

#[tokio::test]
async fn only_backends_ask_and_by_a_form() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);

    introspect(&me, "x").await.expect_error(403, "not_admin");
    introspect(&client(&app), "x").await.expect_error(401, "no_authorization");
    let malformed = backend(&app).await.post("/auth/v1/introspect", json!({"token": "x"})).await;
    assert_eq!(malformed.expect_status(400).json()["error"], "invalid_request");
    introspect(&backend(&app).await, "").await.expect_status(400);
}
