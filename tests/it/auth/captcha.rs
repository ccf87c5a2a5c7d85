//! Captchas before what strangers may do, with a verifier that plays the provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::form_urlencoded::parse;

use super::{PASSWORD, client, options, refresh, refresh_token, speaking, user};
use crate::harness::{Options, TestApp};

type Asked = Arc<Mutex<Vec<HashMap<String, String>>>>;

/// Answers `passed` with success, `used` with a code, `our-fault` as to a wrong secret, and everything else with nonsense.
/// Returns its address, and what it was asked.
async fn verifier() -> (String, Asked) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/siteverify", listener.local_addr().unwrap());
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&seen)));
        }
    });
    (url, asked)
}

async fn answer(mut stream: TcpStream, asked: Asked) {
    let mut request = Vec::new();
    let fields = loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        if length == 0 {
            return;
        }
        request.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let announced = head.to_lowercase();
        let announced = announced.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        if body.len() >= announced.parse().unwrap() {
            break parse(body.as_bytes()).into_owned().collect::<HashMap<String, String>>();
        }
    };
    let body = match fields["response"].as_str() {
        "passed" => json!({"success": true, "hostname": "app.example.com"}).to_string(),
        "used" => json!({"success": false, "error-codes": ["timeout-or-duplicate"]}).to_string(),
        "our-fault" => json!({"success": false, "error-codes": ["invalid-input-secret"]}).to_string(),
        _ => "<html>".to_owned(),
    };
    asked.lock().unwrap().push(fields);
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn guarded(url: &str) -> Options {
    options()
        .set("auth.captcha.provider", "turnstile")
        .set("auth.captcha.secret", "the-site-secret")
        .set("auth.captcha.url", url)
        .set("auth.email.autoconfirm", "true")
        .set("outbound.allow_networks", "127.0.0.0/8")
}

fn with_token(mut body: Value, token: &str) -> Value {
    body["gotrue_meta_security"] = json!({"captcha_token": token});
    body
}

#[tokio::test]
async fn what_strangers_may_do_needs_a_captcha_that_was_passed() {
    let (url, asked) = verifier().await;
    let app = TestApp::with(guarded(&url)).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let ask = async |path: &str, body: Value| client(&app).post(&format!("/auth/v1{path}"), body).await;
    ask("/signup", with_token(body.clone(), "passed")).await.expect_status(200);

    for path in [
        "/signup",
        "/token?grant_type=password",
        "/otp",
        "/magiclink",
        "/recover",
        "/resend",
        "/passkeys/authentication/options",
    ] {
        let asked_before = asked.lock().unwrap().len();
        let without = ask(path, body.clone()).await.expect_error(400, "captcha_failed");
        assert_eq!(
            without.json()["message"],
            "captcha protection: request disallowed (no captcha_token found)"
        );
        assert_eq!(asked.lock().unwrap().len(), asked_before, "nobody is asked about nothing");
        let used = ask(path, with_token(body.clone(), "used")).await.expect_error(400, "captcha_failed");
        assert_eq!(used.json()["message"], "captcha protection: request disallowed (timeout-or-duplicate)");
        for down in ["our-fault", "nonsense"] {
            ask(path, with_token(body.clone(), down)).await.expect_error(503, "service_unavailable");
        }
    }
    for path in ["/signup?grant_type=refresh_token", "/token?grant_type=refresh_token&grant_type=password"] {
        ask(path, body.clone()).await.expect_error(400, "captcha_failed");
    }
    let session =
        ask("/token?grant_type=password", with_token(body, "passed")).await.expect_status(200).json();

    assert_eq!(session["user"]["email"], "ada@example.com");
    let first = asked.lock().unwrap()[0].clone();
    let expected = [("secret", "the-site-secret"), ("response", "passed"), ("remoteip", "127.0.0.1")];
    assert_eq!(first, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert!(!app.server.log().contains("the-site-secret"));
}

#[tokio::test]
async fn servers_and_those_who_proved_something_else_need_none() {
    let (url, asked) = verifier().await;
    let app = TestApp::with(guarded(&url)).await;
    let server = speaking(app.service());
    let body = json!({"email": "ada@example.com", "password": PASSWORD});

    let session = server.post("/auth/v1/signup", body).await.expect_status(200).json();
    refresh(&client(&app), &refresh_token(&session)).await.expect_status(200);
    let flow = json!({"auth_code": "00000000-0000-0000-0000-000000000000", "code_verifier": "x"});
    client(&app).post("/auth/v1/token?grant_type=pkce", flow).await.expect_error(404, "flow_state_not_found");
    client(&app).get("/auth/v1/settings").await.expect_status(200);

    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_provider_nobody_is_asked() {
    let app = TestApp::with(options()).await;
    user(&app, "ada@example.com").await;
}
