//! A small HTTP client whose answers can be asserted on in one line.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::said;

/// A client with a base address and headers that go with every request.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: HeaderMap,
}

impl Client {
    /// A client for the address, without headers.
    pub fn new(base: String) -> Self {
        // Of all clients of this process the first one installs it.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_mins(1)).no_proxy().build().unwrap();
        Self { http, base, headers: HeaderMap::new() }
    }

    /// The same with one more header; a name that is there already is replaced.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// The same with an API key.
    pub fn apikey(self, key: &str) -> Self {
        self.header("apikey", key)
    }

    /// The same with a token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The same with preferences.
    pub fn prefer(self, preferences: &str) -> Self {
        self.header("prefer", preferences)
    }

    /// GET
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// GET; nothing if there was no answer.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        Answer::read(self.request(Method::GET, path)).await.ok()
    }

    /// HEAD
    pub async fn head(&self, path: &str) -> Answer {
        self.send(Method::HEAD, path, None).await
    }

    /// OPTIONS
    pub async fn options(&self, path: &str) -> Answer {
        self.send(Method::OPTIONS, path, None).await
    }

    /// POST of JSON
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PATCH of JSON
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// DELETE
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Any method, with JSON if given. Fails the test if there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Any method, with JSON if given.
    pub async fn try_send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::read(request).await
    }

    /// A body of any kind.
    pub async fn send_text(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.request(method, path).header("content-type", content_type).body(body);
        Answer::read(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The request as reqwest builds it, for what has no shorthand here.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).headers(self.headers.clone())
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer to a request that was built by hand. Fails the test if there is none.
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request).await.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    async fn read(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        if status >= 400 {
            said::keep("errors", &body);
        }
        Ok(Self { status, headers, body })
    }

    /// Fails the test, showing the body, if the status is another.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "body: {}", self.text());
        self
    }

    /// Fails the test if this is not an error with the status and the code.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        let answer = self.expect_status(status);
        assert_eq!(answer.json()["code"], code, "body: {}", answer.text());
        answer
    }

    /// Fails the test if the body is not this JSON.
    #[track_caller]
    pub fn expect_json(self, expected: &Value) -> Self {
        assert_eq!(self.json(), *expected);
        self
    }

    /// Fails the test if the text occurs anywhere in the answer.
    #[track_caller]
    pub fn expect_nowhere(self, secret: &str) -> Self {
        assert!(!self.text().contains(secret), "{secret} shows in the body: {}", self.text());
        assert!(
            !format!("{:?}", self.headers).contains(secret),
            "{secret} shows in the headers: {:?}",
            self.headers
        );
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// How many rows the body holds.
    #[track_caller]
    pub fn rows(&self) -> usize {
        self.json().as_array().map_or_else(|| panic!("not a list: {}", self.text()), Vec::len)
    }
}

/// The status and the whole text of an answer to bytes that no client library would send.
pub struct RawAnswer {
    /// The status code; 0 if the connection was closed without an answer.
    pub status: u16,
    /// Head and body.
    pub text: String,
}

/// Sends bytes as they are and reads until the server closes or a deadline passes.
pub async fn raw_request(port: u16, bytes: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // The server may answer and close before it has read everything.
    let _sent = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    RawAnswer { status, text }
}
