//! Removing factors, and what may not be done without one.

use serde_json::json;

use super::{Person, server};
use crate::auth::{about, message, refused_within_a_second};

#[tokio::test]
async fn b11_whoever_knows_the_password_alone_neither_enrols_nor_removes() {
    let app = server(&[("auth.mfa.phone_enroll", "true"), ("auth.mfa.phone_verify", "true")]).await;
    let mut ada = Person::new(&app, "ada").await;
    let thief = ada.sign_in().await;
    let phone = json!({"factor_type": "phone", "phone": "+4915112345678"});
    let planted = thief.post("/factors", phone).await.expect_status(200).json();
    let planted = planted["id"].as_str().unwrap();
    let own = ada.with_app().await;
    let thief = ada.sign_in().await;

    let totp = json!({"factor_type": "totp", "friendly_name": "thief's"});
    thief.post("/factors", totp).await.expect_error(403, "insufficient_aal");
    let removed = thief.client().delete(&format!("/auth/v1/factors/{}", own.id)).await;
    removed.expect_error(422, "insufficient_aal");
    thief.answer(planted, "123456").await.expect_error(403, "insufficient_aal");
}

#[tokio::test]
async fn b12_with_the_factor_goes_the_level_of_every_session_within_a_second() {
    let app = server(&[("environment", "development")]).await;
    let (mut ada, phone) = Person::enrolled(&app, "ada").await;
    let mut elsewhere = ada.sign_in().await;
    elsewhere.becomes(elsewhere.answer(&phone.id, &phone.code(1)).await);
    ada.post("/factors/recovery-codes", json!({})).await.expect_status(200);
    elsewhere.client().get("/rest/v1/").await.expect_status(200);

    let removed = ada.client().delete(&format!("/auth/v1/factors/{}", phone.id)).await;
    assert_eq!(removed.expect_status(200).json(), json!({"id": phone.id}));

    refused_within_a_second([&elsewhere.client()], (403, "insufficient_aal")).await;
    for person in [&mut ada, &mut elsewhere] {
        person.client().get("/auth/v1/user").await.expect_error(403, "insufficient_aal");
        person.refresh().await;
        assert_eq!(person.claims()["aal"], "aal1");
        assert_eq!(person.claims()["amr"].as_array().unwrap().len(), 1);
        person.client().get("/rest/v1/").await.expect_status(200);
    }
    assert_eq!(app.database.value("select count(*) from goforward.auth_recovery_codes").await, "0");
    for event in ["added to", "removed from"] {
        let notice = format!("A second factor was {event} your account");
        message(&app, "ada@example.com", about(&notice)).await;
    }
}

#[tokio::test]
async fn a_factor_that_never_counted_is_removed_without_one_and_nobody_removes_anothers() {
    let app = server(&[]).await;
    let ada = Person::new(&app, "ada").await;
    let eve = Person::new(&app, "eve").await;
    let phone = ada.enrol("my phone").await;
    let path = format!("/auth/v1/factors/{}", phone.id);

    eve.client().delete(&path).await.expect_error(404, "mfa_factor_not_found");
    ada.client().delete(&path).await.expect_status(200);
    ada.client().delete(&path).await.expect_error(404, "mfa_factor_not_found");
    ada.client().delete("/auth/v1/factors/no-id").await.expect_error(404, "validation_failed");
}
