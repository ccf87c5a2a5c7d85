//! What the policies of callers are made from: the stored rules of tables, and grants that differ by column.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use crate::catalog::model::{QualifiedName, TableSecurityRows};

/// A column that a settable role may not select, of a relation where somebody has a grant on single columns.
#[derive(sqlx::FromRow)]
pub(super) struct NotGrantedRow {
    pub(super) role: String,
    pub(super) schema: String,
    pub(super) relation: String,
    pub(super) column: String,
}

/// Asks the catalog tables, as looking the name up takes a right to the schema.
const IS_THERE: &str = "
select exists (
  select from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'goforward' and c.relname = 'table_security'
)";

/// A table that was renamed since its rules were stored comes under its new name too, with a row that is none: rules end
/// by being removed, not by a new name.
const ROWS: &str = "
select schema_name, table_name, to_jsonb(t)::text from goforward.table_security t
union all
select n.nspname::text, c.relname::text,
       jsonb_build_object('renamed_from', t.schema_name || '.' || t.table_name)::text
from goforward.table_security t
join pg_class c on c.oid = t.table_oid
join pg_namespace n on n.oid = c.relnamespace
where (n.nspname::text, c.relname::text) <> (t.schema_name, t.table_name)
  and not exists (
    select from pg_class o join pg_namespace s on s.oid = o.relnamespace
    where s.nspname = t.schema_name and o.relname = t.table_name
  )
  and not exists (
    select from goforward.table_security o
    where o.schema_name = n.nspname::text and o.table_name = c.relname::text
  )";

const STATE: &str =
    "select concat(count(*), ':', sum(version), ':', sum(xmin::text::bigint)) from goforward.table_security";

const NOT_GRANTED: &str = "
select r.rolname::text as role, n.nspname::text as schema, c.relname::text as relation, a.attname::text as column
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_roles me on me.rolname::text = coalesce($2, current_user::text)
join pg_roles r on pg_has_role(me.oid, r.oid, $3) and not r.rolsuper
where n.nspname::text = any($1) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and exists (
    select from pg_attribute g where g.attrelid = c.oid and g.attnum > 0 and g.attacl is not null
  )
  and not has_column_privilege(r.oid, c.oid, a.attnum, 'select')";

/// What a policy `p` of `pg_policy` says, in a word: for whom, for which command, and its conditions. Whoever compares
/// words must have an empty search path, which decides how conditions read.
macro_rules! policy_state {
    () => {
        "left(encode(sha256(convert_to(jsonb_build_array(
           p.polpermissive, p.polcmd::text,
           (select jsonb_agg(r.rolname::text order by r.rolname::text) from pg_roles r where r.oid = any(p.polroles)),
           pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))::text, 'UTF8')), 'hex'), 16)"
    };
}

pub(crate) use policy_state;

/// The comment of a policy of ours is its mark and, after a comma, the word for what the policy said when it was made:
/// one that was altered since is none of ours.
const OWN_POLICIES: &str = concat!(
    "
select n.nspname::text as schema, c.relname::text as relation, split_part(d.description, ', state ', 1) as mark
from pg_policy p
join pg_class c on c.oid = p.polrelid and c.relrowsecurity
join pg_namespace n on n.oid = c.relnamespace
join pg_description d on d.objoid = p.oid and d.classoid = 'pg_policy'::regclass and d.objsubid = 0
where p.polname::text like 'goforward\\_%'
  and split_part(d.description, ', state ', 2) = ",
    policy_state!()
);

/// A policy that goforward made and marked, and that is as it made it.
#[derive(sqlx::FromRow)]
pub(super) struct OwnPolicyRow {
    pub(super) schema: String,
    pub(super) relation: String,
    pub(super) mark: String,
}

/// The policies of ours that are in force.
pub(super) async fn own_policies(connection: &mut PgConnection) -> Result<Vec<OwnPolicyRow>, sqlx::Error> {
    sqlx::query_as(OWN_POLICIES).persistent(false).fetch_all(connection).await
}

/// The stored rules. That they cannot be read is a finding of its own, which closes the tables, and not an error of
/// the whole load; a connection that is lost is one.
pub(in crate::catalog) async fn stored_rules(
    connection: &mut PgConnection,
) -> Result<TableSecurityRows, sqlx::Error> {
    if !sqlx::query_scalar::<_, bool>(IS_THERE).persistent(false).fetch_one(&mut *connection).await? {
        return Ok(TableSecurityRows::Absent);
    }
    let mut attempt = connection.begin().await?;
    // Row-level security on the table would hide rules without a word; this way it is an error.
    sqlx::raw_sql("set local row_security = off").execute(&mut *attempt).await?;
    let read: Result<Vec<(String, String, String)>, _> =
        sqlx::query_as(ROWS).persistent(false).fetch_all(&mut *attempt).await;
    match read {
        Ok(rows) => {
            attempt.commit().await?;
            let rows = rows
                .into_iter()
                .map(|(schema, name, text)| (QualifiedName::new(schema, name), Arc::from(text)));
            Ok(TableSecurityRows::Read(rows.collect::<HashMap<_, _>>()))
        }
        Err(sqlx::Error::Database(error)) => {
            attempt.rollback().await?;
            Ok(TableSecurityRows::Unreadable(Arc::from(error.message())))
        }
        Err(error) => Err(error),
    }
}

/// Whether the stored rules changed, in a word: equal means unchanged.
pub(super) async fn state(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    if !sqlx::query_scalar::<_, bool>(IS_THERE).fetch_one(&mut *connection).await? {
        return Ok("none".to_owned());
    }
    match sqlx::query_scalar(STATE).fetch_one(connection).await {
        Err(sqlx::Error::Database(error)) => Ok(format!("unreadable: {}", error.message())),
        state => state,
    }
}

/// Who may not select which column.
pub(super) async fn not_granted(
    connection: &mut PgConnection,
    schemas: &[String],
    authenticator: Option<&str>,
    server_version: u32,
) -> Result<Vec<NotGrantedRow>, sqlx::Error> {
    let privilege = if server_version >= 160_000 { "SET" } else { "MEMBER" };
    sqlx::query_as(NOT_GRANTED)
        .persistent(false)
        .bind(schemas)
        .bind(authenticator)
        .bind(privilege)
        .fetch_all(connection)
        .await
}
