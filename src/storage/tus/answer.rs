//! Answers of the protocol: headers, and errors as plain text with the status that is meant.

use axum::body::Body;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::checksum::ALGORITHMS;
use super::headers::{EXTENSIONS, VERSION};
use super::receive::Progress;
use crate::storage::error::StorageError;
use crate::storage::metrics;
use crate::storage::model::conditions::http_date;

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("tus-resumable", HeaderValue::from_static(VERSION));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What the server can do.
pub(super) fn abilities(largest: u64) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert("tus-version", HeaderValue::from_static(VERSION));
    headers.insert("tus-extension", HeaderValue::from_static(EXTENSIONS));
    headers.insert("tus-checksum-algorithm", HeaderValue::from_static(ALGORITHMS));
    headers.insert("tus-max-size", HeaderValue::from(largest));
    response
}

/// Where an upload stands, and how long it can go on.
pub(super) fn standing(status: StatusCode, progress: Progress, expires_at: DateTime<Utc>) -> Response {
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert("upload-offset", HeaderValue::from(progress.offset));
    if let Ok(date) = HeaderValue::from_str(&http_date(expires_at)) {
        headers.insert("upload-expires", date);
    }
    if progress.is_finished {
        headers.insert("tus-complete", HeaderValue::from_static("1"));
    }
    response
}

/// There are other methods.
pub(super) fn no_such_method(allowed: &'static str) -> Response {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Why a request did nothing.
pub(super) fn refused(error: &StorageError) -> Response {
    metrics::refused(error.code());
    let mut response = empty(error.status());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match error {
        StorageError::OtherTusVersion => {
            headers.insert("tus-version", HeaderValue::from_static(VERSION));
        }
        StorageError::OffsetConflict(offset) => {
            headers.insert("upload-offset", HeaderValue::from(*offset));
        }
        StorageError::TooManyConnections | StorageError::Unavailable | StorageError::Busy => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    *response.body_mut() = Body::from(error.to_string());
    response
}
