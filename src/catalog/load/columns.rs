//! Columns of the exposed relations, with their types resolved.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

/// One column, in table and column order.
#[derive(sqlx::FromRow)]
pub(super) struct ColumnRow {
    pub(super) relation: Oid,
    pub(super) number: i16,
    pub(super) name: String,
    pub(super) comment: Option<String>,
    pub(super) not_null: bool,
    pub(super) data_type: String,
    pub(super) nominal_type: String,
    pub(super) max_length: Option<i32>,
    pub(super) column_default: Option<String>,
    pub(super) generated: String,
    pub(super) identity: String,
    pub(super) is_array: bool,
    pub(super) is_composite: bool,
    pub(super) labels: Option<Vec<String>>,
    pub(super) acl: Option<Vec<String>>,
}

/// A domain counts as its base type only where that is PostgreSQL's own; the length is that of the declared type, or of
/// the domain. OIDs 1042 and 1043 are `bpchar` and `varchar`, whose modifier counts 4 bytes of header; 1560 and 1562
/// are the bit types.
const COLUMNS: &str = "
with recursive layers (domain, base) as (
  select oid, typbasetype from pg_type where typtype = 'd'
  union all
  select l.domain, t.typbasetype from layers l join pg_type t on t.oid = l.base where t.typtype = 'd'
),
domains as (
  select l.domain, t.oid as base, t.typnamespace, t.typtype
  from layers l join pg_type t on t.oid = l.base
  where t.typtype <> 'd'
),
enums as (
  select enumtypid, array_agg(enumlabel::text order by enumsortorder) as labels from pg_enum group by enumtypid
)
select a.attrelid as relation, a.attnum as number, a.attname::text as name, d.description as comment,
       a.attnotnull or (t.typtype = 'd' and t.typnotnull) as not_null,
       case
         when t.typtype = 'd' and b.typnamespace = 'pg_catalog'::regnamespace then format_type(b.base, null)
         when t.typtype <> 'd' and t.typnamespace = 'pg_catalog'::regnamespace then format_type(a.atttypid, null)
         else format_type(a.atttypid, a.atttypmod)
       end as data_type,
       format_type(a.atttypid, a.atttypmod) as nominal_type,
       case
         when m.modifier < 0 then null
         when m.type in (1042, 1043) then m.modifier - 4
         when m.type in (1560, 1562) then m.modifier
       end as max_length,
       case
         when a.attgenerated <> '' then null
         when t.typbasetype <> 0 and e.adbin is null then pg_get_expr(t.typdefaultbin, 0)
         when a.attidentity = 'd' then (
           select format('nextval(%L)', s.objid::regclass)
           from pg_depend s
           where s.refclassid = 'pg_class'::regclass and s.refobjid = a.attrelid and s.refobjsubid = a.attnum
             and s.classid = 'pg_class'::regclass and s.deptype = 'i'
           limit 1
         )
         else pg_get_expr(e.adbin, e.adrelid)
       end as column_default,
       a.attgenerated::text as generated, a.attidentity::text as identity,
       t.typcategory = 'A' as is_array,
       coalesce(b.typtype, t.typtype) = 'c' as is_composite,
       n.labels, a.attacl::text[] as acl
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace s on s.oid = c.relnamespace
join pg_type t on t.oid = a.atttypid
cross join lateral (
  select case when t.typtype = 'd' then t.typbasetype else t.oid end as type,
         case when t.typtype = 'd' then t.typtypmod else a.atttypmod end as modifier
) m
left join domains b on b.domain = t.oid
left join enums n on n.enumtypid = coalesce(b.base, t.oid)
left join pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
left join pg_description d
  on d.objoid = a.attrelid and d.classoid = 'pg_class'::regclass and d.objsubid = a.attnum
where a.attnum > 0 and not a.attisdropped
  and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't' and not c.relispartition
  and s.nspname::text = any($1)
order by a.attrelid, a.attnum";

/// The columns of every relation in `schemas`, partitions aside.
pub(super) async fn columns(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<ColumnRow>, sqlx::Error> {
    sqlx::query_as(COLUMNS).persistent(false).bind(schemas).fetch_all(connection).await
}
