//! How foreign keys become relationships: through views, in both directions, and across junction tables.
//!
//! Pure. The rules are PostgREST's, so that the same embeds are possible and the same are ambiguous: views stand in for
//! the tables whose key columns they show, a junction is a table whose primary key holds both foreign keys, and a
//! computed relationship hides the detected ones between its relation and a target of the function's name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::model::{Cardinality, ColumnPairs, Junction, QualifiedName, Relationship};

/// A foreign key of a table or partitioned table (of the parent only, never repeated per partition).
#[derive(Clone, Debug)]
pub struct ForeignKey {
    /// Its name.
    pub constraint: Arc<str>,
    /// The referring table.
    pub table: QualifiedName,
    /// The referenced table.
    pub foreign_table: QualifiedName,
    /// (referring column, referenced column), in the order of the constraint.
    pub columns: ColumnPairs,
    /// Whether the referring columns are those of a primary key or unique constraint.
    pub is_unique: bool,
}

/// Which key of a base table a view shows in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Its primary key.
    Primary,
    /// The referring columns of a foreign key.
    Referring,
    /// The referenced columns of a foreign key.
    Referenced,
}

/// A key of a base table all of whose columns a view shows.
#[derive(Clone, Debug)]
pub struct ViewKey {
    /// The base table.
    pub table: QualifiedName,
    /// The view.
    pub view: QualifiedName,
    /// The constraint.
    pub constraint: Arc<str>,
    /// What the columns are in it.
    pub key_use: KeyUse,
    /// For each key column in the order of the constraint, the view's columns that show it (at least one).
    pub columns: Vec<Vec<Arc<str>>>,
}

/// How many combinations of a view's columns one key may stand for; a view that shows a key's columns more often than
/// that is a generated one, and embeds of it would be ambiguous anyhow.
const MAX_COMBINATIONS: usize = 64;

impl ViewKey {
    /// Every way to pick one view column per key column.
    fn combinations(&self) -> Vec<Vec<Arc<str>>> {
        let mut found: Vec<Vec<Arc<str>>> = vec![Vec::new()];
        for shown in &self.columns {
            found = found
                .iter()
                .flat_map(|picked| {
                    shown.iter().map(move |column| {
                        let mut next = picked.clone();
                        next.push(column.clone());
                        next
                    })
                })
                .take(MAX_COMBINATIONS)
                .collect();
        }
        found
    }
}

/// All relationships that callers may follow, by (origin, schema of the foreign relation), each list sorted.
///
/// `primary_keys` are those of tables and views (traced); `exposed` the schemas of which origins, foreign relations and
/// junctions must be.
pub fn derive<S: std::hash::BuildHasher>(
    foreign_keys: &[ForeignKey],
    view_keys: &[ViewKey],
    primary_keys: &HashMap<QualifiedName, Vec<Arc<str>>, S>,
    computed: Vec<Relationship>,
    exposed: &HashSet<Arc<str>, S>,
) -> HashMap<(QualifiedName, Arc<str>), Vec<Relationship>> {
    let referring = with_views(foreign_keys, view_keys);
    let mut all = many_to_many(&referring, primary_keys);
    all.extend(referring.iter().map(inverse));
    all.extend(referring);

    let mut by_pair: HashMap<(QualifiedName, QualifiedName), Vec<Relationship>> = HashMap::new();
    for relationship in all {
        let key = (relationship.relation().clone(), relationship.foreign_relation().clone());
        by_pair.entry(key).or_default().push(relationship);
    }
    // A function's name stands where the foreign relation's would: `test.projects(test.clients)` replaces what was
    // detected between clients and projects.
    for relationship in computed {
        if let Relationship::Computed { function, relation, .. } = &relationship {
            by_pair.insert((relation.clone(), function.clone()), vec![relationship]);
        }
    }

    let mut map: HashMap<(QualifiedName, Arc<str>), Vec<Relationship>> = HashMap::new();
    for ((relation, foreign), relationships) in by_pair {
        if !exposed.contains(&relation.schema) {
            continue;
        }
        let list = map.entry((relation, foreign.schema)).or_default();
        // A pair of relations of which nothing is left keeps its empty list: it is known, and not open to suggestions.
        list.extend(relationships.into_iter().filter(|found| {
            exposed.contains(&found.foreign_relation().schema)
                && junction(found).is_none_or(|junction| exposed.contains(&junction.schema))
        }));
    }
    for list in map.values_mut() {
        list.sort_unstable();
    }
    map
}

fn junction(relationship: &Relationship) -> Option<&QualifiedName> {
    match relationship {
        Relationship::ForeignKey { cardinality: Cardinality::ManyToMany(junction), .. } => {
            Some(&junction.relation)
        }
        _ => None,
    }
}

/// The relationships from the referring side, between tables and every view that shows either side's columns.
fn with_views(foreign_keys: &[ForeignKey], view_keys: &[ViewKey]) -> Vec<Relationship> {
    let mut index: HashMap<(&QualifiedName, &str, KeyUse), Vec<&ViewKey>> = HashMap::new();
    for key in view_keys {
        index.entry((&key.table, &*key.constraint, key.key_use)).or_default().push(key);
    }
    let none = Vec::new();
    let mut found = Vec::with_capacity(foreign_keys.len());
    for key in foreign_keys {
        let sides = |table, key_use, own: Vec<Arc<str>>| {
            let views: &Vec<&ViewKey> = index.get(&(table, &*key.constraint, key_use)).unwrap_or(&none);
            let mut sides = vec![(table.clone(), own, false)];
            for view in views {
                sides.extend(
                    view.combinations().into_iter().map(|columns| (view.view.clone(), columns, true)),
                );
            }
            sides
        };
        let (own, foreign) = key.columns.iter().cloned().unzip();
        let referenced = sides(&key.foreign_table, KeyUse::Referenced, foreign);
        for (relation, columns, relation_is_view) in sides(&key.table, KeyUse::Referring, own) {
            for (foreign_relation, foreign_columns, foreign_is_view) in &referenced {
                let columns = columns.iter().cloned().zip(foreign_columns.iter().cloned()).collect();
                let constraint = key.constraint.clone();
                found.push(Relationship::ForeignKey {
                    relation: relation.clone(),
                    foreign_relation: foreign_relation.clone(),
                    is_self: relation == *foreign_relation,
                    cardinality: if key.is_unique {
                        Cardinality::OneToOne { constraint, columns, is_parent: false }
                    } else {
                        Cardinality::ToOne { constraint, columns }
                    },
                    relation_is_view,
                    foreign_is_view: *foreign_is_view,
                });
            }
        }
    }
    found
}

fn swapped(columns: &ColumnPairs) -> ColumnPairs {
    columns.iter().map(|(own, foreign)| (foreign.clone(), own.clone())).collect()
}

/// The same link as seen from the referenced side.
fn inverse(relationship: &Relationship) -> Relationship {
    let Relationship::ForeignKey {
        relation,
        foreign_relation,
        is_self,
        cardinality,
        relation_is_view,
        foreign_is_view,
    } = relationship
    else {
        return relationship.clone();
    };
    let cardinality = match cardinality {
        Cardinality::ToOne { constraint, columns } => {
            Cardinality::ToMany { constraint: constraint.clone(), columns: swapped(columns) }
        }
        Cardinality::OneToOne { constraint, columns, is_parent } => Cardinality::OneToOne {
            constraint: constraint.clone(),
            columns: swapped(columns),
            is_parent: !is_parent,
        },
        other => other.clone(),
    };
    Relationship::ForeignKey {
        relation: foreign_relation.clone(),
        foreign_relation: relation.clone(),
        is_self: *is_self,
        cardinality,
        relation_is_view: *foreign_is_view,
        foreign_is_view: *relation_is_view,
    }
}

/// One side of a junction.
struct JunctionSide<'a> {
    target: &'a QualifiedName,
    target_is_view: bool,
    constraint: &'a Arc<str>,
    columns: &'a ColumnPairs,
}

fn many_to_many<S: std::hash::BuildHasher>(
    referring: &[Relationship],
    primary_keys: &HashMap<QualifiedName, Vec<Arc<str>>, S>,
) -> Vec<Relationship> {
    let mut sides: HashMap<&QualifiedName, Vec<JunctionSide<'_>>> = HashMap::new();
    for relationship in referring {
        if let Relationship::ForeignKey {
            relation,
            foreign_relation,
            cardinality: Cardinality::ToOne { constraint, columns },
            foreign_is_view,
            ..
        } = relationship
        {
            let key: &[Arc<str>] = primary_keys.get(relation).map_or(&[], Vec::as_slice);
            // Both foreign keys must lie inside the primary key, so one that does not is no side at all.
            if columns.iter().all(|(own, _)| key.contains(own)) {
                sides.entry(relation).or_default().push(JunctionSide {
                    target: foreign_relation,
                    target_is_view: *foreign_is_view,
                    constraint,
                    columns,
                });
            }
        }
    }
    let mut found = Vec::new();
    for (junction, sides) in sides {
        for source in &sides {
            for target in sides.iter().filter(|side| side.constraint != source.constraint) {
                found.push(Relationship::ForeignKey {
                    relation: source.target.clone(),
                    foreign_relation: target.target.clone(),
                    is_self: source.target == target.target,
                    cardinality: Cardinality::ManyToMany(Junction {
                        relation: junction.clone(),
                        constraint_source: source.constraint.clone(),
                        constraint_target: target.constraint.clone(),
                        columns_source: swapped(source.columns),
                        columns_target: swapped(target.columns),
                    }),
                    relation_is_view: source.target_is_view,
                    foreign_is_view: target.target_is_view,
                });
            }
        }
    }
    found
}
