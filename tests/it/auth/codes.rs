//! Codes and links: each does one thing, once, for a while.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{PASSWORD, client, code, link, message, options, sign_up, signed_in, user};
use crate::harness::TestApp;

fn verify(kind: &str, email: &str, token: &str) -> Value {
    json!({"type": kind, "email": email, "token": token})
}

#[tokio::test]
async fn b05_after_five_wrong_codes_the_right_one_is_dead() {
    let app = TestApp::with(options()).await;
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let right = code(&message(&app, "ada@example.com", |_| true).await);
    let wrong = if right == "000000" { "000001" } else { "000000" };

    for _ in 0..5 {
        let answer = client(&app).post("/auth/v1/verify", verify("signup", "ada@example.com", wrong)).await;
        answer.expect_error(403, "otp_expired");
    }
    let late = client(&app).post("/auth/v1/verify", verify("signup", "ada@example.com", &right)).await;

    late.expect_error(403, "otp_expired");
}

#[tokio::test]
async fn b05_a_thousand_guesses_at_once_are_five() {
    let app = TestApp::with(options()).await;
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let right = code(&message(&app, "ada@example.com", |_| true).await);
    let guesses = (0..1000).map(|number| format!("{number:06}")).filter(|guess| *guess != right);

    let answers =
        join_all(
            guesses.map(|guess| {
                let client = client(&app);
                async move {
                    client.post("/auth/v1/verify", verify("signup", "ada@example.com", &guess)).await.status
                }
            }),
        )
        .await;

    assert!(answers.iter().all(|status| *status != 200));
    let counted: String =
        app.database.value("select wrong_attempts::text from goforward.auth_token_attempts").await;
    assert_eq!(counted, "5");
}

#[tokio::test]
async fn b06_of_fifty_clients_with_the_right_code_one_is_signed_in() {
    let app = TestApp::with(options()).await;
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let mail = message(&app, "ada@example.com", |_| true).await;
    let (right, hash) = (code(&mail), link(&mail));
    let hash = hash.split("token=").nth(1).unwrap().split('&').next().unwrap().to_owned();

    let answers = join_all((0..50).map(|number| {
        let client = client(&app);
        let body = if number % 2 == 0 {
            verify("signup", "ada@example.com", &right)
        } else {
            json!({"type": "signup", "token_hash": hash})
        };
        async move { client.post("/auth/v1/verify", body).await.status }
    }))
    .await;

    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    let sessions: String = app.database.value("select count(*)::text from auth.sessions").await;
    assert_eq!(sessions, "1");
}

#[tokio::test]
async fn b07_a_code_does_what_it_was_sent_for_and_nothing_else() {
    let app = TestApp::with(options()).await;
    user(&app, "ada@example.com").await;
    client(&app).post("/auth/v1/recover", json!({"email": "ada@example.com"})).await.expect_status(200);
    let is_recovery = |mail: &Value| mail["text"].as_str().unwrap().contains("type=recovery");
    let recovery = code(&message(&app, "ada@example.com", is_recovery).await);

    for kind in ["signup", "invite", "magiclink", "email", "email_change"] {
        let answer = client(&app).post("/auth/v1/verify", verify(kind, "ada@example.com", &recovery)).await;
        assert_eq!(answer.status, 403, "{kind}");
        // Tries count for the tokens that the type may take, so the right one is still alive.
    }
    let answer = client(&app).post("/auth/v1/verify", verify("recovery", "ada@example.com", &recovery)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn b14_after_a_change_of_address_earlier_codes_are_dead() {
    let app = TestApp::with(options().set("auth.email.secure_change", "false")).await;
    let me = signed_in(&app, &user(&app, "old@example.com").await);
    client(&app).post("/auth/v1/recover", json!({"email": "old@example.com"})).await.expect_status(200);
    let is_recovery = |mail: &Value| mail["text"].as_str().unwrap().contains("type=recovery");
    let recovery = link(&message(&app, "old@example.com", is_recovery).await);
    let hash = recovery.split("token=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let put = me.send(reqwest::Method::PUT, "/auth/v1/user", Some(json!({"email": "new@example.com"}))).await;
    put.expect_status(200);
    let change = code(&message(&app, "new@example.com", |_| true).await);
    let done = client(&app).post("/auth/v1/verify", verify("email_change", "new@example.com", &change)).await;
    done.expect_status(200);

    let body = json!({"type": "recovery", "token_hash": hash});
    client(&app).post("/auth/v1/verify", body).await.expect_error(403, "otp_expired");
}

#[tokio::test]
async fn a_link_answers_with_a_code_under_pkce_and_the_code_with_a_session_once() {
    let app = TestApp::with(options()).await;
    user(&app, "ada@example.com").await;
    // The challenge is the SHA-256 of the verifier (RFC 7636 appendix B).
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let body =
        json!({"email": "ada@example.com", "code_challenge": challenge, "code_challenge_method": "s256"});
    client(&app).post("/auth/v1/otp", body).await.expect_status(200);
    let is_pkce = |mail: &Value| mail["text"].as_str().unwrap().contains("token=pkce_");
    let mail = message(&app, "ada@example.com", is_pkce).await;

    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let answer = http.get(format!("{}{}", app.server.url(), link(&mail))).send().await.unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["referrer-policy"].to_str().unwrap()),
        (303, "no-referrer")
    );
    assert!(!location.contains("access_token"), "{location}");
    let auth_code = location.split("code=").nth(1).unwrap().to_owned();
    let exchange = |verifier: &'static str, auth_code: String| {
        let client = client(&app);
        async move {
            let body = json!({"auth_code": auth_code, "code_verifier": verifier});
            client.post("/auth/v1/token?grant_type=pkce", body).await
        }
    };

    let answers = join_all((0..20).map(|_| exchange(verifier, auth_code.clone()))).await;

    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    let late = exchange(verifier, auth_code).await;
    late.expect_error(404, "flow_state_not_found");
}

#[tokio::test]
async fn d10_tokens_of_a_link_are_in_the_fragment_and_errors_lead_to_the_application_too() {
    let app = TestApp::with(options().set("auth.redirect_urls", "https://app.example.com/**")).await;
    client(&app)
        .post(
            "/auth/v1/signup?redirect_to=https://app.example.com/welcome",
            json!({"email": "ada@example.com", "password": PASSWORD}),
        )
        .await
        .expect_status(200);
    let mail = message(&app, "ada@example.com", |_| true).await;
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let follow = || async {
        let answer = http.get(format!("{}{}", app.server.url(), link(&mail))).send().await.unwrap();
        answer.headers()["location"].to_str().unwrap().to_owned()
    };

    let (first, second) = (follow().await, follow().await);

    let (address, fragment) = first.split_once('#').unwrap();
    assert_eq!(address, "https://app.example.com/welcome");
    assert!(fragment.contains("access_token=") && fragment.contains("type=signup"), "{fragment}");
    assert!(
        second.starts_with("https://app.example.com/welcome#error=access_denied&error_code=otp_expired"),
        "{second}"
    );
}

#[tokio::test]
async fn b19_what_looks_at_links_uses_none_up() {
    let app = TestApp::with(options().set("auth.email.confirm_page", "true")).await;
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let link = link(&message(&app, "ada@example.com", |_| true).await);

    client(&app).head(&link).await.expect_status(200);
    let page = client(&app).get(&link).await.expect_status(200);
    let again = client(&app).get(&link).await.expect_status(200);
    assert_eq!((page.header("content-type"), page.text()), ("text/html; charset=utf-8", again.text()));
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let confirm = link.replace("/verify?", "/verify/confirm?");
    let pressed = http.post(format!("{}{confirm}", app.server.url())).send().await.unwrap();

    let location = pressed.headers()["location"].to_str().unwrap();
    assert!(pressed.status().as_u16() == 303 && location.contains("#access_token="), "{location}");
}

#[tokio::test]
async fn d03_whoever_began_an_account_does_not_get_in_once_its_owner_confirms_it() {
    let app = TestApp::with(options()).await;
    let attack = json!({"email": "victim@example.com", "password": "attackers own 1"});
    client(&app).post("/auth/v1/signup", attack).await.expect_status(200);
    let first = code(&message(&app, "victim@example.com", |_| true).await);

    // The victim signs up with a password of its own, and follows that mail.
    sign_up(&app, "victim@example.com").await.expect_status(200);
    let is_second = |mail: &Value| code(mail) != first;
    let second = code(&message(&app, "victim@example.com", is_second).await);
    client(&app)
        .post("/auth/v1/verify", verify("signup", "victim@example.com", &second))
        .await
        .expect_status(200);

    let attacker = super::sign_in(&client(&app), "victim@example.com", "attackers own 1").await;
    attacker.expect_error(400, "invalid_credentials");
}

#[tokio::test]
async fn d03_a_number_is_claimed_by_whoever_gets_the_messages() {
    let app = TestApp::with(options()).await;
    let attack = json!({"phone": "+4915112345678", "password": "attackers own 1"});
    client(&app).post("/auth/v1/signup", attack).await.expect_status(200);
    let first = code(&message(&app, "+4915112345678", |_| true).await);

    client(&app).post("/auth/v1/otp", json!({"phone": "+4915112345678"})).await.expect_status(200);
    let second = code(&message(&app, "+4915112345678", |sms| code(sms) != first).await);
    let claim = json!({"type": "sms", "phone": "+4915112345678", "token": second});
    client(&app).post("/auth/v1/verify", claim).await.expect_status(200);

    let body = json!({"phone": "+4915112345678", "password": "attackers own 1"});
    let attacker = client(&app).post("/auth/v1/token?grant_type=password", body).await;
    attacker.expect_error(400, "invalid_credentials");
}
