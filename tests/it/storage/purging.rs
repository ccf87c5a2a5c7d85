//! Caches in front of the server are told what is out of date, once for each change (GF-ST-06, GF-ST-10).

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::receiver::{Call, Receiver};
use super::{upload, with};
use crate::harness::{Options, eventually};

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OBJECT: &str = "/storage/v1/object";

/// Whether a call has the signature that the secret gives.
fn is_signed(call: &Call) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET).unwrap());
    let mut signed =
        format!("{}.{}.", call.header("webhook-id"), call.header("webhook-timestamp")).into_bytes();
    signed.extend_from_slice(&call.body);
    let signature = STANDARD.encode(hmac::sign(&key, &signed));
    call.header("webhook-signature") == format!("v1,{signature}")
}

/// Bucket and names of a call.
fn told(call: &Call) -> String {
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body["type"], "storage.purge");
    let names = body["names"].as_array().map(|names| {
        let mut names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
        names.sort_unstable();
        if names.len() > 5 { format!("{} names", names.len()) } else { names.join(" ") }
    });
    format!("{}: {}", body["bucket"].as_str().unwrap_or("all"), names.as_deref().unwrap_or("all"))
}

#[tokio::test]
async fn whoever_keeps_copies_is_told_once_of_each_change() {
    let cdn = Receiver::start(|_, before| match before {
        0 => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        _ => (StatusCode::NO_CONTENT, String::new()),
    })
    .await;
    let options = Options::default()
        .set("storage.purge_webhook.url", &cdn.url)
        .set("storage.purge_webhook.secret", &format!("v1,whsec_{SECRET}"))
        .set("outbound.allow_networks", "127.0.0.0/8");
    let app = with(options).await;
    let service = app.service();
    for name in ["a", "b", "c", "d", "e", "folder/f", "folder/g"] {
        upload(&service, &format!("private/{name}"), name).await.expect_status(200);
    }
    let put = format!("{OBJECT}/private/a");
    service.send_text(Method::PUT, &put, "text/plain", "new").await.expect_status(200);
    eventually("the first call failed", async || cdn.calls().len() == 1).await;
    service.delete(&format!("{OBJECT}/private/b")).await.expect_status(200);
    let many = json!({ "prefixes": ["c", "d", "none"] });
    service.send(Method::DELETE, &format!("{OBJECT}/private"), Some(many)).await.expect_status(200);
    let to = json!({ "bucketId": "private", "sourceKey": "e", "destinationKey": "moved" });
    service.post(&format!("{OBJECT}/move"), to).await.expect_status(200);
    let prefix = json!({ "bucketId": "private", "sourcePrefix": "folder", "destinationPrefix": "other" });
    service.post(&format!("{OBJECT}/move-prefix"), prefix).await.expect_status(200);
    let copy = json!({ "bucketId": "private", "sourceKey": "a", "destinationKey": "moved" });
    service.clone().header("x-upsert", "true").post(&format!("{OBJECT}/copy"), copy).await.expect_status(200);
    service.post("/storage/v1/bucket/private/empty", json!({})).await.expect_status(200);
    app.database
        .run("insert into storage.objects (bucket_id, name) select 'private', 'many/' || n from generate_series(1, 2500) n")
        .await;
    let prefix = json!({ "bucketId": "private", "prefix": "many" });
    service.send(Method::DELETE, &format!("{OBJECT}/prefix"), Some(prefix)).await.expect_status(200);
    for place in ["private/x/y", "private", ""] {
        service.delete(&format!("/storage/v1/cdn/{place}")).await.expect_status(200);
    }

    let expected = [
        "private: a",
        "private: b",
        "private: c d",
        "private: e",
        "private: folder/f folder/g",
        "private: moved",
        "private: a moved other/f other/g",
        "private: 1000 names",
        "private: 1000 names",
        "private: 500 names",
        "private: x/y",
        "private: all",
        "all: all",
    ];
    eventually("all were told, the first one again", async || cdn.calls().len() > expected.len()).await;
    let open = "select count(*)::text from goforward.jobs where kind = 'storage.purge' and state <> 'done'";
    eventually("nothing is left to tell", async || app.database.value(open).await == "0").await;
    let calls = cdn.calls();
    assert!(calls.iter().all(is_signed));
    let mut seen: Vec<String> = calls[1..].iter().map(told).collect();
    let mut expected: Vec<String> = expected.map(str::to_owned).into();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    let ids: BTreeSet<&str> = calls.iter().map(|call| call.header("webhook-id")).collect();
    assert_eq!(ids.len(), expected.len(), "told again, it is the same message");
}
