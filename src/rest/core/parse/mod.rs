//! URL, headers and body to [`ApiRequest`]: the REST service's parser, and the one place that reads client syntax.
//!
//! Follows PostgREST's grammar and error texts. Pure; total (no input panics); linear in the size of its input; nesting
//! is counted, never left to the stack. Knows no catalog: what a name means is decided in planning.

mod error;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::request::ApiRequest;

pub use error::{RangeError, RequestError};

/// How deep select trees, logic trees and JSON paths may nest.
pub const MAX_DEPTH: usize = 64;
/// How many entries all lists of one `select` may have together; PostgreSQL's limit on target lists.
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
    /// The function that answers the root, if any (`db-root-spec`), in the default schema.
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
    let _ = (parts, config, body);
    Err(RequestError::InvalidResourcePath)
}
