//! Codes by text message.

use serde_json::json;

use super::{Person, server};
use crate::harness::{TestApp, eventually};

const PHONE: [(&str, &str); 3] =
    [("auth.mfa.phone_enroll", "true"), ("auth.mfa.phone_verify", "true"), ("auth.phone.resend_after", "0s")];

/// The code of the last of so many messages.
async fn code(app: &TestApp, messages: usize) -> String {
    let client = app.client().header("accept", "application/json");
    eventually("the message has come", async || client.get("/dev/mail").await.rows() == messages).await;
    let sent = client.get("/dev/mail").await.json();
    let text = sent[0]["text"].as_str().unwrap().to_owned();
    text.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_code_by_message_raises_the_session_and_is_stored_as_a_digest() {
    let app = server(&PHONE).await;
    let mut ada = Person::new(&app, "ada").await;
    let body = json!({"factor_type": "phone", "phone": "+49 151 12345678"});
    let factor = ada.post("/factors", body.clone()).await.expect_status(200).json();
    assert_eq!((&factor["type"], &factor["phone"]), (&json!("phone"), &json!("4915112345678")));
    let again = ada.post("/factors", body.clone()).await.expect_status(200).json();
    let id = again["id"].as_str().unwrap().to_owned();
    assert_ne!(factor["id"], again["id"], "an attempt that was broken off is replaced");

    let challenge = ada.challenge(&id).await;
    let code = code(&app, 1).await;
    let stored = app.database.value("select otp_code from auth.mfa_challenges").await;
    assert!(stored.len() == 64 && !stored.contains(&code), "{stored}");
    let path = format!("/factors/{id}/verify");
    let wrong = json!({"challenge_id": challenge, "code": "000000x"});
    ada.post(&path, wrong).await.expect_error(422, "mfa_verification_failed");
    let right = json!({"challenge_id": challenge, "code": code});
    ada.becomes(ada.post(&path, right.clone()).await);

    assert_eq!(ada.claims()["amr"][0]["method"], "mfa/phone");
    ada.post(&path, right).await.expect_error(422, "mfa_factor_not_found");
    ada.post("/factors", body).await.expect_error(422, "mfa_verified_factor_exists");
}

#[tokio::test]
async fn a_code_counts_for_its_own_challenge_only_and_five_tries_end_it() {
    let app = server(&PHONE).await;
    let ada = Person::new(&app, "ada").await;
    let factor = ada.post("/factors", json!({"factor_type": "phone", "phone": "+4915112345678"})).await;
    let id = factor.expect_status(200).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/factors/{id}/verify");
    let first = ada.challenge(&id).await;
    let first_code = code(&app, 1).await;
    let second = ada.challenge(&id).await;
    let second_code = code(&app, 2).await;
    assert_ne!(first_code, second_code, "one in a million");

    for _ in 0..5 {
        let body = json!({"challenge_id": first, "code": second_code});
        ada.post(&path, body).await.expect_error(422, "mfa_verification_failed");
    }
    let body = json!({"challenge_id": first, "code": first_code});
    ada.post(&path, body).await.expect_error(422, "mfa_challenge_expired");
    ada.post(&path, json!({"challenge_id": second, "code": second_code})).await.expect_status(200);
}
