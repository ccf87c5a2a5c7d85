//! Functions: those callers can reach, computed relationships, media type handlers and domain representations.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

/// One function. Arrays run over its parameters; `modes` is null where all are plain input.
#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "one column of the query each")]
pub(super) struct FunctionRow {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) comment: Option<String>,
    pub(super) names: Option<Vec<String>>,
    pub(super) modes: Option<Vec<String>>,
    pub(super) type_oids: Vec<Oid>,
    pub(super) types: Vec<String>,
    pub(super) defaults: i16,
    pub(super) return_schema: String,
    pub(super) return_name: String,
    pub(super) returns_set: bool,
    pub(super) returns_row: bool,
    pub(super) returns_domain: bool,
    pub(super) volatility: String,
    pub(super) variadic: bool,
    pub(super) security_definer: bool,
    pub(super) owner: String,
    pub(super) acl: Option<Vec<String>>,
    pub(super) settings: Option<Vec<String>>,
}

/// A function from a row of one relation to rows of another.
#[derive(sqlx::FromRow)]
pub(super) struct ComputedRow {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) relation_schema: String,
    pub(super) relation_name: String,
    pub(super) foreign_schema: String,
    pub(super) foreign_name: String,
    pub(super) to_one: bool,
}

/// An aggregate or function whose type is a domain named like a media type.
#[derive(sqlx::FromRow)]
pub(super) struct HandlerRow {
    pub(super) is_aggregate: bool,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) type_schema: String,
    pub(super) type_name: String,
    /// Of an aggregate, what it takes.
    pub(super) argument_schema: Option<String>,
    pub(super) argument_name: Option<String>,
}

/// A cast from or to a domain.
#[derive(sqlx::FromRow)]
pub(super) struct RepresentationRow {
    pub(super) source_type: String,
    pub(super) target_type: String,
    pub(super) function: String,
}

const FUNCTIONS: &str = "
with recursive layers (domain, base) as (
  select oid, typbasetype from pg_type where typtype = 'd'
  union all
  select l.domain, t.typbasetype from layers l join pg_type t on t.oid = l.base where t.typtype = 'd'
)
select n.nspname::text as schema, p.proname::text as name, d.description as comment,
       p.proargnames as names, p.proargmodes::text[] as modes,
       a.type_oids, a.types, p.pronargdefaults as defaults,
       rn.nspname::text as return_schema, coalesce(rc.relname, r.typname)::text as return_name,
       p.proretset as returns_set,
       r.typtype = 'c' or coalesce(p.proargmodes::text[] && '{t,b,o}', false) as returns_row,
       r.oid <> p.prorettype as returns_domain,
       p.provolatile::text as volatility, p.provariadic <> 0 as variadic, p.prosecdef as security_definer,
       pg_get_userbyid(p.proowner)::text as owner, p.proacl::text[] as acl, p.proconfig as settings
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
cross join lateral (
  select coalesce(array_agg(u.type order by u.place), '{}') as type_oids,
         coalesce(array_agg(format_type(u.type, null) order by u.place), '{}') as types
  from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u (type, place)
) a
left join (select l.domain, l.base from layers l join pg_type t on t.oid = l.base and t.typtype <> 'd') b
  on b.domain = p.prorettype
join pg_type r on r.oid = coalesce(b.base, p.prorettype)
join pg_namespace rn on rn.oid = r.typnamespace
left join pg_class rc on rc.oid = r.typrelid
left join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass and d.objsubid = 0
where p.prokind = 'f' and n.nspname::text = any($1)
  and r.oid not in ('trigger'::regtype, 'event_trigger'::regtype)";

const COMPUTED: &str = "
select n.nspname::text as schema, p.proname::text as name,
       an.nspname::text as relation_schema, ac.relname::text as relation_name,
       rn.nspname::text as foreign_schema, rc.relname::text as foreign_name,
       not p.proretset or p.prorows = 1 as to_one
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_class ac on ac.reltype = p.proargtypes[0] and ac.relkind in ('r', 'p', 'v', 'm', 'f')
join pg_namespace an on an.oid = ac.relnamespace
join pg_class rc on rc.reltype = p.prorettype and rc.relkind in ('r', 'p', 'v', 'm', 'f')
join pg_namespace rn on rn.oid = rc.relnamespace
where p.prokind = 'f' and p.pronargs = 1 and p.oid >= 16384";

const HANDLERS: &str = "
select p.prokind = 'a' as is_aggregate,
       n.nspname::text as schema, p.proname::text as name,
       tn.nspname::text as type_schema, t.typname::text as type_name,
       an.nspname::text as argument_schema, coalesce(ac.relname, a.typname)::text as argument_name
from pg_type t
join pg_namespace tn on tn.oid = t.typnamespace
join pg_proc p on p.prorettype = t.oid
join pg_namespace n on n.oid = p.pronamespace
left join pg_type a on a.oid = p.proargtypes[0] and p.prokind = 'a'
left join pg_namespace an on an.oid = a.typnamespace
left join pg_class ac on ac.oid = a.typrelid and ac.relkind in ('r', 'p', 'v', 'm', 'f')
where t.typtype = 'd' and t.typbasetype <> 0
  and (t.typname::text ~ '^[A-Za-z0-9.-]+/[A-Za-z0-9.+-]+$' or t.typname = '*/*')
  and n.nspname::text = any($1)
  and (
    (p.prokind = 'f' and not p.proretset)
    or (p.prokind = 'a' and p.pronargs = 1 and (ac.oid is not null or a.oid = 'anyelement'::regtype))
  )
order by 1, 2, 3";

const REPRESENTATIONS: &str = "
select format_type(k.castsource, null) as source_type, format_type(k.casttarget, null) as target_type,
       k.castfunc::regproc::text as function
from pg_cast k
join pg_type s on s.oid = k.castsource
join pg_type t on t.oid = k.casttarget
where k.castcontext = 'i' and k.castmethod = 'f' and k.oid >= 16384
  and has_function_privilege(coalesce($1, current_user::text)::name, k.castfunc, 'EXECUTE')
  and ((s.typtype = 'd' and k.casttarget in ('json'::regtype, 'text'::regtype))
    or (t.typtype = 'd' and k.castsource in ('json'::regtype, 'text'::regtype)))";

/// The ordinary functions of `schemas`.
pub(super) async fn functions(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<FunctionRow>, sqlx::Error> {
    sqlx::query_as(FUNCTIONS).persistent(false).bind(schemas).fetch_all(connection).await
}

/// Computed relationships of every schema.
pub(super) async fn computed(connection: &mut PgConnection) -> Result<Vec<ComputedRow>, sqlx::Error> {
    sqlx::query_as(COMPUTED).persistent(false).fetch_all(connection).await
}

/// Media type handlers of `schemas`.
pub(super) async fn handlers(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<HandlerRow>, sqlx::Error> {
    sqlx::query_as(HANDLERS).persistent(false).bind(schemas).fetch_all(connection).await
}

/// Casts that represent domains as `json` or `text` and that the authenticator may use.
pub(super) async fn representations(
    connection: &mut PgConnection,
    authenticator: Option<&str>,
) -> Result<Vec<RepresentationRow>, sqlx::Error> {
    sqlx::query_as(REPRESENTATIONS).persistent(false).bind(authenticator).fetch_all(connection).await
}
