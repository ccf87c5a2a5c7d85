//! URLs that open one object for a while, and nothing else (H03, H07).

use image::ImageFormat;
use reqwest::Method;
use serde_json::{Value, json};

use super::images::picture;
use super::{refusal, start, upload, with};
use crate::harness::{Client, Options, Server, TestApp};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";

async fn sign(client: &Client, path: &str, seconds: i64) -> Value {
    client.post(&format!("/storage/v1/object/sign/{path}"), json!({ "expiresIn": seconds })).await.json()
}

async fn signed_upload(client: &Client, path: &str) -> String {
    let answer = client
        .post(&format!("/storage/v1/object/upload/sign/{path}"), json!({}))
        .await
        .expect_status(200)
        .json();
    let (url, token) = (answer["url"].as_str().unwrap(), answer["token"].as_str().unwrap());
    assert_eq!(url, format!("/object/upload/sign/{path}?token={token}"));
    token.to_owned()
}

fn token(answer: &Value) -> String {
    answer["signedURL"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .split_once("token=")
        .unwrap()
        .1
        .to_owned()
}

#[tokio::test]
async fn h07_a_signed_url_opens_its_object_for_everybody_until_it_ends() {
    let app = start().await;
    let alice = app.user(ALICE);
    upload(&alice, "private/folder/a b.txt", "hello").await.expect_status(200);

    let url = sign(&alice, "private/folder/a b.txt", 60).await["signedURL"].as_str().unwrap().to_owned();
    assert!(url.starts_with("/object/sign/private/folder/a b.txt?token="), "{url}");
    let read = app.client().get(&format!("/storage/v1{url}&download=x")).await.expect_status(200);
    assert_eq!((read.text().as_str(), read.header("cache-control")), ("hello", ""));
    assert!(read.header("expires").ends_with("GMT"));
    assert!(read.header("content-disposition").starts_with("attachment; filename=x"));
    for seconds in [0, -1, i64::MAX] {
        assert_eq!(sign(&alice, "private/folder/a b.txt", seconds).await["code"], "InvalidRequest");
    }
    let later = json!({ "expiresIn": 31_536_001 });
    let later = alice.post("/storage/v1/object/sign/private/folder/a b.txt", later).await;
    assert_eq!(refusal(&later).2, "InvalidRequest", "not longer than is configured");
    assert_eq!(sign(&app.anon(), "private/folder/a b.txt", 60).await["statusCode"], "404");
    assert_eq!(sign(&alice, "private/other", 60).await["code"], "NoSuchKey");
    upload(&alice.clone().header("x-upsert", "true"), "private/folder/a b.txt", "other")
        .await
        .expect_status(200);
    assert_eq!(app.client().get(&format!("/storage/v1{url}")).await.text(), "other", "what is there now");
    alice.delete("/storage/v1/object/private/folder/a b.txt").await.expect_status(200);
    assert_eq!(refusal(&app.client().get(&format!("/storage/v1{url}")).await).2, "NoSuchKey");
}

#[tokio::test]
async fn many_urls_are_signed_at_once_in_the_order_of_the_paths() {
    let app = start().await;
    let alice = app.user(ALICE);
    for name in ["a", "b"] {
        upload(&alice, &format!("private/{name}"), name).await.expect_status(200);
    }
    let body = json!({ "expiresIn": 60, "paths": ["b", "missing", "a"] });
    let answer = alice.post("/storage/v1/object/sign/private", body).await.expect_status(200).json();
    let paths: Vec<&str> = answer.as_array().unwrap().iter().filter_map(|one| one["path"].as_str()).collect();
    assert_eq!(paths, ["b", "missing", "a"]);
    assert_eq!(answer[1]["error"], "Either the object does not exist or you do not have access to it");
    let url = answer[0]["signedURL"].as_str().unwrap();
    assert_eq!(app.client().get(&format!("/storage/v1{url}")).await.expect_status(200).text(), "b");
}

#[tokio::test]
async fn h03_a_token_is_for_one_use_on_one_object() {
    let app = start().await;
    let alice = app.user(ALICE);
    for name in ["a", "b"] {
        upload(&alice, &format!("private/{name}"), name).await.expect_status(200);
    }
    let download = token(&sign(&alice, "private/a", 60).await);
    let write = signed_upload(&alice.clone().header("x-upsert", "true"), "private/a").await;
    let access = app.server.keys().anon_key;

    for (made_for, token) in [("download", &download), ("upload", &write), ("access", &access)] {
        for path in ["private/a", "private/b", "public/a"] {
            let read = app.client().get(&format!("/storage/v1/object/sign/{path}?token={token}")).await;
            assert_eq!(
                read.status == 200,
                made_for == "download" && path == "private/a",
                "{made_for} {path}: {}",
                read.text()
            );
            let put = format!("/storage/v1/object/upload/sign/{path}?token={token}");
            let written = app.client().send_text(Method::PUT, &put, "text/plain", "new").await;
            assert_eq!(
                written.status == 200,
                made_for == "upload" && path == "private/a",
                "{made_for} {path}: {}",
                written.text()
            );
        }
        let bearer = app.client().bearer(token).get("/storage/v1/bucket").await;
        assert_eq!(bearer.status == 200, made_for == "access", "{made_for}");
    }
    let missing = app.client().get("/storage/v1/object/sign/private/a").await;
    assert_eq!(refusal(&missing).2, "InvalidJWT");
}

#[tokio::test]
async fn h03_of_five_tokens_each_opens_one_of_five_doors() {
    let app = start().await;
    let service = app.service();
    let file = picture(8, 8, ImageFormat::Png);
    let over = service.clone().header("x-upsert", "true");
    for bucket in ["private", "public"] {
        let path = format!("/storage/v1/object/{bucket}/p.png");
        over.send_text(Method::POST, &path, "image/png", file.clone()).await.expect_status(200);
    }
    let transform = json!({ "expiresIn": 60, "transform": { "width": 4 } });
    let image =
        service.post("/storage/v1/object/sign/private/p.png", transform).await.expect_status(200).json();
    let tokens = [
        ("download", token(&sign(&service, "private/p.png", 60).await)),
        ("picture", token(&image)),
        ("upload", signed_upload(&over, "private/p.png").await),
        ("download from another bucket", token(&sign(&service, "public/p.png", 60).await)),
        ("access", app.server.keys().service_role_key),
    ];
    for (made, (name, token)) in tokens.iter().enumerate() {
        let get =
            async |path: &str| app.client().get(&format!("/storage/v1/{path}?token={token}")).await.status;
        let upload = format!("/storage/v1/object/upload/sign/private/p.png?token={token}");
        let opened = [
            get("object/sign/private/p.png").await,
            get("render/image/sign/private/p.png").await,
            app.client().send_text(Method::PUT, &upload, "image/png", file.clone()).await.status,
            get("object/sign/public/p.png").await,
            app.client().bearer(token).get("/storage/v1/bucket").await.status,
        ];
        for (door, status) in opened.iter().enumerate() {
            assert_eq!(*status == 200, door == made, "{name}: {opened:?}");
        }
    }
}

#[tokio::test]
async fn a_signed_upload_is_its_signers() {
    let app = start().await;
    let alice = app.user(ALICE);
    let token = signed_upload(&alice, "private/a.txt").await;
    let put = async |app: &TestApp, body: &'static str| {
        let path = format!("/storage/v1/object/upload/sign/private/a.txt?token={token}");
        app.client().send_text(Method::PUT, &path, "text/plain", body).await
    };

    assert_eq!(put(&app, "first").await.expect_status(200).json(), json!({ "Key": "private/a.txt" }));
    assert_eq!(refusal(&put(&app, "second").await).1, "409", "it was not signed for replacing");
    assert_eq!(alice.get("/storage/v1/object/private/a.txt").await.expect_status(200).text(), "first");
    let denied = app.anon().post("/storage/v1/object/upload/sign/private/b.txt", json!({})).await;
    assert_eq!(refusal(&denied).1, "403");
}

#[tokio::test]
async fn h07_a_url_outlives_the_root_secret_while_that_is_listed() {
    const OLD: &str = "the root secret of before which is long enough";
    const NEW: &str = "the root secret from now on which is long enough";
    let folder = tempfile::tempdir().unwrap();
    let under = |root: &str, previous: &str| {
        Options::default()
            .set("storage.url", folder.path().to_str().unwrap())
            .set("auth.root_secret", root)
            .set("auth.previous_root_secrets", previous)
    };
    let mut app = with(under(OLD, "")).await;
    let alice = app.user(ALICE);
    upload(&alice, "private/a", "hello").await.expect_status(200);
    let url =
        format!("/storage/v1/object/sign/private/a?token={}", token(&sign(&alice, "private/a", 60).await));

    for (previous, opens) in [(OLD, true), ("", false)] {
        app.server.stop().await;
        app.server = Server::start(under(NEW, previous).database(&app.database.url())).await;
        let answer = app.client().get(&url).await;
        assert_eq!(answer.status == 200, opens, "{}", answer.text());
        if !opens {
            assert_eq!(refusal(&answer).2, "InvalidJWT");
        }
    }
}
