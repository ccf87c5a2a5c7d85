//! Rules about row policies. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::kernel::sql::SqlBuf;
use crate::policy::model::Verb;

use super::expression::Expression;
use super::facts::{Facts, PolicyFact, listed};
use super::finding::{Finding, Rule, Severity};

/// Where users write about themselves: the claim, and the column of Supabase's `auth.users`.
const WRITTEN_BY_USERS: [&str; 2] = ["user_metadata", "raw_user_meta_data"];

fn alter(policy: &PolicyFact) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("ALTER POLICY ").ident(&policy.name).lit(" ON ").name(&policy.table.schema, &policy.table.name);
    sql
}

/// Policies that ask for the caller once a row.
pub(super) fn calls_per_row(facts: &Facts) -> Vec<Finding> {
    let slow = facts
        .binding_policies()
        .filter(|policy| policy.conditions().any(|text| !Expression::scan(text).calls_per_row().is_empty()));
    let findings = slow.map(|policy| {
        let calls: BTreeSet<&str> = policy
            .conditions()
            .flat_map(|text| Expression::scan(text).calls_per_row().into_iter().map(|span| &text[span]))
            .collect();
        let message = format!("Policy {} calls {} for each row.", policy.name, listed(&calls));
        let fix = if policy.is_ours { change_filters(policy) } else { with_calls_once(policy) };
        let object = facts.object(&policy.table);
        Finding::new(Rule::PolicyCallPerRow, Severity::Warning, object, message, fix)
    });
    findings.collect()
}

/// The statement that lets a policy ask once a statement. PostgreSQL printed its conditions itself.
fn with_calls_once(policy: &PolicyFact) -> String {
    let mut sql = alter(policy);
    if let Some(using) = &policy.using {
        sql.lit(" USING (").catalog_sql(&Expression::scan(using).with_calls_once()).lit(")");
    }
    if let Some(check) = &policy.check {
        sql.lit(" WITH CHECK (").catalog_sql(&Expression::scan(check).with_calls_once()).lit(")");
    }
    sql.lit(";").text().to_owned()
}

/// A policy that goforward made follows the rules of its table, so they are what is to be changed.
fn change_filters(policy: &PolicyFact) -> String {
    format!("Change the custom filters in the rules of {}, of which the policy is made.", policy.table)
}

/// Policies that compare a column with the caller, or with what a subquery finds, where no index leads to it.
pub(super) fn columns_without_index(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for policy in facts.binding_policies() {
        // Who writes new rows looks for none.
        let compared = policy.using.as_deref().map(|text| Expression::scan(text).comparisons());
        for comparison in compared.into_iter().flatten() {
            let column = policy.columns.iter().find(|column| {
                let is_meant = match &comparison.qualifier {
                    None => column.table == policy.table,
                    Some(qualifier) if **qualifier == *policy.table.name => column.table == policy.table,
                    // Aliases are not resolved; the policy knows few tables.
                    Some(_) => column.table != policy.table,
                };
                is_meant && column.name == comparison.column
            });
            let Some(column) = column else { continue };
            // A cast of another type would need an index of its own.
            if column.is_indexed || (comparison.is_cast && !column.is_text) {
                continue;
            }
            if !known.insert((&column.table, &column.name)) {
                continue;
            }
            let message =
                format!("Policy {} of {} looks for rows by {}.", policy.name, policy.table, column.name);
            let mut fix = SqlBuf::new();
            fix.lit("CREATE INDEX ON ").name(&column.table.schema, &column.table.name);
            fix.lit(" (").ident(&column.name).lit(");");
            let object = facts.object(&column.table);
            let rule = Rule::PolicyColumnWithoutIndex;
            found.push(Finding::new(rule, Severity::Note, object, message, fix.into_parts().0));
        }
    }
    found
}

/// Policies that let users decide by what they write about themselves.
pub(super) fn trusting_user_metadata(facts: &Facts) -> Vec<Finding> {
    let trusting = facts.binding_policies().filter_map(|policy| {
        let mentioned = WRITTEN_BY_USERS
            .iter()
            .find(|name| policy.conditions().any(|text| Expression::scan(text).mentions(name)))?;
        Some((policy, mentioned))
    });
    let findings = trusting.map(|(policy, mentioned)| {
        let message = format!("Policy {} reads {mentioned}.", policy.name);
        let fix = if policy.is_ours {
            change_filters(policy)
        } else {
            alter(policy)
                .lit(" …; -- by app_metadata, or by a table that users cannot write")
                .text()
                .to_owned()
        };
        let object = facts.object(&policy.table);
        Finding::new(Rule::PolicyTrustsUserMetadata, Severity::Problem, object, message, fix)
    });
    findings.collect()
}

/// Permissive policies that are simply true for a role that has the grant, where no restrictive one narrows them.
pub(super) fn always_true(facts: &Facts) -> Vec<Finding> {
    let candidates = facts.binding_policies().filter(|policy| policy.permissive && !policy.is_ours);
    let findings = candidates.filter_map(|policy| {
        let mut open = Vec::new();
        let mut roles = BTreeSet::new();
        for verb in Verb::ALL.into_iter().filter(|verb| policy.covers(*verb) && permits_all(policy, *verb)) {
            let reached = reached_roles(facts, policy, verb);
            if !reached.is_empty() {
                open.push(verb);
                roles.extend(reached);
            }
        }
        if open.is_empty() {
            return None;
        }
        let is_written = open.iter().any(|verb| !verb.is_read());
        let message = format!(
            "Policy {} lets {} {} any row.",
            policy.name,
            listed(&roles),
            listed(open.iter().map(|verb| verb.word()))
        );
        let mut fix = SqlBuf::new();
        fix.lit("DROP POLICY ").ident(&policy.name).lit(" ON ");
        fix.name(&policy.table.schema, &policy.table.name);
        fix.lit(if is_written {
            ";\n-- and permit what is meant, as in USING (owner = (select auth.uid()))"
        } else {
            ";\n-- or nothing, if the rows are public"
        });
        let severity = if is_written { Severity::Problem } else { Severity::Note };
        let object = facts.object(&policy.table);
        Some(Finding::new(Rule::PolicyAlwaysTrue, severity, object, message, fix.into_parts().0))
    });
    findings.collect()
}

/// Whether a policy permits every row for a verb that it covers. An update needs both conditions: one that is true for
/// old rows lets callers change any, one that is true for new rows lets them make any of it.
fn permits_all(policy: &PolicyFact, verb: Verb) -> bool {
    let is_true =
        |text: &Option<String>| text.as_deref().is_some_and(|text| Expression::scan(text).is_true());
    let check = if policy.check.is_some() { &policy.check } else { &policy.using };
    match verb {
        Verb::Select | Verb::Delete => is_true(&policy.using),
        Verb::Insert => is_true(check),
        Verb::Update => is_true(&policy.using) || is_true(check),
    }
}

/// The roles that a policy opens a table to: with the privilege, and without a restrictive policy that binds them too.
fn reached_roles(facts: &Facts, policy: &PolicyFact, verb: Verb) -> BTreeSet<Arc<str>> {
    let is_narrowed = |role: &Arc<str>| {
        facts.policies_of(&policy.table).iter().any(|other| {
            !other.permissive && other.covers(verb) && other.roles.contains(role) && !permits_all(other, verb)
        })
    };
    let granted = facts.roles_with(&policy.table, &[verb]);
    let has_row_security = facts.relations.get(&policy.table).is_some_and(|table| table.row_security);
    let reached = policy.roles.iter().filter(|role| granted.contains(*role) && !is_narrowed(role));
    reached.filter(|_| has_row_security).cloned().collect()
}
