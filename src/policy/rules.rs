//! All rules of one catalog, parsed once per snapshot. Pure.
//!
//! What cannot be read closes the table that it belongs to, or all of them: rules that are not understood never open
//! anything.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::model::{Catalog, QualifiedName, TableSecurityRows};
use crate::catalog::protection::MAX_VIEW_DEPTH;

use super::caller::{CallerClass, PolicyCaller};
use super::desired;
use super::model::TableSecurity;

/// Columns of `goforward.table_security` that are not rules.
const BOOKKEEPING: [&str; 8] = [
    "schema_name",
    "table_name",
    "table_oid",
    "version",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
];

/// The rules of one relation.
#[derive(Clone, Debug, PartialEq)]
pub enum TableRules {
    /// They are in force.
    InForce(Arc<TableSecurity>),
    /// The relation is closed to everybody whom rules bind.
    Closed(Closed),
}

/// Why rules close a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// They are switched off.
    Inactive,
    /// They cannot be read; what is wrong.
    Unreadable(Arc<str>),
    /// Their conditions on rows are not (or no longer) in the database.
    NotEnforced,
    /// They changed, and cannot be read again at the moment.
    NotCurrent,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inactive => f.write_str("its rules are switched off"),
            Self::Unreadable(why) => write!(f, "its rules cannot be read: {why}"),
            Self::NotEnforced => f.write_str("its conditions on rows are not in the database"),
            Self::NotCurrent => f.write_str("its rules changed and cannot be read again"),
        }
    }
}

/// The rules of all relations of a catalog.
#[derive(Debug, Default)]
pub struct Rules {
    tables: HashMap<QualifiedName, TableRules>,
    /// For views without rules of their own: the relations below them whose rules count.
    inherited: HashMap<QualifiedName, Vec<QualifiedName>>,
    /// Why nothing could be read at all.
    unreadable: Option<Arc<str>>,
    /// Roles that rules about columns name.
    roles_of_fields: BTreeSet<String>,
    protects_columns: bool,
    has_audit: bool,
}

impl Rules {
    /// The rules that a snapshot holds.
    pub fn of(catalog: &Catalog) -> Self {
        let rows = match &*catalog.table_security {
            TableSecurityRows::Absent => return Self::default(),
            TableSecurityRows::Unreadable(why) => {
                return Self { unreadable: Some(Arc::clone(why)), has_audit: true, ..Self::default() };
            }
            TableSecurityRows::Read(rows) => rows,
        };
        let read = rows.iter().map(|(name, text)| (name.clone(), table_rules(catalog, name, text)));
        let changed = catalog.changed_rules.iter();
        let changed = changed.map(|name| (name.clone(), TableRules::Closed(Closed::NotCurrent)));
        let tables: HashMap<_, _> = read.chain(changed).collect();
        let mut rules = Self { tables, ..Self::default() };
        for table in rules.tables.values() {
            let TableRules::InForce(security) = table else {
                // Its triggers are still there, and those whom no rule binds still write.
                rules.has_audit = true;
                continue;
            };
            rules.roles_of_fields.extend(security.roles_of_fields().map(str::to_owned));
            rules.protects_columns |= security.has_column_rules();
            rules.has_audit |= !security.audit_actions.is_empty();
        }
        rules.inherit(catalog);
        rules
    }

    /// Puts views without rules of their own under those of what they read.
    fn inherit(&mut self, catalog: &Catalog) {
        if self.tables.is_empty() {
            return;
        }
        let mut too_deep = Vec::new();
        for view in catalog.lineage.keys().filter(|view| !self.tables.contains_key(*view)) {
            let mut found = BTreeSet::new();
            if self.collect_inherited(catalog, view, 0, &mut found).is_none() {
                too_deep.push(view.clone());
            } else if !found.is_empty() {
                self.inherited.insert(view.clone(), found.into_iter().collect());
            }
        }
        for view in too_deep {
            let closed = Closed::Unreadable(Arc::from("it is a view over views over views without end"));
            self.tables.insert(view, TableRules::Closed(closed));
        }
    }

    /// `None` if it goes down too deep to be told.
    fn collect_inherited(
        &self,
        catalog: &Catalog,
        view: &QualifiedName,
        depth: usize,
        found: &mut BTreeSet<QualifiedName>,
    ) -> Option<()> {
        if depth > MAX_VIEW_DEPTH {
            return None;
        }
        for base in catalog.lineage.get(view).into_iter().flat_map(|lineage| &lineage.reads) {
            if self.tables.contains_key(base) {
                found.insert(base.clone());
            } else {
                self.collect_inherited(catalog, base, depth + 1, found)?;
            }
        }
        Some(())
    }

    /// Whether there are none, so that every decision is a yes.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.unreadable.is_none()
    }

    /// Why no rule could be read, if so: then every relation is closed.
    pub fn unreadable(&self) -> Option<&Arc<str>> {
        self.unreadable.as_ref()
    }

    /// A relation's own rules.
    pub fn own(&self, name: &QualifiedName) -> Option<&TableRules> {
        self.tables.get(name)
    }

    /// A relation's own rules, if they are in force.
    pub fn in_force(&self, name: &QualifiedName) -> Option<&Arc<TableSecurity>> {
        match self.tables.get(name) {
            Some(TableRules::InForce(security)) => Some(security),
            _ => None,
        }
    }

    /// The rules that a relation is under: its own, or for a view without any those of what it reads.
    pub fn governing<'a>(
        &'a self,
        name: &'a QualifiedName,
    ) -> impl Iterator<Item = (&'a QualifiedName, &'a TableRules)> {
        let own = self.tables.get(name).map(|rules| (name, rules));
        let inherited = self.inherited.get(name).into_iter().flatten();
        own.into_iter().chain(inherited.filter_map(|base| Some((base, self.tables.get(base)?))))
    }

    /// All relations with rules.
    pub fn all(&self) -> impl Iterator<Item = (&QualifiedName, &TableRules)> {
        self.tables.iter()
    }

    /// Whether any rule is about columns.
    pub fn has_column_rules(&self) -> bool {
        self.protects_columns
    }

    /// Whether anything leaves, or may leave, a record in the audit log.
    pub fn has_audit(&self) -> bool {
        self.has_audit
    }

    /// The class of a caller: callers of one class see the same columns.
    pub fn class(&self, caller: &PolicyCaller) -> CallerClass {
        let app_roles = caller.app_roles.intersection(&self.roles_of_fields).cloned().collect();
        CallerClass { role: Arc::clone(&caller.role), app_roles }
    }
}

/// The rules of one row. Anything that is wrong with it closes its table.
fn table_rules(catalog: &Catalog, name: &QualifiedName, text: &str) -> TableRules {
    let security = match parse_row(text) {
        Ok(security) => security,
        Err(problem) => return TableRules::Closed(Closed::Unreadable(Arc::from(problem))),
    };
    if !security.active {
        return TableRules::Closed(Closed::Inactive);
    }
    if let Some(column) = unknown_column(catalog, name, &security) {
        let problem = format!("they name the column {column}, which the table does not have (any more)");
        return TableRules::Closed(Closed::Unreadable(Arc::from(problem)));
    }
    if security.has_row_rules() && !desired::is_enforced(catalog, name, &security) {
        return TableRules::Closed(Closed::NotEnforced);
    }
    TableRules::InForce(Arc::new(security))
}

/// A column that the rules protect and that is not there: renamed, it would be open under its new name. What the rules
/// merely let be read may be a computed field.
fn unknown_column<'a>(
    catalog: &Catalog,
    name: &QualifiedName,
    security: &'a TableSecurity,
) -> Option<&'a str> {
    let relation = catalog.relations.get(name)?;
    let protected = security.hidden_fields.iter().chain(security.field_permissions.keys());
    let named = protected.chain(&security.writable_fields).chain(&security.ownership_column);
    named.map(String::as_str).find(|column| relation.column(column).is_none())
}

/// The rules in a row of `goforward.table_security`, as `to_jsonb` writes it. A column that this version does not know
/// is off while it is NULL.
pub fn parse_row(text: &str) -> Result<TableSecurity, String> {
    let serde_json::Value::Object(mut row) =
        serde_json::from_str(text).map_err(|error| format!("the row is no JSON: {error}"))?
    else {
        return Err("the row is no JSON object".to_owned());
    };
    if let Some(name) = row.get("renamed_from").and_then(serde_json::Value::as_str) {
        return Err(format!("it was {name} when they were stored; store them under its new name"));
    }
    row.retain(|key, value| !value.is_null() && !BOOKKEEPING.contains(&key.as_str()));
    TableSecurity::parse(row.into()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::model::ViewLineage;
    use crate::policy::samples::{catalog_with_rules, name};

    #[test]
    fn what_cannot_be_read_closes_its_table_and_no_other() {
        let catalog = catalog_with_rules(&[
            ("good", json!({"require_auth": true, "version": 3, "created_by": null})),
            ("off", json!({"active": false})),
            ("accounts", json!({"hidden_fields": ["renamed"]})),
            ("bad", json!({"require_auth": "maybe"})),
            ("newer", json!({"require_moon_phase": "full"})),
        ]);
        let rules = Rules::of(&catalog);

        assert!(matches!(rules.own(&name("good")), Some(TableRules::InForce(_))));
        assert_eq!(rules.own(&name("off")), Some(&TableRules::Closed(Closed::Inactive)));
        for table in ["bad", "newer", "accounts"] {
            assert!(
                matches!(rules.own(&name(table)), Some(TableRules::Closed(Closed::Unreadable(_)))),
                "{table}"
            );
        }
        assert_eq!(rules.own(&name("other")), None);
    }

    #[test]
    fn rules_that_changed_and_cannot_be_read_close_their_table_and_the_views_over_it() {
        let mut catalog = catalog_with_rules(&[("orders", json!({"public_read": true}))]);
        catalog.changed_rules = Arc::new([name("orders"), name("accounts")].into());
        let lineage = ViewLineage { reads: [name("accounts")].into(), ..ViewLineage::default() };
        catalog.lineage = Arc::new([(name("over_accounts"), lineage)].into());
        let rules = Rules::of(&catalog);

        for relation in ["orders", "accounts", "over_accounts"] {
            let governing: Vec<_> =
                rules.governing(&name(relation)).map(|(_, rules)| rules.clone()).collect();
            assert_eq!(governing, [TableRules::Closed(Closed::NotCurrent)], "{relation}");
        }
    }

    #[test]
    fn a_view_without_rules_is_under_those_of_what_it_reads_all_the_way_down() {
        let mut catalog = catalog_with_rules(&[("secrets", json!({})), ("own_view", json!({}))]);
        let reads = |relation: &str| ViewLineage { reads: [name(relation)].into(), ..ViewLineage::default() };
        let lineage = [("inner", "secrets"), ("outer", "inner"), ("own_view", "secrets"), ("free", "others")];
        catalog.lineage =
            Arc::new(lineage.into_iter().map(|(view, base)| (name(view), reads(base))).collect());
        let rules = Rules::of(&catalog);
        let governing = |view: &str| -> Vec<String> {
            rules.governing(&name(view)).map(|(table, _)| table.name.to_string()).collect()
        };

        assert_eq!(governing("outer"), ["secrets"]);
        assert_eq!(governing("own_view"), ["own_view"]);
        assert_eq!(governing("free"), Vec::<String>::new());
    }
}
