//! Rules about functions: what runs with its owner's rights, and what can read a protected column. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::catalog::model::QualifiedName;
use crate::catalog::protection::MAX_VIEW_DEPTH;
use crate::kernel::sql::SqlBuf;

use super::expression::has_word;
use super::facts::{Facts, FunctionFact, listed};
use super::finding::{Finding, ObjectKind, Rule, Severity};

fn object(function: &FunctionFact) -> (ObjectKind, String) {
    (ObjectKind::Function, format!("{}({})", function.name, function.arguments))
}

/// The statement `… ON FUNCTION name(arguments) …`.
fn statement(before: &'static str, function: &FunctionFact, after: &'static str) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit(before).name(&function.name.schema, &function.name.name);
    // As PostgreSQL itself prints them.
    sql.lit("(").catalog_sql(&function.arguments).lit(")").lit(after);
    sql
}

fn revoke_execute(function: &FunctionFact, roles: &BTreeSet<Arc<str>>) -> String {
    let mut sql = statement("REVOKE EXECUTE ON FUNCTION ", function, " FROM PUBLIC, ");
    sql.join(", ", roles, |sql, role| {
        sql.ident(role);
    });
    sql.lit(";").text().to_owned()
}

/// SECURITY DEFINER functions that callers reach.
pub(super) fn exposed_definers(facts: &Facts) -> Vec<Finding> {
    let exposed = facts
        .functions
        .iter()
        .filter(|function| function.definer && function.exposed && !function.callers.is_empty());
    let findings = exposed.map(|function| {
        let message = format!(
            "It is SECURITY DEFINER in an exposed schema, and {} may call it.",
            listed(&function.callers)
        );
        let fix = format!(
            "{}\n-- or {}\n-- or nothing, if it checks its caller itself",
            revoke_execute(function, &function.callers),
            statement("ALTER FUNCTION ", function, " SECURITY INVOKER;").text()
        );
        Finding::new(Rule::DefinerFunctionExposed, Severity::Warning, object(function), message, fix)
    });
    findings.collect()
}

/// SECURITY DEFINER functions whose names depend on a search path that others decide about.
pub(super) fn definer_search_paths(facts: &Facts) -> Vec<Finding> {
    let bound = |function: &&FunctionFact| function.definer && !function.bound_body;
    let findings = facts.functions.iter().filter(bound).filter_map(|function| {
        let message = match &function.search_path {
            None => "It is SECURITY DEFINER and sets no search path.".to_owned(),
            Some(path) if !function.open_schemas.is_empty() => format!(
                "It is SECURITY DEFINER with the search path {path}, and roles of callers may create objects in {}.",
                listed(&function.open_schemas)
            ),
            Some(_) => return None,
        };
        let severity = if function.callers.is_empty() { Severity::Warning } else { Severity::Problem };
        let fix = format!(
            "{}\n-- with the schemas of all names written out in its body",
            statement("ALTER FUNCTION ", function, " SET search_path = '';").text()
        );
        Some(Finding::new(Rule::DefinerSearchPath, severity, object(function), message, fix))
    });
    findings.collect()
}

/// Exposed functions that can read a hidden or masked column, and whose owner or caller may.
pub(super) fn reading_protected_columns(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (table, security) in facts.active().filter(|(_, security)| security.has_column_rules()) {
        let names = names_of(facts, table);
        for function in facts.functions.iter().filter(|function| function.exposed) {
            let is_named = |name: &&QualifiedName| {
                function.reads.contains(*name) || has_word(&function.body, &name.name.to_lowercase())
            };
            let Some(through) = names.iter().find(is_named) else { continue };
            let mut columns = BTreeSet::new();
            let mut roles = BTreeSet::new();
            for role in &function.callers {
                for column in facts.protected_columns(table, security, role) {
                    // Without its owner's rights it reads what its caller may by grants.
                    if function.definer || column.is_granted {
                        columns.insert(column.name);
                        roles.insert(role.clone());
                    }
                }
            }
            if columns.is_empty() {
                continue;
            }
            let way = if through == table { String::new() } else { format!(", through {through}") };
            let message = format!(
                "It names {table}{way}, of which the rules keep {} from {}, who may call it.",
                listed(&columns),
                listed(&roles)
            );
            let fix = format!(
                "{}\n-- or nothing, if it keeps the columns to itself",
                revoke_execute(function, &roles)
            );
            let rule = Rule::FunctionReadsProtectedColumn;
            found.push(Finding::new(rule, Severity::Warning, object(function), message, fix));
        }
    }
    found
}

/// A table and the views that lead to it, the table first.
fn names_of(facts: &Facts, table: &QualifiedName) -> Vec<QualifiedName> {
    let mut names = vec![table.clone()];
    for _ in 0..MAX_VIEW_DEPTH {
        let above = facts.catalog.lineage.iter().filter(|(view, lineage)| {
            !names.contains(view) && lineage.reads.iter().any(|base| names.contains(base))
        });
        let mut above: Vec<QualifiedName> = above.map(|(view, _)| view.clone()).collect();
        if above.is_empty() {
            break;
        }
        above.sort_unstable();
        names.extend(above);
    }
    names
}
