//! Our schemas, the extensions, the event triggers, and the stand-in policies for a `service_role` without BYPASSRLS.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::error::{BootstrapError, has_code};
use super::roles::can_act_as;
use super::step::{self, attempt, execute};
use super::{Owner, SERVICE_LOGIN};
use crate::kernel::sql::SqlBuf;

/// Schemas that the login `goforward` owns.
pub(super) const SCHEMAS: [&str; 6] =
    ["goforward", "auth", "realtime", "storage", "extensions", "graphql_public"];
/// Of those, the ones that other systems make as well; they may stay theirs.
const SHAREABLE: [&str; 2] = ["extensions", "graphql_public"];
/// What Supabase projects start with. All are trusted: a role that may create in the database may install them.
pub(super) const EXTENSIONS: [&str; 2] = ["pgcrypto", "uuid-ossp"];
/// What makes a server tell us of changes; run by superusers, shown to others.
pub(super) const SCHEMA_EVENTS: &str = include_str!("schema_events.sql");

/// Makes the schemas and extensions that are missing.
pub(super) async fn ensure(connection: &mut PgConnection, owner: &Owner) -> Result<(), BootstrapError> {
    let mut transaction = step::begin(connection).await?;
    let as_service = can_act_as(&mut transaction, SERVICE_LOGIN).await?;
    for schema in SCHEMAS {
        match owner_of(&mut transaction, schema).await? {
            None => create(&mut transaction, owner, schema, as_service).await?,
            Some((role, true)) => tracing::trace!(schema, role, "schema is there"),
            Some((role, false)) if SHAREABLE.contains(&schema) => {
                tracing::debug!(schema, role, "schema is somebody else's and stays so");
            }
            Some((role, false)) => {
                return Err(BootstrapError::ForeignSchema { schema: schema.to_owned(), owner: role });
            }
        }
    }
    for extension in EXTENSIONS {
        let is_installed: bool =
            sqlx::query_scalar("select exists (select from pg_catalog.pg_extension where extname = $1)")
                .bind(extension)
                .fetch_one(&mut *transaction)
                .await?;
        if !is_installed {
            let mut sql = SqlBuf::new();
            sql.lit("create extension if not exists ").ident(extension).lit(" schema extensions");
            attempt(&mut transaction, &sql).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

async fn create(
    connection: &mut PgConnection,
    owner: &Owner,
    schema: &str,
    as_service: bool,
) -> Result<(), BootstrapError> {
    let mut sql = SqlBuf::new();
    sql.lit("create schema ").ident(schema);
    if as_service {
        sql.lit(" authorization ").ident(SERVICE_LOGIN);
    }
    match execute(connection, &sql).await {
        Err(error) if has_code(&error, &["42501"]) => {
            let mut fix = SqlBuf::new();
            let database: String = sqlx::query_scalar("select current_database()::text")
                .fetch_one(connection)
                .await
                .unwrap_or_default();
            fix.lit("grant create on database ").ident(&database).lit(" to ").ident(&owner.name);
            Err(BootstrapError::NotAllowed {
                role: owner.name.clone(),
                what: "create schemas",
                sql: fix.into_parts().0,
            })
        }
        other => Ok(other?),
    }
}

/// The owner of a schema, and whether the connected role has its rights.
async fn owner_of(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Option<(String, bool)>, sqlx::Error> {
    sqlx::query_as(
        "select pg_catalog.pg_get_userbyid(nspowner)::text, pg_catalog.pg_has_role(nspowner, 'USAGE')
         from pg_catalog.pg_namespace where nspname = $1",
    )
    .bind(schema)
    .fetch_optional(connection)
    .await
}

/// Whether all triggers are there and on, whoever made them.
pub(super) async fn has_event_triggers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) = 3 from pg_catalog.pg_event_trigger
         where evtname in ('goforward_schema_changed', 'goforward_schema_dropped', 'goforward_publication_changed')
             and evtenabled <> 'D'",
    )
    .fetch_one(connection)
    .await
}

/// Makes the event triggers, or brings them to this version, if the owner is a superuser.
pub(super) async fn ensure_event_triggers(
    connection: &mut PgConnection,
    owner: &Owner,
) -> Result<(), BootstrapError> {
    if !owner.is_superuser {
        return Ok(());
    }
    let mut transaction = step::begin(connection).await?;
    let known: Option<String> = sqlx::query_scalar(
        "select pg_catalog.obj_description(pg_catalog.to_regprocedure('goforward.announce_schema_change()'), 'pg_proc')",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let mark = mark();
    if known.as_deref() != Some(&mark) || !has_event_triggers(&mut transaction).await? {
        transaction.execute(SCHEMA_EVENTS).await?;
        let mut sql = SqlBuf::new();
        sql.lit("comment on function goforward.announce_schema_change() is ").quoted(&mark);
        execute(&mut transaction, &sql).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Tells one version of the triggers from the next.
fn mark() -> String {
    use sha2::{Digest, Sha256};
    let digest = hex::encode(Sha256::digest(SCHEMA_EVENTS));
    format!("Tells goforward of schema changes; version {}.", &digest[..12])
}

/// Gives `service_role` a policy on every table of `schemas` that has row-level security, where it has none yet; returns
/// how many were made.
///
/// The stand-in where BYPASSRLS cannot be had ([`super::BypassRls::Policies`]): to be called after every catalog
/// reload. Tables that the connected role does not own are passed over. Restrictive policies still bind.
pub async fn ensure_service_role_policies(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<usize, sqlx::Error> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select space.nspname::text, class.relname::text
         from pg_catalog.pg_class as class
         join pg_catalog.pg_namespace as space on space.oid = class.relnamespace
         where class.relkind in ('r', 'p') and class.relrowsecurity
           and space.nspname = any ($1)
           and pg_catalog.pg_has_role(class.relowner, 'USAGE')
           and not exists (
               select from pg_catalog.pg_policy as policy
               where policy.polrelid = class.oid and policy.polname = 'goforward_service_role')
         order by 1, 2",
    )
    .bind(schemas)
    .fetch_all(&mut *connection)
    .await?;
    for (schema, table) in &tables {
        let mut sql = SqlBuf::new();
        sql.lit("create policy goforward_service_role on ").name(schema, table);
        sql.lit(" to service_role using (true) with check (true)");
        match connection.execute(AssertSqlSafe(sql.into_parts().0)).await {
            // Another node was faster, or the table is gone.
            Err(error) if has_code(&error, &["42710", "42P01"]) => {}
            other => {
                other?;
            }
        }
    }
    Ok(tables.len())
}
