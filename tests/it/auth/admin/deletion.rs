//! Deleting accounts, for good and softly.

use serde_json::json;

use super::super::{PASSWORD, client, options, refused_within_a_second, sign_in, signed_in, user};
use super::{admin, delete, get, make, put};
use crate::harness::TestApp;

#[tokio::test]
async fn a_soft_deletion_keeps_the_row_and_frees_the_address() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let id = session["user"]["id"].as_str().unwrap();
    let path = format!("/admin/users/{id}");
    put(&admin(&app), &path, json!({"phone": "4915112345678", "username": "ada", "user_metadata": {"a": 1}}))
        .await
        .expect_status(200);
    let ada = signed_in(&app, &session);
    ada.get("/rest/v1/").await.expect_status(200);

    delete(&admin(&app), &path, json!({"should_soft_delete": true}))
        .await
        .expect_status(200)
        .expect_json(&json!({}));

    refused_within_a_second([&ada], (401, "session_not_found")).await;
    ada.get("/auth/v1/user").await.expect_error(403, "user_not_found");
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_error(400, "invalid_credentials");
    let kept = get(&admin(&app), &path).await.expect_status(200);
    let kept = kept.expect_nowhere("ada@example.com").expect_nowhere("4915112345678").json();
    assert!(kept["deleted_at"].is_string(), "{kept}");
    assert_eq!(
        (&kept["user_metadata"], &kept["app_metadata"], &kept["identities"]),
        (&json!({}), &json!({}), &json!([]))
    );
    put(&admin(&app), &path, json!({"email": "eve@example.com"})).await.expect_error(404, "user_not_found");
    let again = user(&app, "ada@example.com").await;
    assert_ne!(again["user"]["id"], id);
    // Once more, as the digests of the first must not be in the way.
    let second = again["user"]["id"].as_str().unwrap();
    delete(&admin(&app), &format!("/admin/users/{second}"), json!({"should_soft_delete": true}))
        .await
        .expect_status(200);
    make(&app, json!({"email": "ada@example.com", "phone": "4915112345678", "username": "ada"})).await;
}

#[tokio::test]
async fn a_deletion_for_good_takes_everything_along_and_names_what_holds_on() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let path = format!("/admin/users/{}", session["user"]["id"].as_str().unwrap());
    app.database
        .run(
            "create table orders (id int primary key, customer uuid references auth.users (id));
             insert into orders select 1, id from auth.users",
        )
        .await;

    let held = delete(&admin(&app), &path, json!({})).await.expect_error(409, "conflict");
    assert!(held.text().contains("orders"), "{}", held.text());
    app.database.run("delete from orders").await;
    admin(&app).delete(&format!("/auth/v1{path}")).await.expect_status(200).expect_json(&json!({}));

    get(&admin(&app), &path).await.expect_error(404, "user_not_found");
    let left = "select (select count(*) from auth.users) + (select count(*) from auth.sessions)
        + (select count(*) from auth.identities) + (select count(*) from goforward.auth_user_settings)";
    assert_eq!(app.database.value(left).await, "0");
}
