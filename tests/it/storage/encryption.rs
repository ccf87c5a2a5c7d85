//! Bytes that are encrypted before the backend gets them (GF-GW-10).

use std::path::{Path, PathBuf};

use super::{refusal, upload, with};
use crate::harness::{Options, TestApp};

/// The files of the backend.
fn blobs(app: &TestApp) -> Vec<PathBuf> {
    let files = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    files(&app.server.data().join("storage")).iter().flat_map(|folder| files(folder)).collect()
}

#[tokio::test]
async fn the_backend_holds_nothing_that_can_be_read_and_any_part_is_served() {
    let app = with(Options::default().set("storage.encryption", "always")).await;
    let service = app.service();
    let text = "line 7 of many\n".repeat(25_000);
    upload(&service, "public/a.txt", text.clone()).await.expect_status(200);
    upload(&service, "public/empty.txt", "").await.expect_status(200);

    for file in blobs(&app) {
        let held = std::fs::read(file).unwrap();
        assert!(!held.windows(6).any(|window| window == b"line 7"));
    }
    let get = |range: &str| app.client().header("range", range);
    let whole = app.client().get("/storage/v1/object/public/public/a.txt").await.expect_status(200);
    assert_eq!((whole.text().len(), whole.text() == text), (text.len(), true));
    for (start, end) in
        [(0, 10), (65_530, 65_545), (131_072, 131_073), (200_000, 300_000), (text.len() - 5, text.len())]
    {
        let part =
            get(&format!("bytes={start}-{}", end - 1)).get("/storage/v1/object/public/public/a.txt").await;
        assert_eq!(part.expect_status(206).text(), text[start..end], "{start}");
    }
    assert_eq!(
        app.client().get("/storage/v1/object/public/public/empty.txt").await.expect_status(200).text(),
        ""
    );
}

#[tokio::test]
async fn bytes_that_were_changed_or_put_in_place_of_others_are_not_served() {
    let app = with(Options::default().set("storage.encryption", "always")).await;
    let service = app.service();
    upload(&service, "private/a.txt", "hello").await.expect_status(200);
    let [file] = &blobs(&app)[..] else { panic!("one blob") };

    let mut held = std::fs::read(file).unwrap();
    *held.last_mut().unwrap() ^= 1;
    std::fs::write(file, &held).unwrap();
    let path = "/storage/v1/object/private/a.txt";
    // The head of the answer may have been sent when the change is seen: then the body breaks off.
    if let Ok(answer) = service.request(reqwest::Method::GET, path).send().await {
        assert!(answer.bytes().await.is_err());
    }
    std::fs::write(file, "jello").unwrap();
    assert_eq!(refusal(&service.get(path).await), (500, "500".into(), "InternalError".into()));
}

#[tokio::test]
async fn what_was_not_encrypted_before_can_be_read_until_that_is_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let options = |mode: &str| {
        Options::default().set("storage.encryption", mode).set("storage.url", folder.path().to_str().unwrap())
    };
    let mut app = with(options("off")).await;
    let secret = app.server.keys().jwt_secret;
    upload(&app.service(), "private/plain", "plain").await.expect_status(200);

    for (mode, plain, sealed) in [("new", 200, 0), ("off", 200, 200), ("always", 500, 200)] {
        app = TestApp::on(app.database, options(mode).set("auth.jwt_secret", &secret)).await;
        let service = app.service();
        let answer = service.get("/storage/v1/object/private/plain").await;
        assert_eq!(answer.status, plain, "{mode}: {}", answer.text());
        if mode == "new" {
            upload(&service, "private/sealed", "sealed").await.expect_status(200);
        } else {
            assert_eq!(
                service.get("/storage/v1/object/private/sealed").await.expect_status(sealed).text(),
                "sealed"
            );
        }
    }
}
