//! What the rules look at: the catalog as the server sees it, and what of the database it does not hold. Pure data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::model::{Catalog, QualifiedName, ReadAccess, RelationKind};
use crate::policy::caller::CallerClass;
use crate::policy::model::{TableSecurity, Verb};
use crate::policy::restrict::column_access;
use crate::policy::rules::{Rules, parse_row};

use super::finding::ObjectKind;

/// The facts about one database.
#[derive(Debug)]
pub struct Facts {
    /// What the exposed schemas offer.
    pub catalog: Catalog,
    /// The roles of callers whom row-level security binds, in order.
    pub roles: Vec<Arc<str>>,
    /// All relations outside the system's schemas.
    pub relations: BTreeMap<QualifiedName, RelationFact>,
    /// All row policies, by table.
    pub policies: BTreeMap<QualifiedName, Vec<PolicyFact>>,
    /// Functions of the exposed schemas, and SECURITY DEFINER functions of all; none that belong to extensions.
    pub functions: Vec<FunctionFact>,
    /// Unique and foreign keys of tables that have rules.
    pub keys: Vec<KeyFact>,
    /// The rules in the order of precedence that the server gives them: in force or not.
    pub rules: Rules,
    /// The rules as they are written, also where they are not in force; none of those that cannot be read.
    pub written: BTreeMap<QualifiedName, TableSecurity>,
}

/// A relation of any schema.
#[derive(Debug)]
pub struct RelationFact {
    /// What it is.
    pub kind: RelationKind,
    /// Whether row-level security is on.
    pub row_security: bool,
    /// Whether it is a view that reads with its caller's rights.
    pub security_invoker: bool,
    /// What the roles of callers may do with it, where they may do anything.
    pub access: Vec<RoleAccess>,
    /// Its columns, each with the roles of callers that may select it; only of relations with rules.
    pub columns: BTreeMap<String, BTreeSet<Arc<str>>>,
    /// Functions that take its row and nothing else; only of relations with rules.
    pub computed: BTreeSet<String>,
}

/// What one role may do with a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAccess {
    /// The role.
    pub role: Arc<str>,
    /// The verbs that it has a privilege for, on the relation or any of its columns.
    pub verbs: BTreeSet<Verb>,
    /// Whether it may select the relation as a whole, and not just some columns.
    pub selects_all: bool,
}

/// A row policy.
#[derive(Debug)]
pub struct PolicyFact {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub name: String,
    /// PERMISSIVE, and not RESTRICTIVE.
    pub permissive: bool,
    /// Its verb; `None` for all.
    pub verb: Option<Verb>,
    /// The roles of callers that it binds.
    pub roles: BTreeSet<Arc<str>>,
    /// Its condition on rows that are there.
    pub using: Option<String>,
    /// Its condition on rows that are written.
    pub check: Option<String>,
    /// Whether goforward made it of the table's rules.
    pub is_ours: bool,
    /// The columns that it names.
    pub columns: Vec<PolicyColumn>,
}

impl PolicyFact {
    /// Whether it speaks of a verb.
    pub fn covers(&self, verb: Verb) -> bool {
        self.verb.is_none_or(|own| own == verb)
    }

    /// The conditions that it has.
    pub fn conditions(&self) -> impl Iterator<Item = &str> {
        [&self.using, &self.check].into_iter().flatten().map(String::as_str)
    }
}

/// A column that a policy names, of its own table or of another one in a subquery.
#[derive(Debug)]
pub struct PolicyColumn {
    /// The table.
    pub table: QualifiedName,
    /// The column.
    pub name: String,
    /// Whether a cast to text leaves its values, and so its index, as they are.
    pub is_text: bool,
    /// Whether an index that holds all rows starts with it.
    pub is_indexed: bool,
}

/// A function.
#[derive(Debug)]
pub struct FunctionFact {
    /// Its name.
    pub name: QualifiedName,
    /// Its arguments, as they identify it.
    pub arguments: String,
    /// Whether an exposed schema has it and callers can call it: triggers they cannot.
    pub exposed: bool,
    /// The roles of callers that may execute it.
    pub callers: BTreeSet<Arc<str>>,
    /// SECURITY DEFINER.
    pub definer: bool,
    /// Whether its body was bound to objects when it was made, so that no search path matters.
    pub bound_body: bool,
    /// The search path that it sets.
    pub search_path: Option<String>,
    /// Schemas on that path in which roles of callers may create objects.
    pub open_schemas: Vec<String>,
    /// Its body as text in lower case; empty where it is bound.
    pub body: String,
    /// The relations that it depends on, by its body or its arguments, as far as PostgreSQL knows.
    pub reads: BTreeSet<QualifiedName>,
}

/// A key over columns.
#[derive(Debug)]
pub struct KeyFact {
    /// The table.
    pub table: QualifiedName,
    /// The name of the constraint or index.
    pub name: String,
    /// Whether it is a foreign key, and not a unique one.
    pub is_foreign: bool,
    /// The columns, those in expressions included.
    pub columns: Vec<String>,
}

/// What is read beside the catalog.
#[derive(Debug, Default)]
pub struct Details {
    /// See [`Facts::roles`].
    pub roles: Vec<Arc<str>>,
    /// See [`Facts::relations`].
    pub relations: BTreeMap<QualifiedName, RelationFact>,
    /// See [`Facts::policies`].
    pub policies: BTreeMap<QualifiedName, Vec<PolicyFact>>,
    /// See [`Facts::functions`].
    pub functions: Vec<FunctionFact>,
    /// See [`Facts::keys`].
    pub keys: Vec<KeyFact>,
}

impl Facts {
    /// The facts of a catalog and what was read beside it.
    pub fn new(catalog: Catalog, details: Details) -> Self {
        let rules = Rules::of(&catalog);
        let mut written = BTreeMap::new();
        if let crate::catalog::model::TableSecurityRows::Read(rows) = &*catalog.table_security {
            for (name, text) in rows {
                // What cannot be read is in `rules`, with the reason.
                if let Ok(security) = parse_row(text) {
                    written.insert(name.clone(), security);
                }
            }
        }
        let Details { roles, relations, policies, functions, keys } = details;
        Self { catalog, roles, relations, policies, functions, keys, rules, written }
    }

    /// The policies of a table.
    pub fn policies_of(&self, name: &QualifiedName) -> &[PolicyFact] {
        self.policies.get(name).map_or(&[], Vec::as_slice)
    }

    /// The rules that are active, whether or not the database enforces them.
    pub fn active(&self) -> impl Iterator<Item = (&QualifiedName, &TableSecurity)> {
        self.written.iter().filter(|(_, security)| security.active)
    }

    /// A relation as the object of a finding.
    pub fn object(&self, name: &QualifiedName) -> (ObjectKind, String) {
        let kind = match self.relations.get(name).map(|relation| relation.kind) {
            Some(RelationKind::View) => ObjectKind::View,
            Some(RelationKind::MaterializedView) => ObjectKind::MaterializedView,
            Some(RelationKind::ForeignTable) => ObjectKind::ForeignTable,
            _ => ObjectKind::Table,
        };
        (kind, name.to_string())
    }

    /// All policies that bind a role of callers.
    pub fn binding_policies(&self) -> impl Iterator<Item = &PolicyFact> {
        self.policies.values().flatten().filter(|policy| !policy.roles.is_empty())
    }

    /// The roles that may do any of this with a relation.
    pub fn roles_with(&self, name: &QualifiedName, verbs: &[Verb]) -> BTreeSet<Arc<str>> {
        let access = self.relations.get(name).map_or(&[][..], |relation| &relation.access);
        let can = |access: &&RoleAccess| verbs.iter().any(|verb| access.verbs.contains(verb));
        access.iter().filter(can).map(|access| access.role.clone()).collect()
    }

    /// The columns of a table that its rules keep from a role, and whether no app role opens them.
    pub fn protected_columns<'a>(
        &'a self,
        name: &QualifiedName,
        security: &'a TableSecurity,
        role: &Arc<str>,
    ) -> Vec<ProtectedColumn<'a>> {
        let class = CallerClass { role: role.clone(), app_roles: BTreeSet::new() };
        let Some(relation) = self.relations.get(name) else { return Vec::new() };
        let protected = relation.columns.iter().filter_map(|(column, readers)| {
            let access = column_access(security, column, &class);
            if access.read == ReadAccess::Plain {
                return None;
            }
            let app_roles = security.field_permissions.get(column).map(|rule| rule.allowed_roles.clone());
            let best = CallerClass { role: role.clone(), app_roles: app_roles.unwrap_or_default() };
            Some(ProtectedColumn {
                name: column,
                is_hidden: access.read == ReadAccess::Hidden,
                is_never_read: column_access(security, column, &best).read == ReadAccess::Hidden,
                is_writable: access.write,
                is_granted: readers.contains(role),
            })
        });
        protected.collect()
    }
}

/// A column that rules keep from a role.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent property")]
pub struct ProtectedColumn<'a> {
    /// The column.
    pub name: &'a str,
    /// Whether it is hidden, and not masked.
    pub is_hidden: bool,
    /// Whether it stays hidden whatever app roles a caller has.
    pub is_never_read: bool,
    /// Whether the role may write it.
    pub is_writable: bool,
    /// Whether the role may select it by its grants.
    pub is_granted: bool,
}

/// Names as a list for a sentence.
pub(super) fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
