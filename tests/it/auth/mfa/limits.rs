//! What is refused: who may not enrol, how many factors, how many tries.

use std::time::Instant;

use serde_json::json;

use super::{Person, server};

#[tokio::test]
async fn b09_fifteen_tries_and_one_every_four_seconds_are_let_through() {
    let app = server(&[("auth.rate_limits.factors", "15")]).await;
    let ada = Person::new(&app, "ada").await;
    let phone = ada.enrol("my phone").await;
    let begun = Instant::now();
    let challenge = ada.challenge(&phone.id).await;
    let path = format!("/factors/{}/verify", phone.id);

    let mut tries = 1;
    let refused = loop {
        let body = json!({"challenge_id": challenge, "code": phone.wrong_code()});
        let answer = ada.post(&path, body).await;
        if answer.status == 429 {
            break answer;
        }
        answer.expect_status(422);
        tries += 1;
        assert!(tries <= 15 + begun.elapsed().as_secs() / 4, "{tries} in {:?}", begun.elapsed());
    };

    assert!(tries >= 15, "{tries}");
    let refused = refused.expect_error(429, "over_request_rate_limit");
    assert_ne!(refused.header("retry-after"), "");
}

#[tokio::test]
async fn b09_a_challenge_ends_after_five_wrong_answers_and_after_300_seconds() {
    let app = server(&[]).await;
    let ada = Person::new(&app, "ada").await;
    let phone = ada.enrol("my phone").await;
    let path = format!("/factors/{}/verify", phone.id);
    let challenge = ada.challenge(&phone.id).await;
    for _ in 0..5 {
        let body = json!({"challenge_id": challenge, "code": phone.wrong_code()});
        ada.post(&path, body).await.expect_error(422, "mfa_verification_failed");
    }
    let body = json!({"challenge_id": challenge, "code": phone.code(0)});
    ada.post(&path, body).await.expect_error(422, "mfa_challenge_expired");

    for (age, status) in [(301, 422), (270, 200)] {
        let challenge = ada.challenge(&phone.id).await;
        let sql = format!("update auth.mfa_challenges set created_at = created_at - interval '{age} s'");
        app.database.run(&sql).await;
        let body = json!({"challenge_id": challenge, "code": phone.code(0)});
        ada.post(&path, body).await.expect_status(status);
    }
}

#[tokio::test]
async fn a_factor_that_was_not_verified_in_300_seconds_is_gone() {
    let app = server(&[]).await;
    let ada = Person::new(&app, "ada").await;
    let phone = ada.enrol("my phone").await;
    app.database.run("update auth.mfa_factors set created_at = created_at - interval '301 s'").await;

    let asked = ada.post(&format!("/factors/{}/challenge", phone.id), json!({})).await;
    asked.expect_error(404, "mfa_factor_not_found");
    ada.enrol("my phone").await;
    assert_eq!(app.database.value("select count(*) from auth.mfa_factors").await, "1");
}

#[tokio::test]
async fn a_user_has_ten_factors_at_most_and_calls_no_two_the_same() {
    let app = server(&[]).await;
    let ada = Person::new(&app, "ada").await;
    for number in 0..10 {
        ada.enrol(&format!("phone {number}")).await;
        let twice = json!({"factor_type": "totp", "friendly_name": "phone 0"});
        let code = if number < 9 { "mfa_factor_name_conflict" } else { "too_many_enrolled_mfa_factors" };
        ada.post("/factors", twice).await.expect_error(422, code);
    }
}

#[tokio::test]
async fn anonymous_users_enrol_nothing() {
    let app = server(&[]).await;
    let mut nobody = Person::new(&app, "ada").await;
    nobody.becomes(nobody.api.post("/auth/v1/signup", json!({})).await);

    nobody.post("/factors", json!({"factor_type": "totp"})).await.expect_error(403, "no_authorization");
    nobody.post("/factors/recovery-codes", json!({})).await.expect_error(403, "no_authorization");
}

#[tokio::test]
async fn what_is_switched_off_is_refused_by_its_own_code() {
    let app = server(&[("auth.mfa.totp_verify", "false")]).await;
    let ada = Person::new(&app, "ada").await;
    let phone = json!({"factor_type": "phone", "phone": "+4915112345678"});
    ada.post("/factors", phone).await.expect_error(422, "mfa_phone_enroll_not_enabled");
    let key = json!({"factor_type": "webauthn"});
    ada.post("/factors", key).await.expect_error(422, "mfa_webauthn_enroll_not_enabled");
    ada.post("/factors", json!({"factor_type": "x"})).await.expect_error(400, "validation_failed");

    let app = ada.enrol("my phone").await;
    let asked = ada.post(&format!("/factors/{}/challenge", app.id), json!({})).await;
    asked.expect_error(422, "mfa_totp_verify_not_enabled");
}
