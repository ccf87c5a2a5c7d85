//! Second factors and passkeys of users who lost theirs.

use serde_json::json;

use super::super::{options, signed_in, user};
use super::{admin, delete, get, put};
use crate::harness::TestApp;

const NOBODYS: &str = "00000000-0000-0000-0000-000000000001";

#[tokio::test]
async fn an_administrator_renames_a_factor_of_this_user_only() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let other = user(&app, "bob@example.com").await;
    let ada = signed_in(&app, &session);
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let enrolment = json!({"factor_type": "totp", "friendly_name": name});
        let made = ada.post("/auth/v1/factors", enrolment).await.expect_status(200).json();
        app.database.run("update auth.mfa_factors set status = 'verified'").await;
        app.database.run("update auth.sessions set aal = 'aal2'").await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let path =
        |user: &serde_json::Value| format!("/admin/users/{}/factors", user["user"]["id"].as_str().unwrap());
    let factor = format!("{}/{}", path(&session), ids[0]);
    let admin = admin(&app);

    let changed = put(&admin, &factor, json!({"friendly_name": "three"})).await.expect_status(200).json();

    assert_eq!((&changed["friendly_name"], changed.get("secret")), (&json!("three"), None));
    put(&admin, &factor, json!({"friendly_name": "two"})).await.expect_error(422, "mfa_factor_name_conflict");
    put(&admin, &factor, json!({"phone": "+4915112345678"})).await.expect_error(400, "validation_failed");
    let of_bob = format!("{}/{}", path(&other), ids[0]);
    put(&admin, &of_bob, json!({"friendly_name": "x"})).await.expect_error(404, "mfa_factor_not_found");
    delete(&admin, &of_bob, json!({})).await.expect_error(404, "mfa_factor_not_found");
    assert_eq!(get(&admin, &path(&session)).await.expect_status(200).rows(), 2);
}

#[tokio::test]
async fn an_administrator_lists_and_removes_passkeys() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let path = format!("/admin/users/{}/passkeys", session["user"]["id"].as_str().unwrap());
    app.database
        .run(
            "insert into auth.webauthn_credentials (user_id, credential_id, public_key, friendly_name)
             select id, '\\x01', '\\x02', 'my key' from auth.users",
        )
        .await;
    let listed = get(&admin(&app), &path).await.expect_status(200).json();
    assert_eq!(listed[0]["friendly_name"], "my key");

    delete(&admin(&app), &format!("{path}/{}", listed[0]["id"].as_str().unwrap()), json!({}))
        .await
        .expect_status(204);

    assert_eq!(get(&admin(&app), &path).await.expect_status(200).rows(), 0);
    delete(&admin(&app), &format!("{path}/{NOBODYS}"), json!({})).await.expect_status(404);
}
