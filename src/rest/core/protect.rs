//! Closed by default: which plans a caller without BYPASSRLS may run. Pure.
//!
//! Every relation that a plan reads or writes must be protected, at every level of the tree; functions follow their
//! EXECUTE grants. Grants and row policies are PostgreSQL's part and apply on top.

use std::sync::Arc;

use crate::catalog::model::{Cardinality, Catalog, Function, Protection, QualifiedName, Relationship};
use crate::kernel::sql::SqlBuf;
use crate::rest::core::plan::model::{Logic, Plan, ReadNode};

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

/// Whether `role`, which row-level security binds, may run `plan`.
pub fn check(plan: &Plan, catalog: &Catalog, role: &str, options: ProtectOptions) -> Result<(), Refusal> {
    let guard = Guard { catalog, role, options };
    match plan {
        Plan::Read(action) => guard.tree(&action.tree, Some(&action.target)),
        Plan::Mutate(action) => {
            if options.unfiltered_writes && action.write.is_unfiltered() {
                let verb = if action.write.is_update() { "UPDATE" } else { "DELETE" };
                return Err(Refusal::Unfiltered { verb });
            }
            guard.tree(&action.tree, Some(&action.target))
        }
        Plan::Call(action) => {
            guard.function(&action.function)?;
            guard.tree(&action.tree, None)
        }
        Plan::Inspect { .. } | Plan::Info { .. } => Ok(()),
    }
}

/// One check on its way through a tree.
#[derive(Clone, Copy)]
struct Guard<'a> {
    catalog: &'a Catalog,
    role: &'a str,
    options: ProtectOptions,
}

impl Guard<'_> {
    /// A node that reads `relation` (none: the rows of a function), and everything below it.
    fn tree(&self, node: &ReadNode, relation: Option<&QualifiedName>) -> Result<(), Refusal> {
        if let Some(relation) = relation {
            self.relation(relation)?;
            self.computed_columns(node, relation)?;
        }
        for child in &node.children {
            match child.relationship.as_deref() {
                Some(Relationship::ForeignKey { foreign_relation, cardinality, .. }) => {
                    if let Cardinality::ManyToMany(junction) = cardinality {
                        self.relation(&junction.relation)?;
                    }
                    self.tree(child, Some(foreign_relation))?;
                }
                // A computed relationship is a function: EXECUTE decides, and row policies inside it.
                Some(Relationship::Computed { function, .. }) => {
                    self.functions(function)?;
                    self.tree(child, None)?;
                }
                None => self.tree(child, None)?,
            }
        }
        Ok(())
    }

    fn relation(&self, name: &QualifiedName) -> Result<(), Refusal> {
        if !self.options.relations {
            return Ok(());
        }
        let refusal = |reason: &str, fix: String| Refusal::Unprotected {
            relation: name.clone(),
            reason: reason.to_owned(),
            fix,
        };
        let Some(relation) = self.catalog.relations.get(name) else {
            // A junction outside the exposed schemas: nothing is known of it, so it is not served.
            return Err(refusal("is not in an exposed schema", String::new()));
        };
        let security = &relation.security;
        match &relation.protection {
            Protection::Unprotected { reason, fix } => Err(refusal(reason, fix.to_string())),
            // Policies bind a table's owner only if they are forced.
            Protection::Protected
                if !relation.is_view() && !security.rls_forced && *security.owner == *self.role =>
            {
                let mut fix = SqlBuf::new();
                fix.lit("ALTER TABLE ").name(&name.schema, &name.name).lit(" FORCE ROW LEVEL SECURITY;");
                Err(refusal(
                    "belongs to the caller's role, which its policies do not bind",
                    fix.into_parts().0,
                ))
            }
            Protection::Protected => Ok(()),
        }
    }

    fn function(&self, function: &Function) -> Result<(), Refusal> {
        if self.options.definer_functions && function.security_definer {
            return Err(Refusal::DefinerFunction(function.name.clone()));
        }
        Ok(())
    }

    fn functions(&self, name: &QualifiedName) -> Result<(), Refusal> {
        let overloads = self.catalog.functions.get(name).map_or(&[][..], Vec::as_slice);
        overloads.iter().try_for_each(|function| self.function(function))
    }

    /// A name that is no column of the relation may be a function of its row.
    fn computed_columns(&self, node: &ReadNode, relation: &QualifiedName) -> Result<(), Refusal> {
        if !self.options.definer_functions {
            return Ok(());
        }
        let mut names: Vec<&Arc<str>> = node.select.iter().map(|item| &item.field.name).collect();
        names.extend(node.order.iter().map(|term| &term.field.name));
        node.filters.iter().for_each(|logic| collect_names(logic, &mut names));
        let columns = self.catalog.relations.get(relation).map(|relation| &relation.columns);
        let is_column = |name: &Arc<str>| columns.is_some_and(|columns| columns.contains_key(name));
        for name in names.into_iter().filter(|name| !is_column(name)) {
            for schema in &self.catalog.schemas {
                self.functions(&QualifiedName::new(schema.clone(), name.clone()))?;
            }
        }
        Ok(())
    }
}

fn collect_names<'a>(logic: &'a Logic, names: &mut Vec<&'a Arc<str>>) {
    match logic {
        Logic::Group { members, .. } => {
            for member in members {
                collect_names(member, names);
            }
        }
        Logic::Filter { field, .. } => names.push(&field.name),
        Logic::EmbedIsNull { .. } => {}
    }
}
