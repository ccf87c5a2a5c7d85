//! Whether a relation is protected, for an API that is closed by default: pure facts to a verdict with its reason and
//! the SQL that changes it. Does not know callers or table-security rows (see `policy`).

use std::collections::HashMap;
use std::sync::Arc;

use super::model::{QualifiedName, RelationKind};

/// Row-level security facts of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationSecurity {
    /// What the relation is.
    pub kind: RelationKind,
    /// `ENABLE ROW LEVEL SECURITY`.
    pub rls_enabled: bool,
    /// `FORCE ROW LEVEL SECURITY`: binds the owner too.
    pub rls_forced: bool,
    /// A view with `security_invoker = true`.
    pub security_invoker: bool,
    /// For views, the relations that they name directly, in any schema.
    pub base_relations: Vec<QualifiedName>,
    /// The role that owns it.
    pub owner: Arc<str>,
}

/// The verdict on a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Row-level security decides which rows a caller sees.
    Protected,
    /// Nothing in the database keeps a caller with a grant from every row.
    Unprotected {
        /// Why, as a clause that can follow the relation's name.
        reason: Arc<str>,
        /// SQL that protects it, or a sentence where SQL alone cannot.
        fix: Arc<str>,
    },
}
