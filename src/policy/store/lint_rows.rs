//! What the linter reads beside the catalog: the queries, each with the rows that it yields. They run with an empty search
//! path, so that PostgreSQL prints every name with its schema.
//!
//! Reads `pg_catalog` only and needs no more rights than any login has. PostgreSQL 14 to 18.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use crate::policy::desired::MARK;

/// A relation of any schema but the system's.
#[derive(sqlx::FromRow)]
pub(super) struct RelationRow {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) row_security: bool,
    pub(super) security_invoker: bool,
}

const RELATIONS: &str = "
select n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
       c.relrowsecurity as row_security,
       c.relkind = 'v' and coalesce((
         select o.option_value::boolean from pg_options_to_table(c.reloptions) o
         where o.option_name = 'security_invoker'
       ), false) as security_invoker
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')";

/// What a role may do with a relation.
#[derive(sqlx::FromRow)]
pub(super) struct AccessRow {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) verbs: Vec<String>,
    pub(super) selects_all: bool,
}

const ACCESS: &str = "
select n.nspname::text as schema, c.relname::text as name, r.rolname::text as role, v.verbs,
       has_table_privilege(r.oid, c.oid, 'select') as selects_all
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_roles r on r.rolname::text = any($1) and has_schema_privilege(r.oid, n.oid, 'usage')
cross join lateral (
  select array_remove(array[
    case when has_any_column_privilege(r.oid, c.oid, 'select') then 'select' end,
    case when has_any_column_privilege(r.oid, c.oid, 'insert') then 'insert' end,
    case when has_any_column_privilege(r.oid, c.oid, 'update') then 'update' end,
    case when has_table_privilege(r.oid, c.oid, 'delete') then 'delete' end
  ], null) as verbs
) v
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
  and cardinality(v.verbs) > 0
order by r.rolname";

/// A row policy.
#[derive(sqlx::FromRow)]
pub(super) struct PolicyRow {
    pub(super) oid: Oid,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) permissive: bool,
    pub(super) command: String,
    pub(super) roles: Vec<String>,
    pub(super) using: Option<String>,
    pub(super) check: Option<String>,
    pub(super) is_ours: bool,
}

const POLICIES: &str = "
select p.oid, n.nspname::text as schema, c.relname::text as table, p.polname::text as name,
       p.polpermissive as permissive, p.polcmd::text as command,
       array(
         select r.rolname::text from pg_roles r
         where r.rolname::text = any($1)
           and exists (
             select from unnest(p.polroles) u (role)
             where case when u.role = 0 then true else pg_has_role(r.oid, u.role, 'usage') end
           )
       ) as roles,
       pg_get_expr(p.polqual, p.polrelid) as using, pg_get_expr(p.polwithcheck, p.polrelid) as check,
       p.polname::text like 'goforward\\_%'
         and coalesce(starts_with(obj_description(p.oid, 'pg_policy'), $2), false) as is_ours
from pg_policy p
join pg_class c on c.oid = p.polrelid
join pg_namespace n on n.oid = c.relnamespace
order by n.nspname, c.relname, p.polname";

/// A column that a policy names.
#[derive(sqlx::FromRow)]
pub(super) struct PolicyColumnRow {
    pub(super) policy: Oid,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) is_text: bool,
    pub(super) is_indexed: bool,
}

const POLICY_COLUMNS: &str = "
select d.objid as policy, n.nspname::text as schema, c.relname::text as table, a.attname::text as name,
       a.atttypid in ('text'::regtype, 'character varying'::regtype, 'name'::regtype) as is_text,
       exists (
         select from pg_index i
         where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indisvalid and i.indpred is null
       ) as is_indexed
from pg_depend d
join pg_class c on c.oid = d.refobjid and c.relkind in ('r', 'p', 'm')
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and a.attnum > 0
where d.classid = 'pg_policy'::regclass and d.refclassid = 'pg_class'::regclass";

/// A function of an exposed schema, or a SECURITY DEFINER function of any.
#[derive(sqlx::FromRow)]
pub(super) struct FunctionRow {
    pub(super) oid: Oid,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) exposed: bool,
    pub(super) callers: Vec<String>,
    pub(super) definer: bool,
    pub(super) bound_body: bool,
    pub(super) search_path: Option<String>,
    pub(super) open_schemas: Vec<String>,
    pub(super) body: String,
}

/// Functions in C name no objects by a search path, and those of extensions are not the user's to change.
const FUNCTIONS: &str = "
select p.oid, n.nspname::text as schema, p.proname::text as name,
       pg_get_function_identity_arguments(p.oid) as arguments,
       n.nspname::text = any($1) and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype) as exposed,
       array(
         select r.rolname::text from pg_roles r
         where r.rolname::text = any($2)
           and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
           and has_schema_privilege(r.oid, n.oid, 'usage') and has_function_privilege(r.oid, p.oid, 'execute')
       ) as callers,
       p.prosecdef as definer, p.prosqlbody is not null as bound_body, s.path as search_path,
       array(
         select o.nspname::text from pg_namespace o
         where o.nspname::text in (select btrim(u.part, ' \"') from unnest(string_to_array(s.path, ',')) u (part))
           and exists (
             select from pg_roles r
             where r.rolname::text = any($2) and has_schema_privilege(r.oid, o.oid, 'create')
           )
       ) as open_schemas,
       case when p.prosqlbody is null then p.prosrc else '' end as body
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_language l on l.oid = p.prolang and l.lanname not in ('c', 'internal')
left join lateral (
  select substr(u.setting, length('search_path=') + 1) as path from unnest(p.proconfig) u (setting)
  where u.setting like 'search\\_path=%'
) s on true
where p.oid >= 16384 and p.prokind in ('f', 'p')
  and (p.prosecdef or n.nspname::text = any($1))
  and n.nspname not in ('pg_catalog', 'information_schema')
  and not exists (
    select from pg_depend d
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
order by n.nspname, p.proname, arguments";

/// A relation that a function depends on.
#[derive(sqlx::FromRow)]
pub(super) struct FunctionUseRow {
    pub(super) function: Oid,
    pub(super) schema: String,
    pub(super) name: String,
}

/// By its bound body, or by a row among its arguments.
const FUNCTION_USES: &str = "
select d.objid as function, n.nspname::text as schema, c.relname::text as name
from pg_depend d
join pg_class c on c.oid = d.refobjid
join pg_namespace n on n.oid = c.relnamespace
where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_class'::regclass
union
select p.oid, n.nspname::text, c.relname::text
from pg_proc p
cross join lateral unnest(p.proargtypes::oid[]) u (type)
join pg_class c on c.reltype = u.type
join pg_namespace n on n.oid = c.relnamespace
where p.oid >= 16384";

/// A key of a table with rules.
#[derive(sqlx::FromRow)]
pub(super) struct KeyRow {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) is_foreign: bool,
    pub(super) columns: Vec<String>,
}

const KEYS: &str = "
with ruled as (
  select c.oid, n.nspname::text as schema, c.relname::text as name
  from unnest($1::text[], $2::text[]) u (schema, name)
  join pg_namespace n on n.nspname::text = u.schema
  join pg_class c on c.relnamespace = n.oid and c.relname::text = u.name
)
select t.schema, t.name as table, x.relname::text as name, false as is_foreign,
       array(
         select a.attname::text from pg_attribute a
         where a.attrelid = t.oid and a.attnum > 0
           and (a.attnum = any(i.indkey::smallint[]) or exists (
             select from pg_depend d
             where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
               and d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid and d.refobjsubid = a.attnum
           ))
         order by a.attnum
       ) as columns
from ruled t
join pg_index i on i.indrelid = t.oid and i.indisunique
join pg_class x on x.oid = i.indexrelid
union all
select t.schema, t.name, k.conname::text, true,
       array(
         select a.attname::text from pg_attribute a
         where a.attrelid = t.oid and a.attnum = any(k.conkey) order by a.attnum
       )
from ruled t
join pg_constraint k on k.conrelid = t.oid and k.contype = 'f'
order by 1, 2, 3";

/// A column of a relation with rules.
#[derive(sqlx::FromRow)]
pub(super) struct ColumnRow {
    pub(super) schema: String,
    pub(super) relation: String,
    pub(super) name: String,
    pub(super) readers: Vec<String>,
}

const COLUMNS: &str = "
select n.nspname::text as schema, c.relname::text as relation, a.attname::text as name,
       array(
         select r.rolname::text from pg_roles r
         where r.rolname::text = any($3) and has_column_privilege(r.oid, c.oid, a.attnum, 'select')
       ) as readers
from unnest($1::text[], $2::text[]) u (schema, name)
join pg_namespace n on n.nspname::text = u.schema
join pg_class c on c.relnamespace = n.oid and c.relname::text = u.name and c.relkind in ('r', 'p', 'v', 'm', 'f')
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped";

/// A function that takes a row of a relation with rules and nothing else.
#[derive(sqlx::FromRow)]
pub(super) struct ComputedRow {
    pub(super) schema: String,
    pub(super) relation: String,
    pub(super) name: String,
}

const COMPUTED: &str = "
select n.nspname::text as schema, c.relname::text as relation, p.proname::text as name
from unnest($1::text[], $2::text[]) u (schema, name)
join pg_namespace n on n.nspname::text = u.schema
join pg_class c on c.relnamespace = n.oid and c.relname::text = u.name
join pg_proc p on p.pronargs = 1 and p.proargtypes[0] = c.reltype and p.oid >= 16384";

/// What the queries yielded.
pub(super) struct Rows {
    pub(super) relations: Vec<RelationRow>,
    pub(super) access: Vec<AccessRow>,
    pub(super) policies: Vec<PolicyRow>,
    pub(super) policy_columns: Vec<PolicyColumnRow>,
    pub(super) functions: Vec<FunctionRow>,
    pub(super) function_uses: Vec<FunctionUseRow>,
    pub(super) keys: Vec<KeyRow>,
    pub(super) columns: Vec<ColumnRow>,
    pub(super) computed: Vec<ComputedRow>,
}

/// What the queries are about.
pub(super) struct Subject<'a> {
    /// The exposed schemas.
    pub(super) schemas: &'a [String],
    /// The roles of callers that row-level security binds.
    pub(super) roles: &'a [String],
    /// Schemas and names of the tables with rules, in pairs.
    pub(super) ruled: (&'a [String], &'a [String]),
}

/// Runs all queries.
pub(super) async fn read(connection: &mut PgConnection, subject: &Subject<'_>) -> Result<Rows, sqlx::Error> {
    let Subject { schemas, roles, ruled: (ruled_schemas, ruled_names) } = subject;
    Ok(Rows {
        relations: sqlx::query_as(RELATIONS).persistent(false).fetch_all(&mut *connection).await?,
        access: sqlx::query_as(ACCESS).persistent(false).bind(roles).fetch_all(&mut *connection).await?,
        policies: sqlx::query_as(POLICIES)
            .persistent(false)
            .bind(roles)
            .bind(MARK)
            .fetch_all(&mut *connection)
            .await?,
        policy_columns: sqlx::query_as(POLICY_COLUMNS).persistent(false).fetch_all(&mut *connection).await?,
        functions: sqlx::query_as(FUNCTIONS)
            .persistent(false)
            .bind(schemas)
            .bind(roles)
            .fetch_all(&mut *connection)
            .await?,
        function_uses: sqlx::query_as(FUNCTION_USES).persistent(false).fetch_all(&mut *connection).await?,
        keys: sqlx::query_as(KEYS)
            .persistent(false)
            .bind(ruled_schemas)
            .bind(ruled_names)
            .fetch_all(&mut *connection)
            .await?,
        columns: sqlx::query_as(COLUMNS)
            .persistent(false)
            .bind(ruled_schemas)
            .bind(ruled_names)
            .bind(roles)
            .fetch_all(&mut *connection)
            .await?,
        computed: sqlx::query_as(COMPUTED)
            .persistent(false)
            .bind(ruled_schemas)
            .bind(ruled_names)
            .fetch_all(connection)
            .await?,
    })
}
