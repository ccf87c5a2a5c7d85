//! Answers in XML, and how errors look to clients of S3 (contract section 10).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::payload::{Algorithm, Receipt};
use super::xml::{Answer, ErrorAnswer};
use crate::storage::error::StorageError;
use crate::storage::flow::serve::insert;
use crate::storage::metrics;

/// A document.
pub(super) fn xml(answer: &impl Answer) -> Response {
    document(StatusCode::OK, answer.xml())
}

/// A document with this status.
pub(super) fn document(status: StatusCode, document: String) -> Response {
    let mut response = (status, document).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// Nothing but a status and headers.
pub(super) fn empty(status: StatusCode, headers: HeaderMap) -> Response {
    (status, headers, Body::empty()).into_response()
}

/// The headers of something that has been written: its entity tag, and the checksums that it was sent with.
pub(super) fn written(etag: &str, receipt: &Receipt) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(&mut headers, ETAG, &format!("\"{}\"", etag.trim_matches('"')));
    for checksum in receipt.checksums().unwrap_or_default() {
        if checksum.algorithm != Algorithm::Md5 {
            let name = HeaderName::from_static(checksum.algorithm.header());
            insert(&mut headers, name, &checksum.base64());
        }
    }
    headers
}

/// An error; `resource` is the path of the request. On `HEAD` only the status can be told.
pub(super) fn refusal(error: &StorageError, resource: &str, is_head: bool) -> Response {
    let (code, status) = told(error);
    metrics::refused(code);
    let message = error.to_string();
    let text = if is_head { String::new() } else { ErrorAnswer { resource, code, message: &message }.xml() };
    let mut response = document(status, text);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Code and status, in the words of S3 where it has its own.
fn told(error: &StorageError) -> (&'static str, StatusCode) {
    match error {
        StorageError::AlreadyExists => ("BucketAlreadyExists", StatusCode::CONFLICT),
        StorageError::BucketNotEmpty => ("BucketNotEmpty", StatusCode::CONFLICT),
        StorageError::Aborted => ("IncompleteBody", StatusCode::BAD_REQUEST),
        // Clients try again by themselves.
        StorageError::TooManyConnections | StorageError::Busy => {
            ("SlowDown", StatusCode::SERVICE_UNAVAILABLE)
        }
        StorageError::DatabaseTimeout => ("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE),
        error => (error.facts().0, error.status()),
    }
}
