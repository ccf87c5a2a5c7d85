//! Links that are handed out, and invitations.

use serde_json::{Value, json};

use super::super::{PASSWORD, client, link, message, options, sign_in, sign_up, user};
use super::{admin, make, post};
use crate::harness::TestApp;

/// A link of a type.
async fn generate(app: &TestApp, fields: Value) -> Value {
    post(&admin(app), "/admin/generate_link", fields).await.expect_status(200).json()
}

/// Takes the token of a link.
async fn verify(app: &TestApp, kind: &str, made: &Value) -> crate::harness::Answer {
    let body = json!({"type": kind, "token_hash": made["hashed_token"]});
    client(app).post("/auth/v1/verify", body).await
}

#[tokio::test]
async fn a_link_holds_all_of_the_user_and_signs_in_once() {
    let app = TestApp::with(options()).await;
    let signup =
        json!({"type": "signup", "email": "ada@example.com", "password": PASSWORD, "data": {"a": 1}});

    let made = generate(&app, signup.clone()).await;

    assert_eq!((&made["email"], &made["user_metadata"]["a"]), (&json!("ada@example.com"), &json!(1)));
    assert_eq!(made["verification_type"], "signup");
    assert_eq!(made["email_otp"].as_str().unwrap().len(), 6);
    let action = made["action_link"].as_str().unwrap();
    assert!(
        action.contains(made["hashed_token"].as_str().unwrap()) && action.contains("type=signup"),
        "{action}"
    );
    verify(&app, "signup", &made).await.expect_status(200);
    verify(&app, "signup", &made).await.expect_error(403, "otp_expired");
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200);
    post(&admin(&app), "/admin/generate_link", signup).await.expect_error(422, "email_exists");
    for kind in ["magiclink", "recovery"] {
        let made = generate(&app, json!({"type": kind, "email": "ada@example.com"})).await;
        assert_eq!(made["verification_type"], kind);
        let code = json!({"type": kind, "email": "ada@example.com", "token": made["email_otp"]});
        client(&app).post("/auth/v1/verify", code).await.expect_status(200);
    }
    let mails = app.client().header("accept", "application/json").get("/dev/mail").await;
    mails.expect_status(200).expect_json(&json!([]));
}

#[tokio::test]
async fn who_is_not_known_signs_up_by_a_magic_link_and_recovers_nothing() {
    let app = TestApp::with(options()).await;

    let made = generate(&app, json!({"type": "magiclink", "email": "new@example.com"})).await;

    assert_eq!(made["verification_type"], "signup");
    verify(&app, "signup", &made).await.expect_status(200);
    for (fields, status, code) in [
        (json!({"type": "recovery", "email": "nobody@example.com"}), 404, "user_not_found"),
        (
            json!({"type": "email_change_new", "email": "nobody@example.com", "new_email": "x@example.com"}),
            404,
            "user_not_found",
        ),
        (json!({"type": "signup", "email": "nobody@example.com"}), 400, "validation_failed"),
        (json!({"type": "sms", "email": "nobody@example.com"}), 400, "validation_failed"),
        (json!({"type": "magiclink"}), 400, "validation_failed"),
    ] {
        let answer = post(&admin(&app), "/admin/generate_link", fields.clone()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{fields}");
    }
    assert_eq!(app.database.value("select count(*)::text from auth.users").await, "1");
}

#[tokio::test]
async fn a_change_of_address_takes_both_links() {
    let app = TestApp::with(options()).await;
    user(&app, "ada@example.com").await;
    user(&app, "taken@example.com").await;
    let fields =
        |kind: &str| json!({"type": kind, "email": "ada@example.com", "new_email": "countess@example.com"});

    let current = generate(&app, fields("email_change_current")).await;
    let new = generate(&app, fields("email_change_new")).await;

    assert_eq!(
        (&new["new_email"], &new["verification_type"]),
        (&json!("countess@example.com"), &json!("email_change_new"))
    );
    let half = verify(&app, "email_change", &current).await.expect_status(200).json();
    assert_eq!(half["code"], "200");
    let session = verify(&app, "email_change", &new).await.expect_status(200).json();
    assert_eq!(session["user"]["email"], "countess@example.com");
    let taken = json!({"type": "email_change_new", "email": "countess@example.com", "new_email": "taken@example.com"});
    post(&admin(&app), "/admin/generate_link", taken).await.expect_error(422, "email_exists");
}

#[tokio::test]
async fn d09_a_link_leads_where_the_allow_list_says() {
    let app = TestApp::with(options().set("auth.redirect_urls", "https://app.example.com/**")).await;
    let leads = async |wanted: &str| {
        let fields = json!({"type": "magiclink", "email": "ada@example.com", "redirect_to": wanted});
        generate(&app, fields).await["redirect_to"].as_str().unwrap().to_owned()
    };

    assert_eq!(leads("https://app.example.com/welcome").await, "https://app.example.com/welcome");
    assert!(!leads("https://evil.example/").await.contains("evil"));
}

#[tokio::test]
async fn an_invitation_is_mailed_until_it_is_taken() {
    let app = TestApp::with(options().set("auth.signup", "false")).await;
    let invitation = json!({"email": "Ada@example.com", "data": {"team": "engine"}});

    let invited = post(&admin(&app), "/invite", invitation.clone()).await.expect_status(200).json();

    assert!(invited["invited_at"].is_string() && invited.get("email_confirmed_at").is_none(), "{invited}");
    let first = message(&app, "ada@example.com", |_| true).await;
    post(&admin(&app), "/invite", invitation.clone()).await.expect_status(200);
    let second = message(&app, "ada@example.com", |mail| mail["id"] != first["id"]).await;
    let followed = client(&app).get(&link(&second)).await;
    assert_eq!(followed.status, 404, "the page of the application, which is not here");
    let path = format!("/auth/v1/admin/users/{}", invited["id"].as_str().unwrap());
    let ada = admin(&app).get(&path).await.expect_status(200).json();
    assert!(ada["email_confirmed_at"].is_string(), "{ada}");
    assert_eq!(ada["user_metadata"]["team"], "engine");
    post(&admin(&app), "/invite", invitation).await.expect_error(422, "email_exists");
    make(&app, json!({"email": "bob@example.com", "email_confirm": true})).await;
    post(&admin(&app), "/invite", json!({"email": "bob@example.com"}))
        .await
        .expect_error(422, "email_exists");
}

#[tokio::test]
async fn d03_whoever_signed_up_with_the_address_of_somebody_who_is_invited_gains_nothing() {
    let app = TestApp::with(options()).await;
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let first = message(&app, "ada@example.com", |_| true).await;

    post(&admin(&app), "/invite", json!({"email": "ada@example.com"})).await.expect_status(200);
    let invitation = message(&app, "ada@example.com", |mail| mail["id"] != first["id"]).await;
    client(&app).get(&link(&invitation)).await;

    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_error(400, "invalid_credentials");
    let made = "select (email_confirmed_at is not null)::text from auth.users";
    assert_eq!(app.database.value(made).await, "true");
}
