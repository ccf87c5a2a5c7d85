//! The auth service over HTTP, on the real executable: accounts, codes, sessions, and what an enemy would try (the ids are
//! those of the list of threats).

mod accounts;
mod admin;
mod alone;
mod at_rest;
mod captcha;
mod codes;
mod guessing;
mod import;
mod introspection;
mod keys;
mod keys_as_credentials;
mod keys_at_rest;
mod keys_of_services;
mod mfa;
mod new_users;
mod oauth;
mod outages;
mod refresh;
mod reseal;
mod revocation;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Options, TestApp, eventually};

/// A password that nobody has a rule against.
pub const PASSWORD: &str = "correct horse 9";

/// A server whose mails and messages can be read, and which lets a test ask as often as it needs.
pub fn options() -> Options {
    let limits =
        ["emails_per_hour", "sms_per_hour", "otp", "verify", "token", "anonymous", "factors", "keys"];
    let options = limits
        .iter()
        .fold(Options::default(), |options, limit| options.set(&format!("auth.rate_limits.{limit}"), "0"));
    options
        .set("environment", "development")
        .set("auth.email.resend_after", "0s")
        .set("auth.phone.resend_after", "0s")
        .set("auth.phone.enabled", "true")
        .set("auth.anonymous_users", "true")
        .set("server.trusted_proxies", "127.0.0.1/32")
}

/// A client as auth-js is one: it says which version of the API it speaks.
pub fn client(app: &TestApp) -> Client {
    speaking(app.client().apikey(&app.server.keys().anon_key))
}

/// The same for any client.
pub fn speaking(client: Client) -> Client {
    client.header("x-supabase-api-version", "2024-01-01")
}

/// The newest message to somebody, once there is one that `is_new`.
pub async fn message(app: &TestApp, to: &str, is_new: impl Fn(&Value) -> bool) -> Value {
    let (client, mut found) = (app.client().header("accept", "application/json"), Value::Null);
    eventually("a message", async || {
        let path = format!("/dev/mail?to={}", to.replace('+', "%2B"));
        let messages = client.get(&path).await.expect_status(200).json();
        found =
            messages.as_array().unwrap().iter().find(|message| is_new(message)).cloned().unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

/// Whether a mail is about this.
pub fn about(subject: &str) -> impl Fn(&Value) -> bool {
    move |mail| mail["subject"] == subject
}

/// The code in a message.
pub fn code(message: &Value) -> String {
    let text = message["text"].as_str().unwrap();
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
    text.split_whitespace().find(is_code).unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

/// The path and query of the link in a message.
pub fn link(message: &Value) -> String {
    let text = message["text"].as_str().unwrap();
    let link = text.split_whitespace().find(|word| word.contains("/verify?")).unwrap();
    link[link.find("/auth/v1").unwrap()..].to_owned()
}

/// Signs up without confirming.
pub async fn sign_up(app: &TestApp, email: &str) -> Answer {
    client(app).post("/auth/v1/signup", json!({"email": email, "password": PASSWORD})).await
}

/// A user who has confirmed an address; returns the session.
pub async fn user(app: &TestApp, email: &str) -> Value {
    sign_up(app, email).await.expect_status(200);
    let mail = message(app, email, |_| true).await;
    let verify = json!({"type": "signup", "email": email, "token": code(&mail)});
    client(app).post("/auth/v1/verify", verify).await.expect_status(200).json()
}

/// Signs in by password.
pub async fn sign_in(client: &Client, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    client.post("/auth/v1/token?grant_type=password", body).await
}

/// The client of a session.
pub fn signed_in(app: &TestApp, session: &Value) -> Client {
    client(app).bearer(session["access_token"].as_str().unwrap())
}

/// Refreshes a session.
pub async fn refresh(client: &Client, token: &str) -> Answer {
    client.post("/auth/v1/token?grant_type=refresh_token", json!({"refresh_token": token})).await
}

/// The refresh token of a session.
pub fn refresh_token(session: &Value) -> String {
    session["refresh_token"].as_str().unwrap().to_owned()
}

/// Fails unless the table API refuses each client within a second. What counts is when a request began, as its answer may
/// take a while; while nobody can say (503), it is refused as well.
pub async fn refused_within_a_second<'a>(
    clients: impl IntoIterator<Item = &'a Client>,
    (status, code): (u16, &str),
) {
    let since = Instant::now();
    for client in clients {
        eventually("the refusal", async || {
            let begun = since.elapsed();
            let answer = client.get("/rest/v1/").await;
            let is_refused = answer.status == status && answer.json()["code"] == code;
            assert!(
                is_refused || answer.status == 503 || begun < Duration::from_secs(1),
                "after {begun:?} still {}: {}",
                answer.status,
                answer.text()
            );
            is_refused
        })
        .await;
    }
}
