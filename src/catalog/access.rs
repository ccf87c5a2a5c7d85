//! What a class of callers may do with the columns of a relation, and how PostgreSQL stores that views use columns.
//! Pure data. As loaded, everything may be done; `policy` makes the catalog that a class of callers sees.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::model::QualifiedName;
use crate::kernel::sanitise::{Field, Policy};

/// What may be done with one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnAccess {
    /// Reading it.
    pub read: ReadAccess,
    /// Whether it may be written.
    pub write: bool,
    /// What is done about unwanted input in what is written to it; nothing if absent.
    pub input: Option<InputRule>,
}

impl ColumnAccess {
    /// Nothing is refused.
    pub const FULL: Self = Self { read: ReadAccess::Plain, write: true, input: None };
    /// Everything is refused.
    pub const NONE: Self = Self { read: ReadAccess::Hidden, write: false, input: None };
}

/// How a column may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadAccess {
    /// As it is, wherever a column may stand.
    Plain,
    /// Through a mask, in the list of selected columns only.
    Masked(Mask),
    /// Not at all, by PostgreSQL's grants: left out of `*`, and PostgreSQL refuses it where it is named.
    NotGranted,
    /// Not at all: for this class of callers there is no such column.
    Hidden,
}

/// What stands in for a masked value. NULL stays NULL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// `jane@example.org` becomes `j***@example.org`.
    Email,
    /// All but the last two digits become `*`.
    Phone,
    /// All but the last four characters become `*`; of four or fewer, all.
    LastFour,
    /// The hexadecimal SHA-256 of the value with a key of this database: equal values stay equal.
    Hash,
    /// NULL.
    Null,
    /// Always this text.
    Constant(String),
}

/// How values that callers write to a column are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputRule {
    /// What is done about what is found; never [`Policy::Off`].
    pub policy: Policy,
    /// What the values are meant to be.
    pub kind: Field,
}

/// How a view uses the columns of the relations that it reads directly, and how a table that inherits or generates columns
/// does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewLineage {
    /// Columns of the view that show a column of a relation as it is.
    pub shown: Vec<(Arc<str>, ColumnName)>,
    /// Generated columns of a table, each with a column that it is computed from.
    pub computed: Vec<(Arc<str>, ColumnName)>,
    /// Columns that it uses in any other way: in a condition, a join, an order, an expression.
    pub used: BTreeSet<ColumnName>,
    /// Relations whose rows it uses as a whole, so every column of them.
    pub whole: BTreeSet<QualifiedName>,
    /// Every relation that it reads.
    pub reads: BTreeSet<QualifiedName>,
}

/// A column of a relation.
pub type ColumnName = (QualifiedName, Arc<str>);
