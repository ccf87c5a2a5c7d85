//! The one decision: may this caller do this with this relation, and if so under what limits. Pure.
//!
//! Every way to data asks here: REST at each level of an embed, results of functions, later realtime, storage, exports.
//! The columns that a caller may use are in the relation that [`Access`] carries (see `restrict`). Rules about who asks
//! are evaluated for every request; nothing of a refusal is remembered.

use std::fmt;
use std::sync::Arc;

use crate::catalog::model::{QualifiedName, Relation};

use super::caller::PolicyCaller;
use super::model::{RateLimit, TableSecurity, Verb};
use super::restrict::PolicyView;
use super::rules::{Closed, Rules, TableRules};

/// A yes, with what goes with it.
#[derive(Debug)]
pub struct Access<'a> {
    /// The relation as the caller's class sees it: readable, masked and writable columns, conditions on rows.
    pub relation: &'a Relation,
    /// The limits on how often, each with the relation whose rule it is.
    pub limits: Vec<(&'a QualifiedName, RateLimit)>,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The relation whose rule it is: of a view it may be one below it.
    pub relation: QualifiedName,
    /// The rule that decided.
    pub rule: Rule,
}

/// The rules about who may use a relation at all, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No rule of any table can be read.
    Unreadable,
    /// The rules of this table close it.
    Closed(Closed),
    /// A view uses a protected column in a condition or expression, and has no rules of its own.
    ProtectedColumnUsed,
    /// `ip_allowlist`
    IpAllowlist,
    /// `require_auth`
    RequireAuth,
    /// `require_verified`
    RequireVerified,
    /// `require_mfa`
    RequireMfa,
    /// `allowed_roles`
    AllowedRoles,
    /// A condition on rows of a view, which only reading can be held to.
    RowRulesOfView,
    /// A relation below a view has conditions on rows that do not hold through it.
    RowRulesBelow,
    /// A table that inherits from one with conditions on rows, which PostgreSQL holds only who asks the parent to.
    RowRulesOfParent,
}

impl Rule {
    /// The rule's name in the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreadable | Self::Closed(Closed::Unreadable(_)) => "unreadable",
            Self::Closed(Closed::Inactive) => "active",
            Self::Closed(Closed::NotEnforced) => "not_enforced",
            Self::Closed(Closed::NotCurrent) => "not_current",
            Self::ProtectedColumnUsed => "protected_column_used",
            Self::IpAllowlist => "ip_allowlist",
            Self::RequireAuth => "require_auth",
            Self::RequireVerified => "require_verified",
            Self::RequireMfa => "require_mfa",
            Self::AllowedRoles => "allowed_roles",
            Self::RowRulesOfView => "row_rules_of_view",
            Self::RowRulesBelow => "row_rules_below",
            Self::RowRulesOfParent => "row_rules_of_parent",
        }
    }
}

/// In words for whoever is refused: why rules cannot be read, which may name columns, is not for them.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.relation;
        match &self.rule {
            Rule::Unreadable => f.write_str("The rules of tables cannot be read"),
            Rule::Closed(Closed::Unreadable(_)) => write!(f, "{table} is closed: its rules cannot be read"),
            Rule::Closed(closed) => write!(f, "{table} is closed: {closed}"),
            Rule::ProtectedColumnUsed => {
                write!(f, "The view {table} uses a protected column and has no rules of its own")
            }
            Rule::IpAllowlist => write!(f, "{table} may not be used from this address"),
            Rule::RequireAuth => write!(f, "{table} is for signed-in callers"),
            Rule::RequireVerified => write!(f, "{table} is for verified accounts"),
            Rule::RequireMfa => write!(f, "{table} is for callers with a second factor"),
            Rule::AllowedRoles => write!(f, "{table} is for roles that the caller does not have"),
            Rule::RowRulesOfView => write!(f, "Conditions on rows of the view {table} hold for reading only"),
            Rule::RowRulesBelow => {
                write!(
                    f,
                    "Conditions on rows of {table} do not hold through this view, which has no rules of its own"
                )
            }
            Rule::RowRulesOfParent => {
                write!(f, "Conditions on rows of {table} do not reach tables that inherit from it")
            }
        }
    }
}

/// Decides about `verb` on `relation`, which the caller's view of the catalog must hold.
///
/// `public_read` and `public_write` lift the rules from `require_auth` to `allowed_roles` for their verbs. Roles with
/// BYPASSRLS skip all rules.
pub fn decide<'a>(
    view: &'a PolicyView,
    relation: &'a Arc<Relation>,
    verb: Verb,
    caller: &PolicyCaller,
) -> Result<Access<'a>, Refusal> {
    let name = &relation.name;
    let mut access = Access { relation, limits: Vec::new() };
    if caller.bypasses {
        return Ok(access);
    }
    let refusal = |relation: &QualifiedName, rule| Err(Refusal { relation: relation.clone(), rule });
    if view.rules.unreadable().is_some() {
        return refusal(name, Rule::Unreadable);
    }
    if relation.restriction.uses_protected_column {
        return refusal(name, Rule::ProtectedColumnUsed);
    }
    if relation.restriction.rows.is_some() && !verb.is_read() {
        return refusal(name, Rule::RowRulesOfView);
    }
    for (table, rules) in view.rules.governing(name) {
        let security = match rules {
            TableRules::InForce(security) => security,
            TableRules::Closed(closed) => return refusal(table, Rule::Closed(closed.clone())),
        };
        if table != name && security.has_row_rules() {
            // A table under the rules of another is one that inherits from it.
            if relation.has_row_policies() {
                return refusal(table, Rule::RowRulesOfParent);
            }
            if !row_rules_hold_through(view, relation, table) {
                return refusal(table, Rule::RowRulesBelow);
            }
        }
        if let Some(rule) = broken_rule(security, verb, caller) {
            return refusal(table, rule);
        }
        access.limits.extend(security.rate_limit.map(|limit| (table, limit)));
    }
    Ok(access)
}

/// Whether the conditions on rows of `table` hold for what is read through a view: by row policies, which see the caller
/// only where every view on the way asks as the caller.
fn row_rules_hold_through(view: &PolicyView, relation: &Relation, table: &QualifiedName) -> bool {
    let catalog = &view.catalog;
    let has_policies = match catalog.relations.get(table) {
        Some(table) => table.has_row_policies(),
        // Outside the exposed schemas: what reads nothing is no view.
        None => catalog.lineage.get(table).is_none_or(|lineage| lineage.reads.is_empty()),
    };
    has_policies && relation.protection.is_protected()
}

/// The relations whose rules ask for a record of `verb` on a relation, whoever does it and whatever is decided.
pub fn audited<'a>(
    rules: &'a Rules,
    relation: &'a QualifiedName,
    verb: Verb,
) -> impl Iterator<Item = &'a QualifiedName> {
    rules.governing(relation).filter_map(move |(table, rules)| match rules {
        TableRules::InForce(security) if security.audit_actions.contains(&verb) => Some(table),
        _ => None,
    })
}

/// The first rule about the caller that says no.
fn broken_rule(security: &TableSecurity, verb: Verb, caller: &PolicyCaller) -> Option<Rule> {
    let from_allowed_network =
        |address: core::net::IpAddr| security.ip_allowlist.iter().any(|network| network.0.contains(&address));
    if !security.ip_allowlist.is_empty() && !caller.address.is_some_and(from_allowed_network) {
        return Some(Rule::IpAllowlist);
    }
    if security.is_public(verb) {
        return None;
    }
    [
        (security.require_auth && !caller.authenticated, Rule::RequireAuth),
        (security.require_verified && !caller.verified, Rule::RequireVerified),
        (security.require_mfa && !caller.second_factor, Rule::RequireMfa),
        (!security.allowed_roles.is_empty() && !caller.has_any(&security.allowed_roles), Rule::AllowedRoles),
    ]
    .into_iter()
    .find_map(|(is_broken, rule)| is_broken.then_some(rule))
}

#[cfg(test)]
mod tests;
