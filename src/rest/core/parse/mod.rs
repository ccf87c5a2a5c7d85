//! URL, headers and body to [`ApiRequest`]: the REST service's parser, and the one place that reads client syntax.
//!
//! Follows PostgREST's grammar and error texts. Pure; total (no input panics); linear in the size of its input; nesting
//! is counted, never left to the stack. Knows no catalog: what a name means is decided in planning.

mod action;
mod cursor;
mod error;
mod facts;
mod failure;
mod fields;
mod filter;
mod logic;
mod order;
mod params;
mod select;
#[cfg(test)]
mod tests;
pub(super) mod url;

use bytes::Bytes;
use http::{HeaderMap, Method, header};

use super::media::{MediaType, parse_accept};
use super::payload;
use super::preferences::Preferences;
use super::request::{Action, ApiRequest};

pub use error::{RangeError, RequestError};

/// How deep select trees, logic trees and JSON paths may nest.
pub const MAX_DEPTH: usize = 64;
/// How many entries all lists of one `select` may have together; PostgreSQL's limit on target lists is 1,664.
pub const MAX_SELECT_ITEMS: usize = 1_600;

/// What the parser sees of an HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The path behind the service's prefix, still percent-encoded: `/items`, `/rpc/add`, `/`.
    pub resource_path: &'a str,
    /// The whole path as the client sent it, for `request.path`.
    pub path: &'a str,
    /// The query string without its question mark, still percent-encoded, API keys removed.
    pub query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// What the parser must know of the configuration.
#[derive(Clone, Debug)]
pub struct ParseConfig {
    /// Schemas that are exposed; the first is the default.
    pub schemas: Vec<String>,
    /// The function that answers the root, if any (`db-root-spec`); its name only, looked for in the request's schema.
    pub root_function: Option<String>,
    /// Whether the root may be asked for at all (`openapi-mode` is not `disabled`).
    pub root_enabled: bool,
    /// Whether clients may choose commit or rollback (`db-tx-end` is one of the `-allow-override` values).
    pub allow_transaction_end: bool,
}

/// Parses a request. Errors carry PostgREST's code, texts and status.
pub fn parse(
    parts: &RequestParts<'_>,
    config: &ParseConfig,
    body: Bytes,
) -> Result<ApiRequest, RequestError> {
    let resource = action::resource(parts.resource_path, config)?;
    let (schema, negotiated_by_profile) = action::schema(parts, config)?;
    let action = action::action(resource, parts.method)?;
    let query = params::parse(parts.query, action.is_read_call())?;
    let top_range = action::top_range(parts, &query)?;
    let content_type = header_text(parts.headers, &header::CONTENT_TYPE)
        .map_or(MediaType::Json, |value| MediaType::parse(&value));
    let (payload, columns) = payload::read(body, &content_type, query.columns.as_ref(), &action)?;
    let ranges = action::embedded_ranges(&query)?;
    let preferences = preferences(parts.headers, config);
    if preferences.must_refuse() && !is_info(&action) {
        return Err(RequestError::InvalidPreferences(preferences.invalid));
    }
    Ok(ApiRequest {
        schema,
        negotiated_by_profile,
        preferences,
        accept: header_text(parts.headers, &header::ACCEPT)
            .map_or_else(|| vec![MediaType::Any], |value| parse_accept(&value)),
        content_type,
        payload,
        columns,
        top_range,
        ranges,
        headers: facts::headers(parts.headers),
        cookies: facts::cookies(parts.headers),
        method: parts.method.as_str().to_owned(),
        path: parts.path.to_owned(),
        action,
        query,
    })
}

/// Reads the `Prefer` headers alone, for answers to requests that could not be parsed.
pub fn preferences(headers: &HeaderMap, config: &ParseConfig) -> Preferences {
    let values: Vec<_> =
        headers.get_all("prefer").iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    Preferences::parse(values.iter().map(AsRef::as_ref), config.allow_transaction_end)
}

fn is_info(action: &Action) -> bool {
    matches!(action, Action::RelationInfo { .. } | Action::CallInfo { .. } | Action::SchemaInfo)
}

fn header_text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
