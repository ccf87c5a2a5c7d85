//! Answering with an object, whatever the protocol that asks for it: conditions, ranges, and what headers say of it.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::download::{Readable, Right};
use crate::storage::error::StorageError;
use crate::storage::model::conditions::{self, Verdict, http_date};
use crate::storage::model::disposition::attachment;
use crate::storage::model::key::ObjectKey;
use crate::storage::model::object::Object;
use crate::storage::model::range::{Wanted, wanted};
use crate::storage::model::served_type::{SANDBOX, served_type};
use crate::storage::state::StorageState;

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// How often an object is looked up again whose bytes are gone: it was replaced between the two looks.
const LOOKS: usize = 3;

/// What is asked for.
#[derive(Clone, Copy)]
pub(in crate::storage) struct Asked<'a> {
    /// The bucket.
    pub(in crate::storage) bucket: &'a str,
    /// The key.
    pub(in crate::storage) key: &'a ObjectKey,
    /// The headers of the request, with its range and conditions.
    pub(in crate::storage) headers: &'a HeaderMap,
    /// Whether the bytes themselves stay away.
    pub(in crate::storage) head: bool,
}

/// How an object is shown, beside what it says itself.
#[derive(Clone, Copy, Default)]
pub(in crate::storage) struct Presentation<'a> {
    /// Under this name it is to be saved.
    pub(in crate::storage) download: Option<&'a str>,
    /// When the right to see it ends, in seconds since the Unix epoch.
    pub(in crate::storage) ends: Option<i64>,
    /// Whether the type is told as it was declared, also where a browser would make a document of it.
    pub(in crate::storage) as_declared: bool,
}

/// What an object is answered with.
pub(in crate::storage) enum Served {
    /// It, or a part of it.
    Content(Response),
    /// The client has it: 304.
    NotModified(HeaderMap),
    /// The client wants another one: 412.
    Failed(HeaderMap),
    /// It has no such bytes: 416.
    Unsatisfiable {
        /// How many it has.
        size: u64,
    },
}

impl StorageState {
    /// The object by this right; `describe` writes what the headers say of it.
    pub(in crate::storage) async fn serve(
        &self,
        right: &Right,
        asked: Asked<'_>,
        describe: impl Fn(&Object) -> HeaderMap + Send + Sync,
    ) -> Result<Served, StorageError> {
        for _ in 0..LOOKS {
            let object = self.object(right, asked.bucket, asked.key).await?;
            if let Some(served) = self.answer(&object, asked, describe(&object)).await? {
                return Ok(served);
            }
        }
        Err(StorageError::BytesMissing)
    }

    /// The answer, unless the bytes are gone.
    async fn answer(
        &self,
        object: &Readable,
        asked: Asked<'_>,
        mut headers: HeaderMap,
    ) -> Result<Option<Served>, StorageError> {
        let stored = object.stored();
        let modified = object.last_modified();
        match conditions::verdict(asked.headers, &stored.e_tag, modified) {
            Verdict::NotModified => return Ok(Some(Served::NotModified(headers))),
            Verdict::Failed => return Ok(Some(Served::Failed(headers))),
            Verdict::Serve => {}
        }
        let range = asked.headers.get(RANGE).and_then(|value| value.to_str().ok());
        let range = range.filter(|_| conditions::range_holds(asked.headers, &stored.e_tag, modified));
        let (status, range) = match wanted(range, stored.size) {
            Wanted::Whole => (StatusCode::OK, 0..stored.size),
            Wanted::Part(range) => {
                let text = format!("bytes {}-{}/{}", range.start, range.end - 1, stored.size);
                insert(&mut headers, CONTENT_RANGE, &text);
                (StatusCode::PARTIAL_CONTENT, range)
            }
            Wanted::Nothing => return Ok(Some(Served::Unsatisfiable { size: stored.size })),
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        if asked.head {
            return Ok(Some(Served::Content((status, headers).into_response())));
        }
        let Some(bytes) = self.bytes(object, range).await? else { return Ok(None) };
        Ok(Some(Served::Content((status, headers, Body::from_stream(bytes)).into_response())))
    }
}

/// What the headers say of an object, whatever is sent of it.
pub(in crate::storage) fn described_by_headers(object: &Object, shown: Presentation<'_>) -> HeaderMap {
    let stored = object.stored();
    let served = served_type(&stored.mimetype);
    let mut headers = HeaderMap::new();
    insert(&mut headers, CONTENT_TYPE, &served.content_type);
    if shown.as_declared {
        insert(&mut headers, CONTENT_TYPE, &stored.mimetype);
    }
    insert(&mut headers, ETAG, &stored.e_tag);
    insert(&mut headers, LAST_MODIFIED, &http_date(object.last_modified()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(&mut headers, X_ROBOTS_TAG, stored.x_robots_tag.as_deref().unwrap_or("none"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match shown.ends.and_then(|ends| DateTime::from_timestamp(ends, 0)) {
        Some(ends) => insert(&mut headers, EXPIRES, &http_date(ends)),
        None => insert(&mut headers, CACHE_CONTROL, &stored.cache_control),
    }
    if let Some(encoding) = &stored.content_encoding {
        insert(&mut headers, CONTENT_ENCODING, encoding);
    }
    if served.is_active {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    }
    match shown.download {
        Some(name) => insert(&mut headers, CONTENT_DISPOSITION, &attachment(name)),
        None if served.is_active => {
            let name = object.name.rsplit('/').next().unwrap_or_default();
            insert(&mut headers, CONTENT_DISPOSITION, &attachment(name));
        }
        None => {}
    }
    headers
}

/// What cannot stand in a header is left out: rows may have been written by others.
pub(in crate::storage) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}
