//! Why a request cannot be planned: what it asks for does not exist, is ambiguous, or is switched off. Pure.

use std::sync::Arc;

use crate::catalog::model::{Function, Relationship};
use crate::rest::core::media::MediaType;

/// A refusal at planning; `rest::error` gives each its code, status and words.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanError {
    /// A parameter names an embed that `select` does not have.
    NotEmbedded {
        /// The name.
        name: String,
        /// Set where the name is a relation's that has an alias in this request.
        alias: Option<String>,
    },
    /// `order=embed(column)` on an embed of many rows.
    RelatedOrderNotToOne {
        /// The relation.
        origin: String,
        /// The embed.
        target: String,
    },
    /// A combination that is not implemented.
    NotImplemented(&'static str),
    /// Aggregates are switched off.
    AggregatesNotAllowed,
    /// PUT with filters other than equality on the primary key.
    InvalidPutFilters,
    /// No accepted media type can be produced.
    NotAcceptable(Vec<String>),
    /// `max-affected` on a function that returns one row.
    MaxAffectedNeedsSet,
    /// No such relation in the schema.
    RelationNotFound {
        /// The schema.
        schema: String,
        /// The name.
        name: String,
        /// A likely name.
        hint: Option<String>,
    },
    /// No such column to write.
    ColumnNotFound {
        /// The relation.
        relation: String,
        /// The column.
        column: String,
    },
    /// No relationship between two relations.
    NoRelationship {
        /// The parent.
        origin: String,
        /// The embed.
        target: String,
        /// The hint in the request.
        hint: Option<String>,
        /// The schema searched.
        schema: String,
        /// A likely name.
        suggestion: Option<String>,
    },
    /// More than one relationship between two relations.
    AmbiguousRelationship {
        /// The parent.
        origin: String,
        /// The embed.
        target: String,
        /// All of them.
        candidates: Vec<Relationship>,
    },
    /// No function takes these parameters.
    FunctionNotFound {
        /// The schema.
        schema: String,
        /// The function.
        name: String,
        /// The names given.
        arguments: Vec<String>,
        /// The body's type.
        content_type: MediaType,
        /// Whether it was a POST.
        is_post: bool,
        /// A likely name.
        suggestion: Option<String>,
    },
    /// More than one function takes these parameters.
    AmbiguousFunction(Vec<Arc<Function>>),
    /// A cast with characters that a type name cannot have.
    InvalidCast(String),
}
