//! What is refused to a caller before the database is asked: what table security forbids, relations that nothing protects,
//! writes of every row, functions that would run with their owner's rights. Pure.
//!
//! The plan was made on the catalog of the caller's class (`policy::restrict`), so a hidden column is an unknown name
//! here. Every relation of the plan is decided about, and every name that reaches SQL is looked at once (see `names`).

use std::sync::Arc;

use crate::catalog::model::{
    Cardinality, Catalog, Function, QualifiedName, ReadAccess, Relation, Relationship,
};
use crate::policy::caller::PolicyCaller;
use crate::policy::decide::{self, Rule, decide};
use crate::policy::model::{RateLimit, Verb};
use crate::policy::protected::{Unprotected, protected};
use crate::policy::restrict::PolicyView;
use crate::rest::core::media::MediaType;
use crate::rest::core::plan::model::{CallAction, Handler, MutateAction, Output, Plan, ReadNode, Write};
use crate::rest::core::plan::touched::touched;

mod names;
mod scopes;
#[cfg(test)]
mod tests;

use names::{Name, Use};
pub use scopes::{OutOfScope, in_scope};

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

/// What goes with a plan that may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// The limits on how often, each with the relation whose rule it is, no relation twice.
    pub limits: Vec<(QualifiedName, RateLimit)>,
    /// Whether any relation in the plan is under rules.
    pub ruled: bool,
    /// Whether a column of a relation in the plan is protected, so that PostgreSQL's errors must not name any.
    pub conceals: bool,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing keeps the caller from every row of a relation.
    Unprotected(Unprotected),
    /// A rule of table security says no.
    Rule(decide::Refusal),
    /// A name that is no column, or none that the caller may use so.
    Column {
        /// The relation.
        relation: QualifiedName,
        /// The name.
        name: Arc<str>,
    },
    /// A masked column, used otherwise than by selecting it.
    MaskedColumn {
        /// The relation.
        relation: QualifiedName,
        /// The column.
        name: Arc<str>,
    },
    /// The body that was asked for is made of whole rows, and the caller may not see whole rows.
    WholeRow(QualifiedName),
    /// An execution plan of a table with protected columns, which would name them.
    Explained,
    /// A GraphQL query, whose engine does not know the rules of tables.
    GraphQl,
    /// An update or delete of all rows.
    Unfiltered {
        /// `UPDATE` or `DELETE`.
        verb: &'static str,
    },
    /// A function that runs with its owner's rights.
    DefinerFunction(QualifiedName),
    /// Something that the caller's API key is not for.
    OutOfScope(OutOfScope),
}

/// Whether the caller may run `plan`, which was made on the catalog of its view.
pub fn check(
    plan: &Plan,
    view: &PolicyView,
    caller: &PolicyCaller,
    options: ProtectOptions,
) -> Result<Permit, Refusal> {
    if caller.bypasses {
        return Ok(Permit::default());
    }
    let mut guard = Guard { view, catalog: &view.catalog, caller, options, permit: Permit::default() };
    for touch in touched(plan) {
        if touch.is_returned {
            guard.returned_rows(touch.relation)?;
        } else {
            guard.relation(touch.relation, touch.verb)?;
        }
    }
    match plan {
        Plan::Read(action) => {
            guard.output(&action.output)?;
            guard.tree(&action.tree, Some(&action.target), false)?;
        }
        Plan::Mutate(action) => guard.mutation(action)?,
        Plan::Call(action) => guard.call(action)?,
        Plan::Inspect { .. } | Plan::Info { .. } => {}
    }
    Ok(guard.permit)
}

/// Whether the caller may read the relation at all: what a description of the API shows.
pub fn is_described(relation: &Arc<Relation>, view: &PolicyView, caller: &PolicyCaller) -> bool {
    Verb::ALL.iter().any(|verb| decide(view, relation, *verb, caller).is_ok())
}

/// One check on its way through a plan.
struct Guard<'a> {
    view: &'a PolicyView,
    catalog: &'a Catalog,
    caller: &'a PolicyCaller,
    options: ProtectOptions,
    permit: Permit,
}

impl Guard<'_> {
    fn mutation(&mut self, action: &MutateAction) -> Result<(), Refusal> {
        let write = &action.write;
        if self.options.unfiltered_writes && write.is_unfiltered() {
            let verb = if write.is_update() { "UPDATE" } else { "DELETE" };
            return Err(Refusal::Unfiltered { verb });
        }
        self.output(&action.output)?;
        let conflict = match write {
            Write::Insert { on_conflict: Some(conflict), .. } => conflict.columns.as_slice(),
            _ => &[],
        };
        let mut used: Vec<Name<'_>> =
            conflict.iter().map(|name| Name { name, used: Use::Compared }).collect();
        write.conditions().iter().for_each(|logic| names::of_logic(logic, &mut used));
        used.extend(write.columns().iter().map(|column| Name { name: &column.name, used: Use::Written }));
        self.names(used, &action.target)?;
        self.tree(&action.tree, Some(&action.target), false)
    }

    fn call(&mut self, action: &CallAction) -> Result<(), Refusal> {
        self.function(&action.function)?;
        if action.function.name == QualifiedName::new("graphql_public", "graphql")
            && !self.view.rules.is_empty()
        {
            return Err(Refusal::GraphQl);
        }
        self.output(&action.output)?;
        self.tree(&action.tree, action.function.row_type(), false)
    }

    /// What a node does with rows of the relation `rows_of` (none: no rows of a relation), and everything below it.
    fn tree(
        &mut self,
        node: &ReadNode,
        rows_of: Option<&QualifiedName>,
        is_aggregated: bool,
    ) -> Result<(), Refusal> {
        let is_aggregated = is_aggregated || names::aggregates(node);
        if let Some(relation) = rows_of {
            self.names(names::own(node, is_aggregated), relation)?;
        }
        for child in &node.children {
            let Some(relationship) = child.relationship.as_deref() else { continue };
            let foreign = relationship.foreign_relation();
            match relationship {
                // It is a function: EXECUTE decides, and row policies inside it.
                Relationship::Computed { function, .. } => self.functions(function)?,
                Relationship::ForeignKey { cardinality: Cardinality::ManyToMany(junction), .. } => {
                    self.junction(&junction.relation)?;
                }
                Relationship::ForeignKey { .. } => {}
            }
            self.names(names::of_child(node, child), foreign)?;
            self.tree(child, Some(foreign), is_aggregated)?;
        }
        Ok(())
    }

    /// The relation between the ends of an embed stands bare in the query, so a condition on its rows would be lost.
    fn junction(&self, name: &QualifiedName) -> Result<(), Refusal> {
        match self.catalog.relations.get(name) {
            Some(relation) if relation.restriction.rows.is_some() => {
                Err(Refusal::Rule(decide::Refusal { relation: name.clone(), rule: Rule::RowRulesOfView }))
            }
            _ => Ok(()),
        }
    }

    /// A relation that the plan reads or writes.
    fn relation(&mut self, name: &QualifiedName, verb: Verb) -> Result<(), Refusal> {
        let Some(relation) = self.catalog.relations.get(name) else {
            let has_rules = self.view.rules.governing(name).next().is_some();
            if !self.options.relations && !has_rules {
                return Ok(());
            }
            // A junction outside the exposed schemas: nothing is known of it, so it is not served.
            return Err(Refusal::Unprotected(Unprotected::unknown(name, "is not in an exposed schema")));
        };
        if self.options.relations {
            protected(relation, &self.caller.role).map_err(Refusal::Unprotected)?;
        }
        self.decide(relation, verb)
    }

    /// Rows of a relation that a function returns. The function answers for them being there; the rules of the relation
    /// say who sees them, and what of them.
    fn returned_rows(&mut self, name: &QualifiedName) -> Result<(), Refusal> {
        let Some(relation) = self.catalog.relations.get(name) else {
            if self.view.rules.governing(name).next().is_none() {
                return Ok(());
            }
            // Its columns are not known here, so none of its rules could be held.
            return Err(Refusal::Unprotected(Unprotected::unknown(
                name,
                "has rules, but is not in an exposed schema",
            )));
        };
        if relation.restriction.rows.is_some() {
            return Err(Refusal::Rule(decide::Refusal {
                relation: name.clone(),
                rule: Rule::RowRulesOfView,
            }));
        }
        self.decide(relation, Verb::Select)
    }

    fn decide(&mut self, relation: &Arc<Relation>, verb: Verb) -> Result<(), Refusal> {
        let access = decide(self.view, relation, verb, self.caller).map_err(Refusal::Rule)?;
        self.permit.ruled |= self.view.rules.governing(&relation.name).next().is_some();
        self.permit.conceals |= access.relation.restriction.closed.is_some();
        for (table, limit) in access.limits {
            if !self.permit.limits.iter().any(|(known, _)| known == table) {
                self.permit.limits.push((table.clone(), limit));
            }
        }
        Ok(())
    }

    /// A media type whose handler takes rows of a relation as they are.
    fn output(&self, output: &Output) -> Result<(), Refusal> {
        if self.permit.conceals && matches!(output.media, MediaType::Plan(_)) {
            return Err(Refusal::Explained);
        }
        match &output.handler {
            Handler::Custom { target: Some(target), .. }
                if self.catalog.relations.get(target).is_some_and(|relation| relation.is_restricted()) =>
            {
                Err(Refusal::WholeRow(target.clone()))
            }
            _ => Ok(()),
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

    /// The names that the plan uses of a relation.
    fn names(&mut self, names: Vec<Name<'_>>, relation: &QualifiedName) -> Result<(), Refusal> {
        let catalog = self.catalog;
        let known = catalog.relations.get(relation);
        for Name { name, used } in names {
            let column = known.and_then(|relation| relation.column(name));
            let Some(column) = column else {
                self.other_name(name, relation, known)?;
                continue;
            };
            let allowed = match (&column.access.read, used) {
                (_, Use::Written) => column.access.write,
                (ReadAccess::Plain | ReadAccess::NotGranted, _) | (ReadAccess::Masked(_), Use::Selected) => {
                    true
                }
                (ReadAccess::Masked(_), Use::Compared) => {
                    return Err(Refusal::MaskedColumn { relation: relation.clone(), name: name.clone() });
                }
                (ReadAccess::Hidden, _) => false,
            };
            if !allowed {
                return Err(Refusal::Column { relation: relation.clone(), name: name.clone() });
            }
        }
        Ok(())
    }

    /// A name that is no column of the relation may be a function of its row.
    fn other_name(
        &mut self,
        name: &Arc<str>,
        relation: &QualifiedName,
        known: Option<&Arc<Relation>>,
    ) -> Result<(), Refusal> {
        // A star that was left after planning stands for the whole row, whatever is done with it.
        if let Some(listed) = known.and_then(|relation| relation.restriction.closed.as_ref())
            && !listed.contains(name)
        {
            return Err(Refusal::Column { relation: relation.clone(), name: name.clone() });
        }
        let catalog = self.catalog;
        for result in catalog.row_results.get(&(relation.clone(), name.clone())).into_iter().flatten() {
            self.returned_rows(result)?;
            // PostgreSQL would give them whole.
            if catalog.relations.get(result).is_some_and(|result| result.restriction.closed.is_some()) {
                return Err(Refusal::Column { relation: relation.clone(), name: name.clone() });
            }
        }
        if self.options.definer_functions && &**name != "*" {
            for schema in &self.catalog.schemas {
                self.functions(&QualifiedName::new(schema.clone(), name.clone()))?;
            }
        }
        Ok(())
    }
}
