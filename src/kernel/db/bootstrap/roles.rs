//! The two logins and the three API roles.
//!
//! Roles belong to the whole server, not to one database: others may make them at the same moment, hence the retries.
//! A role that exists already is only completed, never weakened, and keeps its password unless one was asked for.

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::error::BootstrapError;
use super::step::{self, attempt, execute};
use super::{API_ROLES, AUTHENTICATOR_LOGIN, BootstrapOptions, Owner, SERVICE_LOGIN};
use crate::kernel::secret::Secret;
use crate::kernel::sql::SqlBuf;

const TRIES: u32 = 5;
/// From this version on granting needs the admin option, and memberships say whether they inherit.
pub(super) const ADMIN_OPTION_RULES: i32 = 160_000;

/// What the new roles are called and how they are made; `service_role` is a case of its own.
const PLAIN_ROLES: [(&str, &str); 4] = [
    (SERVICE_LOGIN, "create role goforward login"),
    (AUTHENTICATOR_LOGIN, "create role authenticator login noinherit"),
    ("anon", "create role anon nologin noinherit"),
    ("authenticated", "create role authenticated nologin noinherit"),
];
/// The time-outs that Supabase projects have, in statements for new roles.
const TIMEOUTS: [(&str, &str); 3] = [
    ("anon", "alter role anon set statement_timeout = '3s'"),
    ("authenticated", "alter role authenticated set statement_timeout = '8s'"),
    (AUTHENTICATOR_LOGIN, "alter role authenticator set statement_timeout = '8s'"),
];

/// Makes the roles that are missing, their memberships and passwords.
pub(super) async fn ensure(
    connection: &mut PgConnection,
    owner: &Owner,
    login: &PgConnectOptions,
    options: &BootstrapOptions,
) -> Result<(), BootstrapError> {
    let mut tries = 0;
    let new = loop {
        tries += 1;
        match make(connection, owner, options).await {
            Err(error) if tries < TRIES && step::is_collision(&error) => {}
            other => break other?,
        }
    };
    for (name, password) in
        [(SERVICE_LOGIN, &options.goforward_password), (AUTHENTICATOR_LOGIN, &options.authenticator_password)]
    {
        if let Some(password) = password
            && !new.contains(&name)
            && !can_log_in(login, name, password).await
        {
            let mut transaction = step::begin(connection).await?;
            attempt(&mut transaction, &set_password(name, password)).await?;
            transaction.commit().await?;
        }
    }
    Ok(())
}

async fn make(
    connection: &mut PgConnection,
    owner: &Owner,
    options: &BootstrapOptions,
) -> Result<Vec<&'static str>, BootstrapError> {
    let mut transaction = step::begin(connection).await?;
    let mut new = Vec::new();
    for (name, statement) in PLAIN_ROLES {
        if !exists(&mut transaction, name).await?
            && attempt(&mut transaction, SqlBuf::new().lit(statement)).await?
        {
            new.push(name);
        }
    }
    if ensure_service_role(&mut transaction, owner).await? {
        new.push("service_role");
    }
    for role in API_ROLES {
        if !is_member(&mut transaction, AUTHENTICATOR_LOGIN, role).await? {
            attempt(&mut transaction, SqlBuf::new().lit("grant ").ident(role).lit(" to authenticator"))
                .await?;
        }
    }
    if !owner.is_superuser
        && owner.name != SERVICE_LOGIN
        && !can_act_as(&mut transaction, SERVICE_LOGIN).await?
    {
        // What `goforward` owns is made by the owner on its behalf.
        attempt(&mut transaction, SqlBuf::new().lit("grant goforward to ").ident(&owner.name)).await?;
    }
    for (name, password) in
        [(SERVICE_LOGIN, &options.goforward_password), (AUTHENTICATOR_LOGIN, &options.authenticator_password)]
    {
        if let Some(password) = password.as_ref().filter(|_| new.contains(&name)) {
            execute(&mut transaction, &set_password(name, password)).await?;
        }
    }
    for (name, statement) in TIMEOUTS {
        if options.is_embedded && new.contains(&name) {
            execute(&mut transaction, SqlBuf::new().lit(statement)).await?;
        }
    }
    transaction.commit().await?;
    Ok(new)
}

/// Makes `service_role`, which sees all rows; `true` if it is new.
///
/// The attribute BYPASSRLS takes a superuser or, from PostgreSQL 16 on, a role that has it. Else membership in the owner
/// comes closest: to the owner of a table its policies do not apply. Where that is refused too, policies must do
/// ([`super::ensure_service_role_policies`]).
async fn ensure_service_role(connection: &mut PgConnection, owner: &Owner) -> Result<bool, BootstrapError> {
    let may_give = owner.is_superuser || (owner.bypasses_rls && owner.version >= ADMIN_OPTION_RULES);
    let bypasses: Option<bool> =
        sqlx::query_scalar("select rolbypassrls from pg_catalog.pg_roles where rolname = 'service_role'")
            .fetch_optional(&mut *connection)
            .await?;
    let mut run = SqlBuf::new();
    match bypasses {
        Some(true) => return Ok(false),
        None if may_give => run.lit("create role service_role nologin noinherit bypassrls"),
        Some(false) if may_give => run.lit("alter role service_role bypassrls"),
        // INHERIT, or the membership below would be of no use.
        None => run.lit("create role service_role nologin inherit"),
        Some(false) => &mut run,
    };
    if !run.text().is_empty() && !attempt(connection, &run).await? {
        return Ok(false);
    }
    if !may_give && !is_member(connection, "service_role", &owner.name).await? {
        let mut grant = SqlBuf::new();
        grant.lit("grant ").ident(&owner.name).lit(" to service_role");
        attempt(connection, &grant).await?;
    }
    Ok(bypasses.is_none())
}

async fn exists(connection: &mut PgConnection, role: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from pg_catalog.pg_roles where rolname = $1)")
        .bind(role)
        .fetch_one(connection)
        .await
}

/// Whether `member` belongs to `role`; `false` if one of them does not exist.
pub(super) async fn is_member(
    connection: &mut PgConnection,
    member: &str,
    role: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
             select from pg_catalog.pg_auth_members as link
             join pg_catalog.pg_roles as member on member.oid = link.member
             join pg_catalog.pg_roles as role on role.oid = link.roleid
             where member.rolname = $1 and role.rolname = $2)",
    )
    .bind(member)
    .bind(role)
    .fetch_one(connection)
    .await
}

/// Whether the connected role has the rights of `role` and may switch to it.
pub(super) async fn can_act_as(connection: &mut PgConnection, role: &str) -> Result<bool, sqlx::Error> {
    // `USAGE` says that the rights are inherited. Being able to switch is `SET` from 16 on and `MEMBER` before; the
    // first of them is no word that older servers know.
    sqlx::query_scalar(
        "select coalesce(bool_and(
             pg_catalog.pg_has_role(oid, 'USAGE') and pg_catalog.pg_has_role(oid,
                 case when current_setting('server_version_num')::int4 >= 160000 then 'SET' else 'MEMBER' end)), false)
         from pg_catalog.pg_roles where rolname = $1",
    )
    .bind(role)
    .fetch_one(connection)
    .await
}

/// Sends a SCRAM verifier, so that the password itself is in no statement and no server log.
fn set_password(role: &str, password: &Secret) -> SqlBuf {
    let verifier = postgres_protocol::password::scram_sha_256(password.expose().as_bytes());
    let mut sql = SqlBuf::new();
    sql.lit("alter role ").ident(role).lit(" password ").quoted(&verifier);
    sql
}

async fn can_log_in(owner: &PgConnectOptions, role: &str, password: &Secret) -> bool {
    use sqlx::Connection;
    match owner.clone().username(role).password(password.expose()).connect().await {
        Ok(connection) => {
            let _ = connection.close().await;
            true
        }
        Err(_) => false,
    }
}
