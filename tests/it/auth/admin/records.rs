//! The audit log and security events.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{PASSWORD, client, options, sign_in, signed_in};
use super::{admin, delete, get, make, post, put};
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
            ["auth.admin.change_user", "service_role", "refused"],
            ["auth.admin.create_user", "service_role", "done"],
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
async fn the_record_of_an_action_names_what_was_acted_on() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let id =
        make(&app, json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true})).await;
    let session = sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200).json();
    let me = signed_in(&app, &session);
    let factor = me.post("/auth/v1/factors", json!({"factor_type": "totp"})).await.expect_status(200).json();
    let factor = factor["id"].as_str().unwrap();
    me.send(Method::PATCH, "/auth/v1/user/settings", Some(json!({}))).await;
    let wish = json!({"name": "a", "kind": "personal", "user_id": id});
    let key = post(&admin, "/keys", wish).await.expect_status(200).json();
    post(&admin, "/admin/roles", json!({"name": "editor"})).await.expect_status(200);
    post(&admin, &format!("/admin/users/{id}/roles"), json!({"role": "editor"})).await.expect_status(200);
    delete(&admin, &format!("/admin/users/{id}/factors/{factor}"), json!({})).await.expect_status(200);
    post(&admin, "/admin/blocklists/words", json!({"value": "bad"})).await.expect_status(200);
    delete(&admin, &format!("/admin/users/{id}"), json!({})).await.expect_status(200);
    let mut log = Value::Null;
    eventually("all records", async || {
        log = get(&admin, "/admin/audit").await.expect_status(200).json();
        log.as_array().unwrap().len() == 10
    })
    .await;

    let fields = |record: &Value| {
        (record["payload"]["action"].as_str().unwrap().to_owned(), record["payload"]["traits"]["on"].clone())
    };
    let found: Vec<_> = log.as_array().unwrap().iter().rev().map(fields).collect();
    let expected = [
        ("auth.admin.create_user", json!({"user": id})),
        ("auth.token", Value::Null),
        ("auth.factor", json!({"factor": factor})),
        ("auth.change_settings", Value::Null),
        ("auth.key", json!({"user": id, "key": key["id"]})),
        ("auth.admin.role", json!({"role": "editor"})),
        ("auth.admin.user_roles", json!({"user": id, "role": "editor"})),
        ("auth.admin.factor", json!({"user": id, "factor": factor})),
        ("auth.admin.blocklist", json!({"blocklist": "words", "value": "bad"})),
        ("auth.admin.delete_user", json!({"user": id})),
    ];
    assert_eq!(found, expected.map(|(action, on)| (action.to_owned(), on)));
}

#[tokio::test]
async fn security_events_go_after_their_time_in_batches() {
    let app = TestApp::with(options().set("auth.security_events_kept", "30d")).await;
    app.database
        .run(
            "insert into goforward.security_events (occurred_at, kind, severity)
             select now() - interval '31 days', 'old', 'info' from generate_series(1, 2500);
             insert into goforward.security_events (occurred_at, kind, severity)
             values (now() - interval '29 days', 'recent', 'info');
             insert into goforward.jobs (kind, max_attempts) values ('auth.clean_up', 1)",
        )
        .await;

    let left = "select string_agg(distinct kind, ',') from goforward.security_events";
    eventually("old events are gone", async || app.database.value(left).await == "recent").await;
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
