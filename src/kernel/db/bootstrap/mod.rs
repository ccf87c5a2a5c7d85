//! Prepares a database for goforward: logins, API roles, schemas, extensions, default privileges, migrations.
//!
//! Everything is idempotent and runs at every start; where all is in place it only reads. Each step is one transaction
//! under one advisory lock, so that of two nodes starting at once one does the work. What the connected owner may not do
//! is left out and told by [`inspect`], with what it means and the SQL that a superuser can run. Start reading at
//! [`run`].

mod adoption;
mod error;
mod grants;
mod inspect;
mod migrations;
mod roles;
mod schemas;
mod step;
#[cfg(test)]
mod tests;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

pub use error::BootstrapError;
pub use inspect::{BypassRls, Capabilities, Missing, inspect};
pub use schemas::ensure_service_role_policies;

use crate::kernel::secret::Secret;

/// The API roles that a caller may have; `authenticator` switches to them.
pub const API_ROLES: [&str; 3] = ["anon", "authenticated", "service_role"];
/// The login that owns our schemas.
pub const SERVICE_LOGIN: &str = "goforward";
/// The login of everything that is done for a caller.
pub const AUTHENTICATOR_LOGIN: &str = "authenticator";

/// What to set up beyond the defaults.
#[derive(Clone, Debug, Default)]
pub struct BootstrapOptions {
    /// The database is the embedded one: its roles get the conventional time-outs, and it gets the conventional search
    /// path. A database of somebody else keeps its own.
    pub is_embedded: bool,
    /// The password that the login `goforward` shall have; `None` leaves it as it is.
    pub goforward_password: Option<Secret>,
    /// The same for `authenticator`.
    pub authenticator_password: Option<Secret>,
}

/// What a bootstrap did and found.
#[derive(Clone, Debug)]
pub struct BootstrapReport {
    /// The migrations that this run applied.
    pub applied: Vec<&'static str>,
    /// What this database can do for us.
    pub capabilities: Capabilities,
    /// What it lacks.
    pub missing: Vec<Missing>,
}

/// Who is connected to what: read once, decides what is tried.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// The connected role.
    pub(super) name: String,
    pub(super) is_superuser: bool,
    /// Whether it has BYPASSRLS and so, from PostgreSQL 16 on, may give it to others.
    pub(super) bypasses_rls: bool,
    /// As `server_version_num`: 150014 is 15.14.
    pub(super) version: i32,
}

/// Prepares the database that `owner` connects to.
pub async fn run(
    owner: &PgConnectOptions,
    options: &BootstrapOptions,
) -> Result<BootstrapReport, BootstrapError> {
    let mut connection = owner.connect().await?;
    let report = prepare(&mut connection, owner, options).await;
    let _ = connection.close().await;
    report
}

async fn prepare(
    connection: &mut PgConnection,
    login: &PgConnectOptions,
    options: &BootstrapOptions,
) -> Result<BootstrapReport, BootstrapError> {
    let owner = look_at(connection).await?;
    roles::ensure(connection, &owner, login, options).await?;
    schemas::ensure(connection, &owner).await?;
    adoption::ensure(connection, &owner).await?;
    grants::ensure(connection, &owner, options.is_embedded).await?;
    let applied = migrations::apply(connection, &owner).await?;
    grants::ensure_rules_are_readable(connection).await?;
    schemas::ensure_event_triggers(connection, &owner).await?;
    let (capabilities, missing) = inspect(connection).await?;
    Ok(BootstrapReport { applied, capabilities, missing })
}

/// Reads who is connected, and refuses servers that cannot work.
async fn look_at(connection: &mut PgConnection) -> Result<Owner, BootstrapError> {
    let (product, version, is_standby): (String, i32, bool) =
        sqlx::query_as("select version(), current_setting('server_version_num')::int4, pg_is_in_recovery()")
            .fetch_one(&mut *connection)
            .await?;
    if product.contains("CockroachDB") {
        return Err(BootstrapError::OtherProduct { product: "CockroachDB" });
    }
    if version < super::embedded::OLDEST_MAJOR.cast_signed() * 10_000 {
        return Err(BootstrapError::TooOld { version: version / 10_000 });
    }
    if is_standby {
        return Err(BootstrapError::Standby);
    }
    let (name, is_superuser, bypasses_rls): (String, bool, bool) = sqlx::query_as(
        "select rolname::text, rolsuper, rolbypassrls from pg_catalog.pg_roles where rolname = current_user",
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(Owner { name, is_superuser, bypasses_rls, version })
}
