//! The S3 protocol, with a client that signs by the book and nothing of the server's.

mod access;
mod attacks;
mod forms;
mod listing;
mod multipart;
mod objects;

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use goforward::kernel::clock::Clock;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Caller, Client, Options, TestApp};

/// Where the protocol is.
pub const S3: &str = "/storage/v1/s3";
/// Everything but the unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub const ALICE: &str = "11111111-1111-4111-8111-111111111111";
pub const BOB: &str = "22222222-2222-4222-8222-222222222222";

/// A server with a bucket `private` where users have their own objects, and a client that passes all policies.
pub async fn start() -> (TestApp, Signer) {
    with(Options::default()).await
}

/// The same with these settings.
pub async fn with(options: Options) -> (TestApp, Signer) {
    let app = super::with(options).await;
    let signer = Signer::with_key(&app, json!({ "name": "test" })).await;
    (app, signer)
}

/// Signs requests as clients of S3 do.
#[derive(Clone)]
pub struct Signer {
    pub id: String,
    pub secret: String,
    /// The user's access token.
    pub token: Option<String>,
    pub region: String,
    client: Client,
    host: String,
}

impl Signer {
    /// With a new access key.
    pub async fn with_key(app: &TestApp, wish: serde_json::Value) -> Self {
        let made = app.service().post("/storage/v1/s3-keys", wish).await.expect_status(200).json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self::new(app, &text("access_key_id"), &text("secret_access_key"), None)
    }

    /// As a user.
    pub fn user(app: &TestApp, id: &str) -> Self {
        let keys = app.server.keys();
        let token = Caller::user(id).token(&keys.jwt_secret);
        Self::new(app, "default", &keys.anon_key, Some(token))
    }

    pub fn new(app: &TestApp, id: &str, secret: &str, token: Option<String>) -> Self {
        Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            token,
            region: "us-east-1".to_owned(),
            client: app.client(),
            host: format!("127.0.0.1:{}", app.server.port()),
        }
    }

    /// Sends a signed request; `path` is below the protocol and encoded.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let path = format!("{S3}{path}");
        let mut client = self.client.clone();
        for (name, value) in self.sign(&method, &path, headers, &sha256(body)) {
            client = client.header(&name, &value);
        }
        for (name, value) in headers {
            client = client.header(name, value);
        }
        let kind = headers.iter().find(|(name, _)| *name == "content-type");
        let kind = kind.map_or("application/octet-stream", |(_, value)| value);
        client.send_text(method, &path, kind, body.to_vec()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], b"").await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.send(Method::HEAD, path, &[], b"").await
    }

    pub async fn put(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send(Method::PUT, path, &[], body.as_ref()).await
    }

    pub async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send(Method::POST, path, &[], body.as_ref()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], b"").await
    }

    /// The headers that sign a request to the whole path.
    pub fn sign(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        hash: &str,
    ) -> Vec<(String, String)> {
        let date = amz_date();
        let mut signed = vec![
            ("host".to_owned(), self.host.clone()),
            ("x-amz-content-sha256".to_owned(), hash.to_owned()),
            ("x-amz-date".to_owned(), date.clone()),
        ];
        signed.extend(self.token.clone().map(|token| ("x-amz-security-token".to_owned(), token)));
        let own = headers.iter().filter(|(name, _)| name.starts_with("x-amz-"));
        signed.extend(own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: Vec<String> = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let lines = lines.concat();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{hash}", canonical(query));
        let signature = self.signature(&date, &canonical);
        let credential = format!("{}/{}", self.id, self.scope(&date));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        signed.retain(|(name, _)| name != "host");
        signed.push(("authorization".to_owned(), authorization));
        signed
    }

    /// A URL that carries its signature, without the server.
    pub fn presign(&self, method: &Method, path: &str, lasts: Duration, more: &[(&str, &str)]) -> String {
        let (path, date) = (format!("{S3}{path}"), amz_date());
        let credential = format!("{}/{}", self.id, self.scope(&date));
        let seconds = lasts.as_secs().to_string();
        let mut pairs = vec![
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &date),
            ("X-Amz-Expires", &seconds),
            ("X-Amz-SignedHeaders", "host"),
        ];
        pairs.extend(self.token.as_deref().map(|token| ("X-Amz-Security-Token", token)));
        pairs.extend(more);
        let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let host = &self.host;
        let canonical =
            format!("{method}\n{path}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD", canonical(&query));
        format!("{path}?{query}&X-Amz-Signature={}", self.signature(&date, &canonical))
    }

    pub fn scope(&self, date: &str) -> String {
        format!("{}/{}/s3/aws4_request", &date[..8], self.region)
    }

    fn signature(&self, date: &str, canonical: &str) -> String {
        let hash = sha256(canonical.as_bytes());
        self.sign_text(date, &format!("AWS4-HMAC-SHA256\n{date}\n{}\n{hash}", self.scope(date)))
    }

    /// The signature of a text itself.
    pub fn sign_text(&self, date: &str, text: &str) -> String {
        let start = format!("AWS4{}", self.secret).into_bytes();
        let key = [&date[..8], &self.region, "s3", "aws4_request"]
            .iter()
            .fold(start, |key, part| mac(&key, part.as_bytes()));
        hex::encode(mac(&key, text.as_bytes()))
    }
}

/// The moment as signatures write it.
pub fn amz_date() -> String {
    let now = chrono::DateTime::from_timestamp(Clock::system().unix_seconds(), 0).unwrap();
    now.format("%Y%m%dT%H%M%SZ").to_string()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A query, encoded already, in order and with a value everywhere.
fn canonical(query: &str) -> String {
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// The texts of all elements of this name.
pub fn elements(answer: &Answer, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let text = answer.text();
    let found = text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
    found.map(|(text, _)| text.to_owned()).collect()
}

/// Status and code of an error.
pub fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, elements(answer, "Code").concat())
}
