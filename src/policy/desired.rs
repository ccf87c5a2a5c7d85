//! What PostgreSQL itself is to enforce of the rules: row policies, as names, conditions and marks. Pure.
//!
//! A mark opens the policy's comment: it names the definition, so that one look tells whether what is there is what the
//! rules ask for. The rest of the comment says what PostgreSQL made of it; a policy that was altered by hand since has no
//! mark in the catalog. `store` brings the database there; a catalog without the marks closes the table (see `rules`).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::catalog::model::{Catalog, QualifiedName, Relation};
use crate::kernel::sql::SqlBuf;

use super::expression::{ExpressionError, RowExpression};
use super::model::{TableSecurity, Verb};

/// The role of servers: rules never bind it, also where it cannot have BYPASSRLS.
const TRUSTED_ROLE: &str = "service_role";

/// How every mark begins.
pub const MARK: &str = "Made by goforward of the rules of this table; version ";

/// A row policy that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredPolicy {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub verb: Verb,
    /// RESTRICTIVE narrows what other policies permit; PERMISSIVE stands in where a table has none of its own.
    pub restrictive: bool,
    /// Its condition, as SQL text.
    pub condition: String,
    /// The roles that it is for, in order.
    pub roles: Vec<Arc<str>>,
}

impl DesiredPolicy {
    /// The start of the comment, which tells this definition from any other.
    pub fn mark(&self) -> String {
        let mut digest = Sha256::new();
        for part in [self.name, &self.condition].into_iter().chain(self.roles.iter().map(|role| &**role)) {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        format!("{MARK}{}", &hex::encode(digest.finalize())[..16])
    }
}

/// The restrictive policies that the rules of a table ask for, one a verb with conditions.
pub fn restrictive_policies(
    catalog: &Catalog,
    name: &QualifiedName,
    security: &TableSecurity,
) -> Result<Vec<DesiredPolicy>, ExpressionError> {
    let mut found = Vec::new();
    for verb in Verb::ALL {
        if let Some(condition) = row_condition(catalog, name, security, verb)? {
            let name = match verb {
                Verb::Select => "goforward_restrict_select",
                Verb::Insert => "goforward_restrict_insert",
                Verb::Update => "goforward_restrict_update",
                Verb::Delete => "goforward_restrict_delete",
            };
            found.push(DesiredPolicy {
                name,
                verb,
                restrictive: true,
                condition,
                roles: bound_roles(catalog),
            });
        }
    }
    Ok(found)
}

/// What stands in for the permissive policies that a table does not have: without any, PostgreSQL shows nothing.
pub fn companion(catalog: &Catalog, verb: Verb) -> DesiredPolicy {
    let name = match verb {
        Verb::Select => "goforward_permit_select",
        Verb::Insert => "goforward_permit_insert",
        Verb::Update => "goforward_permit_update",
        Verb::Delete => "goforward_permit_delete",
    };
    DesiredPolicy {
        name,
        verb,
        restrictive: false,
        condition: "true".to_owned(),
        roles: bound_roles(catalog),
    }
}

/// The roles of callers that row-level security binds, in order.
pub(super) fn bound_roles(catalog: &Catalog) -> Vec<Arc<str>> {
    let is_bound = |name: &str, role: &crate::catalog::Role| {
        role.settable && !role.bypass_rls && !role.login && name != TRUSTED_ROLE
    };
    let mut roles: Vec<Arc<str>> = catalog
        .roles
        .iter()
        .filter(|(name, role)| is_bound(name, role))
        .map(|(name, _)| name.clone())
        .collect();
    roles.sort_unstable();
    roles
}

/// The condition that rows must meet, of ownership and custom filters together; `None` if there is none for this verb.
pub fn row_condition(
    catalog: &Catalog,
    name: &QualifiedName,
    security: &TableSecurity,
    verb: Verb,
) -> Result<Option<String>, ExpressionError> {
    let mut parts = Vec::new();
    if let Some(column) = security.owner_column(verb) {
        parts.push(ownership(catalog.relations.get(name).map(|relation| &**relation), column));
    }
    for filter in security.custom_filters.values() {
        parts.push(format!("({})", RowExpression::parse(filter)?.text()));
    }
    Ok((!parts.is_empty()).then(|| parts.join(" and ")))
}

/// Whether the row is the caller's own. The caller's id is looked up once a statement, and an index on the column serves.
fn ownership(relation: Option<&Relation>, column: &str) -> String {
    let data_type =
        relation.and_then(|relation| relation.column(column)).map_or("", |column| &column.data_type);
    let mut sql = SqlBuf::new();
    sql.lit("(").ident(column);
    sql.lit(match data_type {
        "uuid" => " = (select auth.uid())",
        "text" | "character varying" => " = (select auth.jwt() ->> 'sub')",
        _ => "::text = (select auth.jwt() ->> 'sub')",
    });
    sql.lit(")");
    sql.into_parts().0
}

/// Whether PostgreSQL enforces the conditions on rows of a table. Views and the like have no row policies: there the
/// condition is part of the query.
pub fn is_enforced(catalog: &Catalog, name: &QualifiedName, security: &TableSecurity) -> bool {
    if catalog.relations.get(name).is_some_and(|relation| !relation.has_row_policies()) {
        return true;
    }
    let Ok(desired) = restrictive_policies(catalog, name, security) else { return false };
    let there = catalog.own_policies.get(name).map_or(&[][..], Vec::as_slice);
    desired.iter().all(|policy| there.iter().any(|mark| **mark == policy.mark()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::samples::{catalog_with_rules, name};

    fn condition(rules: serde_json::Value, table: &str, verb: Verb) -> Option<String> {
        let security = TableSecurity::parse(rules).unwrap();
        row_condition(&catalog_with_rules(&[]), &name(table), &security, verb).unwrap()
    }

    #[test]
    fn ownership_compares_in_the_type_of_the_column() {
        for (column, expected) in [
            ("owner", r#"("owner" = (select auth.uid()))"#),
            ("email", r#"("email" = (select auth.jwt() ->> 'sub'))"#),
            ("id", r#"("id"::text = (select auth.jwt() ->> 'sub'))"#),
        ] {
            let rules = json!({"require_ownership": true, "ownership_column": column});
            assert_eq!(condition(rules, "accounts", Verb::Select).as_deref(), Some(expected));
        }
    }

    #[test]
    fn public_verbs_lift_ownership_and_keep_filters() {
        let rules = json!({"require_ownership": true, "ownership_column": "owner", "public_read": true,
                           "custom_filters": {"b": "id > 0", "a": "email <> ''"}});
        assert_eq!(
            condition(rules.clone(), "accounts", Verb::Select).as_deref(),
            Some("(email <> '') and (id > 0)")
        );
        let delete = condition(rules, "accounts", Verb::Delete).unwrap();
        assert!(delete.starts_with(r#"("owner" = "#), "{delete}");
    }

    #[test]
    fn rules_about_rows_count_only_while_their_policies_are_there() {
        let security = TableSecurity::parse(json!({"custom_filters": {"a": "id > 0"}})).unwrap();
        let mut catalog = catalog_with_rules(&[]);
        let table = name("accounts");
        assert!(!is_enforced(&catalog, &table, &security));

        let marks = restrictive_policies(&catalog, &table, &security).unwrap();
        assert_eq!(marks.len(), 4);
        let marks: Vec<Arc<str>> = marks.iter().map(|policy| Arc::from(policy.mark())).collect();
        catalog.own_policies = Arc::new([(table.clone(), marks[1..].to_vec())].into());
        assert!(!is_enforced(&catalog, &table, &security), "one is missing");
        catalog.own_policies = Arc::new([(table.clone(), marks)].into());
        assert!(is_enforced(&catalog, &table, &security));
    }
}
