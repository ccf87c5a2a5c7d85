//! Roles with their settings, and the names of time zones.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::PgConnection;

use super::LoadError;

/// One role as the authenticator sees it.
#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "one column of the query each")]
pub(super) struct RoleRow {
    pub(super) name: String,
    pub(super) login: bool,
    pub(super) superuser: bool,
    pub(super) bypass_rls: bool,
    pub(super) settable: bool,
}

/// One setting of a role, database-specific ones last.
#[derive(sqlx::FromRow)]
pub(super) struct RoleSettingRow {
    pub(super) role: String,
    pub(super) name: String,
    pub(super) value: String,
}

const ROLES: &str = "
select r.rolname::text as name, r.rolcanlogin as login, r.rolsuper as superuser,
       r.rolsuper or r.rolbypassrls as bypass_rls, pg_has_role(me.oid, r.oid, $2) as settable
from pg_roles r
join pg_roles me on me.rolname::text = coalesce($1, current_user::text)";

/// `$condition` says what makes a setting one that the authenticator may set.
macro_rules! role_settings_query {
    ($condition:literal) => {
        concat!(
            "
with me as (select oid from pg_roles where rolname::text = coalesce($1, current_user::text)),
pairs as (
  select r.rolname::text as role, s.setdatabase,
         substr(u.pair, 1, strpos(u.pair, '=') - 1) as name,
         substr(u.pair, strpos(u.pair, '=') + 1) as value
  from pg_db_role_setting s
  join pg_roles r on r.oid = s.setrole
  cross join me
  cross join lateral unnest(s.setconfig) as u (pair)
  where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    and pg_has_role(me.oid, r.oid, 'MEMBER')
)
select p.role, p.name, p.value
from pairs p
cross join me
join pg_settings g on g.name = p.name
where ",
            $condition,
            "
order by p.role, p.setdatabase, p.name"
        )
    };
}

const ROLE_SETTINGS_14: &str = role_settings_query!("g.context = 'user'");
const ROLE_SETTINGS: &str =
    role_settings_query!("(g.context = 'user' or has_parameter_privilege(me.oid, g.name, 'SET'))");

/// All roles. Fails if the authenticator is not among them.
pub(super) async fn roles(
    connection: &mut PgConnection,
    authenticator: Option<&str>,
    server_version: u32,
) -> Result<Vec<RoleRow>, LoadError> {
    // From 16 on a membership can be granted without the right to SET ROLE.
    let privilege = if server_version >= 160_000 { "SET" } else { "MEMBER" };
    let rows: Vec<RoleRow> = sqlx::query_as(ROLES)
        .persistent(false)
        .bind(authenticator)
        .bind(privilege)
        .fetch_all(connection)
        .await?;
    match authenticator {
        Some(name) if rows.is_empty() => Err(LoadError::UnknownAuthenticator(name.to_owned())),
        _ => Ok(rows),
    }
}

/// The settings that the authenticator has to apply when it switches to a role, as `SET ROLE` applies none.
pub(super) async fn role_settings(
    connection: &mut PgConnection,
    authenticator: Option<&str>,
    server_version: u32,
) -> Result<Vec<RoleSettingRow>, sqlx::Error> {
    let query = if server_version >= 150_000 { ROLE_SETTINGS } else { ROLE_SETTINGS_14 };
    sqlx::query_as(query).persistent(false).bind(authenticator).fetch_all(connection).await
}

/// Names that `Prefer: timezone` may hold. Takes PostgreSQL some hundred file reads.
pub(super) async fn timezones(connection: &mut PgConnection) -> Result<HashSet<Arc<str>>, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar("select name from pg_timezone_names")
        .persistent(false)
        .fetch_all(connection)
        .await?;
    Ok(names.into_iter().map(Arc::from).collect())
}
