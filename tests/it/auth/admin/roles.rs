//! Roles of the application.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::{PASSWORD, client, options, sign_in};
use super::{admin, delete, get, make, post, put};
use crate::harness::TestApp;

/// The roles in a new token.
async fn claimed(app: &TestApp) -> Value {
    let session = sign_in(&client(app), "ada@example.com", PASSWORD).await.expect_status(200).json();
    let token = session["access_token"].as_str().unwrap();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["app_roles"].clone()
}

#[tokio::test]
async fn roles_are_made_given_taken_and_shown_in_tokens() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    let path = format!("/admin/users/{id}/roles");
    assert_eq!(claimed(&app).await, json!(["user"]));
    for name in ["editor", "team:engine"] {
        let made = post(&admin, "/admin/roles", json!({"name": name, "description": "of a test"})).await;
        assert_eq!(made.expect_status(200).json()["description"], "of a test");
    }
    let names: Vec<Value> = get(&admin, "/admin/roles")
        .await
        .expect_status(200)
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|role| role["name"].clone())
        .collect();
    assert_eq!(names, ["editor", "team:engine", "user"]);

    let given = post(&admin, &path, json!({"role": "editor"})).await.expect_status(200).json();
    assert_eq!(given, json!({"user_id": id, "roles": ["editor", "user"]}));
    put(&admin, &path, json!({"roles": ["team:engine", "editor"]})).await.expect_status(200);
    assert_eq!(claimed(&app).await, json!(["editor", "team:engine"]));
    delete(&admin, &path, json!({"role": "team:engine"})).await.expect_status(200);
    delete(&admin, &path, json!({"role": "team:engine"})).await.expect_error(404, "not_found");
    assert_eq!(get(&admin, &path).await.expect_status(200).json()["roles"], json!(["editor"]));

    // A role that is gone is nobody's; who has none is a user.
    admin.delete("/auth/v1/admin/roles/editor").await.expect_status(204);
    assert_eq!(claimed(&app).await, json!(["user"]));
}

#[tokio::test]
async fn roles_that_cannot_be_are_refused() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let id = make(&app, json!({"email": "ada@example.com"})).await;
    let path = format!("/admin/users/{id}/roles");

    for name in ["", "a b", "\u{e4}", "a\u{0}", &"x".repeat(65)] {
        post(&admin, "/admin/roles", json!({"name": name})).await.expect_error(400, "validation_failed");
    }
    post(&admin, &path, json!({"role": "unknown"})).await.expect_error(400, "validation_failed");
    put(&admin, &path, json!({"roles": ["user", "unknown"]})).await.expect_error(400, "validation_failed");
    post(&admin, &path, json!({})).await.expect_error(400, "bad_json");
    admin.delete("/auth/v1/admin/roles/user").await.expect_error(400, "validation_failed");
    admin.delete("/auth/v1/admin/roles/unknown").await.expect_error(404, "not_found");
    assert_eq!(get(&admin, &path).await.expect_status(200).json()["roles"], json!(["user"]));
}

#[tokio::test]
async fn a_user_has_at_most_a_hundred_roles() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let id = make(&app, json!({"email": "ada@example.com"})).await;
    let path = format!("/admin/users/{id}/roles");
    app.database
        .run(
            "insert into goforward.auth_app_roles (name, description, created_at)
             select 'role_' || n, '', now() from generate_series(1, 101) as n",
        )
        .await;
    let roles = |count: usize| (1..=count).map(|number| format!("role_{number}")).collect::<Vec<_>>();

    put(&admin, &path, json!({"roles": roles(101)})).await.expect_error(400, "validation_failed");
    put(&admin, &path, json!({"roles": roles(100)})).await.expect_status(200);
    post(&admin, &path, json!({"role": "role_101"})).await.expect_error(400, "validation_failed");

    // One that the user has already is no more.
    let given = post(&admin, &path, json!({"role": "role_1"})).await.expect_status(200).json();
    assert_eq!(given["roles"].as_array().unwrap().len(), 100);
}
