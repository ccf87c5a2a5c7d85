//! Views: their stored queries, and the base table columns behind their columns.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use crate::catalog::view_tree::{ShownColumn, shown_columns};

/// A view and which columns of other relations it shows as they are.
pub(super) struct ViewRow {
    pub(super) oid: Oid,
    pub(super) columns: Vec<ShownColumn>,
}

const VIEWS: &str = "
select c.oid, w.ev_action::text as action
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_rewrite w on w.ev_class = c.oid and w.ev_type = '1'
where c.relkind in ('v', 'm') and n.nspname::text = any($1)";

/// The views of `schemas`. Stored queries are long, so they are read one by one and dropped at once.
pub(super) async fn views(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<ViewRow>, sqlx::Error> {
    let mut rows = sqlx::query(VIEWS).persistent(false).bind(schemas).fetch(connection);
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let columns = shown_columns(row.try_get("action")?);
        found.push(ViewRow { oid: row.try_get("oid")?, columns });
    }
    Ok(found)
}

/// A column of a base table and the view columns that show it, in view order.
pub(super) type ColumnUses = HashMap<(u32, i16), Vec<i16>>;

/// For each view of `traced`, the table columns behind its columns, views in between followed.
pub(super) fn trace(rows: &[ViewRow], traced: impl Fn(u32) -> bool) -> HashMap<u32, ColumnUses> {
    let mut sources: HashMap<(u32, i16), (u32, i16)> = HashMap::new();
    for row in rows {
        for shown in &row.columns {
            sources.insert((row.oid.0, shown.view_column), (shown.relation, shown.column));
        }
    }
    let mut found: HashMap<u32, ColumnUses> = HashMap::new();
    for row in rows.iter().filter(|row| traced(row.oid.0)) {
        let uses = found.entry(row.oid.0).or_default();
        for shown in &row.columns {
            let mut source = (shown.relation, shown.column);
            // A chain cannot be longer than there are columns; views that read each other end there.
            for _ in 0..=sources.len() {
                match sources.get(&source) {
                    Some(next) => source = *next,
                    None => break,
                }
            }
            uses.entry(source).or_default().push(shown.view_column);
        }
    }
    found
}
