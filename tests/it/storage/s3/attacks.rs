//! What must not get through (H05); names are in [`super::super::traversal`].

use reqwest::Method;

use super::{S3, refusal, sha256, start};

#[tokio::test]
async fn h05_a_signature_of_any_length_is_refused() {
    let (app, s3) = start().await;
    let path = format!("{S3}/private/a");
    for length in [0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 4096] {
        let signature = "a".repeat(length);
        let mut client = app.client();
        for (name, value) in s3.sign(&Method::GET, &path, &[], &sha256(b"")) {
            let value = match value.split_once("Signature=") {
                Some((start, _)) => format!("{start}Signature={signature}"),
                None => value,
            };
            client = client.header(&name, &value);
        }
        let answer = client.get(&path).await;
        assert_eq!(refusal(&answer), (403, "SignatureDoesNotMatch".into()), "{length}");
        let url = s3.presign(&Method::GET, "/private/a", std::time::Duration::from_mins(1), &[]);
        let url = format!("{}X-Amz-Signature={signature}", url.split_once("X-Amz-Signature=").unwrap().0);
        assert_eq!(refusal(&app.client().get(&url).await).0, 403, "{length}");
    }
    assert_eq!(refusal(&app.client().get(&path).await), (403, "AccessDenied".into()));
}

#[tokio::test]
async fn bytes_that_are_not_what_was_signed_are_not_kept() {
    let (app, s3) = start().await;
    let path = format!("{S3}/private/a");
    let mut client = app.client();
    for (name, value) in s3.sign(&Method::PUT, &path, &[], &sha256(b"signed")) {
        client = client.header(&name, &value);
    }
    let answer = client.send_text(Method::PUT, &path, "text/plain", "other!").await;
    assert_eq!(refusal(&answer), (400, "InvalidChecksum".into()));
    let wrong = [("x-amz-checksum-crc32", "AAAAAA==")];
    let answer = s3.send(Method::PUT, "/private/a", &wrong, b"hello").await;
    assert_eq!(refusal(&answer), (400, "InvalidChecksum".into()));
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "0");
}

#[tokio::test]
async fn what_is_not_served_is_not_taken_for_something_else() {
    let (_app, s3) = start().await;
    s3.put("/private/a", "x").await.expect_status(200);
    for path in ["/private/a?acl", "/private?policy", "/private/a?versionId=1", "/private?lifecycle"] {
        assert_eq!(refusal(&s3.put(path, "y").await), (501, "NotImplemented".into()), "{path}");
    }
    assert_eq!(s3.get("/private/a").await.text(), "x");
}
