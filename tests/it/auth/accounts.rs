//! Signing up, signing in, changing an account.

use serde_json::{Value, json};

use super::{PASSWORD, about, client, code, link, message, options, sign_in, sign_up, signed_in, user};
use crate::harness::{TestApp, eventually};

#[tokio::test]
async fn an_account_is_made_confirmed_and_signed_in_to() {
    let app = TestApp::with(options()).await;

    let made = sign_up(&app, "Ada@Example.com").await.expect_status(200).json();
    assert_eq!((made["email"].as_str(), made.get("access_token")), (Some("ada@example.com"), None));
    let early = sign_in(&client(&app), "ada@example.com", PASSWORD).await;
    early.expect_error(400, "email_not_confirmed");
    let mail = message(&app, "ada@example.com", |_| true).await;
    let followed = client(&app).get(&link(&mail)).await;
    let session = sign_in(&client(&app), "ADA@example.com", PASSWORD).await.expect_status(200).json();

    // The client follows redirects; where it ends up nothing is served.
    assert_eq!(followed.status, 404);
    assert_eq!(
        (session["token_type"].as_str(), session["expires_in"].as_i64()),
        (Some("bearer"), Some(3600))
    );
    let shown = signed_in(&app, &session).get("/auth/v1/user").await.expect_status(200).json();
    assert_eq!(shown["id"], made["id"]);
    assert_eq!(shown["app_metadata"], json!({"provider": "email", "providers": ["email"]}));
    assert_eq!(shown["user_metadata"]["email_verified"], true);
    let stored: String = app.database.value("select encrypted_password from auth.users").await;
    assert!(stored.starts_with("$argon2id$"), "{stored}");
    let settings: String =
        app.database.value("select count(*)::text from goforward.auth_user_settings").await;
    assert_eq!(settings, "1");
}

#[tokio::test]
async fn a_user_signs_in_by_address_number_or_name() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let me = signed_in(&app, &session);
    me.send(
        reqwest::Method::PUT,
        "/auth/v1/user",
        Some(json!({"username": "Ada.L", "phone": "+4915112345678"})),
    )
    .await
    .expect_status(200);
    let sms = message(&app, "+4915112345678", |_| true).await;
    let verify = json!({"type": "phone_change", "phone": "+4915112345678", "token": code(&sms)});
    client(&app).post("/auth/v1/verify", verify).await.expect_status(200);

    for login in [
        json!({"email": "ada@example.com"}),
        json!({"phone": "+49 151 12345678"}),
        json!({"username": "aDA.l"}),
    ] {
        let mut body = login.clone();
        body["password"] = json!(PASSWORD);
        let answer = client(&app).post("/auth/v1/token?grant_type=password", body).await;
        assert_eq!(answer.status, 200, "{login}: {}", answer.text());
    }
}

#[tokio::test]
async fn names_are_taken_once_whatever_they_look_like() {
    let app = TestApp::with(options()).await;
    let (ada, eve) = (user(&app, "ada@example.com").await, user(&app, "eve@example.com").await);
    let name = |name: &str| Some(json!({"username": name}));
    let put = reqwest::Method::PUT;
    signed_in(&app, &ada).send(put.clone(), "/auth/v1/user", name("ada")).await.expect_status(200);

    for taken in ["ada", "ADA", "\u{ff41}da"] {
        let answer = signed_in(&app, &eve).send(put.clone(), "/auth/v1/user", name(taken)).await;
        answer.expect_error(422, "username_exists");
    }
    let bad = signed_in(&app, &eve).send(put, "/auth/v1/user", name("a b<script>")).await;
    bad.expect_error(400, "validation_failed");
}

#[tokio::test]
async fn metadata_is_merged_and_what_the_server_says_is_not_the_users_to_write() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let put = |body: Value| {
        let me = me.clone();
        async move { me.send(reqwest::Method::PUT, "/auth/v1/user", Some(body)).await }
    };

    put(json!({"data": {"a": 1, "b": 2}})).await.expect_status(200);
    let merged = put(json!({"data": {"b": null, "c": 3}})).await.expect_status(200).json();
    put(json!({"app_metadata": {"admin": true}})).await.expect_error(403, "not_admin");

    assert_eq!(merged["user_metadata"]["a"], 1);
    assert_eq!((merged["user_metadata"].get("b"), &merged["user_metadata"]["c"]), (None, &json!(3)));
    put(json!({"data": {"first_name": "x".repeat(101)}})).await.expect_error(400, "validation_failed");
    put(json!({"data": {"note": "O'Brien; DROP TABLE users; --"}})).await.expect_status(200);
}

#[tokio::test]
async fn an_anonymous_user_becomes_a_permanent_one() {
    let app = TestApp::with(options()).await;
    let session = client(&app).post("/auth/v1/signup", json!({})).await.expect_status(200).json();
    assert_eq!(session["user"]["is_anonymous"], true);
    let me = signed_in(&app, &session);

    let put = me.send(reqwest::Method::PUT, "/auth/v1/user", Some(json!({"email": "ada@example.com"}))).await;
    put.expect_status(200);
    let mail = message(&app, "ada@example.com", |_| true).await;
    let verify = json!({"type": "email_change", "email": "ada@example.com", "token": code(&mail)});
    let session = client(&app).post("/auth/v1/verify", verify).await.expect_status(200).json();

    assert_eq!(session["user"]["is_anonymous"], false);
    assert_eq!(session["user"]["email"], "ada@example.com");
}

#[tokio::test]
async fn a_change_of_address_needs_both_addresses() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "old@example.com").await;
    let me = signed_in(&app, &session);
    let put = me.send(reqwest::Method::PUT, "/auth/v1/user", Some(json!({"email": "new@example.com"}))).await;
    assert_eq!(put.expect_status(200).json()["new_email"], "new@example.com");
    let is_change = |mail: &Value| mail["text"].as_str().unwrap().contains("email_change");

    let first = code(&message(&app, "old@example.com", is_change).await);
    let second = code(&message(&app, "new@example.com", is_change).await);
    let verify = |email: &'static str, token: String| {
        let client = client(&app);
        async move {
            let body = json!({"type": "email_change", "email": email, "token": token});
            client.post("/auth/v1/verify", body).await.expect_status(200).json()
        }
    };
    let half = verify("old@example.com", first).await;
    assert!(half["msg"].as_str().unwrap().starts_with("Confirmation link accepted"), "{half}");
    assert_eq!(me.get("/auth/v1/user").await.json()["email"], "old@example.com");
    let whole = verify("new@example.com", second).await;

    assert_eq!(whole["user"]["email"], "new@example.com");
    let notice = message(&app, "old@example.com", about("Your email address was changed")).await;
    assert!(notice["text"].as_str().unwrap().contains("from old@example.com to new@example.com"), "{notice}");
}

#[tokio::test]
async fn b13_a_new_password_ends_all_other_sessions() {
    let app = TestApp::with(options()).await;
    let here = user(&app, "ada@example.com").await;
    let there = sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200).json();
    let put = |password: &'static str| {
        let me = signed_in(&app, &here);
        async move { me.send(reqwest::Method::PUT, "/auth/v1/user", Some(json!({"password": password}))).await }
    };

    put(PASSWORD).await.expect_error(422, "same_password");
    put("another one 7").await.expect_status(200);

    signed_in(&app, &here).get("/auth/v1/user").await.expect_status(200);
    signed_in(&app, &there).get("/auth/v1/user").await.expect_error(403, "session_not_found");
    let refreshed = super::refresh(&client(&app), &super::refresh_token(&there)).await;
    refreshed.expect_error(400, "refresh_token_not_found");
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_error(400, "invalid_credentials");
    message(&app, "ada@example.com", about("Your password was changed")).await;
}

#[tokio::test]
async fn b15_a_huge_password_is_refused_before_it_is_hashed() {
    let app = TestApp::with(options()).await;
    let with = |password: String| {
        let client = client(&app);
        async move {
            let body = json!({"email": "ada@example.com", "password": password});
            client.post("/auth/v1/signup", body).await
        }
    };

    // Refused before all of it was sent, so the answer may be lost with the connection.
    let huge = json!({"email": "ada@example.com", "password": "x".repeat(10 << 20)});
    eventually("an answer to a huge password", async || {
        let sent = client(&app).try_send(reqwest::Method::POST, "/auth/v1/signup", Some(huge.clone())).await;
        sent.is_ok_and(|answer| answer.expect_status(413).status == 413)
    })
    .await;
    with("x".repeat(257)).await.expect_error(422, "weak_password");
    let weak = with("short".to_owned()).await.expect_error(422, "weak_password").json();
    assert_eq!(weak["weak_password"]["reasons"], json!(["length"]));
    with("\u{e4}".repeat(256)).await.expect_status(200);
}

#[tokio::test]
async fn older_clients_get_the_older_shape_of_errors() {
    let app = TestApp::with(options()).await;
    let old = app.client().apikey(&app.server.keys().anon_key);

    let answer = sign_in(&old, "nobody@example.com", PASSWORD).await.expect_status(400);

    let expected =
        json!({"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"});
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("x-sb-error-code"), "invalid_credentials");
    app.client().post("/auth/v1/nothing", json!({})).await.expect_status(404);
}

#[tokio::test]
async fn b05_the_code_before_a_change_of_password_is_tried_five_times() {
    let app = TestApp::with(options().set("auth.password.require_reauthentication", "true")).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    app.database.run("update auth.sessions set created_at = created_at - interval '2 days'").await;
    let change = |nonce: String| {
        let me = me.clone();
        async move {
            let body = json!({"password": "another one 7", "nonce": nonce});
            me.send(reqwest::Method::PUT, "/auth/v1/user", Some(body)).await
        }
    };
    change(String::new()).await.expect_error(400, "reauthentication_needed");
    me.get("/auth/v1/reauthenticate").await.expect_status(200);
    let is_code = |mail: &Value| !mail["text"].as_str().unwrap().contains("/verify?");
    let right = code(&message(&app, "ada@example.com", is_code).await);
    let wrong = if right == "000000" { "000001" } else { "000000" };

    for _ in 0..5 {
        change(wrong.to_owned()).await.expect_error(422, "reauthentication_not_valid");
    }

    change(right).await.expect_error(422, "reauthentication_not_valid");
}

#[tokio::test]
async fn the_strict_profile_tells_nothing_of_accounts() {
    let app =
        TestApp::with(options().set("auth.profile", "strict").set("auth.email.autoconfirm", "false")).await;
    user(&app, "known@example.com").await;
    let other = signed_in(&app, &user(&app, "other@example.com").await);
    let sign_up = |email: &'static str| {
        let client = client(&app);
        async move { client.post("/auth/v1/signup", json!({"email": email, "password": PASSWORD})).await }
    };

    let (known, unknown) = (sign_up("known@example.com").await, sign_up("unknown@example.com").await);
    let shape = |answer: &serde_json::Value| {
        let identities = answer["identities"].as_array().unwrap().len();
        (answer["role"].clone(), identities, answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(shape(&known.expect_status(200).json()), shape(&unknown.expect_status(200).json()));
    let body = json!({"email": "nobody@example.com", "create_user": false});
    client(&app).post("/auth/v1/otp", body).await.expect_status(200);
    let taken =
        other.send(reqwest::Method::PUT, "/auth/v1/user", Some(json!({"email": "known@example.com"}))).await;
    assert_eq!(taken.expect_status(200).json()["new_email"], "known@example.com");
}
