//! Recovery codes.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Person, one_counts, server};

async fn codes(person: &Person) -> Vec<Value> {
    let answer = person.post("/factors/recovery-codes", json!({})).await.expect_status(200);
    answer.json()["codes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn gf_mfa_02_ten_codes_each_raise_a_session_once_and_are_void_after_new_ones() {
    let app = server(&[]).await;
    let (ada, _) = Person::enrolled(&app, "ada").await;
    let old = codes(&ada).await;
    assert_eq!(old.len(), 10);

    for code in &old[..2] {
        let mut later = ada.sign_in().await;
        later.becomes(later.post("/factors/recovery-codes/verify", json!({"code": code})).await);
        assert_eq!(later.claims()["aal"], "aal2");
        let again = ada.post("/factors/recovery-codes/verify", json!({"code": code})).await;
        again.expect_error(422, "mfa_verification_failed");
    }
    let new = codes(&ada).await;
    for (code, status) in [(&old[5], 422), (&new[0], 200), (&json!("nonsense"), 422)] {
        let answer = ada.post("/factors/recovery-codes/verify", json!({"code": code})).await;
        answer.expect_status(status);
    }
}

#[tokio::test]
async fn b10_of_fifty_who_show_one_code_exactly_one_gets_in_and_only_digests_are_stored() {
    let app = server(&[]).await;
    let (ada, _) = Person::enrolled(&app, "ada").await;
    let codes = codes(&ada).await;

    let body = json!({"code": codes[0]});
    let answers = join_all((0..50).map(|_| ada.post("/factors/recovery-codes/verify", body.clone()))).await;

    one_counts(&answers, 422);
    let stored =
        app.database.value("select string_agg(r::text, ' ') from goforward.auth_recovery_codes r").await;
    for code in &codes {
        assert!(!stored.contains(&code.as_str().unwrap().replace('-', "")), "{stored}");
    }
}

#[tokio::test]
async fn codes_are_made_by_who_gave_a_factor_and_are_nobody_elses() {
    let app = server(&[]).await;
    let eve = Person::new(&app, "eve").await;
    eve.post("/factors/recovery-codes", json!({})).await.expect_error(403, "insufficient_aal");
    let (ada, _) = Person::enrolled(&app, "ada").await;
    let codes = codes(&ada).await;

    let stolen = eve.post("/factors/recovery-codes/verify", json!({"code": codes[0]})).await;

    stolen.expect_error(422, "mfa_verification_failed");
    let later = ada.sign_in().await;
    later.post("/factors/recovery-codes", json!({})).await.expect_error(403, "insufficient_aal");
}
