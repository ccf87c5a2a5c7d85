//! What is uploaded is scanned before anybody reads it (GF-ST-09, GF-ST-10, H22).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use image::ImageFormat;
use reqwest::Method;
use serde_json::json;

use super::clamd::{Clamd, LIMIT, eicar};
use super::images::picture;
use super::receiver::Receiver;
use super::s3::{self, Signer};
use super::tus::metadata;
use super::{refusal, upload, with};
use crate::harness::{Answer, Client, Options, TestApp, eventually};

const OWNER: &str = "11111111-1111-4111-8111-111111111111";
const STRANGER: &str = "22222222-2222-4222-8222-222222222222";
const OBJECT: &str = "/storage/v1/object";

fn scanned_by(url: &str) -> Options {
    Options::default().set("storage.scan.url", url).set("outbound.allow_networks", "127.0.0.0/8")
}

async fn put(client: &Client, path: &str, bytes: impl Into<reqwest::Body>) -> Answer {
    client.send_text(Method::PUT, &format!("{OBJECT}/{path}"), "image/png", bytes).await
}

/// The code with which an object is refused, if it is.
async fn code(client: &Client, path: &str) -> String {
    let answer = client.get(&format!("{OBJECT}/public/{path}")).await;
    if answer.status == 200 { "readable".to_owned() } else { refusal(&answer).2 }
}

async fn becomes(client: &Client, path: &str, expected: &str) {
    eventually(&format!("{path} is {expected}"), async || code(client, path).await == expected).await;
}

/// How many scans are over.
async fn over(app: &TestApp) -> String {
    let sql = "select count(*)::text from goforward.jobs where kind = 'storage.scan' and state = 'done'";
    app.database.value(sql).await
}

/// Answers to all ways of reading `public/<name>` and `private/<name>`.
async fn readings(app: &TestApp, s3: &Signer, signed: &[String], name: &str) -> Vec<(String, Answer)> {
    let (service, owner) = (app.service(), app.user(OWNER));
    let mut answers = Vec::new();
    for path in [
        format!("{OBJECT}/public/public/{name}"),
        format!("{OBJECT}/public/{name}"),
        format!("/storage/v1/render/image/public/public/{name}?width=4"),
    ] {
        answers.push((path.clone(), app.client().get(&path).await));
    }
    for path in [
        format!("{OBJECT}/private/{name}"),
        format!("{OBJECT}/authenticated/private/{name}"),
        format!("/storage/v1/render/image/authenticated/private/{name}?width=4"),
    ] {
        answers.push((path.clone(), owner.get(&path).await));
        answers.push((path.clone(), service.get(&path).await));
    }
    for path in signed {
        answers.push((path.clone(), app.client().get(path).await));
    }
    let part = app.client().header("range", "bytes=0-3");
    answers.push(("a range".into(), part.get(&format!("{OBJECT}/public/public/{name}")).await));
    let condition = app.client().header("if-none-match", "*");
    answers.push(("a condition".into(), condition.get(&format!("{OBJECT}/public/public/{name}")).await));
    let copy =
        json!({ "bucketId": "private", "sourceKey": name, "destinationKey": format!("copy of {name}") });
    answers.push((
        "a copy".into(),
        service.header("x-upsert", "true").post(&format!("{OBJECT}/copy"), copy).await,
    ));
    answers.push(("S3".into(), s3.get(&format!("/private/{name}")).await));
    let source = format!("private/{name}");
    let copy = [("x-amz-copy-source", source.as_str())];
    answers.push(("a copy by S3".into(), s3.send(Method::PUT, "/private/copied", &copy, b"").await));
    let begun = s3.post("/private/parts?uploads", "").await.expect_status(200);
    let id = s3::elements(&begun, "UploadId").concat();
    let path = format!("/private/parts?partNumber=1&uploadId={id}");
    answers.push(("a copied part".into(), s3.send(Method::PUT, &path, &copy, b"").await));
    answers
}

/// Signed URLs of an object, and of a picture of it.
async fn sign(client: &Client, name: &str) -> Vec<String> {
    let mut urls = Vec::new();
    for body in [json!({ "expiresIn": 60 }), json!({ "expiresIn": 60, "transform": { "width": 4 } })] {
        let signed =
            client.post(&format!("{OBJECT}/sign/private/{name}"), body).await.expect_status(200).json();
        urls.push(format!("/storage/v1{}", signed["signedURL"].as_str().unwrap()));
    }
    urls
}

#[tokio::test]
async fn h22_nobody_reads_an_object_before_it_was_called_clean() {
    let clamd = Clamd::start(0).await;
    let (app, s3) = s3::with(scanned_by(&clamd.url)).await;
    let (service, owner) = (app.service(), app.user(OWNER));
    put(&service, "public/a.png", picture(8, 8, ImageFormat::Png)).await.expect_status(200);
    put(&owner, "private/a.png", picture(8, 8, ImageFormat::Png)).await.expect_status(200);
    s3.put("/public/by-s3", "by S3").await.expect_status(200);
    let metadata = metadata(&[("bucketName", "public"), ("objectName", "by-tus")]);
    let tus = service.request(Method::POST, "/storage/v1/upload/resumable");
    let tus = tus.header("tus-resumable", "1.0.0").header("upload-metadata", metadata);
    let tus = tus.header("content-type", "application/offset+octet-stream").header("upload-length", "6");
    Answer::of(tus.body("by TUS")).await.expect_status(201);
    let signed = sign(&owner, "a.png").await;
    eventually("the scanner has them all", async || clamd.scanned() == 4).await;

    for (way, answer) in readings(&app, &s3, &signed, "a.png").await {
        assert!(
            answer.status >= 400 && answer.text().contains("ObjectNotScanned"),
            "{way}: {}",
            answer.text()
        );
    }
    for path in ["/public/public/a.png", "/public/a.png", "/public/public/by-s3"] {
        assert_eq!(app.client().head(&format!("{OBJECT}{path}")).await.status, 400, "{path}");
    }
    assert_eq!(s3.head("/private/a.png").await.status, 423);
    for name in ["public/by-s3", "public/by-tus"] {
        assert_eq!(code(&app.client(), name).await, "ObjectNotScanned", "{name}");
    }
    let info = owner.get(&format!("{OBJECT}/info/private/a.png")).await.expect_status(200).json();
    assert_eq!(info["scan"], json!({ "state": "pending", "found": null }));
    let to = json!({ "bucketId": "public", "sourceKey": "a.png", "destinationKey": "moved.png" });
    service.post(&format!("{OBJECT}/move"), to).await.expect_status(200);
    assert_eq!(code(&app.client(), "public/moved.png").await, "ObjectNotScanned", "a name opens nothing");
    let back = json!({ "bucketId": "public", "sourceKey": "moved.png", "destinationKey": "a.png" });
    service.post(&format!("{OBJECT}/move"), back).await.expect_status(200);

    clamd.allow(100);
    eventually("all were scanned", async || over(&app).await == "4").await;
    for (way, answer) in readings(&app, &s3, &signed, "a.png").await {
        assert!(matches!(answer.status, 200 | 206 | 304), "{way}: {} {}", answer.status, answer.text());
    }
    let info = owner.get(&format!("{OBJECT}/info/private/a.png")).await.expect_status(200).json();
    assert_eq!(info["scan"], json!(null));
    becomes(&app.client(), "public/by-tus", "readable").await;
}

#[tokio::test]
async fn a_verdict_is_of_the_bytes_that_were_scanned() {
    let clamd = Clamd::start(0).await;
    let options = scanned_by(&clamd.url).set("storage.scan.max_size", "2MB");
    let app = with(options).await;
    let (service, client, owner) = (app.service(), app.client(), app.user(OWNER));
    put(&service, "public/a", "harmless").await.expect_status(200);
    eventually("the first is being scanned", async || clamd.scanned() == 1).await;
    put(&service, "public/a", eicar()).await.expect_status(200);
    eventually("the second is too", async || clamd.scanned() == 2).await;

    clamd.allow(1);
    eventually("the verdict on the first is in", async || over(&app).await == "1").await;
    assert_eq!(code(&client, "public/a").await, "ObjectNotScanned", "it does not clear the second");
    clamd.allow(100);
    becomes(&client, "public/a", "ObjectQuarantined").await;
    let to = json!({ "bucketId": "public", "sourceKey": "a", "destinationKey": "b" });
    service.post(&format!("{OBJECT}/move"), to.clone()).await.expect_status(200);
    assert_eq!(code(&client, "public/b").await, "ObjectQuarantined", "a verdict moves along");
    let copy = json!({ "bucketId": "public", "sourceKey": "b", "destinationKey": "c" });
    assert_eq!(refusal(&service.post(&format!("{OBJECT}/copy"), copy).await).2, "ObjectQuarantined");

    // What was found is for servers and the owner.
    put(&owner, "private/mine", eicar()).await.expect_status(200);
    let described = async |client: &Client| {
        client.get(&format!("{OBJECT}/info/private/mine")).await.json()["scan"].clone()
    };
    let found = json!({ "state": "quarantined", "found": "Eicar-Test-Signature" });
    eventually("it was scanned", async || described(&owner).await == found).await;
    assert_eq!(described(&service).await, found);
    assert_eq!(described(&app.user(STRANGER)).await, json!(null));
    let public = owner.get(&format!("{OBJECT}/info/public/b")).await.json();
    assert_eq!(public["scan"], json!({ "state": "quarantined", "found": null }));
    assert_eq!(refusal(&owner.get("/storage/v1/quarantine").await).2, "AccessDenied");
    let listed = service.get("/storage/v1/quarantine").await.expect_status(200).json();
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!((names, &listed[0]["found"]), (vec!["b", "mine"], &json!("Eicar-Test-Signature")));

    // An operator releases, removes, or somebody writes it anew.
    let version = listed[0]["version"].as_str().unwrap();
    let release = format!("/storage/v1/quarantine/{version}/release");
    assert_eq!(refusal(&owner.post(&release, json!({})).await).2, "AccessDenied");
    service.post(&release, json!({})).await.expect_status(200);
    assert_eq!(client.get(&format!("{OBJECT}/public/public/b")).await.expect_status(200).text(), eicar());
    assert_eq!(refusal(&service.post(&release, json!({})).await).2, "NoSuchKey");
    owner.delete(&format!("{OBJECT}/private/mine")).await.expect_status(200);
    assert_eq!(service.get("/storage/v1/quarantine").await.json(), json!([]));

    // Too large by the configuration, and for clamd itself.
    put(&service, "public/large", vec![b'x'; 2_200_000]).await.expect_status(200);
    becomes(&client, "public/large", "ObjectQuarantined").await;
    put(&service, "public/empty", "").await.expect_status(200);
    assert_eq!(code(&client, "public/empty").await, "readable");
    // Nor does another spelling of a version lead to bytes, where no trigger keeps it away.
    let spelled = "set session_replication_role = replica;
        update storage.objects set version = upper(version) where name = 'large'";
    app.database.run(spelled).await;
    assert_ne!(code(&client, "public/large").await, "readable");
}

#[tokio::test]
async fn while_the_scanner_is_away_nothing_opens_and_all_does_when_it_is_back() {
    let clamd = Clamd::start(100).await;
    let options = scanned_by(&clamd.url).set("storage.scan.max_size", "10MB");
    let app = with(options).await;
    let (service, client) = (app.service(), app.client());
    clamd.down(true);
    for name in ["a", "b"] {
        upload(&service, &format!("public/{name}"), name).await.expect_status(200);
    }
    eventually("it was asked", async || clamd.refused() >= 2).await;
    eventually("the log says so", async || {
        app.server.log().contains("stay closed until they can be scanned")
    })
    .await;
    assert_eq!(code(&client, "public/a").await, "ObjectNotScanned");
    // What somebody says of its size by SQL leads nobody past the scanner.
    let size = |size: u32| {
        format!("update storage.objects set metadata = metadata || '{{\"size\": {size}}}' where name = 'b'")
    };
    app.database.run(&size(0)).await;

    clamd.down(false);
    // The first that is scanned calls back those that wait.
    upload(&service, "public/c", "c").await.expect_status(200);
    for name in ["a", "c"] {
        becomes(&client, &format!("public/{name}"), "readable").await;
    }
    let error = "select last_error from goforward.jobs where kind = 'storage.scan' and state = 'queued'";
    eventually("its size is noticed", async || app.database.value(error).await.contains("another size"))
        .await;
    assert_eq!(code(&client, "public/b").await, "ObjectNotScanned");
    app.database.run(&size(1)).await;
    app.database.run("update goforward.jobs set run_at = now() where state = 'queued'").await;
    becomes(&client, "public/b", "readable").await;
    assert!(app.server.log().contains("are scanned again"));

    put(&service, "public/large", vec![b'x'; LIMIT + 1]).await.expect_status(200);
    becomes(&client, "public/large", "ObjectQuarantined").await;
    let found = "select scan_found from goforward.storage_blobs where scan = 'quarantined'";
    assert_eq!(app.database.value(found).await, "too large to be scanned", "clamd has a limit of its own");
}

#[tokio::test]
async fn a_hook_scans_what_it_is_sent() {
    let is_well = Arc::new(AtomicBool::new(false));
    let hook = Receiver::start({
        let is_well = Arc::clone(&is_well);
        move |call, _| {
            let text = String::from_utf8_lossy(&call.body).into_owned();
            match text.as_str() {
                _ if call.header("authorization") != "Bearer scanner-token" => {
                    (StatusCode::FORBIDDEN, String::new())
                }
                "bad" => (StatusCode::OK, r#"{"verdict":"infected","found":"Bad.Thing"}"#.into()),
                "large" => (StatusCode::PAYLOAD_TOO_LARGE, String::new()),
                _ if is_well.load(Ordering::Relaxed) => (StatusCode::OK, r#"{"verdict":"clean"}"#.into()),
                // Neither an error nor an unknown word is a verdict.
                "good" => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"verdict":"clean"}"#.into()),
                _ => (StatusCode::OK, r#"{"verdict":"fine"}"#.into()),
            }
        }
    })
    .await;
    let was_sent = |body: &str| hook.calls().iter().any(|call| call.body == body);
    let options = scanned_by(&hook.url)
        .set("storage.scan.token", "scanner-token")
        .set("storage.scan.oversized", "allow")
        .set("storage.encryption", "new");
    let app = with(options).await;
    let (service, client) = (app.service(), app.client());
    upload(&service, "public/a b", "good").await.expect_status(200);
    eventually("it answered 500", async || was_sent("good")).await;
    assert_eq!(code(&client, "public/a%20b").await, "ObjectNotScanned");
    upload(&service, "public/unclear", "unclear").await.expect_status(200);
    eventually("it answered nonsense", async || was_sent("unclear")).await;
    assert_eq!(code(&client, "public/unclear").await, "ObjectNotScanned");

    // Neither is called back by what works, as the scanner was there: it may be their own fault.
    let waits = "select count(*)::text from goforward.jobs
        where kind = 'storage.scan' and state = 'queued' and run_at > now() + interval '30 minutes'";
    let wait = "update goforward.jobs set run_at = now() + interval '1 hour'
        where kind = 'storage.scan' and state = 'queued'";
    eventually("both wait", async || {
        app.database.run(wait).await;
        app.database.value(waits).await == "2"
    })
    .await;
    upload(&service, "public/bad", "bad").await.expect_status(200);
    becomes(&client, "public/bad", "ObjectQuarantined").await;
    eventually("the scan is over", async || over(&app).await == "1").await;
    assert_eq!(app.database.value(waits).await, "2");
    is_well.store(true, Ordering::Relaxed);
    app.database.run("update goforward.jobs set run_at = now() where state = 'queued'").await;
    for name in ["a%20b", "unclear"] {
        becomes(&client, &format!("public/{name}"), "readable").await;
    }
    upload(&service, "public/large", "large").await.expect_status(200);
    becomes(&client, "public/large", "readable").await;
    let call = &hook.calls()[0];
    assert_eq!(call.body, "good", "as it was sent, not as it is kept");
    assert_eq!((call.header("x-object-bucket"), call.header("x-object-name")), ("public", "a%20b"));
    assert_eq!(call.header("x-object-size"), "4");
    let states = "select string_agg(scan || ' ' || coalesce(scan_found, '-'), ', ' order by scan, scan_found)
        from goforward.storage_blobs";
    let expected = "clean -, clean -, quarantined Bad.Thing, skipped -";
    assert_eq!(app.database.value(states).await, expected);
}
