//! The parsed REST request: plain data that `parse` produces and `plan` consumes.
//!
//! Holds no behaviour beyond small accessors, knows no catalog, and does no I/O. Everything textual in here is
//! untrusted client input: it may only reach SQL as a quoted identifier or a bound value. The query string's own
//! vocabulary is in [`super::query`] and re-exported here.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::media::MediaType;
use super::preferences::Preferences;
use super::range::RowRange;

pub use super::query::*;

/// A request after parsing and before anything is known about the database schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequest {
    /// What the client wants done, and to which relation or function of [`ApiRequest::schema`].
    pub action: Action,
    /// The exposed schema that the request addresses.
    pub schema: String,
    /// Whether the answer must name the schema (`Content-Profile`): chosen by a profile header, or one of several.
    pub negotiated_by_profile: bool,
    /// The parsed query string.
    pub query: QueryParams,
    /// The parsed `Prefer` headers.
    pub preferences: Preferences,
    /// Acceptable media types, best first; `*/*` alone when the client sent no `Accept`.
    pub accept: Vec<MediaType>,
    /// The media type of the body; JSON when the client named none.
    pub content_type: MediaType,
    /// The body, for actions that take one.
    pub payload: Option<Payload>,
    /// Columns that a mutation writes (or arguments that a call passes), from `columns` or the body's keys.
    pub columns: BTreeSet<String>,
    /// Rows asked for at the top level: `limit`, `offset` and the `Range` header combined.
    pub top_range: RowRange,
    /// Rows asked for at each embedded level; the top level is not among them.
    pub ranges: Vec<(EmbedPath, RowRange)>,
    /// Request headers without cookies as the text of a JSON object, names in lower case; of equal names the last counts.
    pub headers: Bytes,
    /// Request cookies likewise.
    pub cookies: Bytes,
    /// The HTTP method.
    pub method: String,
    /// The path as the client sent it (still percent-encoded).
    pub path: String,
}

/// What a request does. Targets are names inside [`ApiRequest::schema`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET` or `HEAD` on a relation.
    RelationRead {
        /// Table or view.
        target: String,
        /// True for `HEAD`.
        headers_only: bool,
    },
    /// `POST`, `PATCH`, `PUT` or `DELETE` on a relation.
    RelationMutate {
        /// Table or view.
        target: String,
        /// Which change.
        mutation: Mutation,
    },
    /// `GET`, `HEAD` or `POST` on a function (or on the root when `db-root-spec` names one).
    Call {
        /// Function.
        target: String,
        /// How it is called.
        method: CallMethod,
    },
    /// `GET` or `HEAD` on the root: the OpenAPI description.
    SchemaRead {
        /// True for `HEAD`.
        headers_only: bool,
    },
    /// `OPTIONS` on a relation.
    RelationInfo {
        /// Table or view.
        target: String,
    },
    /// `OPTIONS` on a function.
    CallInfo {
        /// Function.
        target: String,
    },
    /// `OPTIONS` on the root.
    SchemaInfo,
}

impl Action {
    /// Whether arguments of a call come from the query string (`GET`, `HEAD`).
    pub fn is_read_call(&self) -> bool {
        matches!(self, Self::Call { method: CallMethod::Read { .. }, .. })
    }
}

/// A change to a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// `POST`: insert, or upsert with `Prefer: resolution=...`.
    Create,
    /// `PATCH`.
    Update,
    /// `DELETE`.
    Delete,
    /// `PUT`: insert or replace exactly one row.
    SingleUpsert,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallMethod {
    /// `GET` or `HEAD`: in a read-only transaction, arguments in the query string.
    Read {
        /// True for `HEAD`.
        headers_only: bool,
    },
    /// `POST`: arguments in the body.
    Write,
}

/// A request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A JSON object, or an array of objects that all have the same keys. The text is the client's own (or was made
    /// from CSV or a form), so that no number loses a digit.
    Json {
        /// The JSON text, valid UTF-8; empty for a call without a body.
        raw: Bytes,
        /// The keys of the object or objects.
        keys: BTreeSet<String>,
    },
    /// JSON text that was not looked into, because `columns` says what matters in it.
    RawJson(Bytes),
    /// A form sent to a function: its arguments.
    UrlEncoded {
        /// Names and values in the order sent; a name may repeat.
        pairs: Vec<(String, String)>,
        /// The distinct names.
        keys: BTreeSet<String>,
    },
    /// Text, XML or bytes for a function with a single unnamed parameter.
    Raw(Bytes),
}
