//! Second factors and passkeys, as clients use them.

mod admin;
mod app;
mod authenticator;
mod hook;
mod limits;
mod passkeys;
mod phone;
mod recovery;
mod removal;
mod required;
mod root_secret;
mod security_key;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Options, TestApp, now};

/// A server whose users need no mail to sign up, with these settings, and without a limit on tries.
async fn server(settings: &[(&str, &str)]) -> TestApp {
    let options = Options::default()
        .set("auth.email.autoconfirm", "true")
        .set("auth.anonymous_users", "true")
        .set("auth.rate_limits.factors", "0")
        .set("auth.rate_limits.otp", "0")
        .set("auth.rate_limits.token", "0");
    let options = settings.iter().fold(options, |options, (key, value)| options.set(key, value));
    TestApp::with(options).await
}

/// A user who is signed in.
struct Person {
    email: String,
    api: Client,
    /// The session as the server gave it last.
    session: Value,
}

const PASSWORD: &str = "correct horse battery";

impl Person {
    /// Signs up with a name of one's own.
    async fn new(app: &TestApp, name: &str) -> Self {
        let email = format!("{name}@example.com");
        let api = app.client().apikey(&app.server.keys().anon_key);
        let api = api.header("x-supabase-api-version", "2024-01-01");
        let session = api.post("/auth/v1/signup", json!({"email": email, "password": PASSWORD})).await;
        Self { email, session: session.expect_status(200).json(), api }
    }

    /// The same person on another device.
    async fn sign_in(&self) -> Self {
        let body = json!({"email": self.email, "password": PASSWORD});
        let session = self.api.post("/auth/v1/token?grant_type=password", body).await;
        let session = session.expect_status(200).json();
        Self { email: self.email.clone(), api: self.api.clone(), session }
    }

    /// A client with the person's token.
    fn client(&self) -> Client {
        self.api.clone().bearer(self.session["access_token"].as_str().unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.client().post(&format!("/auth/v1{path}"), body).await
    }

    /// The claims of the person's token.
    fn claims(&self) -> Value {
        let token = self.session["access_token"].as_str().unwrap();
        let payload = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    /// Takes on the session of an answer.
    fn becomes(&mut self, answer: Answer) {
        self.session = answer.expect_status(200).json();
    }

    async fn refresh(&mut self) {
        let body = json!({"refresh_token": self.session["refresh_token"]});
        self.becomes(self.api.post("/auth/v1/token?grant_type=refresh_token", body).await);
    }

    /// Enrols an authenticator app that is not verified yet.
    async fn enrol(&self, name: &str) -> App {
        let answer = self.post("/factors", json!({"factor_type": "totp", "friendly_name": name})).await;
        let factor = answer.expect_status(200).json();
        App {
            id: factor["id"].as_str().unwrap().to_owned(),
            secret: base32(factor["totp"]["secret"].as_str().unwrap()),
        }
    }

    /// A challenge of a factor.
    async fn challenge(&self, factor: &str) -> String {
        let answer = self.post(&format!("/factors/{factor}/challenge"), json!({})).await;
        answer.expect_status(200).json()["id"].as_str().unwrap().to_owned()
    }

    /// Answers a new challenge.
    async fn answer(&self, factor: &str, code: &str) -> Answer {
        let challenge = self.challenge(factor).await;
        self.post(&format!("/factors/{factor}/verify"), json!({"challenge_id": challenge, "code": code}))
            .await
    }

    /// Enrols an authenticator app and gives it in this session.
    async fn with_app(&mut self) -> App {
        let app = self.enrol("my phone").await;
        self.becomes(self.answer(&app.id, &app.code(0)).await);
        app
    }

    /// A person with an app, in a session of `aal2`.
    async fn enrolled(app: &TestApp, name: &str) -> (Self, App) {
        let mut person = Self::new(app, name).await;
        let app = person.with_app().await;
        (person, app)
    }
}

/// An authenticator app.
pub(super) struct App {
    id: String,
    secret: Vec<u8>,
}

impl App {
    /// The app of a factor with this secret.
    pub(super) fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: base32(secret) }
    }

    /// The code of a step from now (RFC 6238). One that was used, or is older, counts no more: tests use 0 and then 1.
    pub(super) fn code(&self, from_now: i64) -> String {
        let step = now() / 30 + from_now;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let offset = usize::from(tag.as_ref().last().unwrap() & 15);
        let word: [u8; 4] = tag.as_ref()[offset..offset + 4].try_into().unwrap();
        format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000)
    }

    /// A code that is wrong now.
    fn wrong_code(&self) -> String {
        let right: Vec<String> = (-2..=2).map(|from_now| self.code(from_now)).collect();
        (0..6).map(|number| format!("{number:06}")).find(|code| !right.contains(code)).unwrap()
    }
}

fn base32(text: &str) -> Vec<u8> {
    let digit = |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c).unwrap();
    let bits: Vec<usize> =
        text.bytes().flat_map(|c| (0..5).rev().map(move |bit| digit(c) >> bit & 1)).collect();
    let byte = |bits: &[usize]| u8::try_from(bits.iter().fold(0, |byte, bit| byte << 1 | bit)).unwrap();
    bits.chunks_exact(8).map(byte).collect()
}

/// Fails unless one of many answers is a success, and every other one this refusal, or that of a request whose turn did not
/// come in time (503).
fn one_counts(answers: &[Answer], refusal: u16) {
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, refusal, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&refusal), "{statuses:?}");
}
