//! What a database can do for goforward and what it lacks: read only, for the start report and `goforward doctor`.

use sqlx::postgres::PgConnection;

use super::error::BootstrapError;
use super::grants;
use super::roles::is_member;
use super::schemas::{EXTENSIONS, SCHEMA_EVENTS, SCHEMAS, has_event_triggers};
use super::{API_ROLES, AUTHENTICATOR_LOGIN, Owner, SERVICE_LOGIN, look_at};
use crate::kernel::sql::SqlBuf;

/// The first patch level of each major version without a published hole that shows data past row-level security
/// (CVE-2025-8713), see <https://www.postgresql.org/support/security/>.
const SAFE_VERSIONS: [i32; 4] = [14_0019, 15_0014, 16_0010, 17_0006];

/// How `service_role` sees all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BypassRls {
    /// By its attribute: the real thing.
    Attribute,
    /// As a member of the tables' owner: policies of tables owned by others, and forced ones, still bind.
    Membership,
    /// By policies that [`super::ensure_service_role_policies`] makes.
    Policies,
}

/// What a database can do for us.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// As `server_version_num`: 150014 is 15.14.
    pub server_version: i32,
    /// Whether the connected owner is a superuser.
    pub superuser: bool,
    /// Whether schema changes announce themselves; otherwise the catalog has to poll.
    pub event_triggers: bool,
    /// How `service_role` sees all rows.
    pub bypass_rls: BypassRls,
    /// The installed extensions.
    pub extensions: Vec<String>,
}

/// Something that a database lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What.
    pub what: String,
    /// What that means.
    pub consequence: String,
    /// What a superuser or the owner can run; empty where no SQL helps.
    pub sql_to_fix: String,
    /// Whether the API cannot work without it.
    pub is_blocking: bool,
}

impl Missing {
    fn blocking(what: impl Into<String>, consequence: &str, sql_to_fix: impl Into<String>) -> Self {
        Self { is_blocking: true, ..Self::degrading(what, consequence, sql_to_fix) }
    }

    fn degrading(what: impl Into<String>, consequence: &str, sql_to_fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            consequence: consequence.to_owned(),
            sql_to_fix: sql_to_fix.into(),
            is_blocking: false,
        }
    }
}

/// Looks at the database that `connection`, the owner's, is connected to. Changes nothing.
pub async fn inspect(connection: &mut PgConnection) -> Result<(Capabilities, Vec<Missing>), BootstrapError> {
    let owner = look_at(connection).await?;
    let mut missing = Vec::new();
    check_version(&owner, &mut missing);
    check_roles(connection, &mut missing).await?;
    check_memberships(connection, &mut missing).await?;
    let bypass_rls = check_bypass(connection, &owner, &mut missing).await?;
    check_schemas(connection, &mut missing).await?;
    check_grants(connection, &owner, &mut missing).await?;
    let extensions = check_extensions(connection, &mut missing).await?;
    let event_triggers = has_event_triggers(connection).await?;
    if !event_triggers {
        missing.push(Missing::degrading(
            "event triggers that announce schema changes",
            "schema changes are found by a poll, about half a second later, which costs the server a little",
            SCHEMA_EVENTS,
        ));
    }
    let capabilities = Capabilities {
        server_version: owner.version,
        superuser: owner.is_superuser,
        event_triggers,
        bypass_rls,
        extensions,
    };
    Ok((capabilities, missing))
}

fn check_version(owner: &Owner, missing: &mut Vec<Missing>) {
    let major = owner.version / 10_000;
    let first_safe = SAFE_VERSIONS.into_iter().find(|safe| safe / 10_000 == major);
    if first_safe.is_some_and(|safe| owner.version < safe) {
        missing.push(Missing::degrading(
            format!("security fixes of PostgreSQL: the server is {major}.{}", owner.version % 10_000),
            "planner statistics can show values of rows that row-level security hides (CVE-2025-8713): install \
             the newest patch release of the same major version",
            "",
        ));
    }
}

#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "the attributes of a role, as PostgreSQL keeps them")]
struct Role {
    name: String,
    is_superuser: bool,
    can_log_in: bool,
    inherits: bool,
    bypasses_rls: bool,
}

async fn check_roles(connection: &mut PgConnection, missing: &mut Vec<Missing>) -> Result<(), sqlx::Error> {
    let roles: Vec<Role> = sqlx::query_as(
        "select rolname::text as name, rolsuper as is_superuser, rolcanlogin as can_log_in, rolinherit as inherits,
                rolbypassrls as bypasses_rls
         from pg_catalog.pg_roles where rolname = any ($1)",
    )
    .bind([SERVICE_LOGIN, AUTHENTICATOR_LOGIN, "anon", "authenticated", "service_role"].as_slice())
    .fetch_all(connection)
    .await?;
    let find = |name: &str| roles.iter().find(|role| role.name == name);
    match find(AUTHENTICATOR_LOGIN) {
        None => missing.push(Missing::blocking(
            "role authenticator",
            "the API has no login to serve callers with",
            "create role authenticator login noinherit password '…';",
        )),
        Some(role) if !role.can_log_in || role.inherits || role.is_superuser || role.bypasses_rls => {
            missing.push(Missing::blocking(
                "role authenticator without rights of its own",
                "callers would be served by a login that cannot log in, or that has rights itself",
                "alter role authenticator login noinherit nosuperuser nobypassrls;",
            ));
        }
        Some(_) => {}
    }
    if find(SERVICE_LOGIN).is_none() {
        missing.push(Missing::degrading(
            "role goforward",
            "the services use the owner's login, and the owner owns their schemas",
            "create role goforward login password '…';",
        ));
    }
    for (name, sql) in [
        ("anon", "create role anon nologin noinherit;"),
        ("authenticated", "create role authenticated nologin noinherit;"),
        ("service_role", "create role service_role nologin noinherit bypassrls;"),
    ] {
        match find(name) {
            None => missing.push(Missing::blocking(
                format!("role {name}"),
                "requests with this role are refused",
                sql,
            )),
            Some(role) if role.can_log_in || role.is_superuser => {
                let mut fix = SqlBuf::new();
                fix.lit("alter role ").ident(name).lit(" nologin nosuperuser;");
                missing.push(Missing::blocking(
                    format!("role {name} as a plain role"),
                    "it is a login or a superuser, so requests with it are refused",
                    fix.into_parts().0,
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn check_memberships(
    connection: &mut PgConnection,
    missing: &mut Vec<Missing>,
) -> Result<(), sqlx::Error> {
    for role in API_ROLES {
        if !is_member(connection, AUTHENTICATOR_LOGIN, role).await? {
            let mut fix = SqlBuf::new();
            fix.lit("grant ").ident(role).lit(" to authenticator;");
            missing.push(Missing::blocking(
                format!("membership of authenticator in {role}"),
                "requests with this role are refused",
                fix.into_parts().0,
            ));
        }
    }
    Ok(())
}

async fn check_bypass(
    connection: &mut PgConnection,
    owner: &Owner,
    missing: &mut Vec<Missing>,
) -> Result<BypassRls, sqlx::Error> {
    let has_attribute: Option<bool> =
        sqlx::query_scalar("select rolbypassrls from pg_catalog.pg_roles where rolname = 'service_role'")
            .fetch_optional(&mut *connection)
            .await?;
    if has_attribute == Some(true) {
        return Ok(BypassRls::Attribute);
    }
    // To the owner of a table and to whoever inherits its rights the table's policies do not apply.
    let inherits: bool = sqlx::query_scalar(
        "select coalesce(bool_or(pg_catalog.pg_has_role(role.oid, owner.oid, 'USAGE')), false)
         from pg_catalog.pg_roles as role, pg_catalog.pg_roles as owner
         where role.rolname = 'service_role' and owner.rolname = $1",
    )
    .bind(&owner.name)
    .fetch_one(connection)
    .await?;
    let (found, consequence) = if inherits {
        (
            BypassRls::Membership,
            "service_role is a member of the owner instead: it has all the owner's rights, but policies of tables \
             owned by others, and forced ones, bind it",
        )
    } else {
        (
            BypassRls::Policies,
            "every table with row-level security gets a policy `goforward_service_role` instead; restrictive policies \
             and those of tables owned by others bind service_role",
        )
    };
    missing.push(Missing::degrading(
        "BYPASSRLS of role service_role",
        consequence,
        "alter role service_role bypassrls;",
    ));
    Ok(found)
}

async fn check_schemas(connection: &mut PgConnection, missing: &mut Vec<Missing>) -> Result<(), sqlx::Error> {
    let absent: Vec<String> = sqlx::query_scalar(
        "select wanted from unnest($1::text[]) as wanted
         where not exists (select from pg_catalog.pg_namespace where nspname = wanted)",
    )
    .bind(SCHEMAS.as_slice())
    .fetch_all(&mut *connection)
    .await?;
    for schema in absent {
        missing.push(Missing::degrading(
            format!("schema {schema}"),
            "the services that live in it cannot work; the next start of `goforward serve` makes it",
            "",
        ));
    }
    let is_open: bool = sqlx::query_scalar(
        "select exists (
             select from pg_catalog.pg_namespace as space, pg_catalog.aclexplode(space.nspacl) as item
             where space.nspname = 'public' and item.grantee = 0 and item.privilege_type = 'CREATE')",
    )
    .fetch_one(connection)
    .await?;
    if is_open {
        missing.push(Missing::degrading(
            "protection of schema public",
            "every role may create objects there and so lead other people's statements astray",
            "revoke create on schema public from public;",
        ));
    }
    Ok(())
}

async fn check_grants(
    connection: &mut PgConnection,
    owner: &Owner,
    missing: &mut Vec<Missing>,
) -> Result<(), sqlx::Error> {
    for (schema, role) in grants::without_usage(connection).await? {
        let mut fix = SqlBuf::new();
        fix.lit("grant usage on schema ").ident(&schema).lit(" to ").ident(&role).lit(";");
        missing.push(Missing::degrading(
            format!("right of {role} to use schema {schema}"),
            "its objects are refused to that role",
            fix.into_parts().0,
        ));
    }
    for (schema, kind) in grants::without_defaults(connection, &owner.name).await? {
        let mut fix = grants::open_by_default(&owner.name, &schema, kind);
        fix.lit(";");
        missing.push(Missing::degrading(
            format!("default privileges on {kind} in schema {schema}"),
            "what is created there later is refused to the API roles until it is granted by hand",
            fix.into_parts().0,
        ));
    }
    Ok(())
}

async fn check_extensions(
    connection: &mut PgConnection,
    missing: &mut Vec<Missing>,
) -> Result<Vec<String>, sqlx::Error> {
    let found: Vec<(String, bool)> = sqlx::query_as(
        "select name::text, installed_version is not null from pg_catalog.pg_available_extensions
         where installed_version is not null or name = any ($1) order by 1",
    )
    .bind(EXTENSIONS.as_slice())
    .fetch_all(connection)
    .await?;
    for extension in EXTENSIONS {
        let is_available = found.iter().any(|(name, _)| name == extension);
        if found.iter().any(|(name, is_installed)| name == extension && *is_installed) {
            continue;
        }
        let mut fix = SqlBuf::new();
        if is_available {
            fix.lit("create extension ").ident(extension).lit(" schema extensions;");
        }
        let consequence = if is_available {
            "its functions cannot be used"
        } else {
            "its functions cannot be used; the server does not have it (packages often call it postgresql-contrib)"
        };
        missing.push(Missing::degrading(format!("extension {extension}"), consequence, fix.into_parts().0));
    }
    Ok(found.into_iter().filter(|(_, is_installed)| *is_installed).map(|(name, _)| name).collect())
}
