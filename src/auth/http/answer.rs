//! Answers that several actions give.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use crate::auth::model::NewTokens;

const USER: HeaderName = HeaderName::from_static("sb-auth-user-id");
const SESSION: HeaderName = HeaderName::from_static("sb-auth-session-id");

/// Who has been signed in by a response: an extension of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedInAs {
    pub(super) user: Uuid,
    pub(super) session: Uuid,
}

/// The tokens of somebody who has just signed in or refreshed; no cache keeps them (RFC 6749 section 5.1).
pub(super) fn signed_in(tokens: &NewTokens) -> Response {
    let mut response = Json(tokens.shown()).into_response();
    response.extensions_mut().insert(SignedInAs { user: tokens.user_id, session: tokens.session_id });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    for (name, id) in [(USER, tokens.user_id), (SESSION, tokens.session_id)] {
        if let Ok(value) = HeaderValue::try_from(id.to_string()) {
            headers.insert(name, value);
        }
    }
    response
}
