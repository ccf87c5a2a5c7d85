//! What is read of every request: who acts, as policies are told, and JSON bodies within their limits.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::kernel::http::{BodyError, RequestContext, read_body};
use crate::kernel::identity::Caller;
use crate::storage::error::StorageError;
use crate::storage::state::StorageState;
use crate::storage::store::caller::Acting;

/// The largest JSON body: a thousand keys, and custom metadata.
const LARGEST_JSON: usize = 4 << 20;

/// Headers that are nobody's business but ours.
const SECRETS: [&str; 5] =
    ["authorization", "apikey", "cookie", "proxy-authorization", "x-amz-security-token"];

/// What the gateway found out.
pub(in crate::storage) fn context(parts: &Parts) -> Result<Arc<RequestContext>, StorageError> {
    parts.extensions.get::<Arc<RequestContext>>().cloned().ok_or(StorageError::Internal)
}

/// A caller who does something by this request.
pub(in crate::storage) fn acting(caller: Arc<Caller>, operation: &'static str, parts: &Parts) -> Acting {
    let headers: Map<String, Value> = parts
        .headers
        .iter()
        .filter(|(name, _)| !SECRETS.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    Acting {
        caller,
        operation,
        method: Bytes::copy_from_slice(parts.method.as_str().as_bytes()),
        path: Bytes::copy_from_slice(parts.uri.path().as_bytes()),
        headers: Value::Object(headers).to_string().into(),
    }
}

impl StorageState {
    /// The caller of a request that must have one, doing `operation`.
    pub(in crate::storage) async fn acting(
        &self,
        parts: &Parts,
        operation: &'static str,
    ) -> Result<Acting, StorageError> {
        let caller = self.caller(&parts.headers, &*context(parts)?).await?;
        Ok(acting(caller, operation, parts))
    }

    /// The same, for the role of servers only.
    pub(in crate::storage) async fn service(
        &self,
        parts: &Parts,
        operation: &'static str,
    ) -> Result<Acting, StorageError> {
        let acting = self.acting(parts, operation).await?;
        if self.is_server(&acting) { Ok(acting) } else { Err(StorageError::ServiceOnly) }
    }
}

/// The body as JSON; an empty one is `{}`.
pub(in crate::storage) async fn json<T: DeserializeOwned>(
    parts: &Parts,
    body: Body,
) -> Result<T, StorageError> {
    let context = context(parts)?;
    let body = read_body(body, LARGEST_JSON, context.body_deadline, &context.body_budget).await;
    let body = body.map_err(StorageError::from)?;
    let body: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "body".to_owned() } else { format!("body/{}", path.replace('.', "/")) };
        StorageError::InvalidRequest(format!("{place} {}", error.into_inner()))
    })
}

impl From<BodyError> for StorageError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(_) => Self::EntityTooLarge,
            BodyError::TimedOut | BodyError::Broken => Self::Aborted,
            BodyError::NoMemory => Self::Unavailable,
        }
    }
}

/// The value of a query parameter; the first counts.
pub(in crate::storage) fn query(parts: &Parts, wanted: &str) -> Option<String> {
    url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .find(|(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
}

/// Whether a header says `true`.
pub(in crate::storage) fn is_true(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}
