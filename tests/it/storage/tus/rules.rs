//! Who may upload what, and how much: as for every upload, asked with every request.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::storage::upload;

#[tokio::test]
async fn h02_forged_ids_lead_nowhere() {
    let app = start().await;
    let alice = app.user(ALICE);
    let path = begin(&alice, "private/a", 3).await;
    let uuid = app.database.value("select version::text from goforward.tus_uploads").await;
    let forged = [
        format!("private/b/{uuid}"),
        format!("public/a/{uuid}"),
        "private/a/00000000-0000-4000-8000-000000000000".to_owned(),
        format!("private/../a/{uuid}"),
        format!("../../../etc/passwd/{uuid}"),
        format!("private//a/{uuid}"),
        format!("private/a/../{uuid}"),
        format!("private\0/a/{uuid}"),
        uuid.clone(),
    ];
    let forged = forged.iter().map(|text| URL_SAFE_NO_PAD.encode(text));
    let raw = ["..%2f..%2fetc%2fpasswd", "%00", "x", "sign%2fx"].map(str::to_owned);
    for id in forged.chain(raw) {
        let place = format!("{UPLOADS}/{id}");
        for client in [&alice, &app.service()] {
            assert_eq!(append(client, &place, 0, "abc").await.status, 404, "{id}");
            assert_eq!(tus(client).head(&place).await.status, 404, "{id}");
            assert_eq!(tus(client).delete(&place).await.status, 404, "{id}");
        }
    }
    for key in ["../a", "a/../b", "/a", "a//b", "a\\b", "a\0", "%2e%2e/a", ""] {
        let answer = begin_as(&alice, &format!("private/{key}"), "", &[("upload-length", "3")]).await;
        assert_eq!(answer.status, 400, "{key:?}: {}", answer.text());
    }
    append(&alice, &path, 0, "abc").await.expect_status(204);
}

#[tokio::test]
async fn h16_somebody_elses_upload_is_none() {
    let app = start().await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB));
    app.database.run("create policy all_write on storage.objects for insert with check (true)").await;
    let path = begin(&alice, "private/a", 6).await;
    append(&alice, &path, 0, "abc").await.expect_status(204);
    for other in [&bob, &app.anon()] {
        assert_eq!(append(other, &path, 3, "def").await.expect_status(404).text(), "Upload not found");
        assert_eq!(tus(other).head(&path).await.status, 404);
        assert_eq!(tus(other).delete(&path).await.status, 404);
    }
    assert_eq!(tus(&app.client()).head(&path).await.status, 403, "whoever says nothing of themselves");
    append(&alice, &path, 3, "def").await.expect_status(204);
    assert_eq!(app.service().get("/storage/v1/object/private/a").await.text(), "abcdef");
}

#[tokio::test]
async fn policies_are_asked_for_each_request() {
    let app = start().await;
    let alice = app.user(ALICE);
    let refused = begin_as(&app.anon(), "private/a", "", &[("upload-length", "3")]).await.expect_status(403);
    assert_eq!(refused.text(), "new row violates row-level security policy for table \"objects\"");
    assert_eq!(begin_as(&alice, "nowhere/a", "", &[("upload-length", "3")]).await.status, 404);

    let path = begin(&alice, "private/a", 3).await;
    let only = |operations: &str| {
        format!(
            "drop policy own_write on storage.objects; create policy own_write on storage.objects for insert to authenticated
             with check (storage.allow_any_operation(array[{operations}]) and metadata ->> 'contentLength' = '3')"
        )
    };
    app.database.run(&only("'storage.tus.upload.create', 'tus.upload.delete'")).await;
    assert_eq!(append(&alice, &path, 0, "abc").await.status, 403);
    assert_eq!(offset(&alice, &path).await, 0);
    app.database.run(&only("'tus.upload.part'")).await;
    assert_eq!(tus(&alice).delete(&path).await.status, 403);
    assert_eq!(begin_as(&alice, "private/b", "", &[("upload-length", "3")]).await.status, 403);
    append(&alice, &path, 0, "abc").await.expect_status(204);
}

#[tokio::test]
async fn an_object_that_is_there_is_replaced_only_if_that_is_asked_for() {
    let app = start().await;
    let alice = app.user(ALICE);
    let early = begin(&alice, "private/a", 3).await;
    upload(&alice, "private/a", "old").await.expect_status(200);
    let again = begin_as(&alice, "private/a", "", &[("upload-length", "3")]).await.expect_status(409);
    assert_eq!(again.text(), "The resource already exists");
    assert_eq!(append(&alice, &early, 0, "abc").await.status, 409, "it came in between");
    tus(&alice).delete(&early).await;

    let over = [("upload-length", "3"), ("x-upsert", "true")];
    assert_eq!(begin_as(&app.user(BOB), "private/a", "", &over).await.status, 403);
    let path = place(begin_as(&alice, "private/a", "a/b", &over).await);
    append(&alice, &path, 0, "new").await.expect_status(204);
    let read = alice.get("/storage/v1/object/private/a").await;
    assert_eq!((read.text().as_str(), read.header("content-type")), ("new", "a/b"));
}

#[tokio::test]
async fn h16_lengths_that_lie_bring_nothing_beyond_the_limits() {
    let app = start().await;
    let alice = app.user(ALICE);
    let small = json!({ "name": "small", "file_size_limit": 10 });
    app.service().post("/storage/v1/bucket", small).await.expect_status(200);
    assert_eq!(begin_as(&alice, "small/a", "", &[("upload-length", "11")]).await.status, 413);
    let huge = [("upload-length", "9000000000000000000")];
    assert_eq!(begin_as(&alice, "private/a", "", &huge).await.status, 413);

    let path = begin(&alice, "small/a", 5).await;
    assert_eq!(append(&alice, &path, 0, "123456").await.status, 413, "more than it said");
    let unannounced = futures_util::stream::iter(["123", "456"].map(Ok::<_, std::io::Error>));
    let unannounced = reqwest::Body::wrap_stream(unannounced);
    assert_eq!(append(&alice, &path, 0, unannounced).await.status, 413);
    assert_eq!(offset(&alice, &path).await, 0);
    append(&alice, &path, 0, "12345").await.expect_status(204);

    let path = place(begin_as(&alice, "small/b", "", &[("upload-defer-length", "1")]).await);
    append(&alice, &path, 0, "12345678").await.expect_status(204);
    assert_eq!(append(&alice, &path, 8, "90x").await.status, 413);
    let length = async |length: &str, bytes: &'static str| {
        append(&alice.clone().header("upload-length", length), &path, 8, bytes).await.status
    };
    assert_eq!(length("11", "").await, 413);
    assert_eq!(length("7", "").await, 400);
    assert_eq!(length("x", "").await, 400);
    assert_eq!(length("10", "9").await, 204);
    assert_eq!(append(&alice.clone().header("upload-length", "9"), &path, 9, "").await.status, 400);
    append(&alice, &path, 9, "0").await.expect_status(204);
    assert_eq!(alice.get("/storage/v1/object/small/b").await.text(), "1234567890");
    eventually("nothing else is left", async || blobs(&app).await == (2, "2".into())).await;
}

#[tokio::test]
async fn types_are_those_of_the_bucket_by_name_and_by_content() {
    let app = start().await;
    let service = app.service();
    let images = json!({ "name": "images", "allowed_mime_types": ["image/*"] });
    service.post("/storage/v1/bucket", images).await.expect_status(200);
    let refused = begin_as(&service, "images/a", "text/html", &[("upload-length", "20")]).await;
    assert_eq!(refused.expect_status(415).text(), "mime type text/html is not supported");

    let html = "<!doctype html><p>xx";
    let path = place(begin_as(&service, "images/a", "image/png", &[("upload-length", "20")]).await);
    assert_eq!(append(&service, &path, 0, html).await.status, 415);
    assert_eq!(offset(&service, &path).await, 0);
    for at in 0..19 {
        append(&service, &path, at, html[at..=at].to_owned()).await.expect_status(204);
    }
    assert_eq!(append(&service, &path, 19, ">").await.status, 415, "bit by bit it is the same");
    eventually("nothing is left", async || blobs(&app).await == (0, "0".into())).await;
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "0");
}

#[tokio::test]
async fn h12_quotas_hold_for_uploads_in_parts() {
    let app = start().await;
    let service = app.service();
    let bucket = json!({ "name": "tight", "quota_bytes": 10 });
    service.post("/storage/v1/bucket", bucket).await.expect_status(200);
    assert_eq!(begin_as(&service, "tight/a", "", &[("upload-length", "11")]).await.status, 413);
    let (first, second) = (begin(&service, "tight/a", 6).await, begin(&service, "tight/b", 6).await);
    append(&service, &first, 0, "123456").await.expect_status(204);
    let refused = append(&service, &second, 0, "123456").await.expect_status(413);
    assert_eq!(refused.text(), "The quota of this bucket is exceeded");
    service.delete("/storage/v1/object/tight/a").await.expect_status(200);
    assert_eq!(offset(&service, &second).await, 0, "what is not an object is not complete");
    append(&service, &second, 0, "123456").await.expect_status(204);
    assert_eq!(service.get("/storage/v1/object/tight/b").await.text(), "123456");
    // What is replaced is there until the other is whole.
    for (length, status) in [("5", 413), ("4", 201)] {
        let over = [("upload-length", length), ("x-upsert", "true")];
        begin_as(&service, "tight/b", "", &over).await.expect_status(status);
    }
}

#[tokio::test]
async fn whoever_has_a_signed_upload_url_needs_nothing_else() {
    let app = start().await;
    let alice = app.user(ALICE);
    let sign = async |path: &str| {
        let answer = alice.post(&format!("/storage/v1/object/upload/sign/{path}"), json!({})).await;
        answer.expect_status(200).json()["token"].as_str().unwrap().to_owned()
    };
    let (token, other) = (sign("private/a").await, sign("private/b").await);
    let said = metadata(&[("bucketName", "private"), ("objectName", "a")]);
    let post = async |token: &str| {
        let request = tus(&app.client()).request(Method::POST, &format!("{UPLOADS}/sign"));
        let request = request.header("upload-metadata", &said).header("upload-length", "3");
        Answer::of(request.header("x-signature", token)).await
    };
    assert_eq!(post(&other).await.expect_status(400).text(), "the token is not for this URL");
    assert_eq!(post("").await.status, 400);

    let path = place(post(&token).await);
    assert!(path.starts_with(&format!("{UPLOADS}/sign/")), "{path}");
    let holder = app.client().header("x-signature", &token);
    let plain = path.replace("/sign/", "/");
    assert_eq!(append(&alice, &plain, 0, "abc").await.status, 404, "it is not a caller's");
    assert_eq!(append(&app.client().header("x-signature", &other), &path, 0, "abc").await.status, 400);
    assert_eq!(append(&app.client(), &path, 0, "abc").await.status, 400);
    assert_eq!(offset(&holder, &path).await, 0);
    append(&holder, &path, 0, "abc").await.expect_status(204);
    assert_eq!(alice.get("/storage/v1/object/private/a").await.text(), "abc", "it is the signer's");
    assert_eq!(post(&token).await.status, 409);
}
