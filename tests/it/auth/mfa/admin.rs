//! What administrators do for users who have lost a factor.

use reqwest::Method;
use serde_json::json;

use super::{Person, server};
use crate::harness::run_command;

#[tokio::test]
async fn b12_an_administrator_removes_a_factor_and_its_level_goes_with_it() {
    let app = server(&[]).await;
    let (mut ada, phone) = Person::enrolled(&app, "ada").await;
    let (eve, _) = Person::enrolled(&app, "eve").await;
    let id = |person: &Person| person.session["user"]["id"].as_str().unwrap().to_owned();
    let admin = app.service().header("x-supabase-api-version", "2024-01-01");
    let factors = format!("/auth/v1/admin/users/{}/factors", id(&ada));
    let factor = format!("{factors}/{}", phone.id);

    let listed = admin.get(&factors).await.expect_status(200).json();
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!(phone.id), &json!("verified")));
    assert!(!listed.to_string().contains("secret"), "{listed}");
    let renamed = admin.send(Method::PUT, &factor, Some(json!({"friendly_name": "old phone"}))).await;
    assert_eq!(renamed.expect_status(200).json()["friendly_name"], "old phone");
    let number = admin.send(Method::PUT, &factor, Some(json!({"phone": "+4915112345678"}))).await;
    number.expect_error(400, "validation_failed");
    ada.client().get(&factors).await.expect_error(403, "not_admin");
    let others = format!("/auth/v1/admin/users/{}/factors/{}", id(&eve), phone.id);
    admin.delete(&others).await.expect_error(404, "mfa_factor_not_found");

    assert_eq!(admin.delete(&factor).await.expect_status(200).json()["id"], json!(phone.id));

    ada.client().get("/auth/v1/user").await.expect_error(403, "insufficient_aal");
    ada.refresh().await;
    assert_eq!(ada.claims()["aal"], "aal1");
    eve.client().get("/auth/v1/user").await.expect_status(200);
    let passkeys = format!("/auth/v1/admin/users/{}/passkeys", id(&ada));
    admin.get(&passkeys).await.expect_status(200).expect_json(&json!([]));
    let none = format!("{passkeys}/{}", phone.id);
    admin.delete(&none).await.expect_error(404, "webauthn_credential_not_found");
}

#[tokio::test]
async fn gf_mfa_07_doctor_fails_in_production_while_a_system_admin_has_no_second_factor() {
    let app = server(&[]).await;
    let mut ada = Person::new(&app, "ada").await;
    let sql = "insert into goforward.auth_app_roles (name) values ('system_admin');
        insert into goforward.auth_user_roles (user_id, role) select id, 'system_admin' from auth.users";
    app.database.run(sql).await;
    let url = app.database.url();
    let doctor = |environment: &str| {
        let secret = "k3!vQ9z@R7xL2p#W8sT5yB1nM6cJ4dF0";
        let environment = [
            ("GOFORWARD_ENVIRONMENT", environment),
            ("DATABASE_URL", url.as_str()),
            ("GOFORWARD_AUTH__JWT_SECRET", secret),
        ];
        let output = run_command(&["doctor", "--json"], &environment);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with('['), "{output:?}");
        text.contains("second factor of every system_admin").then_some(output.status.success())
    };

    assert_eq!(doctor("production"), Some(false));
    assert_eq!(doctor("development"), None);
    ada.with_app().await;
    assert_eq!(doctor("production"), None);
}
