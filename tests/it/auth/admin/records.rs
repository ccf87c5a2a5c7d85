//! The audit log and security events.

use serde_json::{Value, json};

use super::super::{PASSWORD, client, options, sign_in};
use super::{admin, get, make, put};
use crate::harness::{TestApp, eventually};

#[tokio::test]
async fn what_was_done_to_accounts_is_listed_newest_first_with_its_actor() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    put(&admin, "/admin/users/ada", json!({})).await.expect_error(404, "validation_failed");
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200);
    let mut log = Value::Null;
    eventually("three records", async || {
        log = get(&admin, "/admin/audit").await.expect_status(200).json();
        log.as_array().unwrap().len() == 3
    })
    .await;

    let fields = |record: &Value| {
        let payload = &record["payload"];
        let outcome = &payload["traits"]["outcome"];
        [&payload["action"], &payload["actor_username"], outcome]
            .map(|text| text.as_str().unwrap().to_owned())
    };
    let found: Vec<[String; 3]> = log.as_array().unwrap().iter().map(fields).collect();
    assert_eq!(
        found,
        [
            ["auth.token", id.as_str(), "done"],
            ["auth.admin", "service_role", "refused"],
            ["auth.admin", "service_role", "done"],
        ]
    );
    assert!(log[0]["id"].is_string() && log[0]["created_at"].is_string(), "{log}");
    assert_eq!(log[0]["ip_address"], "127.0.0.1");
    let rows =
        async |query: &str| get(&admin, &format!("/admin/audit?{query}")).await.expect_status(200).rows();
    assert_eq!(rows("query=author:service_role").await, 2);
    assert_eq!(rows("query=action:token").await, 1);
    assert_eq!(rows("per_page=1&page=3").await, 1);
    assert_eq!(rows("page=2").await, 0);
}

#[tokio::test]
async fn security_events_are_listed_newest_first() {
    let app = TestApp::with(options().set("auth.lockout.failures", "2")).await;
    let admin = admin(&app);
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    for _ in 0..3 {
        sign_in(&client(&app), "ada@example.com", "wrong").await.expect_error(400, "invalid_credentials");
    }

    let events = get(&admin, "/admin/security-events").await.expect_status(200).json();

    let event = &events[0];
    assert_eq!((&event["kind"], &event["severity"]), (&json!("account_locked"), &json!("warning")));
    assert_eq!((&event["user_id"], &event["ip_address"]), (&json!(id), &json!("127.0.0.1")));
    let rows = async |query: &str| {
        get(&admin, &format!("/admin/security-events?{query}")).await.expect_status(200).rows()
    };
    assert_eq!(rows("kind=account_locked").await, 1);
    assert_eq!(rows("kind=other").await, 0);
    assert_eq!(rows("page=2").await, 0);
}
