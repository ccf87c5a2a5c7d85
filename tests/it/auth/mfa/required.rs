//! `auth.mfa.required_for_login`: who has a second factor must give it.

use serde_json::json;

use super::{Person, server};

#[tokio::test]
async fn where_the_second_factor_is_asked_for_a_session_without_it_leads_to_it_and_nowhere_else() {
    let app = server(&[("auth.mfa.required_for_login", "true")]).await;
    let without = Person::new(&app, "eve").await;
    without.client().get("/rest/v1/").await.expect_status(200);
    let (ada, phone) = Person::enrolled(&app, "ada").await;
    ada.client().get("/rest/v1/").await.expect_status(200);

    let mut later = ada.sign_in().await;
    later.client().get("/rest/v1/").await.expect_error(403, "insufficient_aal");
    later.client().get("/auth/v1/sessions").await.expect_error(403, "insufficient_aal");
    let enrol = later.post("/factors", json!({"factor_type": "totp"})).await;
    enrol.expect_error(403, "insufficient_aal");
    later.refresh().await;
    later.client().get("/auth/v1/user").await.expect_status(200);
    let challenge = later.challenge(&phone.id).await;
    let answer = json!({"challenge_id": challenge, "code": phone.code(1), "issue_api_key": true});
    later.becomes(later.post(&format!("/factors/{}/verify", phone.id), answer).await);

    let key = later.session["api_key"].as_str().unwrap();
    later.api.clone().bearer(key).get("/rest/v1/").await.expect_status(200);
    later.client().get("/rest/v1/").await.expect_status(200);
    later.client().get("/auth/v1/sessions").await.expect_status(200);
}
