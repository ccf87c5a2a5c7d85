//! Mails that are edited while the server runs.

use serde_json::{Value, json};

use super::super::{message, options, sign_up};
use super::{admin, get, post, put};
use crate::harness::TestApp;

#[tokio::test]
async fn an_edited_mail_is_sent_from_then_on_until_it_is_reset() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let path = "/admin/templates/confirmation";
    let shipped = get(&admin, path).await.expect_status(200).json();
    let edited = json!({"subject": "Welcome aboard", "text": "Your code:\n{{ Token }}\n"});

    let stored = put(&admin, path, edited).await.expect_status(200).json();

    assert_eq!((&stored["subject"], &stored["html"]), (&json!("Welcome aboard"), &shipped["html"]));
    assert_eq!((&shipped["edited"], &stored["edited"]), (&json!(false), &json!(true)));
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let mail = message(&app, "ada@example.com", |_| true).await;
    assert_eq!(mail["subject"], "Welcome aboard");
    assert!(mail["text"].as_str().unwrap().starts_with("Your code:\n"), "{mail}");
    let list = get(&admin, "/admin/templates").await.expect_status(200).json();
    let edited: Vec<&Value> = list.as_array().unwrap().iter().filter(|one| one["edited"] == true).collect();
    assert_eq!((list.as_array().unwrap().len(), edited.len()), (14, 1));

    admin.delete(&format!("/auth/v1{path}")).await.expect_status(200);

    assert_eq!(get(&admin, path).await.expect_status(200).json(), shipped);
    sign_up(&app, "bob@example.com").await.expect_status(200);
    assert_eq!(message(&app, "bob@example.com", |_| true).await["subject"], shipped["subject"]);
}

#[tokio::test]
async fn a_mail_that_does_not_render_is_refused_and_a_preview_stores_nothing() {
    let app = TestApp::with(options()).await;
    let admin = admin(&app);
    let path = "/admin/templates/recovery";

    for wrong in [
        json!({"subject": "{{ Password }}"}),
        json!({"html": "{% include 'x' %}"}),
        json!({"text": "{{ Token"}),
        json!({"text": "a\u{0}b"}),
        json!({"subject": "  "}),
    ] {
        put(&admin, path, wrong.clone()).await.expect_error(400, "validation_failed");
        post(&admin, &format!("{path}/preview"), wrong).await.expect_error(400, "validation_failed");
    }
    let shown = post(&admin, &format!("{path}/preview"), json!({"html": "<b>{{ Email }}</b>"})).await;

    assert_eq!(shown.expect_status(200).json()["html"], "<b>ada@example.com</b>");
    assert_eq!(app.database.value("select count(*)::text from goforward.auth_templates").await, "0");
}
