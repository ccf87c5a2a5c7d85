//! What must not get through (H01, H05).

use std::fmt::Write as _;

use reqwest::Method;

use super::{S3, refusal, sha256, start};
use crate::harness::raw_request;

/// Names that lead out of a folder somewhere, encoded.
const WAYS_OUT: [&str; 18] = [
    "..",
    "../a",
    "a/..",
    "a/../b",
    "a/../../b",
    "./a",
    "/etc/passwd",
    "/a",
    "a//b",
    "....//a",
    "..%2Fa",
    "a%2F..%2Fb",
    "%2e%2e%2fa",
    "..%5Ca",
    "C%3A%5Ca",
    "a%00b",
    "%EF%BC%8E%EF%BC%8E/a",
    "a/%2e%2e/b",
];

#[tokio::test]
async fn h01_no_way_out_by_put_or_copy() {
    let (app, s3) = start().await;
    s3.put("/private/real", "x").await.expect_status(200);
    let port = app.server.port();
    for name in WAYS_OUT {
        // By hand: libraries mend paths before they send them.
        let path = format!("{S3}/private/{name}");
        let copy = [("x-amz-copy-source", "private/real")];
        for (method, headers, body) in [
            (Method::PUT, &[][..], "y"),
            (Method::PUT, &copy[..], ""),
            (Method::GET, &[][..], ""),
            (Method::DELETE, &[][..], ""),
            (Method::POST, &[][..], ""),
        ] {
            let path = if method == Method::POST { format!("{path}?uploads") } else { path.clone() };
            let mut request =
                format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
            for (name, value) in s3.sign(&method, &path, headers, &sha256(body.as_bytes())) {
                write!(request, "{name}: {value}\r\n").unwrap();
            }
            write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
            let answer = raw_request(port, request.as_bytes()).await;
            assert_eq!(answer.status, 400, "{method} {name}: {}", answer.text);
        }
        let decoded = [("x-amz-copy-source", format!("private/{name}"))];
        let decoded = [(decoded[0].0, decoded[0].1.as_str())];
        let answer = s3.send(Method::PUT, "/private/copy", &decoded, b"").await;
        assert_eq!(answer.status, 400, "from {name}: {}", answer.text());
    }
    assert_eq!(app.database.value("select string_agg(name, ',') from storage.objects").await, "real");
}

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
