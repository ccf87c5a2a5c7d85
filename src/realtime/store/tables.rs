//! Captured tables as their changes are delivered: their columns, and what PostgreSQL lets a role see.

use sqlx::PgPool;
use sqlx::postgres::types::Oid;

use super::row_policies::{self, RowPolicies};
use crate::catalog::model::QualifiedName;
use crate::realtime::changes::value::{Column, TypeFacts};

/// A table.
#[derive(Clone, Debug)]
pub(in crate::realtime) struct Table {
    /// Its name.
    pub(in crate::realtime) name: QualifiedName,
    /// Its columns, in order.
    pub(in crate::realtime) columns: Vec<TableColumn>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(in crate::realtime) struct TableColumn {
    /// Name and type.
    pub(in crate::realtime) column: Column,
    /// The type as SQL needs it, quoted and qualified.
    pub(in crate::realtime) type_sql: String,
    /// Whether it is part of the primary key.
    pub(in crate::realtime) is_key: bool,
    /// Whether the replica identity has it: then clients get its old value.
    pub(in crate::realtime) is_identity: bool,
    /// Whether the publication has it: others are shown to nobody.
    pub(in crate::realtime) is_published: bool,
}

/// What a role may see of a table.
#[derive(Clone, Debug)]
pub(in crate::realtime) struct TableForRole {
    /// Its row-level security.
    pub(in crate::realtime) policies: RowPolicies,
    /// Names of the columns that it may select, by the grants.
    pub(in crate::realtime) selectable: Vec<String>,
}

const COLUMNS: &str = "
select space.nspname::text as schema, class.relname::text as relation, attribute.attname::text as name,
       type.typname::text as type_name, format_type(type.oid, -1) as type_sql, attribute.atttypid as type_oid, type.typtype::text as type_class,
       type.typcategory::text as type_category, attribute.attcollation as collation,
       coalesce(coll.collisdeterministic, true) as is_deterministic,
       coalesce(attribute.attnum = any (key.indkey), false) as is_key,
       case class.relreplident when 'f' then true when 'n' then false
            else coalesce(attribute.attnum = any (identity.indkey), false) end as is_identity,
       -- Lists of columns are of PostgreSQL 15 and later; before it this says nothing.
       coalesce((select to_jsonb(published) -> 'attnames' ? attribute.attname::text
                 from pg_publication_tables published
                 where published.pubname = 'supabase_realtime' and published.schemaname = space.nspname
                   and published.tablename = class.relname), true) as is_published
from pg_class class
join pg_namespace space on space.oid = class.relnamespace
join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
join pg_type type on type.oid = attribute.atttypid
left join pg_collation coll on coll.oid = attribute.attcollation
left join pg_index key on key.indrelid = class.oid and key.indisprimary
left join pg_index identity on identity.indrelid = class.oid
    and case class.relreplident when 'i' then identity.indisreplident else identity.indisprimary end
where class.oid = $1
order by attribute.attnum";

#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct ColumnRow {
    schema: String,
    relation: String,
    name: String,
    type_name: String,
    type_sql: String,
    type_oid: Oid,
    type_class: String,
    type_category: String,
    collation: Oid,
    is_deterministic: bool,
    is_key: bool,
    is_identity: bool,
    is_published: bool,
}

/// The table with this oid; none if it is gone.
pub(in crate::realtime) async fn table(pool: &PgPool, oid: u32) -> Result<Option<Table>, sqlx::Error> {
    let mut transaction = row_policies::begin_whole_names(pool).await?;
    let rows: Vec<ColumnRow> = sqlx::query_as(COLUMNS).bind(Oid(oid)).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let name = QualifiedName::new(first.schema.as_str(), first.relation.as_str());
    let columns = rows.into_iter().map(|row| {
        let letter = |text: &str| text.chars().next().unwrap_or(' ');
        let facts = TypeFacts {
            oid: row.type_oid.0,
            class: letter(&row.type_class),
            category: letter(&row.type_category),
            collation: row.collation.0,
            is_deterministic: row.is_deterministic,
        };
        TableColumn {
            column: Column::new(row.name, row.type_name, facts),
            type_sql: row.type_sql,
            is_key: row.is_key,
            is_identity: row.is_identity,
            is_published: row.is_published,
        }
    });
    Ok(Some(Table { name, columns: columns.collect() }))
}

/// The columns that a role may select.
const SELECTABLE: &str = "
select attribute.attname::text from pg_attribute attribute, pg_roles role
where attribute.attrelid = $1 and attribute.attnum > 0 and not attribute.attisdropped and role.rolname = $2
  and has_column_privilege(role.oid, attribute.attrelid, attribute.attnum, 'SELECT')";

/// What a role may see of the table with this oid.
pub(in crate::realtime) async fn for_role(
    pool: &PgPool,
    oid: u32,
    role: &str,
) -> Result<TableForRole, sqlx::Error> {
    let selectable = sqlx::query_scalar(SELECTABLE).bind(Oid(oid)).bind(role).fetch_all(pool).await?;
    Ok(TableForRole { policies: row_policies::of_table(pool, oid, role).await?, selectable })
}

/// A table whose changes are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::realtime) struct Captured {
    /// Its oid.
    pub(in crate::realtime) oid: u32,
    /// Whether row-level security is on.
    pub(in crate::realtime) has_row_security: bool,
}

/// How changes of a table stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::realtime) enum Capture {
    /// Nobody asked for them: it is not in the publication.
    Absent,
    /// They were asked for, and are not written down yet.
    Pending,
    /// They are written down.
    On(Captured),
}

/// What is written down names the root of partitions; they themselves are as if they were not there.
const CAPTURE: &str = "
select class.oid, class.relrowsecurity,
       exists (select from pg_publication_tables published
               where published.pubname = 'supabase_realtime' and published.schemaname = $1 and published.tablename = $2),
       exists (select from pg_trigger
               where tgrelid = class.oid and tgfoid = to_regprocedure('realtime.capture()') and tgtype & 1 = 1)
from pg_class class join pg_namespace space on space.oid = class.relnamespace
where space.nspname = $1 and class.relname = $2 and class.relkind in ('r', 'p')
  and not class.relispartition";

/// How changes of a table stand.
pub(in crate::realtime) async fn capture(
    pool: &PgPool,
    table: &QualifiedName,
) -> Result<Capture, sqlx::Error> {
    let found: Option<(Oid, bool, bool, bool)> =
        sqlx::query_as(CAPTURE).bind(&*table.schema).bind(&*table.name).fetch_optional(pool).await?;
    Ok(match found {
        Some((oid, has_row_security, _, true)) => Capture::On(Captured { oid: oid.0, has_row_security }),
        Some((_, _, true, false)) => Capture::Pending,
        _ => Capture::Absent,
    })
}

/// The bodies of the functions that tell who asks, as PostgreSQL writes them (`migrations/…_auth_claims.sql`).
const HELPERS: [(&str, &str); 4] = [
    (
        "auth.jwt()",
        "RETURN (COALESCE(NULLIF(current_setting('request.jwt.claim'::text, true), ''::text), \
         NULLIF(current_setting('request.jwt.claims'::text, true), ''::text)))::jsonb",
    ),
    (
        "auth.uid()",
        "RETURN (NULLIF(COALESCE(NULLIF(current_setting('request.jwt.claim.sub'::text, true), ''::text), \
         ((NULLIF(current_setting('request.jwt.claims'::text, true), ''::text))::jsonb ->> 'sub'::text)), ''::text))::uuid",
    ),
    (
        "auth.role()",
        "RETURN NULLIF(COALESCE(NULLIF(current_setting('request.jwt.claim.role'::text, true), ''::text), \
         ((NULLIF(current_setting('request.jwt.claims'::text, true), ''::text))::jsonb ->> 'role'::text)), ''::text)",
    ),
    (
        "auth.email()",
        "RETURN NULLIF(COALESCE(NULLIF(current_setting('request.jwt.claim.email'::text, true), ''::text), \
         ((NULLIF(current_setting('request.jwt.claims'::text, true), ''::text))::jsonb ->> 'email'::text)), ''::text)",
    ),
];

const HELPERS_ARE_OURS: &str = "
select coalesce(bool_and(coalesce(
           regexp_replace(pg_get_function_sqlbody(proc.oid), '\\s+', ' ', 'g') = wanted.body and not proc.prosecdef
               and (proc.proacl is null or exists (
                   select from aclexplode(proc.proacl) where grantee = 0 and privilege_type = 'EXECUTE')), false)), false)
       and not exists (
           select from pg_cast where castfunc >= 16384 and castsource < 16384 and casttarget < 16384)
from unnest($1::text[], $2::text[]) as wanted (name, body)
left join pg_proc proc on proc.oid = to_regprocedure(wanted.name)";

/// Whether the functions that tell who asks are the ones that the migrations made, everybody may call them, and nobody has
/// changed what casts between PostgreSQL's own types mean.
pub(in crate::realtime) async fn helpers_are_ours(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let (names, bodies): (Vec<&str>, Vec<&str>) = HELPERS.into_iter().unzip();
    let mut transaction = row_policies::begin_whole_names(pool).await?;
    let are_ours =
        sqlx::query_scalar(HELPERS_ARE_OURS).bind(names).bind(bodies).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(are_ours)
}
