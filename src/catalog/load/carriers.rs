//! What carries rows and values of a relation beside its views: tables that inherit its columns, partitions among them,
//! functions of another relation's row that return them, and columns that are generated from others.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::Interner;
use crate::catalog::model::{ColumnName, QualifiedName, ViewLineage};

/// A table, one that it inherits from, and the columns that both have.
#[derive(sqlx::FromRow)]
pub(super) struct HeirRow {
    schema: String,
    name: String,
    parent_schema: String,
    parent_name: String,
    columns: Vec<String>,
}

/// A generated column, and a column of the same table that it is computed from.
#[derive(sqlx::FromRow)]
pub(super) struct GeneratedRow {
    schema: String,
    relation: String,
    column: String,
    base: String,
}

/// A function that can be called as a column of a relation and returns rows of one, as a row, a set, an array or a domain.
#[derive(sqlx::FromRow)]
pub(super) struct RowFunctionRow {
    name: String,
    relation_schema: String,
    relation_name: String,
    result_schema: String,
    result_name: String,
}

const HEIRS: &str = "
select n.nspname::text as schema, c.relname::text as name,
       pn.nspname::text as parent_schema, p.relname::text as parent_name,
       array(
         select a.attname::text from pg_attribute a
         join pg_attribute b on b.attrelid = i.inhparent and b.attname = a.attname
         where a.attrelid = i.inhrelid and a.attnum > 0 and b.attnum > 0 and not a.attisdropped and not b.attisdropped
       ) as columns
from pg_inherits i
join pg_class c on c.oid = i.inhrelid and c.relkind in ('r', 'p', 'f')
join pg_namespace n on n.oid = c.relnamespace
join pg_class p on p.oid = i.inhparent
join pg_namespace pn on pn.oid = p.relnamespace
where i.inhrelid >= 16384";

/// The dependency is the column's; in some versions that of its default.
const GENERATED: &str = "
select n.nspname::text as schema, c.relname::text as relation, a.attname::text as column, b.attname::text as base
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
left join pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
join pg_depend d
  on d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid > 0
  and (d.classid = 'pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum
       or d.classid = 'pg_attrdef'::regclass and d.objid = e.oid)
join pg_attribute b on b.attrelid = a.attrelid and b.attnum = d.refobjsubid and b.attnum <> a.attnum
where a.attgenerated <> '' and a.attnum > 0 and not a.attisdropped and a.attrelid >= 16384";

/// Arguments with defaults may be left out, so a function of more than one can still be called so.
const ROW_FUNCTIONS: &str = "
select p.proname::text as name,
       an.nspname::text as relation_schema, ac.relname::text as relation_name,
       rn.nspname::text as result_schema, rc.relname::text as result_name
from pg_proc p
join pg_type a on a.oid = p.proargtypes[0] and a.typrelid <> 0
join pg_class ac on ac.oid = a.typrelid
join pg_namespace an on an.oid = ac.relnamespace
join pg_type t on t.oid = p.prorettype
join pg_type r on r.oid in (t.oid, t.typelem, t.typbasetype) and r.typrelid <> 0
join pg_class rc on rc.oid = r.typrelid
join pg_namespace rn on rn.oid = rc.relnamespace
where p.oid >= 16384 and p.prokind = 'f' and p.pronargs - p.pronargdefaults <= 1";

/// Tables that inherit.
pub(super) async fn heirs(connection: &mut PgConnection) -> Result<Vec<HeirRow>, sqlx::Error> {
    sqlx::query_as(HEIRS).persistent(false).fetch_all(connection).await
}

/// What generated columns are computed from.
pub(super) async fn generated(connection: &mut PgConnection) -> Result<Vec<GeneratedRow>, sqlx::Error> {
    sqlx::query_as(GENERATED).persistent(false).fetch_all(connection).await
}

/// Functions of one row that return rows.
pub(super) async fn row_functions(connection: &mut PgConnection) -> Result<Vec<RowFunctionRow>, sqlx::Error> {
    sqlx::query_as(ROW_FUNCTIONS).persistent(false).fetch_all(connection).await
}

/// Adds what heirs show of what they inherit: like a view, each column as it is.
pub(super) fn inherit(
    rows: &[HeirRow],
    lineage: &mut HashMap<QualifiedName, ViewLineage>,
    interner: &mut Interner,
) {
    for row in rows {
        let parent = interner.name(&row.parent_schema, &row.parent_name);
        let heir = lineage.entry(interner.name(&row.schema, &row.name)).or_default();
        for column in &row.columns {
            let column = interner.text(column);
            heir.shown.push((column.clone(), (parent.clone(), column)));
        }
        heir.reads.insert(parent);
    }
}

/// Adds what generated columns are computed from.
pub(super) fn generate(
    rows: &[GeneratedRow],
    lineage: &mut HashMap<QualifiedName, ViewLineage>,
    interner: &mut Interner,
) {
    for row in rows {
        let relation = interner.name(&row.schema, &row.relation);
        let base = (relation.clone(), interner.text(&row.base));
        lineage.entry(relation).or_default().computed.push((interner.text(&row.column), base));
    }
}

/// The relations whose rows a name gives where it is used like a column.
pub(super) fn row_results(
    rows: &[RowFunctionRow],
    interner: &mut Interner,
) -> HashMap<ColumnName, Vec<QualifiedName>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let relation = interner.name(&row.relation_schema, &row.relation_name);
        let results = found.entry((relation, interner.text(&row.name))).or_default();
        results.push(interner.name(&row.result_schema, &row.result_name));
    }
    found
}
