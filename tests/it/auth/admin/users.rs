//! Making, reading and changing accounts.

use serde_json::json;

use super::super::{PASSWORD, client, options, refused_within_a_second, sign_in, signed_in};
use super::{admin, get, make, post, put};
use crate::harness::TestApp;

/// A hash that another system made of `correct horse battery staple`.
const IMPORTED: &str = "$2b$04$22rM7WLBJrge4nQgIK8IVuJT6PEYCKaBUM9G8/2W/0qnoV4sSenBG";

#[tokio::test]
async fn an_account_is_made_with_all_its_fields() {
    let app = TestApp::with(options()).await;
    let id = "6f6c3b2e-0f6c-4b8e-9a51-2f2f5e0c7d11";
    let fields = json!({
        "id": id, "email": "Ada@Example.com", "phone": "+49 151 12345678", "username": "Ada.L",
        "password": PASSWORD, "email_confirm": true, "phone_confirm": true, "role": "authenticated",
        "user_metadata": {"first_name": "Ada", "last_name": "Lovelace"}, "app_metadata": {"plan": "gold"},
    });

    let made = post(&admin(&app), "/admin/users", fields).await.expect_status(200).json();

    assert_eq!(made["id"], id);
    assert_eq!(
        (&made["email"], &made["phone"], &made["username"]),
        (&json!("ada@example.com"), &json!("4915112345678"), &json!("Ada.L"))
    );
    assert!(made["email_confirmed_at"].is_string() && made["phone_confirmed_at"].is_string(), "{made}");
    assert_eq!(
        made["app_metadata"],
        json!({"plan": "gold", "provider": "email", "providers": ["email", "phone"]})
    );
    assert_eq!(made["user_metadata"]["last_name"], "Lovelace");
    let identities = made["identities"].as_array().unwrap().iter();
    let mut providers: Vec<&str> = identities.map(|one| one["provider"].as_str().unwrap()).collect();
    providers.sort_unstable();
    assert_eq!(providers, ["email", "phone"]);
    assert_eq!(get(&admin(&app), &format!("/admin/users/{id}")).await.expect_status(200).json(), made);
    for login in ["ada@example.com", "ADA.l"] {
        sign_in(&client(&app), login, PASSWORD).await.expect_status(200);
    }
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_with_the_contracts_codes() {
    let app = TestApp::with(options()).await;
    let taken = json!({"email": "ada@example.com", "phone": "4915112345678", "username": "ada"});
    let id = make(&app, taken).await;
    let other = make(&app, json!({"email": "bob@example.com"})).await;
    let cases = [
        (json!({}), 400, "validation_failed"),
        (json!({"user_metadata": {"a": 1}}), 400, "validation_failed"),
        (json!({"email": "nonsense"}), 400, "validation_failed"),
        (json!({"email": "ADA@example.com"}), 422, "email_exists"),
        (json!({"phone": "+4915112345678"}), 422, "phone_exists"),
        (json!({"email": "new@example.com", "username": "ADA"}), 422, "username_exists"),
        (json!({"email": "new@example.com", "id": id}), 422, "user_already_exists"),
        (json!({"email": "new@example.com", "password": "12345"}), 422, "weak_password"),
        (json!({"email": "new@example.com", "password_hash": "$1$abc"}), 400, "validation_failed"),
        (
            json!({"email": "new@example.com", "password_hash": IMPORTED, "password": PASSWORD}),
            400,
            "validation_failed",
        ),
        (json!({"email": "new@example.com", "ban_duration": "1 day"}), 400, "validation_failed"),
        (json!({"email": "new@example.com", "app_metadata": "gold"}), 400, "bad_json"),
    ];

    for (fields, status, code) in cases {
        let answer = post(&admin(&app), "/admin/users", fields.clone()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{fields}");
        if code.ends_with("_exists") && fields.get("id").is_none() {
            let path = format!("/admin/users/{other}");
            put(&admin(&app), &path, fields).await.expect_error(status, code);
        }
    }
    assert_eq!(app.database.value("select count(*)::text from auth.users").await, "2");
    get(&admin(&app), &format!("/admin/users/{other}")).await.expect_status(200);
}

#[tokio::test]
async fn an_imported_hash_signs_in_and_is_replaced() {
    let app = TestApp::with(options()).await;
    make(&app, json!({"email": "ada@example.com", "password_hash": IMPORTED, "email_confirm": true})).await;

    sign_in(&client(&app), "ada@example.com", "wrong").await.expect_error(400, "invalid_credentials");
    sign_in(&client(&app), "ada@example.com", "correct horse battery staple").await.expect_status(200);

    let stored = app.database.value("select encrypted_password from auth.users").await;
    assert!(stored.starts_with("$argon2id$"), "{stored}");
}

#[tokio::test]
async fn without_a_password_nobody_signs_in_by_one() {
    let app = TestApp::with(options()).await;
    make(&app, json!({"email": "ada@example.com", "email_confirm": true})).await;

    for password in [PASSWORD, "x"] {
        sign_in(&client(&app), "ada@example.com", password).await.expect_error(400, "invalid_credentials");
    }
}

#[tokio::test]
async fn metadata_is_merged_and_null_deletes() {
    let app = TestApp::with(options()).await;
    let id = make(
        &app,
        json!({"email": "ada@example.com", "user_metadata": {"a": 1, "b": 2}, "app_metadata": {"x": 1}}),
    )
    .await;
    let changes = json!({"user_metadata": {"a": null, "c": 3}, "app_metadata": {"x": null, "plan": "gold"}});

    let account = put(&admin(&app), &format!("/admin/users/{id}"), changes).await.expect_status(200).json();

    assert_eq!(account["user_metadata"], json!({"b": 2, "c": 3}));
    assert_eq!(account["app_metadata"], json!({"provider": "email", "providers": ["email"], "plan": "gold"}));
}

#[tokio::test]
async fn an_address_is_changed_at_once_and_its_identity_with_it() {
    let app = TestApp::with(options()).await;
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    let changes = json!({"email": "Countess@Example.com", "role": "service_role", "username": "countess"});

    let account = put(&admin(&app), &format!("/admin/users/{id}"), changes).await.expect_status(200).json();

    assert_eq!(
        (&account["email"], &account["role"]),
        (&json!("countess@example.com"), &json!("service_role"))
    );
    let identity = &account["identities"][0];
    assert_eq!((&identity["email"], &identity["id"]), (&json!("countess@example.com"), &json!(id)));
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_error(400, "invalid_credentials");
    sign_in(&client(&app), "countess", PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn a_ban_is_seen_by_the_table_api_within_a_second_and_can_be_lifted() {
    let app = TestApp::with(options()).await;
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    let session = sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200).json();
    let ada = signed_in(&app, &session);
    ada.get("/rest/v1/").await.expect_status(200);
    let path = format!("/admin/users/{id}");

    let banned = put(&admin(&app), &path, json!({"ban_duration": "24h"})).await.expect_status(200).json();

    refused_within_a_second([&ada], (403, "user_banned")).await;
    assert!(banned["banned_until"].is_string(), "{banned}");
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_error(400, "user_banned");
    ada.get("/auth/v1/user").await.expect_error(403, "user_banned");

    let free = put(&admin(&app), &path, json!({"ban_duration": "none"})).await.expect_status(200).json();

    assert_eq!(free.get("banned_until"), None);
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn a_new_password_signs_out_whoever_knew_the_old_one() {
    let app = TestApp::with(options()).await;
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    let session = sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200).json();

    put(&admin(&app), &format!("/admin/users/{id}"), json!({"password": "another horse 7"}))
        .await
        .expect_status(200);

    signed_in(&app, &session).get("/auth/v1/user").await.expect_error(403, "session_not_found");
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_error(400, "invalid_credentials");
    sign_in(&client(&app), "ada@example.com", "another horse 7").await.expect_status(200);
}
