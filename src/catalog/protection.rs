//! Whether a relation is protected, for an API that is closed by default: pure facts to a verdict with its reason and
//! the SQL that changes it. Knows that a relation has a row of table security, not what it says (see `policy`).

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::kernel::sql::SqlBuf;

use super::model::{QualifiedName, RelationKind};

/// Row-level security facts of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent property in PostgreSQL")]
pub struct RelationSecurity {
    /// What the relation is.
    pub kind: RelationKind,
    /// `ENABLE ROW LEVEL SECURITY`.
    pub rls_enabled: bool,
    /// `FORCE ROW LEVEL SECURITY`: binds the owner too.
    pub rls_forced: bool,
    /// A view with `security_invoker = true`.
    pub security_invoker: bool,
    /// A view with rules for writes: those act with the owner's rights, whatever `security_invoker` says.
    pub owner_rules: bool,
    /// For views, the relations that they name directly, in any schema.
    pub base_relations: Vec<QualifiedName>,
    /// The role that owns it.
    pub owner: Arc<str>,
    /// Whether it has a row in `goforward.table_security`.
    pub has_rules: bool,
}

/// The verdict on a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Row-level security decides which rows a caller sees.
    Protected {
        /// The tables behind it whose policies do not bind their owner.
        unforced: Arc<[UnforcedTable]>,
    },
    /// Nothing in the database keeps a caller with a grant from every row.
    Unprotected {
        /// Why, as a clause that can follow the relation's name.
        reason: Arc<str>,
        /// SQL that protects it, or a sentence where SQL alone cannot.
        fix: Arc<str>,
    },
}

impl Protection {
    /// Whether row-level security decides.
    pub fn is_protected(&self) -> bool {
        matches!(self, Self::Protected { .. })
    }
}

/// A table with row-level security that is not forced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnforcedTable {
    /// The table.
    pub name: QualifiedName,
    /// The role that owns it, which its policies do not bind.
    pub owner: Arc<str>,
}

/// Views over views are followed this deep, wherever rights or rules are traced through them. What is deeper counts as
/// unprotected, and as hidden.
pub const MAX_VIEW_DEPTH: usize = 64;

/// The verdict on `name`, given the facts of every relation it may lead to.
///
/// Tables are protected by row-level security. A view is protected if it is a `security_invoker` view and everything
/// it reads is; before PostgreSQL 15 there are none such. Materialised views and foreign tables never are by themselves.
/// Any of them is by a row of table security (`has_rules` in its facts). `server_version` is `server_version_num`.
pub fn protection<S: BuildHasher>(
    name: &QualifiedName,
    facts: &HashMap<QualifiedName, RelationSecurity, S>,
    server_version: u32,
) -> Protection {
    let Some(own) = facts.get(name) else {
        return unprotected("is not known to the catalog", "-- reload the schema".to_owned());
    };
    match own.kind {
        RelationKind::Table | RelationKind::PartitionedTable if own.rls_enabled => {
            Protection::Protected { unforced: unforced(name, own).into_iter().collect() }
        }
        _ if own.has_rules => Protection::Protected { unforced: Arc::default() },
        RelationKind::Table | RelationKind::PartitionedTable => {
            unprotected("has no row-level security", enable_row_security(name))
        }
        RelationKind::View => view_protection(name, own, facts, server_version),
        RelationKind::MaterializedView => {
            unprotected("is a materialized view, which row-level security cannot protect", revoke(name))
        }
        RelationKind::ForeignTable => {
            unprotected("is a foreign table, which row-level security cannot protect", revoke(name))
        }
    }
}

fn view_protection<S: BuildHasher>(
    name: &QualifiedName,
    own: &RelationSecurity,
    facts: &HashMap<QualifiedName, RelationSecurity, S>,
    server_version: u32,
) -> Protection {
    if own.owner_rules {
        return unprotected("is a view with rules that write with its owner's rights", revoke(name));
    }
    let mut fix = Vec::new();
    let mut reason = None;
    if !own.security_invoker {
        if server_version < 150_000 {
            return unprotected(
                "is a view, which reads with its owner's rights before PostgreSQL 15",
                revoke(name),
            );
        }
        reason = Some("is a view that reads with its owner's rights".to_owned());
        fix.push(invoker_view(name));
    }
    let mut tables = Vec::new();
    if let Some((culprit, kind)) = first_open_base(own, facts, 0, &mut tables) {
        reason.get_or_insert_with(|| format!("is a view that reads {culprit}, which is not protected"));
        fix.push(match kind {
            Some(RelationKind::Table | RelationKind::PartitionedTable) => enable_row_security(&culprit),
            Some(RelationKind::View) if server_version >= 150_000 => invoker_view(&culprit),
            _ => revoke(name),
        });
    }
    match reason {
        None => Protection::Protected { unforced: tables.into() },
        Some(reason) => unprotected(&reason, fix.join(" ")),
    }
}

/// The first relation under a view that nothing protects, with its kind if it is known. `tables` gets those on the way
/// whose policies do not bind their owner.
fn first_open_base<S: BuildHasher>(
    view: &RelationSecurity,
    facts: &HashMap<QualifiedName, RelationSecurity, S>,
    depth: usize,
    tables: &mut Vec<UnforcedTable>,
) -> Option<(QualifiedName, Option<RelationKind>)> {
    view.base_relations.iter().find_map(|base| {
        let Some(security) = facts.get(base) else { return Some((base.clone(), None)) };
        match security.kind {
            RelationKind::Table | RelationKind::PartitionedTable if security.rls_enabled => {
                let table = unforced(base, security).filter(|table| !tables.contains(table));
                tables.extend(table);
                None
            }
            _ if security.has_rules => None,
            RelationKind::View
                if security.security_invoker && !security.owner_rules && depth < MAX_VIEW_DEPTH =>
            {
                first_open_base(security, facts, depth + 1, tables)
            }
            kind => Some((base.clone(), Some(kind))),
        }
    })
}

fn unforced(name: &QualifiedName, security: &RelationSecurity) -> Option<UnforcedTable> {
    (!security.rls_forced).then(|| UnforcedTable { name: name.clone(), owner: Arc::clone(&security.owner) })
}

fn unprotected(reason: &str, fix: String) -> Protection {
    Protection::Unprotected { reason: Arc::from(reason), fix: Arc::from(fix) }
}

fn enable_row_security(name: &QualifiedName) -> String {
    statement("ALTER TABLE ", name, " ENABLE ROW LEVEL SECURITY;")
}

fn invoker_view(name: &QualifiedName) -> String {
    statement("ALTER VIEW ", name, " SET (security_invoker = true);")
}

/// Where PostgreSQL has no way to protect the rows, other ways to offer them, and the SQL that hides them.
fn revoke(name: &QualifiedName) -> String {
    let hide = statement("REVOKE ALL ON ", name, " FROM PUBLIC, anon, authenticated;");
    format!(
        "Offer its rows through a table with row-level security or through a function that checks the caller. \
         To hide it: {hide}"
    )
}

fn statement(before: &'static str, name: &QualifiedName, after: &'static str) -> String {
    let mut sql = SqlBuf::new();
    sql.lit(before).name(&name.schema, &name.name).lit(after);
    sql.into_parts().0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> QualifiedName {
        QualifiedName::new("api", text)
    }

    fn facts_of(entries: &[(&str, RelationKind, bool, &[&str])]) -> HashMap<QualifiedName, RelationSecurity> {
        entries
            .iter()
            .map(|(relation, kind, safe, bases)| {
                let security = RelationSecurity {
                    kind: *kind,
                    rls_enabled: *safe && !kind.is_view(),
                    rls_forced: false,
                    security_invoker: *safe && kind.is_view(),
                    owner_rules: false,
                    base_relations: bases.iter().map(|base| name(base)).collect(),
                    owner: Arc::from("owner"),
                    has_rules: false,
                };
                (name(relation), security)
            })
            .collect()
    }

    fn verdict(
        relation: &str,
        entries: &[(&str, RelationKind, bool, &[&str])],
    ) -> Result<(), (String, String)> {
        match protection(&name(relation), &facts_of(entries), 150_018) {
            Protection::Protected { .. } => Ok(()),
            Protection::Unprotected { reason, fix } => Err((reason.to_string(), fix.to_string())),
        }
    }

    #[test]
    fn a_table_is_protected_by_row_level_security_alone() {
        assert_eq!(verdict("t", &[("t", RelationKind::Table, true, &[])]), Ok(()));
        let (_, fix) = verdict("t", &[("t", RelationKind::PartitionedTable, false, &[])]).unwrap_err();
        assert_eq!(fix, "ALTER TABLE \"api\".\"t\" ENABLE ROW LEVEL SECURITY;");
    }

    #[test]
    fn a_view_needs_its_invokers_rights_and_protected_bases_all_the_way_down() {
        let table = ("t", RelationKind::Table, true, &[][..]);
        let open = ("o", RelationKind::Table, false, &[][..]);
        let inner = ("i", RelationKind::View, true, &["t"][..]);
        let leaky = ("l", RelationKind::View, false, &["t"][..]);
        assert_eq!(verdict("v", &[("v", RelationKind::View, true, &["i", "t"]), inner, table]), Ok(()));
        let (reason, fix) =
            verdict("v", &[("v", RelationKind::View, true, &["t", "o"]), table, open]).unwrap_err();
        assert!(reason.contains("api.o"), "{reason}");
        assert!(fix.starts_with("ALTER TABLE \"api\".\"o\""), "{fix}");
        let (_, fix) = verdict("v", &[("v", RelationKind::View, true, &["l"]), leaky, table]).unwrap_err();
        assert_eq!(fix, "ALTER VIEW \"api\".\"l\" SET (security_invoker = true);");
        let (_, fix) = verdict("v", &[("v", RelationKind::View, false, &["o"]), open]).unwrap_err();
        assert!(fix.contains("ALTER VIEW") && fix.contains("ALTER TABLE"), "{fix}");
        assert!(verdict("v", &[("v", RelationKind::View, true, &["elsewhere"])]).is_err());
    }

    #[test]
    fn a_view_tells_of_each_table_below_whose_owner_no_policy_binds() {
        let entries = [
            ("v", RelationKind::View, true, &["i", "t", "f"][..]),
            ("i", RelationKind::View, true, &["t"][..]),
            ("t", RelationKind::Table, true, &[][..]),
            ("f", RelationKind::Table, true, &[][..]),
        ];
        let mut facts = facts_of(&entries);
        facts.get_mut(&name("f")).unwrap().rls_forced = true;
        let expected = Arc::from([UnforcedTable { name: name("t"), owner: Arc::from("owner") }]);
        for relation in ["v", "i", "t"] {
            let found = protection(&name(relation), &facts, 150_018);
            assert_eq!(found, Protection::Protected { unforced: Arc::clone(&expected) }, "{relation}");
        }
        let forced = protection(&name("f"), &facts, 150_018);
        assert_eq!(forced, Protection::Protected { unforced: Arc::from([]) });
    }

    #[test]
    fn materialized_views_and_foreign_tables_are_never_protected_by_themselves() {
        assert!(verdict("m", &[("m", RelationKind::MaterializedView, true, &["t"])]).is_err());
        assert!(verdict("f", &[("f", RelationKind::ForeignTable, true, &[])]).is_err());
    }
}
