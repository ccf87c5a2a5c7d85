//! Closed by default: whether anything in the database or in the rules keeps a role from every row of a relation. Pure.

use crate::catalog::model::{Protection, QualifiedName, Relation};
use crate::kernel::sql::SqlBuf;

/// Why a relation is closed to a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// The relation.
    pub relation: QualifiedName,
    /// Why it counts as unprotected, as a clause that can follow its name.
    pub reason: String,
    /// The SQL that protects it, or a sentence; empty where there is none.
    pub fix: String,
}

impl Unprotected {
    /// A relation of which nothing is known, so that it is not served.
    pub fn unknown(relation: &QualifiedName, reason: &str) -> Self {
        Self { relation: relation.clone(), reason: reason.to_owned(), fix: String::new() }
    }
}

/// Whether `role`, which row-level security binds in general, is bound here.
pub fn protected(relation: &Relation, role: &str) -> Result<(), Unprotected> {
    let refusal = |reason: String, fix: String| Unprotected { relation: relation.name.clone(), reason, fix };
    let unforced = match &relation.protection {
        Protection::Unprotected { reason, fix } => return Err(refusal(reason.to_string(), fix.to_string())),
        Protection::Protected { unforced } => unforced,
    };
    // Policies bind a table's owner only if they are forced, by whatever view the table is read.
    let Some(own) = unforced.iter().find(|table| *table.owner == *role) else { return Ok(()) };
    let mut fix = SqlBuf::new();
    fix.lit("ALTER TABLE ").name(&own.name.schema, &own.name.name).lit(" FORCE ROW LEVEL SECURITY;");
    let reason = if own.name == relation.name {
        "belongs to the caller's role, which its policies do not bind".to_owned()
    } else {
        format!("reads {}, which belongs to the caller's role and whose policies do not bind it", own.name)
    };
    Err(refusal(reason, fix.into_parts().0))
}
