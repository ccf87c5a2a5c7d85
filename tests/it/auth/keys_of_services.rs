//! Keys of services: what one may do, as it is and by the token that it is exchanged for.

use reqwest::Method;
use serde_json::{Value, json};

use super::keys::{NOTES, exchanged, made, server, text};
use super::{client, options, signed_in, speaking, user};
use crate::harness::{Client, TestApp, eventually};

/// An app with a note of a user's, and a service key: as it is, and exchanged.
async fn with_service(wish: Value) -> (TestApp, Value, [Client; 2]) {
    let app = TestApp::with(options()).await;
    app.database.run(NOTES).await;
    app.database.run("grant all on notes, others to service_role").await;
    let ada = signed_in(&app, &user(&app, "ada@example.com").await);
    eventually("the table is served", async || {
        ada.post("/rest/v1/notes", json!({"text": "mine"})).await.status == 201
    })
    .await;
    let mut service = json!({"name": "backend", "kind": "service"});
    service.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
    let made = made(&server(&app), service).await;
    let clients = [
        speaking(app.client().apikey(&text(&made)).bearer(&text(&made))),
        exchanged(&app, &text(&made)).await,
    ];
    (app, made, clients)
}

#[tokio::test]
async fn a_service_key_without_scopes_acts_as_the_service_role() {
    let (app, made, clients) = with_service(json!({})).await;
    let exchange = client(&app).post("/auth/v1/keys/exchange", json!({"key": text(&made)})).await;
    let exchange = exchange.expect_status(200).json();
    assert_eq!((&exchange["user_id"], &exchange["scopes"]), (&Value::Null, &Value::Null));
    assert!(exchange["expires_in"].as_i64().unwrap() <= 300, "{exchange}");

    for client in clients {
        assert_eq!(client.get("/rest/v1/notes").await.expect_status(200).rows(), 1);
        client.get("/auth/v1/admin/users").await.expect_status(200);
        client.get("/security/v1/tables").await.expect_status(200);
        client.get("/auth/v1/user").await.expect_error(403, "bad_jwt");
    }
}

#[tokio::test]
async fn a_service_key_makes_and_ends_no_keys() {
    let (_app, made, clients) = with_service(json!({})).await;
    let path = format!("/auth/v1/keys/{}", made["id"].as_str().unwrap());

    for client in clients {
        let rotate = format!("{path}/rotate");
        for (method, path) in [
            (Method::POST, "/auth/v1/keys"),
            (Method::POST, rotate.as_str()),
            (Method::GET, "/auth/v1/keys"),
            (Method::DELETE, path.as_str()),
        ] {
            client.send(method, path, None).await.expect_error(403, "not_admin");
        }
    }
}

#[tokio::test]
async fn a_service_key_is_held_to_its_scopes() {
    let (app, _, clients) = with_service(json!({"scopes": ["rest:public.notes:select"]})).await;

    for client in clients {
        assert_eq!(client.get("/rest/v1/notes").await.expect_status(200).rows(), 1);
        client.delete("/rest/v1/notes?text=eq.mine").await.expect_error(403, "insufficient_scope");
        client.get("/rest/v1/others").await.expect_error(403, "insufficient_scope");
        client.get("/security/v1/tables").await.expect_error(403, "insufficient_scope");
        client.get("/auth/v1/admin/users").await.expect_error(403, "insufficient_scope");
    }
    let checks = json!({"name": "c", "kind": "service", "scopes": ["auth:keys:execute"]});
    let checks = text(&made(&server(&app), checks).await);
    let checks = speaking(app.client().apikey(&checks).bearer(&checks));
    checks.post("/auth/v1/keys/verify", json!({"key": "x"})).await.expect_error(401, "api_key_not_accepted");
    checks.get("/auth/v1/admin/users").await.expect_error(403, "insufficient_scope");
    checks.get("/rest/v1/notes").await.expect_error(403, "insufficient_scope");
    let all_of_auth = json!({"name": "a", "kind": "service", "scopes": ["auth:*:*"]});
    let all_of_auth = text(&made(&server(&app), all_of_auth).await);
    client(&app).bearer(&all_of_auth).get("/auth/v1/admin/users").await.expect_status(200);
}

#[tokio::test]
async fn a_service_key_that_ends_takes_its_token_along() {
    let (app, made, clients) = with_service(json!({})).await;
    for client in &clients {
        client.get("/rest/v1/notes").await.expect_status(200);
    }

    let path = format!("/auth/v1/keys/{}", made["id"].as_str().unwrap());
    server(&app).delete(&path).await.expect_status(204);

    for client in &clients {
        eventually("the end is seen", async || client.get("/rest/v1/notes").await.status == 401).await;
        let admin = client.get("/auth/v1/admin/users").await;
        admin.expect_error(401, "api_key_not_accepted");
    }
}

#[tokio::test]
async fn a_service_key_is_bound_to_its_networks() {
    let (app, _, _) = with_service(json!({})).await;
    let wish = json!({"name": "n", "kind": "service", "ip_allowlist": ["192.0.2.0/24"]});
    let key = text(&made(&server(&app), wish).await);
    let from = |address: &str| speaking(app.client().header("x-forwarded-for", address));
    let token = from("192.0.2.1").apikey(&key).post("/auth/v1/keys/exchange", json!({"key": key})).await;
    let token = token.expect_status(200).json()["access_token"].as_str().unwrap().to_owned();

    for credential in [&key, &token] {
        from("192.0.2.1").bearer(credential).get("/auth/v1/admin/users").await.expect_status(200);
        let elsewhere = from("198.51.100.1").bearer(credential);
        elsewhere.get("/auth/v1/admin/users").await.expect_error(401, "api_key_not_accepted");
        elsewhere.get("/rest/v1/notes").await.expect_error(401, "api_key_not_accepted");
    }
}
