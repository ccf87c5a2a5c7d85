//! Headers that make browsers careful with answers, and caches as well.
//!
//! Only added where the service did not set its own: a page of the dashboard needs another policy than JSON.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::kernel::identity::{Caller, Via};

/// For every answer. `X-XSS-Protection: 0` turns off a filter of old browsers that itself opened holes.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (X_XSS_PROTECTION, HeaderValue::from_static("0")),
];

/// Adds the headers to an answer.
pub(super) fn add(answer: &mut HeaderMap, https: bool) {
    answer.reserve(ALWAYS.len() + 4);
    for (name, value) in ALWAYS {
        answer.entry(name).or_insert(value);
    }
    if https {
        let two_years = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        answer.entry(STRICT_TRANSPORT_SECURITY).or_insert(two_years);
    }
}

/// Keeps answers to one caller from another: shared caches must not store what belongs to a caller.
pub(super) fn keep_private(answer: &mut HeaderMap, caller: Option<&Caller>, vary: bool) {
    if vary {
        answer.append(VARY, HeaderValue::from_static("Authorization, apikey"));
    }
    if caller.is_some_and(|caller| matches!(caller.via, Via::Token | Via::SecretKey)) {
        answer.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-store"));
    }
}
