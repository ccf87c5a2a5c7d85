//! The protocol itself: versions, extensions, headers, and where uploads are (H17).

use super::*;

#[tokio::test]
async fn the_server_says_what_it_can() {
    let app = start().await;
    let alice = app.user(ALICE);
    let able = app.client().options(UPLOADS).await.expect_status(204);
    assert_eq!((able.header("tus-version"), able.header("tus-resumable")), ("1.0.0", "1.0.0"));
    assert_eq!(
        able.header("tus-extension"),
        "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum"
    );
    assert_eq!(able.header("tus-checksum-algorithm"), "sha1,md5,sha256");
    assert_eq!(able.header("tus-max-size"), (50 << 20).to_string());

    let path = begin(&alice, "private/a", 6).await;
    for version in ["0.2.2", ""] {
        let old = alice.clone().header("tus-resumable", version).head(&path).await.expect_status(412);
        assert_eq!(old.header("tus-version"), "1.0.0");
    }
    assert_eq!(alice.post(UPLOADS, json!({})).await.status, 412);
    assert_eq!(tus(&alice).get(&path).await.status, 405);
    assert_eq!(tus(&alice).get(UPLOADS).await.status, 405);
    let other_type = tus(&alice).header("upload-offset", "0");
    let other_type = other_type.send_text(Method::PATCH, &path, "text/plain", "abc").await;
    assert_eq!(other_type.status, 415);
    assert_eq!(tus(&alice).request(Method::POST, UPLOADS).send().await.unwrap().status(), 400);
    let lengths = [("upload-length", "3"), ("upload-defer-length", "1")];
    assert_eq!(begin_as(&alice, "private/b", "", &lengths).await.status, 400);

    let shown = tus(&alice).head(&path).await.expect_status(200);
    assert!(shown.header("upload-metadata").starts_with("bucketName cHJpdmF0ZQ==,"));
    assert_eq!((shown.header("cache-control"), shown.header("upload-length")), ("no-store", "6"));
    assert!(shown.header("upload-expires").ends_with(" GMT"));
    let by_post = tus(&alice).header("x-http-method-override", "PATCH").header("upload-offset", "0");
    let by_post = by_post.send_text(Method::POST, &path, "application/offset+octet-stream", "abc").await;
    assert_eq!(by_post.expect_status(204).header("upload-offset"), "3");
}

#[tokio::test]
async fn pages_of_other_sites_may_upload() {
    let app = start().await;
    let preflight = app
        .client()
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "PATCH")
        .header(
            "access-control-request-headers",
            "authorization,content-type,tus-resumable,upload-length,upload-metadata,upload-offset,x-upsert,x-signature",
        )
        .options(&format!("{UPLOADS}/x"))
        .await
        .expect_status(200);
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert!(preflight.header("access-control-allow-methods").contains("PATCH"));
    let allowed = preflight.header("access-control-allow-headers").to_lowercase();
    for name in ["tus-resumable", "upload-offset", "upload-metadata", "x-upsert", "x-signature"] {
        assert!(allowed.contains(name), "{name} in {allowed}");
    }
    let page = app.user(ALICE).header("origin", "https://app.example.com");
    let begun = begin_as(&page, "private/a", "", &[("upload-length", "3")]).await.expect_status(201);
    let exposed = begun.header("access-control-expose-headers");
    for name in ["Location", "Upload-Offset", "Upload-Length", "Upload-Expires", "Tus-Resumable"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
}

#[tokio::test]
async fn bytes_with_a_checksum_count_if_it_holds() {
    let app = start().await;
    let alice = app.user(ALICE);
    let path = begin(&alice, "private/a", 15).await;
    let send = async |at: usize, checksum: &str, bytes: &'static str| {
        append(&alice.clone().header("upload-checksum", checksum), &path, at, bytes).await.status
    };
    assert_eq!(send(0, "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "hello").await, 460);
    assert_eq!(send(0, "crc32 AAAA", "hello").await, 400);
    assert_eq!(offset(&alice, &path).await, 0);
    eventually("nothing counts", async || blobs(&app).await == (0, "0".into())).await;
    assert_eq!(send(0, "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", "hello").await, 204);
    assert_eq!(send(5, "md5 XUFAKrxLKna5cZ2REBfFkg==", "hello").await, 204);
    assert_eq!(send(10, "sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "hello").await, 204);
    assert_eq!(alice.get("/storage/v1/object/private/a").await.text(), "hellohellohello");
}

#[tokio::test]
async fn an_upload_may_bring_its_bytes_at_once() {
    let app = start().await;
    let alice = app.user(ALICE);
    let said = metadata(&[("bucketName", "private"), ("objectName", "a")]);
    let post = async |length: &str, kind: &str, bytes: &'static str| {
        let request = tus(&alice).request(Method::POST, UPLOADS).header("upload-metadata", &said);
        let request = request.header("upload-length", length).header("content-type", kind).body(bytes);
        Answer::of(request).await
    };
    let stream = "application/offset+octet-stream";
    assert_eq!(post("6", "text/plain", "abc").await.status, 415);
    assert_eq!(post("2", stream, "abc").await.status, 413);
    let begun = "select count(*)::text from goforward.tus_uploads";
    assert_eq!(app.database.value(begun).await, "0", "what nobody can go on with is not kept");

    let half = post("6", stream, "abc").await.expect_status(201);
    assert_eq!((half.header("upload-offset"), half.header("tus-complete")), ("3", ""));
    append(&alice, &place(half), 3, "def").await.expect_status(204);
    assert_eq!(alice.get("/storage/v1/object/private/a").await.text(), "abcdef");

    let whole = [("upload-length", "0")];
    let empty = begin_as(&alice, "private/empty", "text/plain", &whole).await.expect_status(201);
    assert_eq!((empty.header("upload-offset"), empty.header("tus-complete")), ("0", "1"));
    let read = alice.get("/storage/v1/object/private/empty").await.expect_status(200);
    assert_eq!((read.text().as_str(), read.header("content-type")), ("", "text/plain"));
}

#[tokio::test]
async fn a_length_may_be_said_later() {
    let app = start().await;
    let alice = app.user(ALICE);
    let path = place(begin_as(&alice, "private/a", "", &[("upload-defer-length", "1")]).await);
    append(&alice, &path, 0, "abc").await.expect_status(204);
    let shown = tus(&alice).head(&path).await.expect_status(200);
    assert_eq!((shown.header("upload-defer-length"), shown.header("upload-length")), ("1", ""));
    let last = append(&alice.clone().header("upload-length", "6"), &path, 3, "def").await.expect_status(204);
    assert_eq!(last.header("tus-complete"), "1");
    assert_eq!(alice.get("/storage/v1/object/private/a").await.text(), "abcdef");

    let path = place(begin_as(&alice, "private/b", "", &[("upload-defer-length", "1")]).await);
    append(&alice, &path, 0, "abc").await.expect_status(204);
    append(&alice.clone().header("upload-length", "3"), &path, 3, "").await.expect_status(204);
    assert_eq!(alice.get("/storage/v1/object/private/b").await.text(), "abc");
}

/// Where a new upload is said to be, asked for as proxies do.
async fn location(app: &TestApp, headers: &[(&str, &str)]) -> String {
    let mut all = vec![("upload-length", "3")];
    all.extend_from_slice(headers);
    let answer = begin_as(&app.user(ALICE), "private/a", "", &all).await.expect_status(201);
    let location = answer.header("location").to_owned();
    let (base, _) = location.split_once("/storage/v1/upload/resumable/").unwrap();
    base.to_owned()
}

#[tokio::test]
async fn h17_an_upload_is_where_its_client_reaches_it() {
    let proxied = [("x-forwarded-host", "api.example.com"), ("x-forwarded-proto", "https")];
    let direct = start().await;
    assert_eq!(location(&direct, &[]).await, direct.server.url());
    assert_eq!(location(&direct, &proxied).await, direct.server.url(), "nobody's word is believed");

    let behind = with(Options::default().set("server.trusted_proxies", "127.0.0.0/8")).await;
    assert_eq!(location(&behind, &proxied).await, "https://api.example.com");
    let port = [("x-forwarded-host", "api.example.com"), ("x-forwarded-port", "8000")];
    assert_eq!(location(&behind, &port).await, "http://api.example.com:8000");
    assert_eq!(location(&behind, &[("x-forwarded-host", "a@b/c")]).await, behind.server.url());

    let known = Options::default().set("server.trusted_proxies", "127.0.0.0/8");
    let known = with(known.set("server.public_url", "https://files.example.com/base")).await;
    assert_eq!(location(&known, &proxied).await, "https://files.example.com/base");
}
