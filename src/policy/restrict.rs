//! The catalog that a class of callers sees: without the columns that are hidden from it, with the others marked. Pure.
//!
//! Planning on such a catalog gives nothing of a hidden column away: to the planner it does not exist, in errors, hints
//! and descriptions as in queries. Only what the catalog cannot say by leaving out is left to the services: that masked
//! columns are selected and nothing else, and that no other names than these reach SQL (see `Restriction`).

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::model::{
    Cardinality, Catalog, ColumnAccess, ColumnName, InputRule, Mask, QualifiedName, ReadAccess, Relation,
    Relationship,
};
use crate::catalog::protection::MAX_VIEW_DEPTH;

use super::caller::CallerClass;
use super::desired;
use super::model::{FieldPermission, TableSecurity, Verb};
use super::rules::Rules;

/// What callers of one class see, and the rules that it was made from.
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// The catalog of the class.
    pub catalog: Arc<Catalog>,
    /// All rules.
    pub rules: Arc<Rules>,
}

/// The catalog for `class`: the same one where nothing is restricted. With `star_by_grants`, columns that the role may not
/// select are left out of `*`.
pub fn restrict(
    catalog: &Arc<Catalog>,
    rules: &Rules,
    class: &CallerClass,
    star_by_grants: bool,
) -> Arc<Catalog> {
    let restrictor = Restrictor { catalog, rules, class, star_by_grants };
    let changed: HashMap<QualifiedName, Arc<Relation>> = catalog
        .relations
        .values()
        .filter_map(|relation| Some((relation.name.clone(), Arc::new(restrictor.relation(relation)?))))
        .collect();
    if changed.is_empty() {
        return Arc::clone(catalog);
    }
    let mut restricted = Catalog::clone(catalog);
    restricted.relations.extend(changed);
    restricted.relationships = restrictor.relationships(&restricted);
    Arc::new(restricted)
}

struct Restrictor<'a> {
    catalog: &'a Catalog,
    rules: &'a Rules,
    class: &'a CallerClass,
    star_by_grants: bool,
}

impl Restrictor<'_> {
    /// The relation as the class sees it; `None` if that is as it is.
    fn relation(&self, relation: &Relation) -> Option<Relation> {
        let own = self.rules.in_force(&relation.name);
        let mut seen = relation.clone();
        for column in seen.columns.values_mut() {
            column.access = self.column(&relation.name, &column.name, 0);
            if self.star_by_grants
                && column.access.read == ReadAccess::Plain
                && self.is_not_granted(relation, &column.name)
            {
                column.access.read = ReadAccess::NotGranted;
            }
        }
        seen.restriction.uses_protected_column =
            own.is_none() && self.rules.has_column_rules() && self.uses_protected_column(&relation.name, 0);
        if let Some(security) = own.filter(|_| !relation.has_row_policies()) {
            // Rules that cannot be read as expressions have closed the relation already.
            let condition = desired::row_condition(self.catalog, &relation.name, security, Verb::Select);
            seen.restriction.rows = condition.ok().flatten().map(Arc::from);
        }
        let owner_column = own.and_then(|security| security.owner_column(Verb::Insert));
        seen.restriction.owner_column = owner_column.map(Arc::from);
        let is_protected =
            |access: &ColumnAccess| matches!(access.read, ReadAccess::Hidden | ReadAccess::Masked(_));
        if seen.columns.values().any(|column| is_protected(&column.access)) {
            let fields =
                own.map(|security| security.readable_fields.iter().map(String::as_str)).into_iter().flatten();
            let computed = fields.filter(|field| !relation.columns.contains_key(*field)).map(Arc::from);
            seen.restriction.closed = Some(computed.collect());
        }
        if seen.columns.values().all(|column| column.access == ColumnAccess::FULL)
            && seen.restriction == relation.restriction
        {
            return None;
        }
        let is_plain = |key: &Arc<str>| {
            seen.columns.get(key).is_some_and(|column| column.access.read == ReadAccess::Plain)
        };
        if !seen.primary_key.iter().all(is_plain) {
            seen.primary_key.clear();
        }
        seen.columns.retain(|_, column| column.access.read != ReadAccess::Hidden || column.access.write);
        Some(seen)
    }

    fn is_not_granted(&self, relation: &Relation, column: &Arc<str>) -> bool {
        let refusals = self.catalog.not_granted.get(&relation.name).map_or(&[][..], Vec::as_slice);
        refusals.iter().any(|refusal| refusal.role == self.class.role && refusal.column == *column)
    }

    /// What the class may do with a column: by the relation's own rules, and unless they speak of it by those of the column
    /// that it shows or is generated from.
    fn column(&self, relation: &QualifiedName, column: &Arc<str>, depth: usize) -> ColumnAccess {
        let own = self.rules.in_force(relation);
        let by_own_rules =
            own.map_or(ColumnAccess::FULL, |security| column_access(security, column, self.class));
        let speaks_of_it = own.is_some_and(|security| {
            let permission = security.field_permissions.get(&**column);
            security.readable_fields.contains(&**column)
                || permission.is_some_and(FieldPermission::is_about_access)
        });
        let Some(lineage) = self.catalog.lineage.get(relation) else { return by_own_rules };
        if depth > MAX_VIEW_DEPTH {
            return if speaks_of_it { by_own_rules } else { ColumnAccess::NONE };
        }
        let shown = lineage.shown.iter().filter(|(own, _)| own == column);
        let shown = shown.map(|(_, (base, base_column))| self.column(base, base_column, depth + 1));
        let computed = lineage.computed.iter().filter(|(own, _)| own == column);
        let computed = computed.map(|(_, (base, base_column))| {
            // What a mask would leave of the one says nothing of what it would leave of the other.
            match self.column(base, base_column, depth + 1).read {
                ReadAccess::Plain | ReadAccess::NotGranted => ColumnAccess::FULL,
                ReadAccess::Masked(_) | ReadAccess::Hidden => ColumnAccess::NONE,
            }
        });
        let below = shown.chain(computed).fold(ColumnAccess::FULL, stricter);
        if speaks_of_it {
            // Who may see it is said; what may not be written into it below holds all the same.
            ColumnAccess { input: stricter_input(by_own_rules.input, below.input), ..by_own_rules }
        } else {
            stricter(by_own_rules, below)
        }
    }

    /// Whether a view, or one that it reads, lets a protected column decide about what it shows.
    fn uses_protected_column(&self, view: &QualifiedName, depth: usize) -> bool {
        let Some(lineage) = self.catalog.lineage.get(view) else { return false };
        let is_protected = |(base, column): &ColumnName| {
            !matches!(self.column(base, column, depth).read, ReadAccess::Plain | ReadAccess::NotGranted)
        };
        let has_protected_columns = |base: &QualifiedName| {
            self.rules.in_force(base).is_some_and(|rules| self.protects_any(base, rules))
        };
        depth > MAX_VIEW_DEPTH
            || lineage.used.iter().any(is_protected)
            || lineage.whole.iter().any(has_protected_columns)
            || lineage.reads.iter().any(|base| {
                self.rules.in_force(base).is_none() && self.uses_protected_column(base, depth + 1)
            })
    }

    /// Whether the rules keep any column from the class. Of a relation that is not exposed only the names in the rules
    /// are known, and a list of readable columns leaves others out.
    fn protects_any(&self, name: &QualifiedName, rules: &TableSecurity) -> bool {
        let is_kept = |column: &str| column_access(rules, column, self.class).read != ReadAccess::Plain;
        match self.catalog.relations.get(name) {
            Some(relation) => relation.columns.keys().any(|column| is_kept(column)),
            None => {
                !rules.readable_fields.is_empty()
                    || rules
                        .hidden_fields
                        .iter()
                        .chain(rules.field_permissions.keys())
                        .any(|column| is_kept(column))
            }
        }
    }

    /// The relationships whose columns the class may read on both sides.
    fn relationships(
        &self,
        restricted: &Catalog,
    ) -> HashMap<(QualifiedName, Arc<str>), Arc<Vec<Relationship>>> {
        self.catalog
            .relationships
            .iter()
            .map(|(key, all)| {
                if all.iter().all(|relationship| is_visible(relationship, restricted)) {
                    return (key.clone(), Arc::clone(all));
                }
                let visible = all.iter().filter(|relationship| is_visible(relationship, restricted)).cloned();
                (key.clone(), Arc::new(visible.collect()))
            })
            .collect()
    }
}

/// Whether the join behind a relationship compares columns that may be compared. A computed one takes the whole row: it
/// stays where no column is protected, or where the rules list it among the readable fields.
fn is_visible(relationship: &Relationship, catalog: &Catalog) -> bool {
    let readable = |relation: &QualifiedName, column: &Arc<str>| {
        let Some(relation) = catalog.relations.get(relation) else { return true };
        relation
            .column(column)
            .is_some_and(|column| matches!(column.access.read, ReadAccess::Plain | ReadAccess::NotGranted))
    };
    match relationship {
        Relationship::Computed { function, relation, .. } => {
            let closed =
                catalog.relations.get(relation).and_then(|relation| relation.restriction.closed.as_ref());
            closed.is_none_or(|listed| listed.contains(&function.name))
        }
        Relationship::ForeignKey { relation, foreign_relation, cardinality, .. } => match cardinality {
            Cardinality::ToMany { columns, .. }
            | Cardinality::ToOne { columns, .. }
            | Cardinality::OneToOne { columns, .. } => columns
                .iter()
                .all(|(own, foreign)| readable(relation, own) && readable(foreign_relation, foreign)),
            Cardinality::ManyToMany(junction) => {
                let through = |end: &QualifiedName, columns: &[(Arc<str>, Arc<str>)]| {
                    columns
                        .iter()
                        .all(|(own, between)| readable(end, own) && readable(&junction.relation, between))
                };
                through(relation, &junction.columns_source)
                    && through(foreign_relation, &junction.columns_target)
            }
        },
    }
}

/// What the rules of a table let a class do with one column. All rules must agree.
pub fn column_access(rules: &TableSecurity, column: &str, class: &CallerClass) -> ColumnAccess {
    let none = FieldPermission::default();
    let permission = rules.field_permissions.get(column).unwrap_or(&none);
    let is_exempt = class.has_any(&permission.allowed_roles);
    let is_listed = rules.readable_fields.is_empty() || rules.readable_fields.contains(column);
    let only_for_others =
        !permission.allowed_roles.is_empty() && !is_exempt && !permission.hidden && !permission.masked;
    let read = if !is_listed
        || rules.hidden_fields.contains(column)
        || permission.can_read == Some(false)
        || only_for_others
        || (permission.hidden && !is_exempt)
    {
        ReadAccess::Hidden
    } else if permission.masked && !is_exempt {
        ReadAccess::Masked(permission.mask.clone().unwrap_or(Mask::Null))
    } else {
        ReadAccess::Plain
    };
    let is_writable_by_list = if rules.writable_fields.is_empty() {
        // Who does not see a column as it is writes it only where a rule says so.
        permission.can_write.unwrap_or(read == ReadAccess::Plain)
    } else {
        rules.writable_fields.contains(column) && permission.can_write != Some(false)
    };
    let write = is_writable_by_list && !only_for_others;
    ColumnAccess { read, write, input: permission.input_rule() }
}

/// The access that both allow.
fn stricter(a: ColumnAccess, b: ColumnAccess) -> ColumnAccess {
    let rank = |read: &ReadAccess| match read {
        ReadAccess::Plain => 0,
        ReadAccess::NotGranted => 1,
        ReadAccess::Masked(_) => 2,
        ReadAccess::Hidden => 3,
    };
    let write = a.write && b.write;
    let input = stricter_input(a.input, b.input);
    let read = if rank(&b.read) > rank(&a.read) { b.read } else { a.read };
    ColumnAccess { read, write, input }
}

fn stricter_input(a: Option<InputRule>, b: Option<InputRule>) -> Option<InputRule> {
    let policy = |rule: Option<InputRule>| rule.map(|rule| rule.policy);
    if policy(b) > policy(a) { b } else { a }
}

#[cfg(test)]
mod tests;
