//! Passkeys: registered by their user, and good for a sign-in with nothing else.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::authenticator::{Authenticator, PRESENT, VERIFIED};
use super::{Person, one_counts, server};
use crate::auth::{about, message};
use crate::harness::{Answer, TestApp};

const ON: [(&str, &str); 4] = [
    ("auth.site_url", "https://shop.example.com"),
    ("auth.mfa.passkeys", "true"),
    ("auth.mfa.max_factors", "3"),
    ("auth.rate_limits.verify", "0"),
];

/// Changes what an authenticator says.
type Attack = fn(&mut Authenticator);

/// What the browser of this person is asked at a registration.
async fn begin(person: &Person) -> Value {
    person.post("/passkeys/registration/options", json!({})).await.expect_status(200).json()
}

async fn answer(person: &Person, begun: &Value, credential: Value) -> Answer {
    let body = json!({"challenge_id": begun["challenge_id"], "credential": credential});
    person.post("/passkeys/registration/verify", body).await
}

/// Registers a new authenticator.
async fn register(person: &Person) -> (Authenticator, String) {
    let mut device = Authenticator::new();
    let begun = begin(person).await;
    let made = answer(person, &begun, device.create(&begun["options"])).await.expect_status(200).json();
    (device, made["id"].as_str().unwrap().to_owned())
}

/// Signs in with what the device answers to these options.
async fn sign_in(app: &TestApp, device: &mut Authenticator) -> Answer {
    let begun = begin_sign_in(app).await;
    finish(app, &begun, &device.get(&begun["options"])).await
}

async fn begin_sign_in(app: &TestApp) -> Value {
    let begun = app.anon().post("/auth/v1/passkeys/authentication/options", json!({})).await;
    begun.expect_status(200).json()
}

async fn finish(app: &TestApp, begun: &Value, credential: &Value) -> Answer {
    let body = json!({"challenge_id": begun["challenge_id"], "credential": credential});
    let client = app.anon().header("x-supabase-api-version", "2024-01-01");
    client.post("/auth/v1/passkeys/authentication/verify", body).await
}

#[tokio::test]
async fn a_passkey_signs_its_user_in_is_listed_renamed_and_deleted() {
    let app = server(&ON).await;
    let settings = app.anon().get("/auth/v1/settings").await.json();
    assert_eq!(settings["passkeys_enabled"], true);
    let mut ada = Person::new(&app, "ada").await;

    let begun = begin(&ada).await;
    let options = &begun["options"];
    assert_eq!(options["rp"]["id"], "shop.example.com");
    assert_eq!(options["user"]["name"], "ada@example.com");
    assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
    let (mut device, id) = register(&ada).await;
    ada.becomes(sign_in(&app, &mut device).await);

    let begun_again = begin_sign_in(&app).await;
    let wish = json!({
        "challenge_id": begun_again["challenge_id"], "credential": device.get(&begun_again["options"]),
        "issue_api_key": true,
    });
    let with_key = app.anon().post("/auth/v1/passkeys/authentication/verify", wish).await.expect_status(200);
    assert!(with_key.json()["api_key"].as_str().unwrap().starts_with("gf_session_"));
    let claims = ada.claims();
    assert_eq!((&claims["aal"], &claims["amr"][0]["method"]), (&json!("aal1"), &json!("passkey")));
    let path = format!("/auth/v1/passkeys/{id}");
    let renamed = ada.client().patch(&path, json!({"friendly_name": "laptop"})).await.expect_status(200);
    assert_eq!(renamed.json()["friendly_name"], "laptop");
    let listed = ada.client().get("/auth/v1/passkeys").await.expect_status(200).json();
    assert_eq!(listed, json!([renamed.json()]));
    assert!(listed[0]["last_used_at"].is_string());
    let again = begin(&ada).await;
    assert_eq!(again["options"]["excludeCredentials"].as_array().unwrap().len(), 1);
    ada.client().delete(&path).await.expect_status(204);
    ada.client().delete(&path).await.expect_error(404, "webauthn_credential_not_found");
    sign_in(&app, &mut device).await.expect_error(400, "webauthn_verification_failed");
    for event in ["added to", "removed from"] {
        let notice = format!("A second factor was {event} your account");
        message(&app, "ada@example.com", about(&notice)).await;
    }
}

#[tokio::test]
async fn d15_an_answer_that_is_not_wholly_right_signs_nobody_in() {
    let app = server(&ON).await;
    let (ada, eve) = (Person::new(&app, "ada").await, Person::new(&app, "eve").await);
    let (mut device, _) = register(&ada).await;
    let (mut hers, _) = register(&eve).await;
    device.counter = 10;
    sign_in(&app, &mut device).await.expect_status(200);
    let attacks: [(&str, Attack); 9] = [
        ("another page", |device| device.origin = "https://evil.example.com".to_owned()),
        ("without TLS", |device| device.origin = "http://shop.example.com".to_owned()),
        ("in a frame", |device| device.framed = true),
        ("another domain", |device| device.rp_id = "evil.example.com".to_owned()),
        ("user not verified", |device| device.flags = PRESENT),
        ("user not present", |device| device.flags = VERIFIED),
        ("in a backup that cannot be", |device| device.flags |= 16),
        ("counter went back", |device| device.counter = 9),
        ("counter stands still", |device| device.counter = 10),
    ];
    let good = (device.origin.clone(), device.rp_id.clone());
    for (name, attack) in attacks {
        attack(&mut device);
        let answer = sign_in(&app, &mut device).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        answer.expect_error(400, "webauthn_verification_failed");
        (device.origin, device.rp_id) = good.clone();
        (device.framed, device.flags, device.counter) = (false, PRESENT | VERIFIED, 20);
    }
    // Another's signature, another's name, another challenge, another ceremony.
    std::mem::swap(&mut device.id, &mut hers.id);
    sign_in(&app, &mut device).await.expect_error(400, "webauthn_verification_failed");
    std::mem::swap(&mut device.id, &mut hers.id);
    std::mem::swap(&mut device.handle, &mut hers.handle);
    sign_in(&app, &mut device).await.expect_error(400, "webauthn_verification_failed");
    std::mem::swap(&mut device.handle, &mut hers.handle);
    let (first, second) = (begin_sign_in(&app).await, begin_sign_in(&app).await);
    let stale = finish(&app, &first, &device.get(&second["options"])).await;
    stale.expect_error(400, "webauthn_verification_failed");
    let registration = begin(&ada).await;
    let mixed = finish(&app, &registration, &device.get(&registration["options"])).await;
    mixed.expect_error(400, "webauthn_challenge_not_found");

    sign_in(&app, &mut device).await.expect_status(200);
}

#[tokio::test]
async fn d15_a_challenge_is_answered_once_and_within_300_seconds() {
    let app = server(&ON).await;
    let ada = Person::new(&app, "ada").await;
    let (mut device, _) = register(&ada).await;

    let begun = begin_sign_in(&app).await;
    let credential = device.get(&begun["options"]);
    let answers = join_all((0..50).map(|_| finish(&app, &begun, &credential))).await;
    one_counts(&answers, 400);
    let replayed = finish(&app, &begun, &credential).await;
    replayed.expect_error(400, "webauthn_challenge_not_found");

    let begun = begin_sign_in(&app).await;
    app.database.run("update auth.webauthn_challenges set expires_at = expires_at - interval '301 s'").await;
    let late = finish(&app, &begun, &device.get(&begun["options"])).await;
    late.expect_error(400, "webauthn_challenge_expired");
}

#[tokio::test]
async fn d15_a_registration_that_is_not_wholly_right_makes_no_passkey() {
    let app = server(&ON).await;
    let (ada, eve) = (Person::new(&app, "ada").await, Person::new(&app, "eve").await);
    let attacks: [Attack; 4] = [
        |device| device.origin = "https://evil.example.com".to_owned(),
        |device| device.rp_id = "evil.example.com".to_owned(),
        |device| device.flags = PRESENT,
        |device| device.flags = VERIFIED,
    ];
    for attack in attacks {
        let mut device = Authenticator::new();
        attack(&mut device);
        let begun = begin(&ada).await;
        let refused = answer(&ada, &begun, device.create(&begun["options"])).await;
        refused.expect_error(400, "webauthn_verification_failed");
    }
    let (mut device, begun) = (Authenticator::new(), begin(&ada).await);
    let credential = device.create(&begun["options"]);
    answer(&eve, &begun, credential.clone()).await.expect_error(400, "webauthn_challenge_not_found");
    answer(&ada, &begun, credential).await.expect_status(200);
    let begun = begin(&eve).await;
    let copied = answer(&eve, &begun, device.create(&begun["options"])).await;
    copied.expect_error(422, "webauthn_credential_exists");
    assert_eq!(app.database.value("select count(*) from auth.webauthn_credentials").await, "1");
}

#[tokio::test]
async fn who_may_not_have_passkeys_is_told_so() {
    let off = server(&[]).await;
    let ada = Person::new(&off, "ada").await;
    ada.post("/passkeys/registration/options", json!({})).await.expect_error(404, "passkey_disabled");
    ada.client().get("/auth/v1/passkeys").await.expect_error(404, "passkey_disabled");

    let app = server(&ON).await;
    let mut ada = Person::new(&app, "ada").await;
    let (mut device, id) = register(&ada).await;
    register(&ada).await;
    let app_of_ada = ada.with_app().await;
    register(&ada).await;
    let fourth = ada.post("/passkeys/registration/options", json!({})).await;
    fourth.expect_error(422, "too_many_passkeys");

    let mut thief = ada.sign_in().await;
    let planted = thief.post("/passkeys/registration/options", json!({})).await;
    planted.expect_error(403, "insufficient_aal");
    let path = format!("/auth/v1/passkeys/{id}");
    thief.client().delete(&path).await.expect_error(403, "insufficient_aal");
    thief.becomes(thief.answer(&app_of_ada.id, &app_of_ada.code(1)).await);
    thief.client().delete("/auth/v1/passkeys/no-id").await.expect_error(404, "validation_failed");

    let mut nobody = Person::new(&app, "eve").await;
    nobody.becomes(nobody.api.post("/auth/v1/signup", json!({})).await);
    let refused = nobody.post("/passkeys/registration/options", json!({})).await;
    refused.expect_error(403, "no_authorization");

    for (column, value, code) in [
        ("banned_until", "now() + interval '1 hour'", (403, "user_banned")),
        ("email_confirmed_at", "null", (403, "email_not_confirmed")),
        ("deleted_at", "now()", (400, "webauthn_verification_failed")),
    ] {
        app.database
            .run(&format!("update auth.users set {column} = {value} where email = 'ada@example.com'"))
            .await;
        sign_in(&app, &mut device).await.expect_error(code.0, code.1);
        let back = if column == "email_confirmed_at" { "now()" } else { "null" };
        app.database
            .run(&format!("update auth.users set {column} = {back} where email = 'ada@example.com'"))
            .await;
    }
    sign_in(&app, &mut device).await.expect_status(200);
}
