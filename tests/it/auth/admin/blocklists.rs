//! What nobody can sign up with.

use serde_json::{Value, json};

use super::super::{PASSWORD, client, options, signed_in, user};
use super::{admin, delete, get, make, post, put};
use crate::harness::{Answer, TestApp};

async fn block(app: &TestApp, kind: &str, value: &str) -> Value {
    let path = format!("/admin/blocklists/{kind}");
    post(&admin(app), &path, json!({"value": value})).await.expect_status(200).json()["value"].clone()
}

async fn sign_up(app: &TestApp, mut fields: Value) -> Answer {
    fields["password"] = json!(PASSWORD);
    client(app).post("/auth/v1/signup", fields).await
}

#[tokio::test]
async fn what_is_blocked_cannot_sign_up_however_it_is_written() {
    let app = TestApp::with(options()).await;
    assert_eq!(block(&app, "email_domains", " Trash.Example").await, "trash.example");
    assert_eq!(block(&app, "email_domains", "B\u{fc}cher.example").await, "xn--bcher-kva.example");
    assert_eq!(block(&app, "usernames", "Root").await, "root");
    assert_eq!(block(&app, "words", "Voldemort").await, "voldemort");

    for fields in [
        json!({"email": "ada@trash.example"}),
        json!({"email": "ada@TRASH.example"}),
        json!({"email": "ada@mail.trash.example"}),
        json!({"email": "ada@\u{ff54}rash.example"}),
        json!({"email": "ada@b\u{fc}cher.example"}),
        json!({"email": "ada@xn--bcher-kva.example"}),
        json!({"email": "ada@example.com", "username": "ROOT"}),
        json!({"email": "ada@example.com", "username": "xVoldemortx"}),
        json!({"email": "ada@example.com", "data": {"full_name": "Lord VOLDEMORT"}}),
        json!({"email": "ada@example.com", "data": {"name": "\u{ff36}oldemort"}}),
    ] {
        let answer = sign_up(&app, fields.clone()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("signup_blocked")), "{fields}");
    }
    client(&app)
        .post("/auth/v1/otp", json!({"email": "ada@trash.example"}))
        .await
        .expect_error(422, "signup_blocked");
    sign_up(&app, json!({"email": "ada@nottrash.example", "username": "rooted"})).await.expect_status(200);
    let ada = signed_in(&app, &user(&app, "ada@good.example").await);
    for change in [
        json!({"username": "ROOT"}),
        json!({"email": "ada@trash.example"}),
        json!({"data": {"full_name": "Lord Voldemort"}}),
    ] {
        let answer = put(&ada, "/user", change.clone()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("signup_blocked")), "{change}");
    }
    // An administrator vouches for whom they make an account.
    make(&app, json!({"email": "friend@trash.example"})).await;
}

#[tokio::test]
async fn what_is_not_blocked_any_more_can_sign_up() {
    let app = TestApp::with(options()).await;
    let path = "/admin/blocklists/email_domains";
    block(&app, "email_domains", "trash.example").await;
    block(&app, "email_domains", "trash.example").await;
    let listed = get(&admin(&app), path).await.expect_status(200).json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["value"]), (1, &json!("trash.example")));

    delete(&admin(&app), path, json!({"value": "TRASH.example"})).await.expect_status(204);

    delete(&admin(&app), path, json!({"value": "trash.example"})).await.expect_error(404, "not_found");
    post(&admin(&app), path, json!({"value": "no domain"})).await.expect_error(400, "validation_failed");
    assert_eq!(get(&admin(&app), path).await.expect_status(200).rows(), 0);
    sign_up(&app, json!({"email": "ada@trash.example"})).await.expect_status(200);
}
