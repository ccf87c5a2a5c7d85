//! Closed by default: which plans a caller without BYPASSRLS may run. Pure.
//!
//! Every relation that a plan reads or writes must be protected, at every level of the tree; functions follow their
//! EXECUTE grants. Grants and row policies are PostgreSQL's part and apply on top.

use crate::catalog::model::{Cardinality, Catalog, Protection, QualifiedName, Relationship};
use crate::rest::core::plan::model::{Plan, ReadNode};

/// The switches of protection.
#[derive(Clone, Copy, Debug)]
pub struct ProtectOptions {
    /// Whether unprotected relations are refused.
    pub relations: bool,
    /// Whether an update or delete without a filter is refused.
    pub unfiltered_writes: bool,
    /// Whether functions that run with their owner's rights are refused.
    pub definer_functions: bool,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing keeps the caller from every row of a relation.
    Unprotected {
        /// The relation.
        relation: QualifiedName,
        /// Why it counts as unprotected.
        reason: String,
        /// The SQL that protects it.
        fix: String,
    },
    /// An update or delete of all rows.
    Unfiltered {
        /// `UPDATE` or `DELETE`.
        verb: &'static str,
    },
    /// A function that runs with its owner's rights.
    DefinerFunction(QualifiedName),
}

/// Whether a caller whom row-level security binds may run `plan`.
pub fn check(plan: &Plan, catalog: &Catalog, options: ProtectOptions) -> Result<(), Refusal> {
    match plan {
        Plan::Read(action) => {
            check_relation(catalog, &action.target, options)?;
            check_children(catalog, &action.tree, options)
        }
        Plan::Mutate(action) => {
            if options.unfiltered_writes && action.write.is_unfiltered() {
                let verb = if action.write.is_update() { "UPDATE" } else { "DELETE" };
                return Err(Refusal::Unfiltered { verb });
            }
            check_relation(catalog, &action.target, options)?;
            check_children(catalog, &action.tree, options)
        }
        Plan::Call(action) => {
            if options.definer_functions && action.function.security_definer {
                return Err(Refusal::DefinerFunction(action.function.name.clone()));
            }
            check_children(catalog, &action.tree, options)
        }
        Plan::Inspect { .. } | Plan::Info { .. } => Ok(()),
    }
}

fn check_children(catalog: &Catalog, node: &ReadNode, options: ProtectOptions) -> Result<(), Refusal> {
    for child in &node.children {
        match child.relationship.as_deref() {
            Some(Relationship::ForeignKey { foreign_relation, cardinality, .. }) => {
                check_relation(catalog, foreign_relation, options)?;
                if let Cardinality::ManyToMany(junction) = cardinality {
                    check_relation(catalog, &junction.relation, options)?;
                }
            }
            // A computed relationship is a function: EXECUTE decides, and row policies inside it.
            Some(Relationship::Computed { .. }) | None => {}
        }
        check_children(catalog, child, options)?;
    }
    Ok(())
}

fn check_relation(catalog: &Catalog, name: &QualifiedName, options: ProtectOptions) -> Result<(), Refusal> {
    if !options.relations {
        return Ok(());
    }
    let refusal = |reason: &str, fix: String| Refusal::Unprotected {
        relation: name.clone(),
        reason: reason.to_owned(),
        fix,
    };
    match catalog.relations.get(name).map(|relation| &relation.protection) {
        Some(Protection::Protected) => Ok(()),
        Some(Protection::Unprotected { reason, fix }) => Err(refusal(reason, fix.to_string())),
        // A junction outside the exposed schemas: nothing is known of it, so it is not served.
        None => Err(refusal("is not in an exposed schema", String::new())),
    }
}
