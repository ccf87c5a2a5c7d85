//! Views: their stored queries, and the base table columns behind their columns.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use crate::catalog::view_tree::{ShownColumn, shown_columns};
use crate::catalog::view_uses::{ViewUses, uses};

/// A view, which columns of other relations it shows as they are, and which it uses otherwise.
pub(super) struct ViewRow {
    pub(super) oid: Oid,
    /// Whether keys are traced through it.
    pub(super) traced: bool,
    pub(super) columns: Vec<ShownColumn>,
    pub(super) uses: ViewUses,
}

/// A column that a view reads, whatever for.
#[derive(sqlx::FromRow)]
pub(super) struct ReadColumnRow {
    pub(super) view: Oid,
    pub(super) relation: Oid,
    pub(super) number: i16,
    pub(super) name: String,
}

const VIEWS: &str = "
select c.oid, n.nspname::text = any($1) as traced, w.ev_action::text as action
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_rewrite w on w.ev_class = c.oid and w.ev_type = '1'
where c.relkind in ('v', 'm') and w.oid >= 16384";

/// PostgreSQL notes every column that a view's query names.
const READ_COLUMNS: &str = "
select w.ev_class as view, d.refobjid as relation, a.attnum as number, a.attname::text as name
from pg_rewrite w
join pg_depend d
  on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
  and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class and d.refobjsubid > 0
join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where w.ev_type = '1' and w.oid >= 16384";

/// What views read, by column.
pub(super) async fn read_columns(connection: &mut PgConnection) -> Result<Vec<ReadColumnRow>, sqlx::Error> {
    sqlx::query_as(READ_COLUMNS).persistent(false).fetch_all(connection).await
}

/// All views; keys are traced through those of `schemas`. Stored queries are long, so they are read one by one and dropped at once.
pub(super) async fn views(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<ViewRow>, sqlx::Error> {
    let mut rows = sqlx::query(VIEWS).persistent(false).bind(schemas).fetch(connection);
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let action = row.try_get("action")?;
        found.push(ViewRow {
            oid: row.try_get("oid")?,
            traced: row.try_get("traced")?,
            columns: shown_columns(action),
            uses: uses(action),
        });
    }
    Ok(found)
}

/// A column of a base table and the view columns that show it, in view order.
pub(super) type ColumnUses = HashMap<(u32, i16), Vec<i16>>;

/// For each view that `wanted` names, the table columns behind its columns, traced views in between followed.
pub(super) fn trace(rows: &[ViewRow], wanted: impl Fn(u32) -> bool) -> HashMap<u32, ColumnUses> {
    let mut sources: HashMap<(u32, i16), (u32, i16)> = HashMap::new();
    for row in rows.iter().filter(|row| row.traced) {
        for shown in &row.columns {
            sources.insert((row.oid.0, shown.view_column), (shown.relation, shown.column));
        }
    }
    let mut found: HashMap<u32, ColumnUses> = HashMap::new();
    for row in rows.iter().filter(|row| row.traced && wanted(row.oid.0)) {
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
