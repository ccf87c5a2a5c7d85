//! No name leads anywhere but to its own object, whichever way it comes in (H01): each of the names below by each of the ways.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::json;

use super::s3::{self, Signer, sha256};
use super::{refusal, tus, upload};
use crate::harness::{Client, TestApp, raw_request};

/// Names that somebody takes for a way out of a folder, or for more than one name. They are refused.
#[rustfmt::skip]
pub const WAYS_OUT: &[&str] = &[
    // Segments that lead up, stay, or are nothing.
    "..", ".", "../a", "a/..", "a/../b", "a/../../b", "../../../../etc/passwd", "./a", "a/./b", "a/.", "a/b/../../../c",
    "..a/../b", "/../a", "/./a", "..//a", "..///a", "a/../../../../../../../../etc/shadow",
    "/a", "/etc/passwd", "//a", "///a", "a//b", "a/", "a//", "/", "//",
    "....//a", "..../a", ".../a", "a/.../b", "a/....", "...", "....",
    // The same for whoever cuts off spaces.
    ".. /a", "a/ ../b", "a/ .. /b", " ../a", ".. ", "... ", " /a", "a/ /b", " ", "  /  ",
    // Backslashes, drives and shares.
    "..\\a", "a\\..\\b", "..\\..\\windows\\system32", "\\a", "a\\b", "C:\\a", "\\\\server\\share", "\\\\?\\C:\\a", "\\\\.\\COM1",
    "CON\\a", "....\\/a", "..\\/a",
    // NUL, control characters and line ends.
    "a\0b", "\0", "../\0", "a/..\0/b", "a.txt\0.png", "a\rb", "a\nb", "a\tb", "..\r\n/a", "a\u{7f}b", "\u{1b}[2J",
    // Encoded once more: by URLs these come encoded twice.
    "%2e%2e%2fa", "%2e%2e/a", "..%2fa", "..%5ca", "%2e%2e%5ca", "%252e%252e%252fa", "a%00b", "%00", "%u002e%u002e%u2215a",
    // Overlong forms of dot and slash.
    "%c0%ae%c0%ae%c0%afa", "..%c0%afa", "%e0%80%af", "%f0%80%80%af",
    // Letters that are drawn or folded as dots, slashes and backslashes, or not drawn at all.
    "\u{ff0e}\u{ff0e}/a", "\u{ff0e}\u{ff0e}\u{ff0f}a", "\u{2024}\u{2024}/a", "\u{2025}/a", "\u{2026}/a", "\u{fe52}\u{fe52}/a",
    "..\u{2215}a", "..\u{2044}a", "..\u{ff0f}a", "..\u{ff3c}a", "..\u{29f8}a", "..\u{2216}a", "a\u{202e}b", ".\u{200b}./a",
    "\u{feff}../a", "..\u{200d}/a",
    // Addresses, homes and what shells do.
    "file:///etc/passwd", "http://127.0.0.1/a", "~/a|b", "`id`", "a\"b", "a<b>", "{a}", "[a]", "a%", "a^b",
];

/// Bytes of a URL's path that are no text once they are decoded.
const NO_TEXT: [&str; 6] =
    ["%ff%fe", "%c0%ae%c0%ae%c0%afa", "..%c0%afa", "%e0%80%af", "%ed%a0%80", "a%f0%28%8c%28"];

/// Names that look like more than they are here: the contract allows their letters, and bytes do not lie under names.
const PLAIN: [&str; 18] = [
    "CON", "nul.txt", "aux/b", "COM1", "lpt1.txt", "C:/a", "C:a", "a.", "a ", "a. ", "..a", "a..", "a/..b",
    ". ./a", "..;/a", "$HOME/a", "-rf", "link/a",
];

#[tokio::test]
async fn h01_no_way_out_by_any_entry_point() {
    assert!(WAYS_OUT.iter().collect::<BTreeSet<_>>().len() >= 80);
    let (app, signer) = s3::start().await;
    let service = app.service();
    upload(&service, "private/real", "x").await.expect_status(200);
    // Whoever put bytes below the names of their bucket or object would write through these.
    let root = app.server.data().join("storage");
    let outside = tempfile::tempdir().unwrap();
    for name in ["link", "private", "a"] {
        std::os::unix::fs::symlink(outside.path(), root.join(name)).unwrap();
    }
    let beside = names(app.server.data());

    let way = Ways { app: &app, service: &service, s3: &signer };
    for some in WAYS_OUT.chunks(4) {
        join_all(some.iter().map(|name| way.refuse(name))).await;
    }
    way.refuse(&"a".repeat(1025)).await;
    for path in NO_TEXT {
        for method in ["POST", "GET"] {
            let answer = way.raw(method, &format!("/storage/v1/object/private/{path}"), "x").await;
            assert_eq!(answer.0, 400, "{method} {path}: {}", answer.1);
        }
        let path = format!("{}/private/{path}", s3::S3);
        assert_eq!(way.raw_s3(&Method::PUT, &path, &[], "x").await.0, 400, "{path}");
    }
    assert_eq!(app.database.value("select string_agg(name, ',') from storage.objects").await, "real");
    assert_eq!(files(&root).len(), 1, "{:?}", files(&root));

    for name in PLAIN {
        let path = format!("/storage/v1/object/private/{}", encoded(name));
        assert_eq!(way.raw("POST", &path, "mine").await.0, 200, "{name}");
        let read = way.raw("GET", &path, "").await;
        assert!(read.0 == 200 && read.1.ends_with("mine"), "{name}: {read:?}");
        let copy =
            json!({ "bucketId": "private", "sourceKey": name, "destinationKey": format!("copies/{name}") });
        service.post("/storage/v1/object/copy", copy).await.expect_status(200);
    }
    let stored = files(&root);
    assert_eq!(stored.len(), 1 + 2 * PLAIN.len());
    for file in stored {
        let parts: Vec<&str> = file.iter().filter_map(std::ffi::OsStr::to_str).collect();
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(
            matches!(&parts[..], [folder, name] if folder.len() == 2 && name.len() == 32
                && name.starts_with(folder) && is_hex(name)),
            "{parts:?}"
        );
    }
    assert_eq!(names(outside.path()), [""; 0], "nothing went through a link");
    assert_eq!(names(app.server.data()), beside, "nothing is beside the store");
}

/// The ways in.
struct Ways<'a> {
    app: &'a TestApp,
    service: &'a Client,
    s3: &'a Signer,
}

impl Ways<'_> {
    /// A name is refused by all of them.
    async fn refuse(&self, name: &str) {
        let path = encoded(name);
        for (method, place) in [
            ("POST", "object/private"),
            ("GET", "object/private"),
            ("GET", "object/public/public"),
            ("GET", "object/info/private"),
            ("POST", "object/sign/private"),
            ("POST", "object/upload/sign/private"),
            ("GET", "render/image/authenticated/private"),
        ] {
            let (status, text) = self.raw(method, &format!("/storage/v1/{place}/{path}"), "{}").await;
            assert!(
                status == 400 && text.contains("\"InvalidKey\""),
                "{method} {place} {name:?}: {status} {text}"
            );
        }
        self.refuse_in_bodies(name).await;
        self.refuse_by_tus(name).await;
        self.refuse_by_s3(name).await;
    }

    async fn refuse_in_bodies(&self, name: &str) {
        let keys =
            |from: &str, to: &str| json!({ "bucketId": "private", "sourceKey": from, "destinationKey": to });
        let prefixes = |from: &str, to: &str| json!({ "bucketId": "private", "sourcePrefix": from, "destinationPrefix": to });
        let mut asked = vec![
            ("move", keys(name, "b")),
            ("move", keys("real", name)),
            ("copy", keys(name, "b")),
            ("copy", keys("real", name)),
        ];
        // A prefix may end with its slash.
        if name != "a/" {
            asked.push(("move-prefix", prefixes(name, "x")));
            asked.push(("move-prefix", prefixes("x", name)));
        }
        for (way, body) in asked {
            let answer = self.service.post(&format!("/storage/v1/object/{way}"), body.clone()).await;
            // Without a slash nothing is left of it.
            let code = if name == "/" && way == "move-prefix" { "InvalidRequest" } else { "InvalidKey" };
            assert_eq!(refusal(&answer), (400, "400".into(), code.into()), "{way} {body}");
        }
        // These look for names, and find none.
        let sign = json!({ "expiresIn": 60, "paths": [name] });
        let lists = [
            ("list/public", json!({ "prefix": name })),
            ("list/public", json!({ "prefix": "", "search": name })),
            ("list-v2/public", json!({ "prefix": name, "with_delimiter": true })),
            ("sign/public", sign),
        ];
        for (way, body) in lists {
            let answer = self.service.post(&format!("/storage/v1/object/{way}"), body.clone()).await;
            let found = answer.text();
            let is_nothing = found == "[]"
                || found.contains("\"objects\":[]") && found.contains("\"folders\":[]")
                || found.contains("\"signedURL\":null");
            assert!(answer.status == 400 || is_nothing, "{way} {body}: {found}");
        }
        let gone = Some(json!({ "prefixes": [name] }));
        let gone = self.service.send(Method::DELETE, "/storage/v1/object/private", gone).await;
        assert!(gone.status == 400 || gone.text() == "[]", "{name:?}: {}", gone.text());
    }

    async fn refuse_by_tus(&self, name: &str) {
        let answer =
            tus::begin_as(self.service, &format!("private/{name}"), "", &[("upload-length", "1")]).await;
        assert_eq!(answer.status, 400, "TUS {name:?}: {}", answer.text());
    }

    async fn refuse_by_s3(&self, name: &str) {
        // By S3 that is the name of a folder.
        if name == "a/" {
            return;
        }
        let path = format!("{}/private/{}", s3::S3, encoded(name));
        let copy = [("x-amz-copy-source", "private/real")];
        for (method, headers, body) in
            [(Method::PUT, &[][..], "y"), (Method::PUT, &copy[..], ""), (Method::GET, &[][..], "")]
        {
            let (status, text) = self.raw_s3(&method, &path, headers, body).await;
            assert_eq!(status, 400, "{method} {name:?}: {text}");
        }
        let (status, text) = self.raw_s3(&Method::POST, &format!("{path}?uploads="), &[], "").await;
        assert_eq!(status, 400, "{name:?}: {text}");
        let source = format!("private/{}", encoded(name));
        let answer = self.s3.send(Method::PUT, "/private/copy", &[("x-amz-copy-source", &source)], b"").await;
        assert_eq!(answer.status, 400, "from {name:?}: {}", answer.text());
        let list = self.s3.get(&format!("/public?list-type=2&prefix={}", encoded(name))).await;
        assert!(list.status == 400 || !list.text().contains("<Key>"), "{name:?}: {}", list.text());
    }

    /// A request by hand: libraries mend paths before they send them.
    async fn raw(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let key = self.app.server.keys().service_role_key;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = raw_request(self.app.server.port(), request.as_bytes()).await;
        (answer.status, answer.text)
    }

    async fn raw_s3(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let port = self.app.server.port();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
        for (name, value) in self.s3.sign(method, path, headers, &sha256(body.as_bytes())) {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let answer = raw_request(port, request.as_bytes()).await;
        (answer.status, answer.text)
    }
}

fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// What lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// The files of a store, by their paths in it; links are not followed.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found
}
