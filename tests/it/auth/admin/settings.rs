//! Settings of users: their own, typed by the configuration.

use serde_json::json;

use super::super::{client, options, signed_in, user};
use crate::harness::TestApp;

#[tokio::test]
async fn settings_have_defaults_are_changed_by_their_user_and_reset() {
    let configured = r#"{"theme": "light", "size": 12, "mails": true}"#;
    let app = TestApp::with(options().set("auth.user_settings", configured)).await;
    let ada = signed_in(&app, &user(&app, "ada@example.com").await);
    let bob = signed_in(&app, &user(&app, "bob@example.com").await);
    let path = "/auth/v1/user/settings";
    let defaults = json!({"mails": true, "size": 12, "theme": "light"});
    assert_eq!(ada.get(path).await.expect_status(200).json(), defaults);

    let changed = ada.patch(path, json!({"theme": "dark", "size": 14})).await.expect_status(200).json();

    assert_eq!(changed, json!({"mails": true, "size": 14, "theme": "dark"}));
    ada.patch(path, json!({"size": null})).await.expect_status(200);
    let kept = json!({"mails": true, "size": 12, "theme": "dark"});
    assert_eq!(ada.get(path).await.expect_status(200).json(), kept);
    assert_eq!(bob.get(path).await.expect_status(200).json(), defaults);
    for wrong in [json!({"colour": "red"}), json!({"size": "14"}), json!({"mails": 1})] {
        ada.patch(path, wrong).await.expect_error(400, "validation_failed");
    }
    ada.patch(path, json!([])).await.expect_error(400, "bad_json");
    client(&app).get(path).await.expect_error(401, "no_authorization");
}
