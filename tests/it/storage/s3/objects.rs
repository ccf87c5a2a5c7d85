//! Objects by the S3 protocol: the same ones as by REST.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{ALICE, S3, Signer, elements, refusal, start};
use crate::storage::upload;

#[tokio::test]
async fn an_object_that_is_put_is_there_for_both_protocols() {
    let (app, s3) = start().await;
    let headers = [
        ("content-type", "text/plain"),
        ("cache-control", "max-age=60"),
        ("content-encoding", "aws-chunked, identity"),
        ("x-amz-meta-colour", "red"),
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
        ("x-amz-checksum-crc32", "NhCmhg=="),
    ];
    let put = s3.send(Method::PUT, "/private/folder/a.txt", &headers, b"hello").await.expect_status(200);
    assert_eq!(put.header("etag"), "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(put.header("x-amz-checksum-crc32"), "NhCmhg==");

    let read = s3.get("/private/folder/a.txt").await.expect_status(200);
    assert_eq!((read.text().as_str(), read.header("content-type")), ("hello", "text/plain"));
    assert_eq!((read.header("cache-control"), read.header("x-amz-meta-colour")), ("max-age=60", "red"));
    assert_eq!(read.header("content-encoding"), "identity");
    let head = s3.head("/private/folder/a.txt").await.expect_status(200);
    assert_eq!((head.header("content-length"), head.body.len()), ("5", 0));
    let info = app.service().get("/storage/v1/object/info/private/folder/a.txt").await.json();
    assert_eq!((&info["metadata"], &info["size"]), (&json!({ "colour": "red" }), &json!(5)));

    upload(&app.service(), "private/b.txt", "by REST").await.expect_status(200);
    assert_eq!(s3.get("/private/b.txt").await.text(), "by REST");
    assert_eq!(elements(&s3.get("/private/b.txt?tagging").await.expect_status(200), "TagSet"), [""]);
}

#[tokio::test]
async fn ranges_conditions_and_other_headers_are_kept_to() {
    let (_app, s3) = start().await;
    let etag = s3.put("/private/a", "0123456789").await.expect_status(200).header("etag").to_owned();
    let get = async |headers: &[(&str, &str)]| s3.send(Method::GET, "/private/a", headers, b"").await;

    let part = get(&[("range", "bytes=2-4")]).await.expect_status(206);
    assert_eq!((part.text().as_str(), part.header("content-range")), ("234", "bytes 2-4/10"));
    let beyond = get(&[("range", "bytes=10-")]).await;
    assert_eq!(refusal(&beyond), (416, "InvalidRange".into()));
    assert_eq!(beyond.header("content-range"), "bytes */10");
    get(&[("if-none-match", &etag)]).await.expect_status(304);
    assert_eq!(refusal(&get(&[("if-match", "\"x\"")]).await), (412, "PreconditionFailed".into()));
    let shown = s3
        .get("/private/a?response-cache-control=no-store&response-content-type=text%2Fcsv")
        .await
        .expect_status(200);
    assert_eq!((shown.header("cache-control"), shown.header("content-type")), ("no-store", "text/csv"));

    let only_new = [("if-none-match", "*")];
    let again = s3.send(Method::PUT, "/private/a", &only_new, b"x").await;
    assert_eq!(refusal(&again), (412, "PreconditionFailed".into()));
    s3.send(Method::PUT, "/private/b", &only_new, b"x").await.expect_status(200);
    s3.put("/private/a", "other").await.expect_status(200);
    assert_eq!(s3.get("/private/a").await.text(), "other", "without a condition it is replaced");
}

#[tokio::test]
async fn a_copy_takes_its_metadata_along_or_gets_its_own() {
    let (_app, s3) = start().await;
    let headers = [("content-type", "text/plain"), ("x-amz-meta-a", "1")];
    let put = s3.send(Method::PUT, "/private/a", &headers, b"hello").await.expect_status(200);
    let etag = put.header("etag").to_owned();
    let copy = async |to: &str, headers: &[(&str, &str)]| {
        let all = [&[("x-amz-copy-source", "/private/a")], headers].concat();
        s3.send(Method::PUT, to, &all, b"").await
    };

    let copied = copy("/public/b", &[]).await.expect_status(200);
    assert_eq!(elements(&copied, "ETag"), [etag.replace('"', "&quot;")]);
    let read = s3.get("/public/b").await.expect_status(200);
    assert_eq!((read.text().as_str(), read.header("x-amz-meta-a")), ("hello", "1"));
    let own = [("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-b", "2")];
    copy("/private/a", &own).await.expect_status(200);
    let read = s3.get("/private/a").await.expect_status(200);
    assert_eq!((read.header("x-amz-meta-a"), read.header("x-amz-meta-b")), ("", "2"));
    assert_eq!(read.header("content-type"), "application/octet-stream");
    for (headers, expected) in [
        (&[("x-amz-copy-source-if-match", etag.as_str())][..], 200),
        (&[("x-amz-copy-source-if-match", "\"x\"")], 412),
        (&[("x-amz-copy-source-if-none-match", etag.as_str())], 412),
    ] {
        assert_eq!(copy("/private/c", headers).await.status, expected, "{headers:?}");
    }
    assert_eq!(refusal(&copy("/private/a", &[]).await), (400, "InvalidRequest".into()));
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_what_was_not_there_too() {
    let (app, s3) = start().await;
    for name in ["a", "b", "c"] {
        s3.put(&format!("/private/{name}"), name).await.expect_status(200);
    }
    s3.delete("/private/a").await.expect_status(204);
    s3.delete("/private/a").await.expect_status(204);
    let wanted = "<Delete><Object><Key>b</Key></Object><Object><Key>nothing</Key></Object></Delete>";
    let deleted = s3.post("/private?delete", wanted).await.expect_status(200);
    assert_eq!(elements(&deleted, "Key"), ["b", "nothing"]);
    let gone = s3.get("/private/b").await;
    assert_eq!(refusal(&gone), (404, "NoSuchKey".into()));
    assert_eq!(elements(&gone, "Resource"), [format!("{S3}/private/b")]);
    let head = s3.head("/private/b").await.expect_status(404);
    assert!(head.body.is_empty());
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "1");
}

#[tokio::test]
async fn buckets_are_made_looked_at_and_removed() {
    let (app, s3) = start().await;
    let region = "<CreateBucketConfiguration><LocationConstraint>eu-1</LocationConstraint></CreateBucketConfiguration>";
    let public = [("x-amz-acl", "public-read")];
    s3.send(Method::PUT, "/photos", &public, region.as_bytes()).await.expect_status(200);
    assert_eq!(
        app.database.value("select public::text from storage.buckets where id = 'photos'").await,
        "true"
    );
    assert_eq!(refusal(&s3.put("/photos", "").await), (409, "BucketAlreadyExists".into()));
    assert_eq!(elements(&s3.get("/").await.expect_status(200), "Name"), ["photos", "private", "public"]);
    assert_eq!(s3.head("/photos").await.expect_status(200).header("x-amz-bucket-region"), "local");
    assert!(
        s3.get("/photos?location").await.expect_status(200).text().contains(">local</LocationConstraint>")
    );
    s3.get("/photos?versioning").await.expect_status(200);

    s3.put("/photos/a", "x").await.expect_status(200);
    assert_eq!(refusal(&s3.delete("/photos").await), (409, "BucketNotEmpty".into()));
    s3.delete("/photos/a").await.expect_status(204);
    // An upload that is under way keeps no bucket.
    s3.post("/photos/b?uploads", "").await.expect_status(200);
    s3.delete("/photos").await.expect_status(204);
    for path in ["/photos", "/photos?location", "/photos?list-type=2"] {
        assert_eq!(refusal(&s3.get(path).await), (404, "NoSuchBucket".into()), "{path}");
    }
    s3.head("/photos").await.expect_status(404);
}

#[tokio::test]
async fn an_empty_folder_is_held_open() {
    let (app, s3) = start().await;
    s3.put("/private/folder/", "").await.expect_status(200);
    let name = app.database.value("select name from storage.objects").await;
    assert_eq!(name, "folder/.emptyFolderPlaceholder");
    s3.head("/private/folder/").await.expect_status(200);
    assert_eq!(refusal(&s3.put("/private/folder/", "x").await), (400, "InvalidKey".into()));
    s3.delete("/private/folder/").await.expect_status(204);
    s3.head("/private/folder/").await.expect_status(404);
}

#[tokio::test]
async fn a_presigned_url_is_the_right_to_one_thing_for_a_while() {
    let (app, s3) = start().await;
    let alice = Signer::user(&app, ALICE);
    let minute = Duration::from_mins(1);
    let put = alice.presign(&Method::PUT, "/private/a.html", minute, &[]);
    app.client().send_text(Method::PUT, &put, "text/html", "<script>").await.expect_status(200);
    assert_eq!(app.database.value("select owner_id from storage.objects").await, ALICE);

    let get = alice.presign(&Method::GET, "/private/a.html", minute, &[]);
    let shown = app.client().get(&get).await.expect_status(200);
    assert_eq!((shown.text().as_str(), shown.header("content-type")), ("<script>", "text/plain"));
    assert!(shown.header("content-security-policy").contains("sandbox"), "no script of the origin's (H09)");
    let html = [("response-content-type", "text/html"), ("response-content-disposition", "inline")];
    let html = app.client().get(&s3.presign(&Method::GET, "/private/a.html", minute, &html)).await;
    assert_eq!(html.header("content-type"), "text/plain");
    assert!(html.header("content-disposition").starts_with("attachment"));
    let declared = s3.get("/private/a.html").await.expect_status(200);
    assert_eq!(
        declared.header("content-type"),
        "text/html",
        "no browser sends an Authorization header by itself"
    );

    let other = get.replace("a.html", "b.html");
    assert_eq!(refusal(&app.client().get(&other).await), (403, "SignatureDoesNotMatch".into()));
    let wrong = app.client().send_text(Method::PUT, &get, "text/plain", "x").await;
    assert_eq!(refusal(&wrong), (403, "SignatureDoesNotMatch".into()));
}
