//! Objects are written, described, copied, moved and removed.

use reqwest::Method;
use serde_json::{Value, json};

use super::{refusal, start, upload};
use crate::harness::Client;

const ALICE: &str = "11111111-1111-4111-8111-111111111111";

#[tokio::test]
async fn an_object_is_what_was_uploaded() {
    let app = start().await;
    let alice = app.user(ALICE).header("cache-control", "max-age=3600").header("x-metadata", "eyJrIjoidiJ9");
    let made = upload(&alice, "private/folder/a.txt", "hello").await.expect_status(200).json();
    assert_eq!(made["Key"], "private/folder/a.txt");

    let read = alice.get("/storage/v1/object/private/folder/a.txt").await.expect_status(200);
    assert_eq!((read.text().as_str(), read.header("content-type")), ("hello", "text/plain"));
    assert_eq!(read.header("cache-control"), "max-age=3600");
    assert_eq!(read.header("etag"), "\"5d41402abc4b2a76b9719d911017c592\"");
    let info = alice.get("/storage/v1/object/info/private/folder/a.txt").await.expect_status(200).json();
    assert_eq!(info["id"], made["Id"]);
    assert_eq!((&info["size"], &info["metadata"]), (&json!(5), &json!({ "k": "v" })));
    assert_eq!(info["content_type"], "text/plain");
    let head = alice.head("/storage/v1/object/private/folder/a.txt").await.expect_status(200);
    assert_eq!((head.header("content-length"), head.body.len()), ("5", 0));
    assert_eq!(alice.head("/storage/v1/object/private/folder/b.txt").await.status, 400);
}

#[tokio::test]
async fn an_object_is_replaced_only_where_that_is_asked_for() {
    let app = start().await;
    let alice = app.user(ALICE);
    let first = upload(&alice, "private/a.txt", "one").await.expect_status(200).json();

    let again = upload(&alice, "private/a.txt", "two").await;
    assert_eq!(refusal(&again), (400, "409".into(), "KeyAlreadyExists".into()));
    assert_eq!(again.json()["error"], "Duplicate");
    let other = upload(&alice.clone().header("x-upsert", "true"), "private/a.txt", "three")
        .await
        .expect_status(200)
        .json();
    assert_eq!(other["Id"], first["Id"], "the object keeps its id");
    assert_eq!(alice.get("/storage/v1/object/private/a.txt").await.text(), "three");
    alice
        .send_text(Method::PUT, "/storage/v1/object/private/a.txt", "text/plain", "four")
        .await
        .expect_status(200);
    assert_eq!(alice.get("/storage/v1/object/private/a.txt").await.text(), "four");
}

#[tokio::test]
async fn a_form_says_what_the_file_is() {
    let app = start().await;
    let alice = app.user(ALICE);
    let body = "--b\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n60\r\n\
        --b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{\"a\":1}\r\n\
        --b\r\nContent-Disposition: form-data; name=\"\"; filename=\"x.png\"\r\nContent-Type: image/gif\r\n\r\nGIF89a\r\n--b--\r\n";
    let form = "multipart/form-data; boundary=b";
    alice.send_text(Method::POST, "/storage/v1/object/private/x.gif", form, body).await.expect_status(200);

    let info = alice.get("/storage/v1/object/info/private/x.gif").await.expect_status(200).json();
    assert_eq!(info["content_type"], "image/gif");
    assert_eq!((&info["cache_control"], &info["metadata"]), (&json!("max-age=60"), &json!({ "a": 1 })));
    assert_eq!(info["size"], 6);
    for broken in
        ["--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b--\r\n", "", "--b\r\nContent-Disp"]
    {
        let answer =
            alice.send_text(Method::POST, "/storage/v1/object/private/y", form, broken.to_owned()).await;
        assert_eq!(refusal(&answer).2, "InvalidRequest", "{}", answer.text());
    }
}

#[tokio::test]
async fn a_copy_is_another_object_and_a_move_the_same_one() {
    let app = start().await;
    let alice = app.user(ALICE).header("x-metadata", "eyJrIjoidiJ9");
    let made = upload(&alice, "private/a.txt", "hello").await.expect_status(200).json();
    let alice = app.user(ALICE);

    let copy = json!({ "bucketId": "private", "sourceKey": "a.txt", "destinationKey": "b/c.txt" });
    let copied = alice.post("/storage/v1/object/copy", copy.clone()).await.expect_status(200).json();
    assert_eq!(copied["Key"], "private/b/c.txt");
    assert_ne!(copied["Id"], made["Id"]);
    assert_eq!(alice.get("/storage/v1/object/private/b/c.txt").await.text(), "hello");
    assert_eq!(
        alice.get("/storage/v1/object/info/private/b/c.txt").await.json()["metadata"],
        json!({ "k": "v" })
    );
    assert_eq!(refusal(&alice.post("/storage/v1/object/copy", copy).await).1, "409");

    let moving = json!({ "bucketId": "private", "sourceKey": "a.txt", "destinationKey": "d.txt", "destinationBucket": "public" });
    let moved = alice.post("/storage/v1/object/move", moving.clone()).await.expect_status(200).json();
    assert_eq!(moved, json!({ "message": "Successfully moved", "Id": made["Id"], "Key": "d.txt" }));
    assert_eq!(app.client().get("/storage/v1/object/public/public/d.txt").await.text(), "hello");
    assert_eq!(
        refusal(&alice.post("/storage/v1/object/move", moving).await),
        (400, "404".into(), "NoSuchKey".into())
    );
}

#[tokio::test]
async fn objects_are_removed_one_by_one_and_many_at_once() {
    let app = start().await;
    let alice = app.user(ALICE);
    for name in ["a", "b", "c"] {
        upload(&alice, &format!("private/{name}"), name).await.expect_status(200);
    }

    let done = alice.delete("/storage/v1/object/private/a").await.expect_status(200);
    assert_eq!(done.json(), json!({ "message": "Successfully deleted" }));
    assert_eq!(
        refusal(&alice.delete("/storage/v1/object/private/a").await),
        (400, "404".into(), "NoSuchKey".into())
    );
    let many = Some(json!({ "prefixes": ["b", "nothing", "c"] }));
    let gone = alice.send(Method::DELETE, "/storage/v1/object/private", many).await.expect_status(200).json();
    let names: Vec<&str> = gone.as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["b", "c"]);
    let none = Some(json!({ "prefixes": [] }));
    assert_eq!(
        refusal(&alice.send(Method::DELETE, "/storage/v1/object/private", none).await).2,
        "InvalidRequest"
    );
}

#[tokio::test]
async fn h10_a_bucket_says_how_large_and_of_which_type_objects_are() {
    let app = start().await;
    let bucket = json!({ "name": "images", "file_size_limit": "1kb", "allowed_mime_types": ["image/*"] });
    app.service().post("/storage/v1/bucket", bucket).await.expect_status(200);
    let put = async |client: &Client, kind: &str, body: Vec<u8>| {
        let path = "/storage/v1/object/images/x";
        refusal(&client.clone().header("x-upsert", "true").send_text(Method::POST, path, kind, body).await)
    };
    let service = app.service();
    let png = b"\x89PNG\r\n\x1a\n".to_vec();

    assert_eq!(put(&service, "image/png", png.clone()).await.0, 200);
    assert_eq!(put(&service, "text/plain", png.clone()).await.1, "415");
    assert_eq!(
        put(&service, "image/png", b"<html>".to_vec()).await.2,
        "InvalidMimeType",
        "H10: as the bytes say"
    );
    assert_eq!(
        put(&service, "image/png", [png, vec![0; 1000]].concat()).await,
        (400, "413".into(), "EntityTooLarge".into())
    );
    let shown: Value = service.get("/storage/v1/bucket/images").await.expect_status(200).json();
    assert_eq!(
        (&shown["file_size_limit"], &shown["allowed_mime_types"]),
        (&json!(1000), &json!(["image/*"]))
    );
}

#[tokio::test]
async fn a_bucket_is_changed_listed_emptied_and_removed() {
    let app = start().await;
    let service = app.service();
    upload(&service, "private/a.txt", "x").await.expect_status(200);

    let change = Some(json!({ "public": true, "file_size_limit": null }));
    service.send(Method::PUT, "/storage/v1/bucket/private", change).await.expect_status(200);
    let names = |answer: Value| -> Vec<String> {
        answer.as_array().unwrap().iter().map(|bucket| bucket["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        names(service.get("/storage/v1/bucket?sortColumn=name&sortOrder=desc").await.json()),
        ["public", "private"]
    );
    assert_eq!(names(service.get("/storage/v1/bucket?search=PRIV&limit=5").await.json()), ["private"]);
    assert_eq!(
        names(app.anon().get("/storage/v1/bucket").await.expect_status(200).json()),
        [""; 0],
        "no policy, no bucket"
    );
    assert_eq!(refusal(&service.delete("/storage/v1/bucket/private").await).2, "ResourceNotEmpty");
    assert_eq!(app.user(ALICE).post("/storage/v1/bucket/private/empty", json!({})).await.status, 403);
    service.post("/storage/v1/bucket/private/empty", json!({})).await.expect_status(200);
    service.delete("/storage/v1/bucket/private").await.expect_status(200);
    assert_eq!(
        refusal(&service.get("/storage/v1/bucket/private").await),
        (400, "404".into(), "NoSuchBucket".into())
    );
    for name in ["", " a", "a/b", "ä"] {
        let answer = service.post("/storage/v1/bucket", json!({ "name": name })).await;
        assert_eq!(refusal(&answer).2, "InvalidBucketName", "{name:?}");
    }
    assert_eq!(refusal(&service.post("/storage/v1/bucket", json!({ "name": "public" })).await).1, "409");
}

#[tokio::test]
async fn a_form_whose_file_never_begins_takes_no_memory() {
    let app = start().await;
    let before = crate::harness::resident_mib(app.server.pid());
    let junk = futures_util::stream::iter((0..600).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 100_000])));
    let body = reqwest::Body::wrap_stream(junk);
    let anon = app.anon();
    let path = "/storage/v1/object/public/a";
    let answer = anon.send_text(Method::POST, path, "multipart/form-data; boundary=b", body).await;
    assert_eq!(refusal(&answer).0, 400, "{}", answer.text());
    assert!(crate::harness::resident_mib(app.server.pid()) < before + 24);
}
