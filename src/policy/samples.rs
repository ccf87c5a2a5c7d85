//! A small catalog with rules, for tests. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::catalog::model::{Catalog, QualifiedName, TableSecurityRows};
use crate::catalog::role::Role;
use crate::catalog::samples::{column, relation, sample_catalog, with_columns};
use crate::policy::caller::PolicyCaller;

pub(crate) fn name(name: &str) -> QualifiedName {
    QualifiedName::new("api", name)
}

/// `accounts (id, owner, email, secret)` and `orders (id, account_id, total)`, with these rules.
pub(crate) fn catalog_with_rules(rules: &[(&str, Value)]) -> Catalog {
    let accounts = vec![
        column("id", "bigint"),
        column("owner", "uuid"),
        column("email", "text"),
        column("secret", "text"),
    ];
    let orders = vec![column("id", "bigint"), column("account_id", "bigint"), column("total", "numeric")];
    let mut accounts = with_columns(relation("api", "accounts"), accounts);
    accounts.primary_key = vec!["id".into()];
    let mut catalog = sample_catalog(vec![accounts, with_columns(relation("api", "orders"), orders)], vec![]);
    catalog.schemas = vec!["api".into()];
    let settable = |bypass_rls| Role { settable: true, bypass_rls, ..Role::default() };
    let settable_roles = [("anon", false), ("authenticated", false), ("service_role", true)];
    catalog.roles = Arc::new(
        settable_roles.into_iter().map(|(name, bypass)| (Arc::from(name), settable(bypass))).collect(),
    );
    let rows = rules.iter().map(|(table, rules)| (name(table), Arc::from(rules.to_string()))).collect();
    catalog.table_security = Arc::new(TableSecurityRows::Read(rows));
    catalog
}

/// A caller with nothing but its role.
pub(crate) fn caller(role: &str) -> PolicyCaller {
    PolicyCaller {
        role: Arc::from(role),
        bypasses: role == "service_role",
        authenticated: role != "anon",
        verified: false,
        second_factor: false,
        app_roles: BTreeSet::default(),
        address: None,
    }
}
