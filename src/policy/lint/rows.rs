//! Rules about the rows of table security themselves: what they name is there, and they are in force. Pure.

use std::collections::BTreeSet;

use crate::catalog::model::QualifiedName;
use crate::kernel::sql::SqlBuf;
use crate::policy::model::{TableSecurity, Verb};
use crate::policy::rules::{Closed, TableRules};

use super::facts::{Facts, listed};
use super::finding::{Finding, ObjectKind, Rule, Severity};

/// Rules of tables that do not exist.
pub(super) fn without_table(facts: &Facts) -> Vec<Finding> {
    let gone = facts.rules.all().map(|(name, _)| name).filter(|name| !facts.relations.contains_key(*name));
    let findings = gone.map(|name| {
        let message = "There are rules for it, and no such table.".to_owned();
        let mut fix = SqlBuf::new();
        fix.lit(
            "-- Correct the name of the table, or delete its rules:\n\
             DELETE FROM goforward.table_security WHERE schema_name = ",
        );
        fix.quoted(&name.schema);
        fix.lit(" AND table_name = ").quoted(&name.name).lit(";");
        let object = (ObjectKind::Table, name.to_string());
        Finding::new(Rule::RulesWithoutTable, Severity::Problem, object, message, fix.into_parts().0)
    });
    findings.collect()
}

/// Rules of columns that do not exist.
pub(super) fn without_column(facts: &Facts) -> Vec<Finding> {
    let findings = facts.written.iter().filter_map(|(name, security)| {
        let relation = facts.relations.get(name)?;
        let is_unknown = |column: &&str| !relation.columns.contains_key(*column);
        let mut unknown: BTreeSet<&str> = named_columns(security).filter(is_unknown).collect();
        // Among these, a name that is no column is a computed field.
        let readable = security.readable_fields.iter().map(String::as_str).filter(is_unknown);
        unknown.extend(readable.filter(|field| !relation.computed.contains(*field)));
        if unknown.is_empty() {
            return None;
        }
        let message = format!("Its rules name {}, which it does not have.", listed(&unknown));
        let fix = format!("Correct or remove these names in the rules of {name}.");
        Some(Finding::new(Rule::RulesWithoutColumn, Severity::Problem, facts.object(name), message, fix))
    });
    findings.collect()
}

/// The columns that rules name, computed fields aside.
fn named_columns(security: &TableSecurity) -> impl Iterator<Item = &str> {
    security
        .writable_fields
        .iter()
        .chain(&security.hidden_fields)
        .chain(security.field_permissions.keys())
        .chain(security.ownership_column.iter())
        .map(String::as_str)
}

/// Rules that close their table instead of ruling it.
pub(super) fn not_in_force(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts
        .rules
        .all()
        .filter(|(name, _)| facts.relations.contains_key(*name))
        .filter_map(|(name, rules)| {
            let TableRules::Closed(why) = rules else { return None };
            let (severity, fix) = match why {
                Closed::Inactive => {
                    (Severity::Warning, format!("Set \"active\": true in the rules of {name}, or delete them."))
                }
                Closed::Unreadable(_) => (Severity::Problem, format!("Store the rules of {name} anew.")),
                Closed::NotEnforced => (
                    Severity::Problem,
                    format!("Store the rules of {name} anew, which makes their row policies, with row-level security on."),
                ),
                Closed::NotCurrent => {
                    (Severity::Problem, "The log says why the catalog cannot be read.".to_owned())
                }
            };
            let message = format!("It is closed: {why}.");
            Some(Finding::new(Rule::RulesNotInForce, severity, facts.object(name), message, fix))
        })
        .collect();
    if let Some(why) = facts.rules.unreadable() {
        let object = (ObjectKind::Rules, "goforward.table_security".to_owned());
        let message = format!("No rules can be read, so every table is closed: {why}.");
        let fix = "GRANT USAGE ON SCHEMA goforward TO authenticator;\n\
                   GRANT SELECT ON goforward.table_security TO authenticator;"
            .to_owned();
        found.push(Finding::new(Rule::RulesNotInForce, Severity::Problem, object, message, fix));
    }
    found
}

/// Tables with `public_read` whose rows no policy decides about.
pub(super) fn public_read_without_policy(facts: &Facts) -> Vec<Finding> {
    let public = facts.active().filter(|(_, security)| security.public_read);
    let findings = public.filter_map(|(name, _)| {
        let relation = facts.relations.get(name)?;
        let is_table = facts.catalog.relations.get(name).is_some_and(|table| table.has_row_policies());
        if !is_table || (relation.row_security && permits_reading(facts, name)) {
            return None;
        }
        let (message, fix) = if relation.row_security {
            let message = "It is public to read, and no policy permits reading, so callers see no row.";
            (message, permit(name))
        } else {
            let message = "It is public to read and has no row-level security, so callers see every row.";
            (message, enable(name) + "\n" + &permit(name))
        };
        let object = facts.object(name);
        let rule = Rule::PublicReadWithoutPolicy;
        Some(Finding::new(rule, Severity::Warning, object, message.to_owned(), fix))
    });
    findings.collect()
}

fn permits_reading(facts: &Facts, name: &QualifiedName) -> bool {
    let mut policies = facts.policies_of(name).iter();
    policies.any(|policy| policy.permissive && policy.covers(Verb::Select) && !policy.roles.is_empty())
}

fn enable(name: &QualifiedName) -> String {
    let mut sql = SqlBuf::new();
    sql.lit("ALTER TABLE ").name(&name.schema, &name.name).lit(" ENABLE ROW LEVEL SECURITY;");
    sql.into_parts().0
}

fn permit(name: &QualifiedName) -> String {
    let mut sql = SqlBuf::new();
    sql.lit("CREATE POLICY \"everyone reads\" ON ").name(&name.schema, &name.name);
    sql.lit(" FOR SELECT USING (true);");
    sql.into_parts().0
}
