//! Writes: what is written where, and what comes back. Pure.

use std::sync::Arc;

use bytes::Bytes;

use super::{Logic, ResolvedField};
use crate::catalog::model::QualifiedName;

/// A write.
#[derive(Clone, Debug)]
pub enum Write {
    /// INSERT, with upsert and PUT.
    Insert {
        /// The relation.
        into: QualifiedName,
        /// The columns written.
        columns: Vec<ResolvedField>,
        /// The JSON body.
        body: Bytes,
        /// What to do on a conflict, and on which columns.
        on_conflict: Option<OnConflict>,
        /// PUT's conditions on the new row.
        conditions: Vec<Logic>,
        /// Columns to return.
        returning: Vec<Arc<str>>,
        /// The primary key, for `Location`.
        primary_key: Vec<Arc<str>>,
        /// `missing=default`.
        apply_defaults: bool,
        /// The column that gets the caller's id, as the body does not have it.
        owner: Option<OwnerColumn>,
    },
    /// UPDATE.
    Update {
        /// The relation.
        into: QualifiedName,
        /// The columns written.
        columns: Vec<ResolvedField>,
        /// The JSON body.
        body: Bytes,
        /// Which rows.
        conditions: Vec<Logic>,
        /// Columns to return.
        returning: Vec<Arc<str>>,
        /// `missing=default`.
        apply_defaults: bool,
    },
    /// DELETE.
    Delete {
        /// The relation.
        from: QualifiedName,
        /// Which rows.
        conditions: Vec<Logic>,
        /// Columns to return.
        returning: Vec<Arc<str>>,
    },
}

/// A column that takes the caller's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerColumn {
    /// The column.
    pub name: Arc<str>,
    /// Its type, as SQL text from the catalog.
    pub data_type: Arc<str>,
}

impl Write {
    /// The columns that the body writes.
    pub fn columns(&self) -> &[ResolvedField] {
        match self {
            Self::Insert { columns, .. } | Self::Update { columns, .. } => columns,
            Self::Delete { .. } => &[],
        }
    }

    /// The JSON text that it writes.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Insert { body, .. } | Self::Update { body, .. } => body,
            Self::Delete { .. } => &[],
        }
    }

    /// The same write of another text.
    #[must_use]
    pub fn with_body(&self, text: String) -> Self {
        let mut write = self.clone();
        if let Self::Insert { body, .. } | Self::Update { body, .. } = &mut write {
            *body = Bytes::from(text);
        }
        write
    }

    /// The columns that it gives back.
    pub fn returning(&self) -> &[Arc<str>] {
        match self {
            Self::Insert { returning, .. }
            | Self::Update { returning, .. }
            | Self::Delete { returning, .. } => returning,
        }
    }

    /// Whether it is an UPDATE.
    pub fn is_update(&self) -> bool {
        matches!(self, Self::Update { .. })
    }

    /// Its conditions: on the rows it touches, or for PUT on the new row.
    pub fn conditions(&self) -> &[Logic] {
        match self {
            Self::Insert { conditions, .. }
            | Self::Update { conditions, .. }
            | Self::Delete { conditions, .. } => conditions,
        }
    }

    /// Whether an update or delete names no rows at all.
    pub fn is_unfiltered(&self) -> bool {
        !matches!(self, Self::Insert { .. }) && self.conditions().is_empty()
    }
}

/// The conflict clause of an insert.
#[derive(Clone, Debug, PartialEq)]
pub struct OnConflict {
    /// DO NOTHING rather than DO UPDATE.
    pub ignore: bool,
    /// The conflict target.
    pub columns: Vec<Arc<str>>,
}
