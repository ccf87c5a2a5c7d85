//! What views do with the columns that they read, by name. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Interner;
use super::relations::BaseRow;
use super::views::{ReadColumnRow, ViewRow};
use crate::catalog::model::{ColumnName, QualifiedName, ViewLineage};

/// The lineage of every view. `own_columns` knows the columns of exposed relations; those of others are known where a
/// view reads them.
pub(super) fn lineage(
    views: &[ViewRow],
    read: &[ReadColumnRow],
    bases: &[BaseRow],
    names: &HashMap<u32, QualifiedName>,
    own_columns: impl Fn(u32, i16) -> Option<Arc<str>>,
    interner: &mut Interner,
) -> HashMap<QualifiedName, ViewLineage> {
    let mut column_names: HashMap<(u32, i16), Arc<str>> = HashMap::new();
    let mut read_by: HashMap<u32, BTreeSet<ColumnName>> = HashMap::new();
    for row in read {
        let column = interner.text(&row.name);
        column_names.insert((row.relation.0, row.number), column.clone());
        if let Some(relation) = names.get(&row.relation.0) {
            read_by.entry(row.view.0).or_default().insert((relation.clone(), column));
        }
    }
    let column_of = |relation: u32, number: i16| -> Option<ColumnName> {
        Some((names.get(&relation)?.clone(), column_names.get(&(relation, number))?.clone()))
    };
    let mut bases_of: HashMap<u32, BTreeSet<QualifiedName>> = HashMap::new();
    for base in bases {
        bases_of.entry(base.view.0).or_default().insert(interner.name(&base.schema, &base.name));
    }
    let mut found = HashMap::new();
    for view in views {
        let Some(name) = names.get(&view.oid.0) else { continue };
        let used = match &view.uses.columns {
            Some(columns) => {
                columns.iter().filter_map(|(relation, number)| column_of(*relation, *number)).collect()
            }
            None => read_by.remove(&view.oid.0).unwrap_or_default(),
        };
        let reads = bases_of.remove(&view.oid.0).unwrap_or_default();
        let whole = if view.uses.whole_rows { reads.clone() } else { BTreeSet::new() };
        let shown = view
            .columns
            .iter()
            .filter_map(|shown| {
                let own = own_columns(view.oid.0, shown.view_column)
                    .or_else(|| column_names.get(&(view.oid.0, shown.view_column)).cloned())?;
                Some((own, column_of(shown.relation, shown.column)?))
            })
            .collect();
        found.insert(name.clone(), ViewLineage { shown, used, whole, reads, ..ViewLineage::default() });
    }
    found
}
