//! Primary keys, unique constraints and foreign keys of every schema: views lead to tables that are not exposed.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

/// One constraint.
#[derive(sqlx::FromRow)]
pub(super) struct KeyRow {
    pub(super) name: String,
    /// `p`, `u` or `f`.
    pub(super) kind: String,
    pub(super) relation: Oid,
    /// Of a foreign key, the referenced table.
    pub(super) foreign_relation: Oid,
    /// Whether a partition has it from its parent.
    pub(super) inherited: bool,
    pub(super) numbers: Vec<i16>,
    pub(super) foreign_numbers: Option<Vec<i16>>,
    pub(super) columns: Vec<String>,
    /// Of a foreign key, the referenced columns.
    pub(super) foreign_columns: Vec<Option<String>>,
}

const KEYS: &str = "
select k.conname::text as name, k.contype::text as kind, k.conrelid as relation, k.confrelid as foreign_relation,
       k.conparentid <> 0 as inherited, k.conkey as numbers, k.confkey as foreign_numbers,
       p.columns, p.foreign_columns
from pg_constraint k
cross join lateral (
  select array_agg(a.attname::text order by u.place) as columns,
         array_agg(f.attname::text order by u.place) as foreign_columns
  from unnest(k.conkey, k.confkey) with ordinality as u (number, foreign_number, place)
  join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number
  left join pg_attribute f on f.attrelid = k.confrelid and f.attnum = u.foreign_number
) p
where k.contype in ('p', 'u', 'f') and k.conrelid >= 16384 and p.columns is not null";

/// All keys of user tables.
pub(super) async fn keys(connection: &mut PgConnection) -> Result<Vec<KeyRow>, sqlx::Error> {
    sqlx::query_as(KEYS).persistent(false).fetch_all(connection).await
}
