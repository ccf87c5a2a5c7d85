//! Relations of every schema, what views read, and the comments of schemas.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

/// One relation; those outside the exposed schemas are needed for what views lead to.
#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "one column of the query each")]
pub(super) struct RelationRow {
    pub(super) oid: Oid,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// In an exposed schema and no partition.
    pub(super) exposed: bool,
    pub(super) comment: Option<String>,
    /// Bits of `pg_relation_is_updatable`: 4 update, 8 insert, 16 delete.
    pub(super) events: i32,
    pub(super) rls_enabled: bool,
    pub(super) rls_forced: bool,
    pub(super) security_invoker: bool,
    pub(super) owner_rules: bool,
    pub(super) owner: String,
    pub(super) acl: Option<Vec<String>>,
}

/// A view and a relation that it names, of any kind and in any schema: what is left out here would count as safe.
#[derive(sqlx::FromRow)]
pub(super) struct BaseRow {
    pub(super) view: Oid,
    pub(super) schema: String,
    pub(super) name: String,
}

/// `COMMENT ON SCHEMA`.
#[derive(sqlx::FromRow)]
pub(super) struct SchemaCommentRow {
    pub(super) schema: String,
    pub(super) comment: String,
}

const RELATIONS: &str = "
select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
       n.nspname::text = any($1) and not c.relispartition as exposed,
       d.description as comment,
       case
         when c.relkind in ('r', 'p') then 28
         when c.relkind in ('v', 'f') and n.nspname::text = any($1) then pg_relation_is_updatable(c.oid, true)
         else 0
       end as events,
       c.relrowsecurity as rls_enabled,
       c.relforcerowsecurity as rls_forced,
       c.relkind = 'v' and c.reloptions is not null and coalesce((
         select o.option_value::boolean
         from pg_options_to_table(c.reloptions) o
         where o.option_name = 'security_invoker'
       ), false) as security_invoker,
       c.relkind = 'v' and exists (
         select from pg_rewrite w where w.ev_class = c.oid and w.ev_type <> '1'
       ) as owner_rules,
       pg_get_userbyid(c.relowner)::text as owner,
       c.relacl::text[] as acl
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_description d
  on d.objoid = c.oid and d.classoid = 'pg_class'::regclass and d.objsubid = 0
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')";

const BASES: &str = "
select distinct w.ev_class as view, n.nspname::text as schema, c.relname::text as name
from pg_rewrite w
join pg_depend d
  on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
  and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class
join pg_class c on c.oid = d.refobjid
join pg_namespace n on n.oid = c.relnamespace
where w.ev_type = '1' and w.oid >= 16384";

const SCHEMA_COMMENTS: &str = "
select n.nspname::text as schema, d.description as comment
from pg_namespace n
join pg_description d on d.objoid = n.oid and d.classoid = 'pg_namespace'::regclass and d.objsubid = 0
where n.nspname::text = any($1)";

/// All relations outside the system schemas.
pub(super) async fn relations(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<RelationRow>, sqlx::Error> {
    sqlx::query_as(RELATIONS).persistent(false).bind(schemas).fetch_all(connection).await
}

/// What views read directly.
pub(super) async fn bases(connection: &mut PgConnection) -> Result<Vec<BaseRow>, sqlx::Error> {
    sqlx::query_as(BASES).persistent(false).fetch_all(connection).await
}

/// Comments of the exposed schemas.
pub(super) async fn schema_comments(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<SchemaCommentRow>, sqlx::Error> {
    sqlx::query_as(SCHEMA_COMMENTS).persistent(false).bind(schemas).fetch_all(connection).await
}
