//! Path and method to the action, profile headers to the schema, `limit` and `Range` to row ranges.

use http::Method;

use super::params::range_path;
use super::{ParseConfig, RangeError, RequestError, RequestParts, url};
use crate::rest::core::query::{EmbedPath, QueryParams};
use crate::rest::core::range::{RowRange, parse_range_header};
use crate::rest::core::request::{Action, CallMethod, Mutation};

/// What a path addresses.
pub(super) enum Resource {
    Relation(String),
    Function(String),
    Schema,
}

/// Reads the path.
pub(super) fn resource(path: &str, config: &ParseConfig) -> Result<Resource, RequestError> {
    let mut segments = url::path_segments(path).ok_or(RequestError::InvalidUrlText("path"))?.into_iter();
    match (segments.next(), segments.next(), segments.next()) {
        (None, ..) if !config.root_enabled => Err(RequestError::OpenApiDisabled),
        (None, ..) => Ok(config.root_function.clone().map_or(Resource::Schema, Resource::Function)),
        (Some(relation), None, _) => Ok(Resource::Relation(relation)),
        (Some(prefix), Some(function), None) if prefix == "rpc" => Ok(Resource::Function(function)),
        _ => Err(RequestError::InvalidResourcePath),
    }
}

/// The schema asked for by a profile header or by default, and whether the answer must name it.
pub(super) fn schema(parts: &RequestParts<'_>, config: &ParseConfig) -> Result<(String, bool), RequestError> {
    let header = match *parts.method {
        Method::DELETE | Method::PATCH | Method::POST | Method::PUT => "content-profile",
        _ => "accept-profile",
    };
    let Some(value) = parts.headers.get(header) else {
        let default = config.schemas.first().cloned().unwrap_or_default();
        return Ok((default, config.schemas.len() != 1));
    };
    let schema = String::from_utf8_lossy(value.as_bytes()).into_owned();
    if config.schemas.contains(&schema) {
        Ok((schema, true))
    } else {
        Err(RequestError::UnacceptableSchema { schema, exposed: config.schemas.clone() })
    }
}

/// Joins path and method.
pub(super) fn action(resource: Resource, method: &Method) -> Result<Action, RequestError> {
    let headers_only = *method == Method::HEAD;
    let unsupported = || RequestError::UnsupportedMethod(method.as_str().to_owned());
    match resource {
        Resource::Function(target) => match *method {
            Method::GET | Method::HEAD => {
                Ok(Action::Call { target, method: CallMethod::Read { headers_only } })
            }
            Method::POST => Ok(Action::Call { target, method: CallMethod::Write }),
            Method::OPTIONS => Ok(Action::CallInfo { target }),
            _ => Err(RequestError::InvalidRpcMethod(method.as_str().to_owned())),
        },
        Resource::Relation(target) => match *method {
            Method::GET | Method::HEAD => Ok(Action::RelationRead { target, headers_only }),
            Method::OPTIONS => Ok(Action::RelationInfo { target }),
            _ => {
                let mutation = mutation(method).ok_or_else(unsupported)?;
                Ok(Action::RelationMutate { target, mutation })
            }
        },
        Resource::Schema => match *method {
            Method::GET | Method::HEAD => Ok(Action::SchemaRead { headers_only }),
            Method::OPTIONS => Ok(Action::SchemaInfo),
            _ => Err(unsupported()),
        },
    }
}

fn mutation(method: &Method) -> Option<Mutation> {
    match *method {
        Method::POST => Some(Mutation::Create),
        Method::PUT => Some(Mutation::SingleUpsert),
        Method::PATCH => Some(Mutation::Update),
        Method::DELETE => Some(Mutation::Delete),
        _ => None,
    }
}

/// The name under which the top level's `limit` and `offset` are found.
const TOP: &str = "limit";

/// The top level's rows: `limit`, `offset`, and on GET the `Range` header.
pub(super) fn top_range(parts: &RequestParts<'_>, query: &QueryParams) -> Result<RowRange, RequestError> {
    let header = parts.headers.get("range").filter(|_| *parts.method == Method::GET);
    let header_range = match header.map(http::HeaderValue::to_str) {
        Some(Ok(value)) => parse_range_header(value),
        _ => RowRange::ALL,
    };
    let limit_range =
        query.ranges.iter().find(|(name, _)| name == TOP).map_or(RowRange::ALL, |(_, range)| *range);
    let top_range = limit_range.convert_to_limit_zero(header_range.intersect(limit_range));
    if top_range.is_empty() && !limit_range.has_limit_zero() {
        return Err(RequestError::InvalidRange(if header_range.is_empty() {
            RangeError::LowerAboveUpper
        } else {
            RangeError::NegativeLimit
        }));
    }
    if *parts.method == Method::PUT && !top_range.is_all() {
        return Err(RequestError::PutLimitNotAllowed);
    }
    Ok(top_range)
}

/// The embedded levels' rows.
pub(super) fn embedded_ranges(query: &QueryParams) -> Result<Vec<(EmbedPath, RowRange)>, RequestError> {
    let embedded = query.ranges.iter().filter(|(name, _)| name != TOP);
    embedded.map(|(name, range)| Ok((range_path(name)?, *range))).collect()
}
