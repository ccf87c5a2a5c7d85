//! What can be learnt or broken by trying: accounts, passwords, mailboxes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, client, message, options, sign_in, sign_up, signed_in, user};
use crate::harness::{Answer, Client, TestApp};

/// What an answer shows, apart from what is different every time.
fn shape(answer: &Answer) -> (u16, Vec<String>, Vec<String>) {
    let mut headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    headers.sort();
    let fields = match serde_json::from_slice(&answer.body) {
        Ok(Value::Object(body)) => body.keys().cloned().collect(),
        _ => vec![answer.text()],
    };
    (answer.status, headers, fields)
}

#[tokio::test]
async fn b01_known_and_unknown_addresses_get_the_same_answers() {
    let app = TestApp::with(options()).await;
    user(&app, "known@example.com").await;
    let ask = |path: &'static str, mut body: Value, email: &'static str| {
        let client = client(&app);
        async move {
            body["email"] = json!(email);
            client.post(path, body).await
        }
    };

    for (path, body) in [
        ("/auth/v1/signup", json!({"password": PASSWORD})),
        ("/auth/v1/recover", json!({})),
        ("/auth/v1/otp", json!({})),
        ("/auth/v1/magiclink", json!({})),
        ("/auth/v1/resend", json!({"type": "signup"})),
    ] {
        let known = ask(path, body.clone(), "known@example.com").await;
        let unknown = ask(path, body, "unknown@example.com").await;

        let (known, unknown) = (shape(&known), shape(&unknown));
        assert_eq!((known.0, &known.1), (unknown.0, &unknown.1), "{path}");
        // A sign-up shows the account that it makes; the contract empties the identities of one that there is.
        assert_eq!(known.2, unknown.2, "{path}");
    }
}

#[tokio::test]
async fn b01_too_many_requests_tell_nothing_either() {
    let app = TestApp::with(options().set("auth.email.resend_after", "60s")).await;
    user(&app, "known@example.com").await;

    for path in ["/auth/v1/recover", "/auth/v1/otp"] {
        for email in ["known@example.com", "unknown@example.com"] {
            let ask = || async { client(&app).post(path, json!({"email": email})).await };
            ask().await.expect_status(200);
            let again = ask().await.expect_error(429, "over_email_send_rate_limit");
            assert!(!again.header("retry-after").is_empty(), "{path} {email}");
        }
    }
}

#[tokio::test]
async fn mails_of_one_kind_wait_for_each_other_and_those_of_others_do_not() {
    let app = TestApp::with(options().set("auth.email.resend_after", "60s")).await;
    let ask = async |path: &str, body: Value| client(&app).post(&format!("/auth/v1{path}"), body).await;
    let email = json!({"email": "ada@example.com"});
    sign_up(&app, "ada@example.com").await.expect_status(200);

    let again = json!({"type": "signup", "email": "ada@example.com"});
    ask("/resend", again).await.expect_error(429, "over_email_send_rate_limit");
    ask("/recover", email.clone()).await.expect_status(200);
    ask("/otp", email.clone()).await.expect_status(200);
    ask("/recover", email).await.expect_error(429, "over_email_send_rate_limit");
}

#[tokio::test]
async fn changes_of_address_are_spaced_by_the_account_whatever_the_address() {
    let spaced = options().set("auth.email.resend_after", "60s").set("auth.phone.resend_after", "60s");
    let app = TestApp::with(spaced).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let change = async |body: Value| me.send(Method::PUT, "/auth/v1/user", Some(body)).await;
    let both = json!({"email": "new@example.com", "phone": "+4915100000000"});

    change(both).await.expect_status(200);
    change(json!({"email": "other@example.com"})).await.expect_error(429, "over_email_send_rate_limit");
}

#[tokio::test]
async fn mails_to_nobody_use_up_nobody_elses_and_a_limit_that_is_reached_tells_nothing() {
    let app = TestApp::with(options().set("auth.rate_limits.emails_per_hour", "3")).await;
    let recover = async |email: &str| client(&app).post("/auth/v1/recover", json!({"email": email})).await;
    for number in 0..10 {
        recover(&format!("nobody{number}@example.com")).await.expect_status(200);
    }

    for number in 0..3 {
        sign_up(&app, &format!("user{number}@example.com")).await.expect_status(200);
    }

    let known = recover("user0@example.com").await.expect_error(429, "over_email_send_rate_limit");
    let unknown = recover("nobody0@example.com").await.expect_error(429, "over_email_send_rate_limit");
    assert_eq!(known.text(), unknown.text());
}

#[tokio::test]
async fn b02_b03_after_ten_failures_the_right_password_fails_like_a_wrong_one() {
    let app = TestApp::with(options()).await;
    user(&app, "ada@example.com").await;
    let from = |address: &str| client(&app).header("x-forwarded-for", address);
    let attacker = from("203.0.113.7");

    let wrong = sign_in(&attacker, "ada@example.com", "wrong password").await.expect_status(400);
    let unknown = sign_in(&attacker, "nobody@example.com", "wrong password").await.expect_status(400);
    for _ in 0..10 {
        sign_in(&attacker, "ada@example.com", "wrong password").await.expect_status(400);
    }
    let locked = sign_in(&attacker, "ada@example.com", PASSWORD).await.expect_status(400);

    assert_eq!(shape(&wrong), shape(&locked));
    assert_eq!((wrong.text(), wrong.text()), (unknown.text(), locked.text()));
    // B04: the victim, elsewhere, is not locked out by it.
    sign_in(&from("198.51.100.4"), "ada@example.com", PASSWORD).await.expect_status(200);
    let events: String =
        app.database.value("select string_agg(kind, ',') from goforward.security_events").await;
    assert_eq!(events, "account_locked");
}

#[tokio::test]
async fn b04_an_attack_from_everywhere_does_not_lock_a_known_device_out() {
    let app = TestApp::with(options().set("auth.lockout.failures_per_account", "15")).await;
    user(&app, "ada@example.com").await;
    let from = |address: &str| client(&app).header("x-forwarded-for", address);
    let home = from("198.51.100.4");
    sign_in(&home, "ada@example.com", PASSWORD).await.expect_status(200);

    for last in 1..=20 {
        let bot = from(&format!("203.0.113.{last}"));
        sign_in(&bot, "ada@example.com", "wrong password").await.expect_status(400);
    }

    sign_in(&from("192.0.2.1"), "ada@example.com", PASSWORD).await.expect_status(400);
    sign_in(&home, "ada@example.com", PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn b17_links_lead_to_the_configured_address_whatever_the_request_says() {
    let app = TestApp::with(options()).await;
    let forged = client(&app).header("x-forwarded-host", "evil.example").header("x-forwarded-proto", "https");

    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    forged.post("/auth/v1/signup?redirect_to=https://evil.example/", body).await.expect_status(200);

    let mail = message(&app, "ada@example.com", |_| true).await.to_string();
    assert!(mail.contains(&app.server.url()) && !mail.contains("evil.example"), "{mail}");
}

#[tokio::test]
async fn b18_what_users_call_themselves_is_text_in_a_mail() {
    let app = TestApp::with(options()).await;
    let template = "/auth/v1/admin/templates/confirmation";
    let html = json!({"html": "<p>{{ .Data.nick }}</p>"});
    app.service().send(Method::PUT, template, Some(html)).await.expect_status(200);
    let nick = "{{ 7*7 }}<b>x</b>";
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "data": {"nick": nick}});

    client(&app).post("/auth/v1/signup", body).await.expect_status(200);

    let mail = message(&app, "ada@example.com", |_| true).await;
    assert_eq!(mail["html"], "<p>{{ 7*7 }}&lt;b&gt;x&lt;&#x2f;b&gt;</p>");
}

#[tokio::test]
async fn b20_b21_mails_and_anonymous_users_are_counted() {
    let app = TestApp::with(
        options().set("auth.rate_limits.emails_per_hour", "3").set("auth.rate_limits.anonymous", "3"),
    )
    .await;

    for number in 0..3 {
        sign_up(&app, &format!("user{number}@example.com")).await.expect_status(200);
        client(&app).post("/auth/v1/signup", json!({})).await.expect_status(200);
    }

    sign_up(&app, "one.more@example.com").await.expect_error(429, "over_email_send_rate_limit");
    let anonymous = client(&app).post("/auth/v1/signup", json!({})).await;
    anonymous.expect_error(429, "over_request_rate_limit");
}

#[tokio::test]
async fn b16_addresses_that_look_alike_are_different_accounts() {
    let app = TestApp::with(options()).await;
    user(&app, "admin@example.com").await;

    sign_up(&app, "ADMIN@EXAMPLE.COM").await.expect_status(200);
    let recover: &[&str] = &["admin@ex\u{e4}mple.com", "\u{430}dmin@example.com", "admin@example.com\u{0}"];
    for email in recover {
        client(&app).post("/auth/v1/recover", json!({"email": email})).await;
    }

    let users: String = app.database.value("select count(*)::text from auth.users").await;
    let sent: String = app
        .database
        .value("select count(*)::text from auth.one_time_tokens where token_type = 'recovery_token'")
        .await;
    assert_eq!((users.as_str(), sent.as_str()), ("1", "0"));
}

/// The client of somebody who has no key.
fn without_key(app: &TestApp) -> Client {
    super::speaking(app.client())
}

#[tokio::test]
async fn in_production_every_action_asks_for_a_key_but_links_do_not() {
    let app = TestApp::with(options().set("auth.require_api_key", "true")).await;

    for path in ["/auth/v1/signup", "/auth/v1/token?grant_type=password", "/auth/v1/otp", "/auth/v1/verify"] {
        without_key(&app).post(path, json!({"email": "a@example.com"})).await.expect_status(401);
    }
    without_key(&app).get("/auth/v1/settings").await.expect_status(401);
    without_key(&app).get("/auth/v1/health").await.expect_status(200);
    without_key(&app).get("/auth/v1/.well-known/jwks.json").await.expect_status(200);
}

#[tokio::test]
async fn an_address_that_looks_like_that_of_an_existing_user_is_reported_with_both_accounts() {
    let app = TestApp::with(options()).await;
    let ada = user(&app, "ada@apple.example").await;
    // A Cyrillic letter for the first of the domain.
    let eve = sign_up(&app, "ada@\u{430}pple.example").await.expect_status(200).json();
    sign_up(&app, "eve@\u{430}pple.example").await.expect_status(200);
    sign_up(&app, "ada@b\u{fc}cher.example").await.expect_status(200);

    let events: String = app
        .database
        .value(
            "select string_agg(kind || ' ' || actor || ' ' || (details ->> 'resembles'), ',')
             from goforward.security_events",
        )
        .await;

    let (ada, eve) = (ada["user"]["id"].as_str().unwrap(), eve["id"].as_str().unwrap());
    assert_eq!(events, format!("look_alike_address {eve} {ada}"));
    let stored: String =
        app.database.value(&format!("select u::text from auth.users as u where id = '{eve}'")).await;
    assert!(!stored.contains(ada), "{stored}");
}

#[tokio::test]
async fn what_the_service_says_of_itself_is_the_same_wherever_it_is_looked_for() {
    let app = TestApp::with(options().set("auth.require_api_key", "true")).await;
    let path = "/auth/v1/.well-known/openid-configuration";
    let said = without_key(&app).get(path).await.expect_status(200).json();
    assert!(said["jwks_uri"].as_str().unwrap().ends_with("/auth/v1/.well-known/jwks.json"), "{said}");

    let place = "/.well-known/oauth-authorization-server";
    for path in [place.to_owned(), format!("{place}/auth/v1"), format!("/auth/v1{place}")] {
        let answer = without_key(&app).get(&path).await.expect_status(200);
        assert_eq!(answer.header("cache-control"), "public, max-age=600", "{path}");
        assert_eq!(answer.json(), said, "{path}");
    }
    without_key(&app).get(&format!("{place}/elsewhere")).await.expect_status(404);
}

#[tokio::test]
async fn what_the_gateway_refuses_has_the_shape_that_clients_of_accounts_read() {
    let app =
        TestApp::with(options().set("auth.require_api_key", "true").set("server.body_limits.default", "1KB"))
            .await;
    let old = app.client();
    let large = json!({"email": "a@example.com", "data": {"text": "x".repeat(2000)}});

    for (answer, status, code) in [
        (old.get("/auth/v1/settings").await, 401, "no_authorization"),
        (old.get("/auth/v1/nothing").await, 404, "not_found"),
        (old.post("/auth/v1/signup", large).await, 413, "request_entity_too_large"),
    ] {
        let body = answer.expect_status(status).json();
        assert_eq!(body["code"], status, "{body}");
        assert_eq!(body["error_code"], code, "{body}");
        assert!(body["msg"].is_string() && body.get("message").is_none(), "{body}");
    }
    let today = without_key(&app).get("/auth/v1/nothing").await.expect_status(404).json();
    assert_eq!(today["code"], "not_found");
}
