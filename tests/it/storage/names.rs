//! No name leads anywhere but to its own object (H01).

use reqwest::Method;
use serde_json::{Value, json};

use super::{refusal, start, upload, with};
use crate::harness::{Options, raw_request};

/// Names that lead out of a folder somewhere.
const WAYS_OUT: [&str; 24] = [
    "../a",
    "..",
    "a/..",
    "a/../b",
    "a/../../b",
    "./a",
    "a/./b",
    "/etc/passwd",
    "//a",
    "a//b",
    "....//a",
    "..../a",
    ".../a",
    "a/",
    "..\\a",
    "a\\..\\b",
    "C:\\a",
    "a\u{0}b",
    "\u{ff0e}\u{ff0e}/a",
    "\u{2024}\u{2024}/a",
    "..%2fa",
    "%2e%2e/a",
    ".. /a",
    "a/ ../b",
];

#[tokio::test]
async fn h01_no_way_out_by_any_entry_point() {
    let app = start().await;
    let service = app.service();
    upload(&service, "private/real", "x").await.expect_status(200);
    let before = files(&app.server.data().join("storage"));

    for name in WAYS_OUT {
        let moving =
            |from: &str, to: &str| json!({ "bucketId": "private", "sourceKey": from, "destinationKey": to });
        let prefixes = json!({ "bucketId": "private", "sourcePrefix": name, "destinationPrefix": "x" });
        let mut answers = vec![
            ("move from", service.post("/storage/v1/object/move", moving(name, "b")).await),
            ("move to", service.post("/storage/v1/object/move", moving("real", name)).await),
            ("copy from", service.post("/storage/v1/object/copy", moving(name, "b")).await),
            ("copy to", service.post("/storage/v1/object/copy", moving("real", name)).await),
        ];
        if name != "a/" {
            answers.push(("move prefix", service.post("/storage/v1/object/move-prefix", prefixes).await));
        }
        for (way, answer) in answers {
            assert_eq!(
                refusal(&answer),
                (400, "400".into(), "InvalidKey".into()),
                "{way} {name:?}: {}",
                answer.text()
            );
        }
    }
    let body = json!({ "prefixes": WAYS_OUT.map(|name| name.replace('\0', "")) });
    let removed: Value = service
        .send(Method::DELETE, "/storage/v1/object/private", Some(body))
        .await
        .expect_status(200)
        .json();
    assert_eq!(removed, json!([]));
    assert_eq!(files(&app.server.data().join("storage")), before);
}

#[tokio::test]
async fn h01_no_way_out_by_the_path_of_a_url() {
    let app = start().await;
    let key = app.server.keys().service_role_key;
    for path in [
        "%2e%2e%2f%2e%2e%2fa",
        "a%2f%2e%2e%2fb",
        "..%2fa",
        "%2fetc%2fpasswd",
        "a%5c..%5cb",
        "a%00b",
        "%ff%fe",
        "....//a",
        "a/../../b",
        "%252e%252e%252fa",
    ] {
        for method in ["POST", "GET"] {
            let request = format!(
                "{method} /storage/v1/object/private/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
                 content-length: 1\r\nconnection: close\r\n\r\nx"
            );
            let answer = raw_request(app.server.port(), request.as_bytes()).await;
            assert!(matches!(answer.status, 400 | 404), "{method} {path}: {}", answer.status);
        }
    }
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "0");
    assert_eq!(files(&app.server.data().join("storage")), [""; 0]);
}

#[tokio::test]
async fn letters_of_all_scripts_are_for_servers_that_take_them() {
    let app = start().await;
    assert_eq!(refusal(&upload(&app.service(), "private/\u{fc}ber.txt", "x").await).2, "InvalidKey");

    let app = with(Options::default().set("storage.unicode_names", "true")).await;
    let service = app.service();
    let made = upload(&service, "private/u\u{308}ber.txt", "x").await.expect_status(200).json();
    assert_eq!(made["Key"], "private/\u{fc}ber.txt", "in normal form C");
    assert_eq!(service.get("/storage/v1/object/private/\u{fc}ber.txt").await.expect_status(200).text(), "x");
    for name in WAYS_OUT {
        let moving = json!({ "bucketId": "private", "sourceKey": "\u{fc}ber.txt", "destinationKey": name });
        let answer = service.post("/storage/v1/object/move", moving).await;
        assert_eq!(refusal(&answer).2, "InvalidKey", "{name:?}");
    }
}

/// The files below a folder, by their paths in it.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found.sort_unstable();
    found
}
