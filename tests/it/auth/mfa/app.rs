//! Authenticator apps: enrolment, challenge, verification, and codes that count once.

use futures_util::future::join_all;
use serde_json::json;

use super::{Person, one_counts, server};
use crate::harness::now;

#[tokio::test]
async fn gf_mfa_01_an_authenticator_app_raises_the_session_to_aal2() {
    let app = server(&[("auth.site_url", "https://shop.example.com")]).await;
    let mut ada = Person::new(&app, "ada").await;
    assert_eq!(ada.claims()["aal"], "aal1");
    ada.client().get("/rest/v1/").await.expect_status(200);

    let factor = ada.post("/factors", json!({"factor_type": "totp", "friendly_name": "my phone"})).await;
    let factor = factor.expect_status(200).json();
    assert_eq!((&factor["type"], &factor["friendly_name"]), (&json!("totp"), &json!("my phone")));
    let (picture, uri) =
        (factor["totp"]["qr_code"].as_str().unwrap(), factor["totp"]["uri"].as_str().unwrap());
    assert!(picture.starts_with("<svg"), "{picture:.80}");
    let secret = factor["totp"]["secret"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/shop.example.com:ada%40example.com?"), "{uri}");
    assert!(uri.ends_with(&format!("secret={secret}")), "{uri}");

    let id = factor["id"].as_str().unwrap();
    let phone = super::App { id: id.to_owned(), secret: super::base32(secret) };
    let before = now();
    let challenge = ada.post(&format!("/factors/{id}/challenge"), json!({})).await.expect_status(200).json();
    let (expires_at, after) = (challenge["expires_at"].as_i64().unwrap(), now());
    assert!((before + 299..=after + 300).contains(&expires_at), "{before}, {expires_at}, {after}");
    assert_eq!(challenge["type"], "totp");
    let body = json!({"challenge_id": challenge["id"], "code": phone.code(0)});
    ada.becomes(ada.post(&format!("/factors/{id}/verify"), body).await);

    let claims = ada.claims();
    assert_eq!((&claims["aal"], &claims["amr"][0]["method"]), (&json!("aal2"), &json!("totp")));
    assert_eq!(claims["amr"][1]["method"], "password");
    assert_eq!(ada.session["user"]["factors"][0]["status"], "verified");
    ada.client().get("/rest/v1/").await.expect_status(200);
    ada.refresh().await;
    assert_eq!(ada.claims()["aal"], "aal2", "a refresh keeps the level");
    assert_eq!(ada.sign_in().await.claims()["aal"], "aal1", "a password alone is one proof (GF-MFA-05)");
}

#[tokio::test]
async fn verifying_ends_weaker_sessions_and_drops_other_attempts_of_that_type() {
    let app = server(&[("auth.mfa.phone_enroll", "true")]).await;
    let mut ada = Person::new(&app, "ada").await;
    let elsewhere = ada.sign_in().await;
    let (first, second) = (ada.enrol("first").await, ada.enrol("second").await);
    ada.post("/factors", json!({"factor_type": "phone", "phone": "+4915112345678"})).await.expect_status(200);

    ada.becomes(ada.answer(&second.id, &second.code(0)).await);

    elsewhere.client().get("/auth/v1/user").await.expect_error(403, "session_not_found");
    let user = ada.client().get("/auth/v1/user").await.expect_status(200).json();
    let kinds: Vec<_> = user["factors"].as_array().unwrap().iter().map(|f| &f["factor_type"]).collect();
    assert_eq!(kinds, ["totp", "phone"]);
    let gone = ada.post(&format!("/factors/{}/challenge", first.id), json!({})).await;
    gone.expect_error(404, "mfa_factor_not_found");
}

#[tokio::test]
async fn b08_a_code_counts_once_and_never_after_a_newer_one() {
    let app = server(&[]).await;
    let (ada, phone) = Person::enrolled(&app, "ada").await;
    let code = phone.code(1);

    ada.answer(&phone.id, &code).await.expect_status(200);
    ada.answer(&phone.id, &code).await.expect_error(422, "mfa_verification_failed");
    ada.answer(&phone.id, &phone.code(0)).await.expect_error(422, "mfa_verification_failed");
}

#[tokio::test]
async fn b08_of_fifty_answers_with_one_code_exactly_one_counts() {
    let app = server(&[]).await;
    let (ada, phone) = Person::enrolled(&app, "ada").await;
    let mut challenges = Vec::new();
    for _ in 0..50 {
        challenges.push(ada.challenge(&phone.id).await);
    }
    let (path, code) = (format!("/factors/{}/verify", phone.id), phone.code(1));

    let answers = challenges.iter().map(|id| ada.post(&path, json!({"challenge_id": id, "code": code})));
    let answers = join_all(answers).await;

    one_counts(&answers, 422);
}

#[tokio::test]
async fn a_challenge_is_answered_once_by_the_address_that_asked_and_for_its_own_factor() {
    let app = server(&[]).await;
    let (ada, phone) = Person::enrolled(&app, "ada").await;
    let (eve, other) = Person::enrolled(&app, "eve").await;
    let path = format!("/factors/{}/verify", phone.id);

    let challenge = ada.challenge(&phone.id).await;
    let body = json!({"challenge_id": challenge, "code": phone.code(1)});
    eve.post(&path, body.clone()).await.expect_error(404, "mfa_factor_not_found");
    eve.post(&format!("/factors/{}/verify", other.id), body.clone())
        .await
        .expect_error(422, "mfa_factor_not_found");
    app.database.run("update auth.mfa_challenges set ip_address = '203.0.113.9'").await;
    ada.post(&path, body.clone()).await.expect_error(422, "mfa_ip_address_mismatch");
    app.database.run("update auth.mfa_challenges set ip_address = '127.0.0.1'").await;
    ada.post(&path, body.clone()).await.expect_status(200);
    app.database.run("delete from goforward.auth_totp_steps").await;
    ada.post(&path, body).await.expect_error(422, "mfa_factor_not_found");
}

#[tokio::test]
async fn gf_mfa_03_the_database_holds_secrets_encrypted_and_each_in_its_own_row_only() {
    let app = server(&[]).await;
    let (ada, phone) = Person::enrolled(&app, "ada").await;
    let (_, other) = Person::enrolled(&app, "eve").await;
    let stored = app.database.value("select string_agg(secret, ' ') from auth.mfa_factors").await;
    assert_eq!(stored.matches("gfv1.").count(), 2, "{stored}");

    let sql = format!(
        "update auth.mfa_factors set secret = (select secret from auth.mfa_factors where id = '{}') where id = '{}'",
        other.id, phone.id
    );
    app.database.run(&sql).await;
    ada.answer(&phone.id, &other.code(1)).await.expect_error(500, "unexpected_failure");
}

#[tokio::test]
async fn an_imported_secret_works_and_is_encrypted_at_its_first_use() {
    let app = server(&[]).await;
    let (ada, mut phone) = Person::enrolled(&app, "ada").await;
    app.database.run("update auth.mfa_factors set secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'").await;
    phone.secret = b"12345678901234567890".to_vec();

    ada.answer(&phone.id, &phone.code(1)).await.expect_status(200);

    let stored = app.database.value("select secret from auth.mfa_factors").await;
    assert!(stored.starts_with("gfv1."), "{stored}");
}
