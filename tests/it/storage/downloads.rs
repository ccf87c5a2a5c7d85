//! Downloads: parts, conditions, names, and types that must not script the origin (H09, H11, H19).

use reqwest::Method;

use super::{refusal, start, upload};
use crate::harness::Client;

async fn put(client: &Client, name: &str, kind: &str, body: &'static str) {
    let path = format!("/storage/v1/object/public/{name}");
    client.send_text(Method::PUT, &path, kind, body).await.expect_status(200);
}

#[tokio::test]
async fn h19_a_part_is_served_and_what_is_not_there_is_refused() {
    let app = start().await;
    upload(&app.service(), "public/a.txt", "0123456789").await.expect_status(200);
    let part = async |range: &str| {
        app.client().header("range", range).get("/storage/v1/object/public/public/a.txt").await
    };

    let answer = part("bytes=2-4").await.expect_status(206);
    assert_eq!((answer.text().as_str(), answer.header("content-range")), ("234", "bytes 2-4/10"));
    assert_eq!(answer.header("content-length"), "3");
    assert_eq!(part("bytes=-3").await.expect_status(206).text(), "789");
    let beyond = part("bytes=10-").await.expect_status(416);
    assert_eq!(beyond.header("content-range"), "bytes */10");
    let many = (0..100).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(",");
    assert_eq!(part(&format!("bytes={many}")).await.expect_status(200).text(), "0123456789", "H19");
    let other = app.client().header("range", "bytes=0-1").header("if-range", "\"other\"");
    assert_eq!(other.get("/storage/v1/object/public/public/a.txt").await.expect_status(200).body.len(), 10);
}

#[tokio::test]
async fn a_client_that_has_the_bytes_gets_none() {
    let app = start().await;
    upload(&app.service(), "public/a.txt", "hello").await.expect_status(200);
    let path = "/storage/v1/object/public/public/a.txt";
    let first = app.client().get(path).await.expect_status(200);

    let (tag, time) = (first.header("etag").to_owned(), first.header("last-modified").to_owned());
    let again = app.client().header("if-none-match", &tag).get(path).await.expect_status(304);
    assert_eq!((again.body.len(), again.header("etag")), (0, tag.as_str()));
    app.client().header("if-modified-since", &time).get(path).await.expect_status(304);
    app.client().header("if-match", "\"other\"").get(path).await.expect_status(412);
}

#[tokio::test]
async fn h09_what_could_script_the_origin_is_shown_as_text_or_in_a_sandbox() {
    let app = start().await;
    let service = app.service();
    for (name, kind, body) in [
        ("a.html", "text/html; charset=utf-8", "<script>alert(1)</script>"),
        ("a.svg", "image/svg+xml", "<svg onload='alert(1)'/>"),
        ("a.xml", "application/xml", "<?xml version='1.0'?><a/>"),
        ("a.xhtml", "application/xhtml+xml", "<html/>"),
        ("a.mhtml", "multipart/related", "MIME-Version: 1.0"),
        ("a.js", "text/javascript", "alert(1)"),
    ] {
        put(&service, name, kind, body).await;
        let answer =
            app.client().get(&format!("/storage/v1/object/public/public/{name}")).await.expect_status(200);
        assert!(answer.header("content-security-policy").contains("sandbox"), "{name}");
        assert!(!answer.header("content-security-policy").contains("allow-scripts"), "{name}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
        assert!(answer.header("content-disposition").starts_with("attachment"), "{name}");
        assert!(!answer.header("content-type").starts_with("text/html"), "{name}");
    }
    put(&service, "a.png", "image/png", "x").await;
    let image = app.client().get("/storage/v1/object/public/public/a.png").await.expect_status(200);
    assert_eq!(image.header("content-disposition"), "", "what is harmless is shown");
}

#[tokio::test]
async fn h11_no_name_of_a_download_splits_a_header() {
    let app = start().await;
    upload(&app.service(), "public/a.txt", "hello").await.expect_status(200);
    for (query, expected) in [
        ("download", "attachment;"),
        ("download=", "attachment;"),
        ("download=x.txt", "attachment; filename=x.txt; filename*=UTF-8''x.txt"),
        (
            "download=a%0d%0aset-cookie:%20b%22;x",
            "attachment; filename=a%0D%0Aset-cookie%3A%20b%22%3Bx; filename*=UTF-8''a%0D%0Aset-cookie%3A%20b%22%3Bx",
        ),
        ("download=%C3%BC", "attachment; filename=%C3%BC; filename*=UTF-8''%C3%BC"),
    ] {
        let answer = app
            .client()
            .get(&format!("/storage/v1/object/public/public/a.txt?{query}"))
            .await
            .expect_status(200);
        assert_eq!(answer.header("content-disposition"), expected, "{query}");
        assert_eq!(answer.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn h21_an_object_whose_bytes_are_gone_says_so_and_is_not_cached() {
    let app = start().await;
    let service = app.service();
    upload(&service, "private/a.txt", "hello").await.expect_status(200);
    std::fs::remove_dir_all(app.server.data().join("storage")).unwrap();

    let answer = service.get("/storage/v1/object/private/a.txt").await;
    assert_eq!(refusal(&answer), (400, "404".into(), "NoSuchKey".into()));
    assert_eq!(answer.json()["message"], "The resource was not found");
    assert_eq!(answer.header("cache-control"), "no-store");
}
