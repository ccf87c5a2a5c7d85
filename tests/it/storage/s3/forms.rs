//! Uploads of browsers: a form under a signed policy (H04).

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{S3, Signer, amz_date, elements, refusal, start};
use crate::harness::{Answer, TestApp};

/// A form whose policy says this, signed.
fn fields(s3: &Signer, key: &str, conditions: &Value, expiration: &str) -> Vec<(String, String)> {
    let date = amz_date();
    let credential = format!("{}/{}", s3.id, s3.scope(&date));
    let mut all = conditions.as_array().unwrap().clone();
    all.push(json!({ "x-amz-credential": credential }));
    all.push(json!({ "x-amz-algorithm": "AWS4-HMAC-SHA256" }));
    all.push(json!({ "x-amz-date": date }));
    let policy = STANDARD.encode(json!({ "expiration": expiration, "conditions": all }).to_string());
    let signature = s3.sign_text(&date, &policy);
    [
        ("key", key),
        ("x-amz-credential", &credential),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-date", &date),
        ("policy", &policy),
        ("x-amz-signature", &signature),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

async fn post(app: &TestApp, fields: &[(String, String)], file: &str) -> Answer {
    let mut body = String::new();
    for (name, value) in fields {
        write!(body, "--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").unwrap();
    }
    write!(
        body,
        "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\n{file}\r\n--b--\r\n"
    )
    .unwrap();
    let kind = "multipart/form-data; boundary=b";
    app.client().send_text(Method::POST, &format!("{S3}/private"), kind, body).await
}

const LATER: &str = "2100-01-01T00:00:00Z";

#[tokio::test]
async fn h04_a_form_is_taken_as_its_policy_says() {
    let (app, s3) = start().await;
    let conditions = json!([
        { "bucket": "private" },
        ["starts-with", "$key", "inbox/"],
        ["content-length-range", 2, 5],
        { "success_action_status": "201" },
        ["starts-with", "$content-type", "text/"],
        { "x-amz-meta-a": "1" }
    ]);
    let form = |key: &str, expiration: &str| {
        let mut fields = fields(&s3, key, &conditions, expiration);
        for (name, value) in
            [("success_action_status", "201"), ("content-type", "text/plain"), ("x-amz-meta-a", "1")]
        {
            fields.push((name.to_owned(), value.to_owned()));
        }
        fields
    };
    let posted = post(&app, &form("inbox/${filename}", LATER), "hello").await.expect_status(201);
    assert_eq!(elements(&posted, "Key"), ["inbox/f.txt"]);
    let read = s3.get("/private/inbox/f.txt").await.expect_status(200);
    assert_eq!((read.text().as_str(), read.header("content-type")), ("hello", "text/plain"));
    assert_eq!(read.header("x-amz-meta-a"), "1");

    let denied = (403, "AccessDenied".to_owned());
    assert_eq!(refusal(&post(&app, &form("inbox/long", LATER), "longer").await), denied);
    assert_eq!(refusal(&post(&app, &form("inbox/short", LATER), "s").await), denied);
    assert_eq!(refusal(&post(&app, &form("outbox/a", LATER), "hello").await), denied);
    assert_eq!(refusal(&post(&app, &form("inbox/late", "2020-01-01T00:00:00Z"), "hello").await), denied);
    let mut extra = form("inbox/extra", LATER);
    extra.push(("x-amz-meta-b".into(), "2".into()));
    assert_eq!(refusal(&post(&app, &extra, "hello").await), denied);
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "1");
}

#[tokio::test]
async fn h04_a_policy_counts_only_with_its_signature() {
    let (app, s3) = start().await;
    let conditions = json!([["starts-with", "$key", ""]]);
    let good = fields(&s3, "a", &conditions, LATER);
    let with = |name: &str, value: &str| {
        let change = |(known, old): &(String, String)| {
            (known.clone(), if known == name { value.to_owned() } else { old.clone() })
        };
        good.iter().map(change).collect::<Vec<_>>()
    };
    let wrong = (403, "SignatureDoesNotMatch".to_owned());
    assert_eq!(refusal(&post(&app, &with("policy", "no policy at all"), "x").await), wrong);
    for length in [0, 1, 63, 64, 65, 4096] {
        let answer = post(&app, &with("x-amz-signature", &"a".repeat(length)), "x").await;
        assert_eq!(refusal(&answer), wrong, "{length}");
    }
    let unsigned = [("key".to_owned(), "a".to_owned())];
    assert_eq!(refusal(&post(&app, &unsigned, "x").await), (403, "AccessDenied".into()));
    post(&app, &good, "x").await.expect_status(204);
    assert_eq!(refusal(&post(&app, &with("key", "../a"), "x").await), (400, "InvalidKey".into()));
}
