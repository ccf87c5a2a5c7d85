//! What goes out and what comes back.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::kernel::secret::Secret;

/// A request with its limits. The limits have defaults, so that no request is without.
///
/// No `Debug`: headers, bodies and even URLs hold secrets.
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) time_limit: Duration,
    pub(super) size_limit: usize,
    pub(super) redirects: u8,
}

impl Request {
    fn new(method: Method, url: Url, body: Bytes) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body,
            time_limit: Duration::from_secs(10),
            size_limit: 1024 * 1024,
            redirects: 0,
        }
    }

    /// Fetches a document.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, Bytes::new())
    }

    /// Posts a body of this media type.
    pub fn post(url: Url, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, url, body.into()).header(CONTENT_TYPE, HeaderValue::from_static(media_type))
    }

    /// Posts a JSON document; an error where the value has no JSON form.
    pub fn json(url: Url, value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::post(url, "application/json", serde_json::to_vec(value)?))
    }

    /// Posts the fields of a form (`application/x-www-form-urlencoded`).
    pub fn form<'a>(url: Url, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::post(url, "application/x-www-form-urlencoded", body)
    }

    /// Sets a header, instead of an earlier one of that name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds HTTP basic authentication (RFC 7617).
    #[must_use]
    pub fn basic_auth(self, user: &str, password: &Secret) -> Self {
        let credentials = STANDARD.encode(format!("{user}:{}", password.expose()));
        self.authorization(&format!("Basic {credentials}"))
    }

    /// Adds a bearer token (RFC 6750). A token that no header can hold is left out, and the other side says so.
    #[must_use]
    pub fn bearer_auth(self, token: &Secret) -> Self {
        self.authorization(&format!("Bearer {}", token.expose()))
    }

    fn authorization(self, value: &str) -> Self {
        let Ok(mut value) = HeaderValue::try_from(value) else { return self };
        value.set_sensitive(true);
        self.header(AUTHORIZATION, value)
    }

    /// The time for everything: name lookup, connection, redirects and the whole answer. 10 seconds unless set.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The largest body that is taken, in bytes. 1 MiB unless set.
    #[must_use]
    pub fn size_limit(mut self, bytes: usize) -> Self {
        self.size_limit = bytes;
        self
    }

    /// How many redirects a GET follows. None unless set: the answer is then the redirect itself.
    #[must_use]
    pub fn redirects(mut self, most: u8) -> Self {
        self.redirects = most;
        self
    }
}

/// A whole answer, of whatever status.
#[derive(Clone)]
pub struct Response {
    /// Where it came from, after redirects.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, within the request's size limit.
    pub body: Bytes,
}

impl Response {
    /// The media type without its parameters, in lower case.
    pub fn media_type(&self) -> Option<String> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Whether the answer calls itself `application/json`.
    pub fn is_json(&self) -> bool {
        self.media_type().as_deref() == Some("application/json")
    }

    /// The body read as JSON, whatever it calls itself.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}
