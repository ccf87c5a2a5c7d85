//! Who may use which schema, and what the API roles get on tables made later: as in Supabase projects.
//!
//! A table made by plain SQL is then reachable for the API roles, and row-level security decides what they see. Nothing
//! is granted on tables that exist already.

use sqlx::postgres::PgConnection;

use super::error::BootstrapError;
use super::step::{self, attempt, execute};
use super::{API_ROLES, AUTHENTICATOR_LOGIN, Owner};
use crate::kernel::sql::SqlBuf;

/// Schemas that the API roles may look into.
pub(super) const USABLE: [&str; 6] =
    ["public", "auth", "realtime", "storage", "extensions", "graphql_public"];
/// Schemas in which everything that is made later is granted to the API roles.
pub(super) const OPEN: [&str; 2] = ["public", "graphql_public"];
/// Kinds of objects with default privileges: their letter in `pg_default_acl` and their word.
const KINDS: [(&str, &str); 3] = [("r", "tables"), ("S", "sequences"), ("f", "functions")];
/// Before this version everybody may create in `public`.
const CLOSED_PUBLIC: i32 = 150_000;

/// Grants what is missing.
pub(super) async fn ensure(
    connection: &mut PgConnection,
    owner: &Owner,
    is_embedded: bool,
) -> Result<(), BootstrapError> {
    let mut transaction = step::begin(connection).await?;
    for (schema, role) in without_usage(&mut transaction).await? {
        let mut sql = SqlBuf::new();
        sql.lit("grant usage on schema ").ident(&schema).lit(" to ").ident(&role);
        attempt(&mut transaction, &sql).await?;
    }
    for maker in makers(&mut transaction, owner).await? {
        for (schema, kind) in without_defaults(&mut transaction, &maker).await? {
            attempt(&mut transaction, &open_by_default(&maker, &schema, kind)).await?;
        }
    }
    if is_embedded {
        set_search_path(&mut transaction).await?;
        if owner.version < CLOSED_PUBLIC {
            execute(&mut transaction, SqlBuf::new().lit("revoke create on schema public from public"))
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// The login of callers reads the rules of tables with the catalog; no role of a caller can.
pub(super) async fn ensure_rules_are_readable(connection: &mut PgConnection) -> Result<(), BootstrapError> {
    let is_readable: Option<bool> = sqlx::query_scalar(
        "select pg_catalog.has_table_privilege(role.oid, 'goforward.table_security', 'select')
         from pg_catalog.pg_roles as role where role.rolname = $1",
    )
    .bind(AUTHENTICATOR_LOGIN)
    .fetch_optional(&mut *connection)
    .await?;
    if is_readable == Some(false) {
        let mut transaction = step::begin(connection).await?;
        let mut sql = SqlBuf::new();
        sql.lit("grant select on goforward.table_security to ").ident(AUTHENTICATOR_LOGIN);
        attempt(&mut transaction, &sql).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// The roles whose future tables are opened: the connected one, and `postgres` where we may speak for it.
async fn makers(connection: &mut PgConnection, owner: &Owner) -> Result<Vec<String>, sqlx::Error> {
    let mut makers = vec![owner.name.clone()];
    let may_speak: Option<bool> = sqlx::query_scalar(
        "select pg_catalog.pg_has_role(oid, 'USAGE') from pg_catalog.pg_roles where rolname = 'postgres'",
    )
    .fetch_optional(connection)
    .await?;
    if may_speak == Some(true) && owner.name != "postgres" {
        makers.push("postgres".to_owned());
    }
    Ok(makers)
}

/// The pairs of schema and existing API role without USAGE.
pub(super) async fn without_usage(
    connection: &mut PgConnection,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "select space.nspname::text, role.rolname::text
         from pg_catalog.pg_namespace as space, pg_catalog.pg_roles as role
         where space.nspname = any ($1) and role.rolname = any ($2)
           and not pg_catalog.has_schema_privilege(role.oid, space.oid, 'USAGE')
         order by 1, 2",
    )
    .bind(USABLE.as_slice())
    .bind(API_ROLES.as_slice())
    .fetch_all(connection)
    .await
}

/// The pairs of schema and kind in which what `maker` makes is not granted to all API roles that exist.
pub(super) async fn without_defaults(
    connection: &mut PgConnection,
    maker: &str,
) -> Result<Vec<(String, &'static str)>, sqlx::Error> {
    let mut found = Vec::new();
    for (letter, kind) in KINDS {
        let schemas: Vec<String> = sqlx::query_scalar(
            "select space.nspname::text from pg_catalog.pg_namespace as space
             where space.nspname = any ($1) and exists (
                 select from pg_catalog.pg_roles as role
                 where role.rolname = any ($2) and not exists (
                     select from pg_catalog.pg_default_acl as acl, pg_catalog.aclexplode(acl.defaclacl) as item
                     where acl.defaclrole = (select oid from pg_catalog.pg_roles where rolname = $3)
                       and acl.defaclnamespace = space.oid
                       and acl.defaclobjtype = $4::text::\"char\"
                       and item.grantee = role.oid))
             order by 1",
        )
        .bind(OPEN.as_slice())
        .bind(API_ROLES.as_slice())
        .bind(maker)
        .bind(letter)
        .fetch_all(&mut *connection)
        .await?;
        found.extend(schemas.into_iter().map(|schema| (schema, kind)));
    }
    Ok(found)
}

pub(super) fn open_by_default(maker: &str, schema: &str, kind: &'static str) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("alter default privileges for role ").ident(maker).lit(" in schema ").ident(schema);
    sql.lit(" grant all on ").lit(kind).lit(" to anon, authenticated, service_role");
    sql
}

/// Lets plain SQL find the extensions' functions, as in Supabase projects; a path that somebody set stays.
async fn set_search_path(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let (database, is_set): (String, bool) = sqlx::query_as(
        "select current_database()::text, exists (
             select from pg_catalog.pg_db_role_setting as setting, unnest(setting.setconfig) as item
             where setting.setrole = 0 and item like 'search\\_path=%' and setting.setdatabase =
                 (select oid from pg_catalog.pg_database where datname = current_database()))",
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_set {
        return Ok(());
    }
    let mut sql = SqlBuf::new();
    sql.lit("alter database ").ident(&database).lit(" set search_path = \"$user\", public, extensions");
    execute(connection, &sql).await
}
