//! Security keys as second factors.

use serde_json::{Value, json};

use super::authenticator::{Authenticator, PRESENT};
use super::{Person, server};

const ON: [(&str, &str); 3] = [
    ("auth.site_url", "https://shop.example.com"),
    ("auth.mfa.webauthn_enroll", "true"),
    ("auth.mfa.webauthn_verify", "true"),
];

async fn ask(person: &Person, factor: &str) -> Value {
    let body = json!({"webauthn": {"rpId": "shop.example.com", "rpOrigins": ["https://shop.example.com"]}});
    person.post(&format!("/factors/{factor}/challenge"), body).await.expect_status(200).json()
}

fn answer(challenge: &Value, credential: &Value) -> Value {
    let kind = &challenge["webauthn"]["type"];
    json!({"challenge_id": challenge["id"], "webauthn": {"type": kind, "credential_response": credential}})
}

fn options(challenge: &Value) -> &Value {
    &challenge["webauthn"]["credential_options"]["publicKey"]
}

#[tokio::test]
async fn gf_mfa_04_a_security_key_raises_the_session_and_is_checked_by_every_rule() {
    let app = server(&ON).await;
    let mut ada = Person::new(&app, "ada").await;
    let enrolled = ada.post("/factors", json!({"factor_type": "webauthn", "friendly_name": "key"})).await;
    let factor = enrolled.expect_status(200).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/factors/{factor}/verify");
    let foreign = json!({"webauthn": {"rpId": "evil.example.com"}});
    ada.post(&format!("/factors/{factor}/challenge"), foreign).await.expect_error(400, "validation_failed");

    // A key without a PIN will do beside a password.
    let mut key = Authenticator::new();
    key.flags = PRESENT;
    let challenge = ask(&ada, &factor).await;
    assert_eq!((&challenge["type"], &challenge["webauthn"]["type"]), (&json!("webauthn"), &json!("create")));
    ada.becomes(ada.post(&path, answer(&challenge, &key.create(options(&challenge)))).await);
    assert_eq!(ada.claims()["amr"][0]["method"], "mfa/webauthn");

    let mut later = ada.sign_in().await;
    key.counter = 5;
    let challenge = ask(&later, &factor).await;
    assert_eq!(challenge["webauthn"]["type"], "request");
    assert_eq!(options(&challenge)["allowCredentials"].as_array().unwrap().len(), 1);
    let credential = key.get(options(&challenge));
    later.becomes(later.post(&path, answer(&challenge, &credential)).await);
    assert_eq!(later.claims()["aal"], "aal2");
    later.post(&path, answer(&challenge, &credential)).await.expect_error(422, "mfa_factor_not_found");

    for attack in [
        |key: &mut Authenticator| key.counter = 5,
        |key: &mut Authenticator| key.origin = "https://evil.example.com".to_owned(),
        |key: &mut Authenticator| key.rp_id = "evil.example.com".to_owned(),
        |key: &mut Authenticator| key.flags = 0,
        |key: &mut Authenticator| key.handle = "AAAA".to_owned(),
    ] {
        let good = (key.origin.clone(), key.rp_id.clone(), key.handle.clone());
        key.counter = 100;
        attack(&mut key);
        let challenge = ask(&later, &factor).await;
        let refused = later.post(&path, answer(&challenge, &key.get(options(&challenge)))).await;
        refused.expect_error(422, "mfa_verification_failed");
        (key.origin, key.rp_id, key.handle) = good;
        key.flags = PRESENT;
    }
    let challenge = ask(&later, &factor).await;
    let typed = json!({"challenge_id": challenge["id"], "code": "123456"});
    later.post(&path, typed).await.expect_error(422, "mfa_verification_failed");
    let another = Authenticator::new()
        .create(&json!({"challenge": options(&challenge)["challenge"], "user": {"id": "AAAA"}}));
    later.post(&path, answer(&challenge, &another)).await.expect_error(400, "validation_failed");
    key.counter = 200;
    later.post(&path, answer(&challenge, &key.get(options(&challenge)))).await.expect_status(200);
}
