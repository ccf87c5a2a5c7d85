//! Rules about columns that table security keeps from callers. Pure.

use std::collections::BTreeSet;

use crate::kernel::sql::SqlBuf;

use super::facts::{Facts, listed};
use super::finding::{Finding, Rule, Severity};

/// Keys over hidden columns that the same callers may write: writing tells whether a value is there.
pub(super) fn keys_over_hidden_columns(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (table, security) in facts.active().filter(|(_, security)| security.has_column_rules()) {
        for key in facts.keys.iter().filter(|key| key.table == *table) {
            let mut columns = BTreeSet::new();
            let mut roles = BTreeSet::new();
            for role in &facts.roles {
                let writes = facts.protected_columns(table, security, role);
                for column in writes.iter().filter(|column| column.is_hidden && column.is_writable) {
                    if key.columns.iter().any(|name| name == column.name) {
                        columns.insert(column.name.to_owned());
                        roles.insert(role.clone());
                    }
                }
            }
            if columns.is_empty() {
                continue;
            }
            let what = if key.is_foreign { "foreign key" } else { "unique key" };
            let message = format!(
                "The {what} {} has {}, hidden from {}, who may write it.",
                key.name,
                listed(&columns),
                listed(&roles)
            );
            let fix = format!(
                "Forbid writing it in the rules of {table}: \"field_permissions\": {{\"{}\": {{\"can_write\": false}}}}, or \
                 write it by a function only.",
                columns.first().map_or("", String::as_str)
            );
            let object = facts.object(table);
            found.push(Finding::new(Rule::KeyOverHiddenColumn, Severity::Warning, object, message, fix));
        }
    }
    found
}

/// Columns that a role may never read by the rules and may select by its grants.
pub(super) fn hidden_columns_granted(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (table, security) in facts.active().filter(|(_, security)| security.has_column_rules()) {
        let Some(relation) = facts.relations.get(table) else { continue };
        for access in relation.access.iter().filter(|access| access.selects_all) {
            let protected = facts.protected_columns(table, security, &access.role);
            let hidden: Vec<&str> =
                protected.iter().filter(|column| column.is_never_read).map(|column| column.name).collect();
            if hidden.is_empty() {
                continue;
            }
            let message = format!(
                "{} may select all columns, {} among them by its grants.",
                access.role,
                listed(&hidden)
            );
            let mut fix = SqlBuf::new();
            fix.lit("REVOKE SELECT ON ").name(&table.schema, &table.name).lit(" FROM ").ident(&access.role);
            fix.lit(";\nGRANT SELECT (");
            let kept = relation.columns.keys().filter(|column| !hidden.contains(&column.as_str()));
            fix.join(", ", kept, |sql, column| {
                sql.ident(column);
            });
            fix.lit(") ON ").name(&table.schema, &table.name).lit(" TO ").ident(&access.role).lit(";");
            let object = facts.object(table);
            let rule = Rule::HiddenColumnGranted;
            found.push(Finding::new(rule, Severity::Warning, object, message, fix.into_parts().0));
        }
    }
    found
}
