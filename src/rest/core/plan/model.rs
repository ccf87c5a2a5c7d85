//! The plan: a tree of plain data between the request and its SQL. Pure.
//!
//! A [`ReadNode`] is one relation of the `select` tree; writes and calls carry a read tree for what they return.

use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::model::{Function, InputRule, Mask, Parameter, QualifiedName, Relationship};
use crate::kernel::sql::TypeName;
use crate::rest::core::media::MediaType;
use crate::rest::core::range::RowRange;
use crate::rest::core::request::{
    Aggregate, JoinType, JsonOperation, LogicOperator, Mutation, OperatorExpression, OrderDirection,
    OrderNulls,
};

mod write;

pub use write::{OnConflict, OwnerColumn, Write};

/// What a request does, decided against the catalog.
#[derive(Clone, Debug)]
pub enum Plan {
    /// GET or HEAD on a relation.
    Read(ReadAction),
    /// POST, PATCH, PUT or DELETE on a relation.
    Mutate(MutateAction),
    /// A function call.
    Call(CallAction),
    /// The description of a schema at the root.
    Inspect {
        /// The described schema.
        schema: Arc<str>,
        /// Whether only the headers are wanted.
        headers_only: bool,
    },
    /// `OPTIONS`: the methods that the target allows, without the database.
    Info {
        /// The value of `Allow`.
        allow: String,
    },
}

/// A read and how its result is shown.
#[derive(Clone, Debug)]
pub struct ReadAction {
    /// The relation asked for.
    pub target: QualifiedName,
    /// The tree to select.
    pub tree: ReadNode,
    /// How the result becomes a body.
    pub output: Output,
    /// Whether only the headers are wanted.
    pub headers_only: bool,
}

/// A write and the read of what it changed.
#[derive(Clone, Debug)]
pub struct MutateAction {
    /// The relation written to.
    pub target: QualifiedName,
    /// Which kind of write.
    pub mutation: Mutation,
    /// The write itself.
    pub write: Write,
    /// The tree selected from the written rows.
    pub tree: ReadNode,
    /// How the result becomes a body.
    pub output: Output,
}

/// A function call and the read of what it returned.
#[derive(Clone, Debug)]
pub struct CallAction {
    /// The function chosen among the overloads.
    pub function: Arc<Function>,
    /// How its parameters are given.
    pub call: Call,
    /// The tree selected from the result.
    pub tree: ReadNode,
    /// How the result becomes a body.
    pub output: Output,
    /// Whether it runs in a read-only transaction.
    pub read_only: bool,
    /// Whether only the headers are wanted.
    pub headers_only: bool,
}

/// How rows become a body, and the media type that says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The SQL side.
    pub handler: Handler,
    /// The negotiated type.
    pub media: MediaType,
}

/// The aggregation that produces a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Handler {
    /// No body is wanted.
    None,
    /// A JSON array, or one value for a function that returns one.
    Json,
    /// As [`Handler::Json`], without keys that are null.
    JsonStripped,
    /// One JSON object.
    Single {
        /// Without keys that are null.
        stripped: bool,
    },
    /// Comma-separated values with a header line, row by row.
    Csv,
    /// One JSON object a line, row by row.
    NdJson,
    /// A GeoJSON feature collection (PostGIS).
    GeoJson,
    /// An aggregate or function of the database.
    Custom {
        /// What to call.
        function: QualifiedName,
        /// The row type it takes; `None` for `anyelement`.
        target: Option<QualifiedName>,
    },
}

/// One relation of the tree.
#[derive(Clone, Debug)]
pub struct ReadNode {
    /// Selected columns, in order.
    pub select: Vec<SelectField>,
    /// The relation whose rows these are, as the catalog names it.
    pub relation: QualifiedName,
    /// What is read.
    pub from: QualifiedName,
    /// A condition on the rows of `from` that stands before everything else, as SQL text over its columns.
    pub rows: Option<Arc<str>>,
    /// Its alias, unique by depth.
    pub alias: Option<Arc<str>>,
    /// Conditions, joined by AND.
    pub filters: Vec<Logic>,
    /// Order terms.
    pub order: Vec<OrderBy>,
    /// Limit and offset.
    pub range: RowRange,
    /// The name in the request.
    pub name: Arc<str>,
    /// The alias in the request.
    pub request_alias: Option<Arc<str>>,
    /// How it hangs on its parent; `None` at the root.
    pub relationship: Option<Arc<Relationship>>,
    /// The parent's alias, for a computed relationship's argument.
    pub parent_alias: Option<Arc<str>>,
    /// Equalities that join it to its parent.
    pub join_conditions: Vec<JoinCondition>,
    /// The alias of its lateral subquery.
    pub aggregate_alias: Arc<str>,
    /// `!inner` or `!left`.
    pub join_type: Option<JoinType>,
    /// Set where its columns are spread into the parent.
    pub spread: Option<Spread>,
    /// How each child shows in this node's select list.
    pub embeds: Vec<Embed>,
    /// Distance from the root.
    pub depth: usize,
    /// Whether a parameter named it by the relation although it has an alias.
    pub named_by_target: bool,
    /// Embedded relations.
    pub children: Vec<ReadNode>,
}

/// How a spread relation's rows reach the parent.
#[derive(Clone, Debug, PartialEq)]
pub enum Spread {
    /// One row: its columns become the parent's.
    ToOne,
    /// Many rows: each column becomes an array.
    ToMany {
        /// Columns selected only to order the arrays by, each with the embed they come from.
        extra_select: Vec<(Option<Arc<str>>, SelectField)>,
        /// The order of the arrays.
        order: Vec<OrderBy>,
    },
}

/// A child in its parent's select list.
#[derive(Clone, Debug, PartialEq)]
pub enum Embed {
    /// An object or array under one name.
    Json {
        /// The name in the result.
        name: Arc<str>,
        /// The alias of the child's subquery.
        aggregate_alias: Arc<str>,
        /// An object (to-one) rather than an array.
        is_object: bool,
        /// Nothing was selected: it only filters.
        is_empty: bool,
    },
    /// Its columns, side by side with the parent's.
    Spread {
        /// The columns.
        fields: Vec<SpreadField>,
        /// The alias of the child's subquery.
        aggregate_alias: Arc<str>,
    },
}

impl Embed {
    /// The alias of the child's subquery.
    pub fn aggregate_alias(&self) -> &Arc<str> {
        match self {
            Self::Json { aggregate_alias, .. } | Self::Spread { aggregate_alias, .. } => aggregate_alias,
        }
    }
}

/// One column that a spread brings up.
#[derive(Clone, Debug, PartialEq)]
pub struct SpreadField {
    /// Its name in the child's subquery.
    pub name: Arc<str>,
    /// An aggregate brought up from the child.
    pub aggregate: Option<Aggregate>,
    /// The cast of the aggregate.
    pub aggregate_cast: Option<TypeName>,
    /// Its name in the result.
    pub alias: Option<Arc<str>>,
}

/// One selected column.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectField {
    /// The column.
    pub field: ResolvedField,
    /// An aggregate over it.
    pub aggregate: Option<Aggregate>,
    /// The cast of the aggregate.
    pub aggregate_cast: Option<TypeName>,
    /// The cast of the column.
    pub cast: Option<TypeName>,
    /// Its name in the result.
    pub alias: Option<Arc<str>>,
}

/// A column as the catalog knows it, with the representation that applies where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedField {
    /// The column's name.
    pub name: Arc<str>,
    /// Steps into a JSON value.
    pub json_path: Vec<JsonOperation>,
    /// Whether the path needs `to_jsonb` first.
    pub to_json: bool,
    /// Set where full-text search applies to text.
    pub to_tsvector: Option<TextSearch>,
    /// The declared type, or empty where the catalog does not know the column.
    pub declared_type: Arc<str>,
    /// The type below the domains.
    pub base_type: Arc<str>,
    /// The cast function of a domain representation, as SQL text from the catalog.
    pub transform: Option<Arc<str>>,
    /// The SQL text of the column's default.
    pub default: Option<Arc<str>>,
    /// The whole row rather than a column.
    pub full_row: bool,
    /// What is shown instead of the value.
    pub mask: Option<Mask>,
    /// How a value that is written is looked at.
    pub input: Option<InputRule>,
}

/// The `to_tsvector` around a text column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSearch {
    /// The text search configuration, if one was named.
    pub language: Option<Arc<str>>,
}

impl ResolvedField {
    /// A field that the catalog does not know; PostgreSQL decides.
    pub fn unknown(name: Arc<str>, json_path: Vec<JsonOperation>) -> Self {
        Self {
            name,
            json_path,
            to_json: false,
            to_tsvector: None,
            declared_type: Arc::from(""),
            base_type: Arc::from(""),
            transform: None,
            default: None,
            full_row: false,
            mask: None,
            input: None,
        }
    }
}

/// A condition tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Logic {
    /// `and(…)` or `or(…)`.
    Group {
        /// Negated as a whole.
        negated: bool,
        /// How the members combine.
        operator: LogicOperator,
        /// The members.
        members: Vec<Logic>,
    },
    /// A comparison.
    Filter {
        /// The left side.
        field: ResolvedField,
        /// Operator and value.
        expression: OperatorExpression,
    },
    /// Whether an embedded relation has rows.
    EmbedIsNull {
        /// `not.is.null`.
        negated: bool,
        /// The alias of the embed's subquery.
        aggregate_alias: Arc<str>,
    },
}

/// One term of ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    /// The column.
    pub field: ResolvedField,
    /// The embed it comes from (its request name, then its subquery's alias).
    pub relation: Option<Arc<str>>,
    /// `asc` or `desc`.
    pub direction: Option<OrderDirection>,
    /// Where nulls go.
    pub nulls: Option<OrderNulls>,
}

/// One equality of a join: `left = right`.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinCondition {
    /// The child's (or junction's) column.
    pub left: (QualifiedName, Arc<str>),
    /// The parent's (or child's) column.
    pub right: (QualifiedName, Arc<str>),
}

/// How a function is called.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: QualifiedName,
    /// Where its values come from.
    pub arguments: Arguments,
    /// Columns that filters need beside those returned.
    pub filter_columns: Vec<Arc<str>>,
    /// Columns that the read tree needs; `*` for all.
    pub returning: Vec<Arc<str>>,
}

/// The values of a call.
#[derive(Clone, Debug)]
pub enum Arguments {
    /// None.
    Empty,
    /// Named parameters, each with its value.
    Named(Vec<(Parameter, ArgumentValue)>),
    /// Named parameters, taken from the keys of a JSON object.
    FromJson(Vec<Parameter>, Bytes),
    /// One unnamed parameter, given the whole body.
    Single(Parameter, Option<Bytes>),
}

/// One value from a query string or form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentValue {
    /// Given once (or the last one given).
    One(String),
    /// The values of a variadic parameter.
    Many(Vec<String>),
    /// Not given.
    Null,
}
