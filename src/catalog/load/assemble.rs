//! Puts the rows of all queries together into one snapshot. No I/O: it runs on a blocking thread.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::assemble_functions::functions;
use super::carriers;
use super::columns::ColumnRow;
use super::functions::{ComputedRow, HandlerRow, RepresentationRow};
use super::keys::KeyRow;
use super::lineage::lineage;
use super::relations::{BaseRow, RelationRow};
use super::roles::{RoleRow, RoleSettingRow};
use super::table_security::{NotGrantedRow, OwnPolicyRow};
use super::{Interner, LoadOptions, Rows, views};
use crate::catalog::model::{
    Catalog, Column, ColumnAccess, ColumnRefusal, Generated, Grant, HandlerTarget, Identity, MediaHandler,
    QualifiedName, Relation, RelationKind, Relationship, Representation, Restriction, TableSecurityRows,
};
use crate::catalog::protection::{Protection, RelationSecurity, protection};
use crate::catalog::relations::{ForeignKey, KeyUse, ViewKey, derive};
use crate::catalog::role::{IsolationLevel, Role};

/// What the column rows become: the columns of a relation, and the names of its columns by number.
type Columns = (IndexMap<Arc<str>, Column>, HashMap<i16, Arc<str>>);

/// The snapshot, with `version` 0.
pub(super) fn assemble(
    rows: Rows,
    options: &LoadOptions,
    timezones: Arc<HashSet<Arc<str>>>,
    server_version: u32,
) -> Catalog {
    let mut interner = Interner::default();
    let names: HashMap<u32, QualifiedName> =
        rows.relations.iter().map(|row| (row.oid.0, interner.name(&row.schema, &row.name))).collect();
    let mut columns = columns_by_relation(rows.columns, &mut interner);
    let mut primary_keys = primary_keys(&rows.keys, &names, &mut interner);
    let view_keys = view_keys(&rows.views, &rows.keys, &rows.relations, &names, &columns, &mut interner);
    primary_keys.extend(view_primary_keys(&view_keys));
    let exposed: HashSet<Arc<str>> = options.schemas.iter().map(|schema| interner.text(schema)).collect();
    let relationships = derive(
        &foreign_keys(&rows.keys, &names, &mut interner),
        &view_keys,
        &primary_keys,
        rows.computed.iter().map(|row| computed(row, &mut interner)).collect(),
        &exposed,
    );
    let relationships = relationships.into_iter().map(|(key, found)| (key, Arc::new(found))).collect();
    let mut lineage = lineage(
        &rows.views,
        &rows.read_columns,
        &rows.bases,
        &names,
        |relation, number| columns.get(&relation)?.1.get(&number).cloned(),
        &mut interner,
    );
    carriers::inherit(&rows.heirs, &mut lineage, &mut interner);
    carriers::generate(&rows.generated, &mut lineage, &mut interner);
    let facts = security_facts(&rows.relations, &rows.bases, &names, &rows.table_security, &mut interner);
    let relations = rows
        .relations
        .into_iter()
        .filter(|row| row.exposed)
        .filter_map(|row| {
            let name = names[&row.oid.0].clone();
            let columns = columns.remove(&row.oid.0).map(|(columns, _)| columns).unwrap_or_default();
            let primary_key = primary_keys.remove(&name).unwrap_or_default();
            let security = facts.get(&name)?.clone();
            let protection = protection(&name, &facts, server_version);
            let relation = Relation {
                columns,
                primary_key,
                ..relation(row, name.clone(), security, protection, &mut interner)
            };
            Some((name, Arc::new(relation)))
        })
        .collect();
    Catalog {
        relations,
        relationships,
        functions: Arc::new(functions(rows.functions, &mut interner)),
        representations: Arc::new(representations(rows.representations, &mut interner)),
        media_handlers: Arc::new(rows.handlers.iter().map(|row| handler(row, &mut interner)).collect()),
        timezones,
        schema_comments: rows
            .comments
            .into_iter()
            .map(|row| (interner.text(&row.schema), Arc::from(row.comment)))
            .collect(),
        server_version,
        roles: Arc::new(roles(rows.roles, rows.role_settings, &mut interner)),
        lineage: Arc::new(lineage),
        row_results: Arc::new(carriers::row_results(&rows.row_functions, &mut interner)),
        table_security: Arc::new(rows.table_security),
        changed_rules: Arc::default(),
        own_policies: Arc::new(own_policies(&rows.own_policies, &mut interner)),
        not_granted: Arc::new(not_granted(&rows.not_granted, &mut interner)),
        schemas: interner.texts(&options.schemas),
        version: 0,
    }
}

fn representations(
    rows: Vec<RepresentationRow>,
    interner: &mut Interner,
) -> HashMap<(Arc<str>, Arc<str>), Representation> {
    rows.into_iter()
        .map(|row| {
            let (source_type, target_type) =
                (interner.text(&row.source_type), interner.text(&row.target_type));
            let function = Arc::from(row.function);
            let key = (source_type.clone(), target_type.clone());
            (key, Representation { source_type, target_type, function })
        })
        .collect()
}

fn own_policies(rows: &[OwnPolicyRow], interner: &mut Interner) -> HashMap<QualifiedName, Vec<Arc<str>>> {
    let mut found: HashMap<QualifiedName, Vec<Arc<str>>> = HashMap::new();
    for row in rows {
        found
            .entry(interner.name(&row.schema, &row.relation))
            .or_default()
            .push(Arc::from(row.mark.as_str()));
    }
    found
}

fn not_granted(
    rows: &[NotGrantedRow],
    interner: &mut Interner,
) -> HashMap<QualifiedName, Vec<ColumnRefusal>> {
    let mut found: HashMap<QualifiedName, Vec<ColumnRefusal>> = HashMap::new();
    for row in rows {
        let refusal = ColumnRefusal { role: interner.text(&row.role), column: interner.text(&row.column) };
        found.entry(interner.name(&row.schema, &row.relation)).or_default().push(refusal);
    }
    found
}

/// A relation without its columns and its key, which come from other rows.
fn relation(
    row: RelationRow,
    name: QualifiedName,
    security: RelationSecurity,
    protection: Protection,
    interner: &mut Interner,
) -> Relation {
    Relation {
        oid: row.oid.0,
        name,
        kind: security.kind,
        comment: row.comment.map(Arc::from),
        columns: IndexMap::new(),
        primary_key: Vec::new(),
        insertable: row.events & 8 != 0,
        updatable: row.events & 4 != 0,
        deletable: row.events & 16 != 0,
        protection,
        security,
        grants: grants(row.acl.as_deref(), interner),
        restriction: Restriction::default(),
    }
}

fn columns_by_relation(rows: Vec<ColumnRow>, interner: &mut Interner) -> HashMap<u32, Columns> {
    let mut found: HashMap<u32, Columns> = HashMap::new();
    for row in rows {
        let (columns, numbers) = found.entry(row.relation.0).or_default();
        let name = interner.text(&row.name);
        numbers.insert(row.number, name.clone());
        let column = Column {
            name: name.clone(),
            comment: row.comment.map(Arc::from),
            nullable: !row.not_null,
            data_type: interner.text(&row.data_type),
            nominal_type: interner.text(&row.nominal_type),
            max_length: row.max_length,
            default: row.column_default.as_deref().map(|text| interner.text(text)),
            enum_values: interner.texts(row.labels.as_deref().unwrap_or_default()),
            generated: match row.generated.as_str() {
                "s" => Generated::Stored,
                "v" => Generated::Virtual,
                _ => Generated::No,
            },
            identity: match row.identity.as_str() {
                "a" => Identity::Always,
                "d" => Identity::ByDefault,
                _ => Identity::No,
            },
            is_array: row.is_array,
            is_composite: row.is_composite,
            grants: grants(row.acl.as_deref(), interner),
            access: ColumnAccess::FULL,
        };
        columns.insert(name, column);
    }
    found
}

/// Primary keys of tables, their columns in alphabetical order.
fn primary_keys(
    rows: &[KeyRow],
    names: &HashMap<u32, QualifiedName>,
    interner: &mut Interner,
) -> HashMap<QualifiedName, Vec<Arc<str>>> {
    rows.iter()
        .filter(|row| row.kind == "p")
        .filter_map(|row| {
            let mut columns = interner.texts(&row.columns);
            columns.sort_unstable();
            Some((names.get(&row.relation.0)?.clone(), columns))
        })
        .collect()
}

fn foreign_keys(
    rows: &[KeyRow],
    names: &HashMap<u32, QualifiedName>,
    interner: &mut Interner,
) -> Vec<ForeignKey> {
    let sorted = |numbers: &[i16]| {
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        numbers
    };
    let unique: HashSet<(u32, Vec<i16>)> =
        rows.iter().filter(|row| row.kind != "f").map(|row| (row.relation.0, sorted(&row.numbers))).collect();
    rows.iter()
        .filter(|row| row.kind == "f" && !row.inherited)
        .filter_map(|row| {
            let foreign = row.foreign_columns.iter().map(|column| column.as_deref());
            let columns = row
                .columns
                .iter()
                .zip(foreign)
                .map(|(own, foreign)| Some((interner.text(own), interner.text(foreign?))))
                .collect::<Option<_>>()?;
            Some(ForeignKey {
                constraint: interner.text(&row.name),
                table: names.get(&row.relation.0)?.clone(),
                foreign_table: names.get(&row.foreign_relation.0)?.clone(),
                columns,
                is_unique: unique.contains(&(row.relation.0, sorted(&row.numbers))),
            })
        })
        .collect()
}

/// The keys of base tables that exposed views show in full.
fn view_keys(
    view_rows: &[views::ViewRow],
    key_rows: &[KeyRow],
    relations: &[RelationRow],
    names: &HashMap<u32, QualifiedName>,
    columns: &HashMap<u32, Columns>,
    interner: &mut Interner,
) -> Vec<ViewKey> {
    let exposed: HashSet<u32> = relations.iter().filter(|row| row.exposed).map(|row| row.oid.0).collect();
    let mut by_table: HashMap<u32, Vec<(&KeyRow, KeyUse)>> = HashMap::new();
    for row in key_rows {
        match row.kind.as_str() {
            "p" => by_table.entry(row.relation.0).or_default().push((row, KeyUse::Primary)),
            "f" if !row.inherited => {
                by_table.entry(row.relation.0).or_default().push((row, KeyUse::Referring));
                by_table.entry(row.foreign_relation.0).or_default().push((row, KeyUse::Referenced));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (view, uses) in views::trace(view_rows, |oid| exposed.contains(&oid)) {
        let (Some(view_name), Some((_, numbers))) = (names.get(&view), columns.get(&view)) else { continue };
        let tables: HashSet<u32> = uses.keys().map(|(table, _)| *table).collect();
        for table in tables {
            let (Some(table_name), Some(keys)) = (names.get(&table), by_table.get(&table)) else { continue };
            for (row, key_use) in keys {
                let key_numbers = match key_use {
                    KeyUse::Referenced => row.foreign_numbers.as_deref().unwrap_or_default(),
                    _ => &row.numbers,
                };
                let shown = |number: &i16| -> Option<Vec<Arc<str>>> {
                    let shown = uses.get(&(table, *number))?;
                    let shown: Vec<Arc<str>> =
                        shown.iter().filter_map(|own| numbers.get(own).cloned()).collect();
                    (!shown.is_empty()).then_some(shown)
                };
                if let Some(shown) = key_numbers.iter().map(shown).collect::<Option<Vec<_>>>() {
                    found.push(ViewKey {
                        table: table_name.clone(),
                        view: view_name.clone(),
                        constraint: interner.text(&row.name),
                        key_use: *key_use,
                        columns: shown,
                    });
                }
            }
        }
    }
    found
}

/// For each view the primary keys of all tables that it shows them of, each column by the first view column that shows
/// it; the tables in descending order of their names, as PostgREST lists them.
fn view_primary_keys(keys: &[ViewKey]) -> HashMap<QualifiedName, Vec<Arc<str>>> {
    let mut primary: Vec<&ViewKey> = keys.iter().filter(|key| key.key_use == KeyUse::Primary).collect();
    primary.sort_unstable_by(|a, b| b.table.cmp(&a.table));
    let mut found: HashMap<QualifiedName, Vec<Arc<str>>> = HashMap::new();
    for key in primary {
        let columns = key.columns.iter().filter_map(|shown| shown.first().cloned());
        found.entry(key.view.clone()).or_default().extend(columns);
    }
    found
}

fn security_facts(
    rows: &[RelationRow],
    bases: &[BaseRow],
    names: &HashMap<u32, QualifiedName>,
    rules: &TableSecurityRows,
    interner: &mut Interner,
) -> HashMap<QualifiedName, RelationSecurity> {
    let mut read_by: HashMap<u32, Vec<QualifiedName>> = HashMap::new();
    for base in bases {
        let name = interner.name(&base.schema, &base.name);
        read_by.entry(base.view.0).or_default().push(name);
    }
    rows.iter()
        .filter_map(|row| {
            let mut base_relations = read_by.remove(&row.oid.0).unwrap_or_default();
            base_relations.sort_unstable();
            let security = RelationSecurity {
                kind: RelationKind::from_code(&row.kind)?,
                rls_enabled: row.rls_enabled,
                rls_forced: row.rls_forced,
                security_invoker: row.security_invoker,
                owner_rules: row.owner_rules,
                base_relations,
                owner: interner.text(&row.owner),
                has_rules: matches!(rules, TableSecurityRows::Read(rows) if rows.contains_key(&names[&row.oid.0])),
            };
            Some((names[&row.oid.0].clone(), security))
        })
        .collect()
}

fn computed(row: &ComputedRow, interner: &mut Interner) -> Relationship {
    let relation = interner.name(&row.relation_schema, &row.relation_name);
    let foreign_relation = interner.name(&row.foreign_schema, &row.foreign_name);
    Relationship::Computed {
        function: interner.name(&row.schema, &row.name),
        is_self: relation == foreign_relation,
        relation,
        foreign_relation,
        to_one: row.to_one,
    }
}

fn handler(row: &HandlerRow, interner: &mut Interner) -> ((HandlerTarget, Arc<str>), MediaHandler) {
    let own = interner.name(&row.schema, &row.name);
    let (handler, target) = match (&row.argument_schema, &row.argument_name) {
        (Some(schema), Some(name)) if schema == "pg_catalog" && name == "anyelement" => {
            (own, HandlerTarget::AnyElement)
        }
        (Some(schema), Some(name)) => (own, HandlerTarget::Named(interner.name(schema, name))),
        _ => (interner.name(&row.type_schema, &row.type_name), HandlerTarget::Named(own)),
    };
    let answered = if row.type_name == "*/*" { "application/octet-stream" } else { &row.type_name };
    let media_type = interner.text(answered);
    let asked = interner.text(&row.type_name.to_lowercase());
    ((target.clone(), asked), MediaHandler { handler, target, media_type, is_aggregate: row.is_aggregate })
}

fn roles(
    rows: Vec<RoleRow>,
    settings: Vec<RoleSettingRow>,
    interner: &mut Interner,
) -> HashMap<Arc<str>, Role> {
    let mut found: HashMap<Arc<str>, Role> = rows
        .into_iter()
        .map(|row| {
            let role = Role {
                settable: row.settable,
                login: row.login,
                superuser: row.superuser,
                bypass_rls: row.bypass_rls,
                ..Role::default()
            };
            (interner.text(&row.name), role)
        })
        .collect();
    for row in settings {
        let Some(role) = found.get_mut(row.role.as_str()) else { continue };
        if row.name == "default_transaction_isolation" {
            role.isolation = Some(IsolationLevel::from_setting(&row.value));
            continue;
        }
        // Settings for this database come after those for all and replace them.
        role.settings.retain(|(name, _)| **name != *row.name);
        role.settings.push((interner.text(&row.name), interner.text(&row.value)));
    }
    found
}

/// Reads `grantee=privileges/grantor` items; the grantee is quoted where it needs to be, empty for PUBLIC.
pub(super) fn grants(acl: Option<&[String]>, interner: &mut Interner) -> Vec<Grant> {
    acl.unwrap_or_default().iter().filter_map(|item| grant(item, interner)).collect()
}

fn grant(item: &str, interner: &mut Interner) -> Option<Grant> {
    let (grantee, rest) = match item.strip_prefix('"') {
        Some(quoted) => {
            let (mut name, mut rest) = (String::new(), quoted);
            loop {
                let (part, after) = rest.split_once('"')?;
                name.push_str(part);
                rest = after;
                match rest.strip_prefix('"') {
                    Some(after) => {
                        name.push('"');
                        rest = after;
                    }
                    None => break,
                }
            }
            (name, rest.strip_prefix('=')?)
        }
        None => item.split_once('=').map(|(name, rest)| (name.to_owned(), rest))?,
    };
    let privileges: String = rest.chars().take_while(|c| *c != '/').filter(|c| *c != '*').collect();
    Some(Grant {
        grantee: (!grantee.is_empty()).then(|| interner.text(&grantee)),
        privileges: interner.text(&privileges),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_with_quoted_names_and_public() {
        let mut interner = Interner::default();
        let mut read = |item: &str| {
            grant(item, &mut interner)
                .map(|grant| (grant.grantee.map(|name| name.to_string()), grant.privileges.to_string()))
        };
        assert_eq!(read("=r/postgres"), Some((None, "r".to_owned())));
        assert_eq!(read("anon=arw*d/postgres"), Some((Some("anon".to_owned()), "arwd".to_owned())));
        assert_eq!(read("\"a\"\"=b\"=X/postgres"), Some((Some("a\"=b".to_owned()), "X".to_owned())));
        assert_eq!(read("nonsense"), None);
    }
}
