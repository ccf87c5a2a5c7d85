//! Who may: nobody but servers.

use reqwest::Method;
use serde_json::json;

use super::super::{client, options, refused_within_a_second, signed_in, speaking, user};
use super::{admin, get, make, post};
use crate::auth::{PASSWORD, sign_in};
use crate::harness::{Caller, TestApp};

/// Where the routes are written down.
const SOURCE: &str = include_str!("../../../../src/auth/http/admin/mod.rs");

/// Every route with every method that it has: `.route("/path", get(..).post(..))`.
fn routes() -> Vec<(Method, String)> {
    let mut routes = Vec::new();
    for piece in SOURCE.split(".route(").skip(1) {
        let (path, handlers) = piece.split_once(',').unwrap();
        let path = path.trim().trim_matches('"').replace("{kind}", "words");
        let path = path.replace("{name}", "invite");
        let path = ["{id}", "{factor}", "{passkey}"]
            .iter()
            .fold(path, |path, id| path.replace(id, "00000000-0000-0000-0000-000000000001"));
        assert!(!path.contains('{'), "say what stands for the parameter of {path}");
        for (word, method) in [
            ("get(", Method::GET),
            ("post(", Method::POST),
            ("put(", Method::PUT),
            ("delete(", Method::DELETE),
            ("remove(", Method::DELETE),
            ("patch(", Method::PATCH),
        ] {
            if handlers.contains(word) {
                routes.push((method, format!("/auth/v1{path}")));
            }
        }
    }
    routes
}

#[tokio::test]
async fn every_route_is_refused_to_whoever_is_no_server() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let keys = app.server.keys();
    let forged = Caller::role_only("service_role").token("another secret of at least 32 bytes");
    let callers = [
        ("nobody", client(&app), 401, "no_authorization"),
        ("the anon key", speaking(app.anon()), 403, "not_admin"),
        ("a user", signed_in(&app, &session), 403, "not_admin"),
        ("a user by the service key's name", speaking(app.user("service_role")), 403, "not_admin"),
        ("a forged token", client(&app).bearer(&forged), 403, "bad_jwt"),
        // The key says who the program is, the token who asks.
        ("a user of a server", signed_in(&app, &session).apikey(&keys.service_role_key), 403, "not_admin"),
    ];
    let routes = routes();
    assert!(routes.len() > 30, "only {} routes were found", routes.len());

    for (who, client, status, code) in &callers {
        for (method, path) in &routes {
            let body = (*method != Method::GET).then(|| json!({"email": "eve@example.com"}));
            let answer = client.send(method.clone(), path, body).await;
            let told = answer.json();
            assert_eq!((answer.status, &told["code"]), (*status, &json!(code)), "{who}: {method} {path}");
        }
    }
    assert_eq!(app.database.value("select count(*)::text from auth.users").await, "1");
}

#[tokio::test]
async fn a_token_of_the_service_role_will_do() {
    let app = TestApp::with(options()).await;
    let server = speaking(app.caller(&Caller::role_only("service_role")));

    get(&server, "/admin/users").await.expect_status(200);
}

#[tokio::test]
async fn a_user_of_the_service_role_is_a_server_while_its_session_goes_on() {
    let app = TestApp::with(options()).await;
    let fields = json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true, "role": "service_role"});
    let id = make(&app, fields).await;
    let session = sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200).json();
    let ada = signed_in(&app, &session);
    get(&ada, "/admin/users").await.expect_status(200);

    post(&admin(&app), &format!("/admin/users/{id}/logout"), json!({})).await.expect_status(204);

    get(&ada, "/admin/users").await.expect_error(403, "session_not_found");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let nobody = "/admin/users/00000000-0000-0000-0000-000000000001";

    get(&admin, nobody).await.expect_error(404, "user_not_found");
    super::put(&admin, nobody, json!({"role": "x"})).await.expect_error(404, "user_not_found");
    super::delete(&admin, nobody, json!({})).await.expect_error(404, "user_not_found");
    for action in ["unlock", "logout"] {
        post(&admin, &format!("{nobody}/{action}"), json!({})).await.expect_error(404, "user_not_found");
    }
    get(&admin, &format!("{nobody}/roles")).await.expect_error(404, "user_not_found");
    get(&admin, "/admin/users/ada").await.expect_error(404, "validation_failed");
    get(&admin, "/admin/blocklists/colours").await.expect_error(404, "not_found");
    get(&admin, "/admin/templates/poem").await.expect_error(404, "not_found");
}

#[tokio::test]
async fn an_administrator_signs_a_user_out_and_unlocks_an_account() {
    let app = TestApp::with(options().set("auth.lockout.failures", "3")).await;
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    let session = sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200).json();
    let ada = signed_in(&app, &session);
    ada.get("/rest/v1/").await.expect_status(200);

    post(&admin(&app), &format!("/admin/users/{id}/logout"), json!({})).await.expect_status(204);

    refused_within_a_second([&ada], (401, "session_not_found")).await;
    for _ in 0..3 {
        sign_in(&client(&app), "ada@example.com", "wrong").await.expect_error(400, "invalid_credentials");
    }
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_error(400, "invalid_credentials");

    post(&admin(&app), &format!("/admin/users/{id}/unlock"), json!({})).await.expect_status(204);

    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200);
}
