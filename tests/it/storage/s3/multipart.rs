//! Uploads in parts.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::json;

use super::{ALICE, BOB, Signer, elements, refusal, sha256, start, with};
use crate::harness::{Options, TestApp, eventually};

const LARGE: usize = 5 * 1024 * 1024;

/// Begins an upload; its id.
async fn begin(s3: &Signer, path: &str) -> String {
    elements(&s3.post(&format!("{path}?uploads"), "").await.expect_status(200), "UploadId").concat()
}

/// Stores a part; its number and entity tag.
async fn part(s3: &Signer, path: &str, id: &str, number: u16, bytes: &[u8]) -> (u16, String) {
    let answer = s3.put(&format!("{path}?partNumber={number}&uploadId={id}"), bytes).await;
    (number, answer.expect_status(200).header("etag").to_owned())
}

fn document(parts: &[(u16, String)]) -> String {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (number, etag) in parts {
        write!(text, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>").unwrap();
    }
    text + "</CompleteMultipartUpload>"
}

/// How many blobs the database knows in this state.
async fn blobs(app: &TestApp, state: &str) -> String {
    let sql = format!("select count(*)::text from goforward.storage_blobs where state = '{state}'");
    app.database.value(&sql).await
}

#[tokio::test]
async fn parts_become_one_object_in_the_order_of_their_numbers() {
    let (app, s3) = start().await;
    let headers = [("content-type", "text/plain"), ("x-amz-meta-a", "1")];
    let begun = s3.send(Method::POST, "/private/big?uploads", &headers, b"").await.expect_status(200);
    let id = elements(&begun, "UploadId").concat();
    let third = part(&s3, "/private/big", &id, 3, b"end").await;
    part(&s3, "/private/big", &id, 1, &vec![b'x'; LARGE]).await;
    let first = part(&s3, "/private/big", &id, 1, &vec![b'a'; LARGE]).await;
    s3.put("/private/source", vec![b'b'; LARGE + 10]).await.expect_status(200);
    let copy = [("x-amz-copy-source", "private/source"), ("x-amz-copy-source-range", "bytes=0-5242879")];
    let path = format!("/private/big?partNumber=2&uploadId={id}");
    let copied = s3.send(Method::PUT, &path, &copy, b"").await.expect_status(200);
    let second = (2, elements(&copied, "ETag").concat());

    let listed = s3.get(&format!("/private/big?uploadId={id}&max-parts=2")).await.expect_status(200);
    assert_eq!(elements(&listed, "PartNumber"), ["1", "2"]);
    assert_eq!(elements(&listed, "NextPartNumberMarker"), ["2"]);
    assert_eq!(refusal(&s3.get("/private/big").await).0, 404, "nothing is there before the end");
    let done = document(&[first, second, third]);
    let done = s3.post(&format!("/private/big?uploadId={id}"), done).await.expect_status(200);
    let etag = elements(&done, "ETag").concat().replace("&quot;", "\"");
    assert!(etag.ends_with("-3\""), "{etag}");

    let read = s3.get("/private/big").await.expect_status(200);
    let whole = [vec![b'a'; LARGE], vec![b'b'; LARGE], b"end".to_vec()].concat();
    assert_eq!(sha256(&read.body), sha256(&whole));
    assert_eq!((read.header("etag"), read.header("content-type")), (etag.as_str(), "text/plain"));
    assert_eq!(read.header("x-amz-meta-a"), "1");
    eventually("the parts are swept", async || {
        (blobs(&app, "part").await, blobs(&app, "stored").await, blobs(&app, "dead").await)
            == ("0".into(), "2".into(), "0".into())
    })
    .await;
    let again = s3.put(&format!("/private/big?partNumber=1&uploadId={id}"), "x").await;
    assert_eq!(refusal(&again), (404, "NoSuchUpload".into()));
}

#[tokio::test]
async fn an_upload_is_completed_only_with_parts_that_are_there() {
    let (_app, s3) = start().await;
    let id = begin(&s3, "/private/a").await;
    let (small, other) =
        (part(&s3, "/private/a", &id, 1, b"small").await, part(&s3, "/private/a", &id, 2, b"end").await);
    let complete = async |parts: &[(u16, String)]| {
        refusal(&s3.post(&format!("/private/a?uploadId={id}"), document(parts)).await)
    };
    assert_eq!(complete(&[small.clone(), other.clone()]).await, (400, "EntityTooSmall".into()));
    assert_eq!(complete(&[other.clone(), small.clone()]).await, (400, "InvalidPartOrder".into()));
    assert_eq!(complete(&[(1, other.1.clone())]).await, (400, "InvalidPart".into()));
    assert_eq!(complete(&[(3, other.1.clone())]).await, (400, "InvalidPart".into()));
    assert_eq!(complete(&[]).await, (400, "MalformedXML".into()));
    assert_eq!(complete(&[small]).await.0, 200, "a part that is not named does not matter");
    assert_eq!(s3.get("/private/a").await.text(), "small");
}

#[tokio::test]
async fn a_checksum_of_the_whole_is_checked_as_the_parts_are_put_together() {
    let (_app, s3) = start().await;
    let id = begin(&s3, "/private/a").await;
    let only = part(&s3, "/private/a", &id, 1, b"hello").await;
    let complete = async |checksum: &str| {
        let headers = [("x-amz-checksum-type", "FULL_OBJECT"), ("x-amz-checksum-crc32", checksum)];
        let body = document(std::slice::from_ref(&only));
        s3.send(Method::POST, &format!("/private/a?uploadId={id}"), &headers, body.as_bytes()).await
    };
    assert_eq!(refusal(&complete("AAAAAA==").await), (400, "InvalidChecksum".into()));
    s3.head("/private/a").await.expect_status(404);
    let done = complete("NhCmhg==").await.expect_status(200);
    assert_eq!(elements(&done, "ChecksumCRC32"), ["NhCmhg=="]);
}

#[tokio::test]
async fn what_is_given_up_or_takes_too_long_leaves_nothing() {
    let options = Options::default().set("storage.s3_protocol.upload_lifetime", "60s");
    let (app, s3) = with(options).await;
    let id = begin(&s3, "/private/a").await;
    part(&s3, "/private/a", &id, 1, b"x").await;
    s3.delete(&format!("/private/a?uploadId={id}")).await.expect_status(204);
    eventually("its part is swept", async || blobs(&app, "part").await == "0").await;
    assert_eq!(refusal(&s3.get(&format!("/private/a?uploadId={id}")).await), (404, "NoSuchUpload".into()));

    let old = begin(&s3, "/private/a").await;
    part(&s3, "/private/a", &old, 1, b"x").await;
    app.database.run("update goforward.storage_blobs set touched_at = now() - interval '30 days'").await;
    s3.put("/private/b", "rouses the sweeper").await.expect_status(200);
    assert_eq!(blobs(&app, "part").await, "1", "a part is kept as long as its upload");
    app.database.run("update storage.s3_multipart_uploads set created_at = now() - interval '1 hour'").await;
    let late = s3.put(&format!("/private/a?partNumber=2&uploadId={old}"), "x").await;
    assert_eq!(refusal(&late), (404, "NoSuchUpload".into()));
    s3.put("/private/b", "again").await.expect_status(200);
    eventually("the old part is swept", async || blobs(&app, "part").await == "0").await;
}

#[tokio::test]
async fn limits_hold_for_the_whole_object() {
    let (app, s3) = start().await;
    let bucket = json!({ "name": "small", "file_size_limit": 10, "allowed_mime_types": ["image/png"] });
    app.service().post("/storage/v1/bucket", bucket).await.expect_status(200);
    let wrong = s3.send(Method::POST, "/small/a?uploads", &[("content-type", "text/plain")], b"").await;
    assert_eq!(refusal(&wrong), (415, "InvalidMimeType".into()));
    let begun = s3.send(Method::POST, "/small/a?uploads", &[("content-type", "image/png")], b"").await;
    let id = elements(&begun.expect_status(200), "UploadId").concat();
    part(&s3, "/small/a", &id, 1, b"12345678").await;
    let more = s3.put(&format!("/small/a?partNumber=2&uploadId={id}"), "12345678").await;
    assert_eq!(refusal(&more), (413, "EntityTooLarge".into()));
    part(&s3, "/small/a", &id, 1, b"1").await;
    part(&s3, "/small/a", &id, 2, b"12345678").await;
    let html = s3.put(&format!("/small/a?partNumber=1&uploadId={id}"), "<html>").await;
    assert_eq!(refusal(&html), (415, "InvalidMimeType".into()), "the bytes are looked at");
}

#[tokio::test]
async fn an_upload_is_for_whoever_began_it() {
    let (app, s3) = start().await;
    let (alice, bob) = (Signer::user(&app, ALICE), Signer::user(&app, BOB));
    let id = begin(&alice, "/private/a").await;
    let first = part(&alice, "/private/a", &id, 1, b"hers").await;
    let path = format!("/private/a?uploadId={id}");
    for answer in [
        bob.get(&path).await,
        bob.delete(&path).await,
        bob.post(&path, document(std::slice::from_ref(&first))).await,
        bob.put(&format!("{path}&partNumber=1"), "his").await,
    ] {
        assert_eq!(refusal(&answer), (404, "NoSuchUpload".into()));
    }
    let elsewhere = alice.get(&format!("/private/b?uploadId={id}")).await;
    assert_eq!(refusal(&elsewhere), (404, "NoSuchUpload".into()));
    assert_eq!(elements(&bob.get("/private?uploads").await.expect_status(200), "Key"), [""; 0]);
    assert_eq!(elements(&s3.get("/private?uploads").await.expect_status(200), "Key"), ["a"]);
    app.database.run("drop policy own_write on storage.objects").await;
    let refused = alice.put(&format!("{path}&partNumber=2"), "x").await;
    assert_eq!(refusal(&refused), (403, "AccessDenied".into()), "policies are asked with every part");
}
