//! The vocabulary of PostgREST's URL grammar: select trees, filters, logic trees, orders.
//!
//! Plain data that [`super::parse`] produces. All names and values are untrusted client input, free of NUL; they may
//! only reach SQL as a quoted identifier or a bound value, and casts and languages only after their own checks.

use std::collections::BTreeSet;

use super::range::RowRange;

/// The parsed query string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryParams {
    /// The parameters sorted by name and percent-encoded, for `Content-Location`.
    pub canonical: String,
    /// Arguments of a read call: parameters whose value is no filter.
    pub params: Vec<(String, String)>,
    /// `limit` and `offset` by parameter name with `offset` spelled `limit` (`limit`, `clients.limit`).
    pub ranges: Vec<(String, RowRange)>,
    /// `order` of each level.
    pub order: Vec<(EmbedPath, Vec<OrderTerm>)>,
    /// `and`/`or` of each level.
    pub logic: Vec<(EmbedPath, LogicTree)>,
    /// `columns`, which limits what a mutation writes.
    pub columns: Option<BTreeSet<String>>,
    /// `select`; `*` when absent.
    pub select: Vec<SelectNode>,
    /// All filters in order.
    pub filters: Vec<(EmbedPath, Filter)>,
    /// The filters of the top level: the rows that `PATCH` and `DELETE` touch.
    pub filters_root: Vec<Filter>,
    /// Raw names of all parameters that stand for filters (or arguments).
    pub filter_fields: BTreeSet<String>,
    /// `on_conflict`: the columns of the unique key to upsert on.
    pub on_conflict: Option<Vec<String>>,
}

/// Names of embedded levels from the top; empty is the top itself.
pub type EmbedPath = Vec<String>;

/// One entry of `select` with what is selected inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectNode {
    /// The entry.
    pub item: SelectItem,
    /// Entries of the embedded relation; always empty for a field.
    pub children: Vec<SelectNode>,
}

/// An entry of `select`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectItem {
    /// `alias:field->json::cast.aggregate()::aggregate_cast`. `count()` alone has the field `*`.
    Field {
        /// The column, `*`, or a path into a JSON column.
        field: Field,
        /// Aggregate function applied.
        aggregate: Option<Aggregate>,
        /// Type that the aggregate's result is cast to.
        aggregate_cast: Option<String>,
        /// Type that the field is cast to.
        cast: Option<String>,
        /// Name in the answer.
        alias: Option<String>,
    },
    /// `alias:relation!hint!inner(...)`.
    Relation {
        /// Relation, foreign key column, or constraint.
        name: String,
        /// Name in the answer.
        alias: Option<String>,
        /// What tells several relationships apart.
        hint: Option<String>,
        /// Whether rows without a related row stay.
        join_type: Option<JoinType>,
    },
    /// `...relation!hint!inner(...)`: the related row's columns become columns of this level.
    Spread {
        /// Relation, foreign key column, or constraint.
        name: String,
        /// What tells several relationships apart.
        hint: Option<String>,
        /// Whether rows without a related row stay.
        join_type: Option<JoinType>,
    },
}

/// Join of an embedded relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinType {
    /// `!inner`: drops rows that have no related row.
    Inner,
    /// `!left`: the default, said aloud.
    Left,
}

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// `sum()`
    Sum,
    /// `avg()`
    Avg,
    /// `max()`
    Max,
    /// `min()`
    Min,
    /// `count()`
    Count,
}

/// A column, or a place inside a JSON (or composite) column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field {
    /// Column name, unquoted; `*` for all.
    pub name: String,
    /// Steps into the column's value; at most [`super::parse::MAX_DEPTH`].
    pub json_path: Vec<JsonOperation>,
}

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JsonOperation {
    /// `->`: the element as JSON.
    Arrow(JsonOperand),
    /// `->>`: the element as text.
    DoubleArrow(JsonOperand),
}

/// What a JSON step selects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JsonOperand {
    /// A key of an object.
    Key(String),
    /// An index of an array: a sign (`+` where none was given) and ASCII digits, of any length.
    Index(String),
}

/// One term of `order`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderTerm {
    /// The embedded to-one relation whose column is meant, for `relation(column)`.
    pub relation: Option<String>,
    /// What to order by.
    pub field: Field,
    /// Direction, if given.
    pub direction: Option<OrderDirection>,
    /// Where nulls go, if given.
    pub nulls: Option<OrderNulls>,
}

/// Direction of an order term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderDirection {
    /// `asc`
    Asc,
    /// `desc`
    Desc,
}

/// Place of nulls in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderNulls {
    /// `nullsfirst`
    First,
    /// `nullslast`
    Last,
}

/// A boolean combination of filters. Nested at most [`super::parse::MAX_DEPTH`] deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogicTree {
    /// `and(...)`, `or(...)`, with `not.` in front or not.
    Expression {
        /// Whether the whole is negated.
        negated: bool,
        /// How the children combine.
        operator: LogicOperator,
        /// At least one.
        children: Vec<LogicTree>,
    },
    /// One condition.
    Filter(Filter),
}

/// How the children of a logic expression combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogicOperator {
    /// All must hold.
    And,
    /// One must hold.
    Or,
}

/// A condition on a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Left side.
    pub field: Field,
    /// Operator and right side.
    pub operation: OperatorExpression,
}

/// An operation, negated or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorExpression {
    /// Whether `not.` stands in front.
    pub negated: bool,
    /// The operation.
    pub operation: Operation,
}

/// Operator and right side of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An operator that compares with one value only.
    Simple(SimpleOperator, String),
    /// An operator that may compare with any or all elements of an array literal.
    Quantified(QuantifiedOperator, Option<Quantifier>, String),
    /// `in.(...)`; one empty string stands for `in.()`.
    In(Vec<String>),
    /// `is.null` and kin.
    Is(IsValue),
    /// `isdistinct.value`
    IsDistinctFrom(String),
    /// Full text search: operator, configuration (language), query.
    FullText(FullTextOperator, Option<String>, String),
}

/// `any` or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantifier {
    /// One element suffices.
    Any,
    /// Every element must match.
    All,
}

/// Right side of `is`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IsValue {
    /// `null`
    Null,
    /// `not_null`
    NotNull,
    /// `true`
    True,
    /// `false`
    False,
    /// `unknown`
    Unknown,
}

/// Operators without `any`/`all`. The variant comments give PostgREST's name and PostgreSQL's operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimpleOperator {
    /// `neq`: `<>`
    NotEqual,
    /// `cs`: `@>`
    Contains,
    /// `cd`: `<@`
    Contained,
    /// `ov`: `&&`
    Overlap,
    /// `sl`: `<<`
    StrictlyLeft,
    /// `sr`: `>>`
    StrictlyRight,
    /// `nxr`: `&<`
    NotExtendsRight,
    /// `nxl`: `&>`
    NotExtendsLeft,
    /// `adj`: `-|-`
    Adjacent,
}

/// Operators that take `any`/`all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuantifiedOperator {
    /// `eq`: `=`
    Equal,
    /// `gte`: `>=`
    GreaterThanEqual,
    /// `gt`: `>`
    GreaterThan,
    /// `lte`: `<=`
    LessThanEqual,
    /// `lt`: `<`
    LessThan,
    /// `like`: `LIKE`, with `*` for `%`
    Like,
    /// `ilike`: `ILIKE`, with `*` for `%`
    ILike,
    /// `match`: `~`
    Match,
    /// `imatch`: `~*`
    IMatch,
}

/// Full text search operators, all `@@` with a different query function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FullTextOperator {
    /// `fts`: `to_tsquery`
    Plain,
    /// `plfts`: `plainto_tsquery`
    PlainTo,
    /// `phfts`: `phraseto_tsquery`
    PhraseTo,
    /// `wfts`: `websearch_to_tsquery`
    WebSearchTo,
}
