//! A schema `auth` that was there before us: made by Supabase it is completed and used, made by anything else it is left.
//!
//! The login `goforward` needs an owner's rights on its tables, since row-level security hides their rows from everybody
//! else. Where the role is Supabase's own, `goforward` becomes a member of it, so that what belongs to that role goes on
//! working. From any other owner, such as the superuser who restored a dump, the objects go over to `goforward`: being a
//! member of that role would give it more than it needs.

use sqlx::postgres::PgConnection;

use super::error::BootstrapError;
use super::roles::can_act_as;
use super::step::{self, attempt};
use super::{Owner, SERVICE_LOGIN};
use crate::kernel::sql::SqlBuf;

/// The role that owns schema `auth` in Supabase projects, and owns nothing else.
const SUPABASE_OWNER: &str = "supabase_auth_admin";

/// Our tables in `auth`. Others there are the application's, and stay whose they are.
pub(super) const TABLES: [&str; 16] = [
    "audit_log_entries",
    "custom_oauth_providers",
    "flow_state",
    "identities",
    "instances",
    "mfa_amr_claims",
    "mfa_challenges",
    "mfa_factors",
    "oauth_client_states",
    "one_time_tokens",
    "refresh_tokens",
    "schema_migrations",
    "sessions",
    "users",
    "webauthn_challenges",
    "webauthn_credentials",
];
/// Our types there.
pub(super) const TYPES: [&str; 5] =
    ["aal_level", "code_challenge_method", "factor_status", "factor_type", "one_time_token_type"];
/// Our functions there; none takes an argument.
const FUNCTIONS: [&str; 4] = ["email", "jwt", "role", "uid"];

/// An object in `auth` that `goforward` would have to own.
#[derive(sqlx::FromRow)]
struct Foreign {
    /// `schema`, `table`, `type` or `function`.
    kind: String,
    name: String,
    owner: String,
}

/// Gives `goforward` its rights; does nothing where it has them.
pub(super) async fn ensure(connection: &mut PgConnection, owner: &Owner) -> Result<(), BootstrapError> {
    refuse_other_systems(connection).await?;
    if owner.name == SERVICE_LOGIN || !can_act_as(connection, SERVICE_LOGIN).await? {
        return Ok(());
    }
    let mut transaction = step::begin(connection).await?;
    for object in foreign_objects(&mut transaction).await? {
        if object.owner == SUPABASE_OWNER {
            attempt(&mut transaction, &membership()).await?;
            break;
        }
    }
    // Those that the membership did not settle.
    for object in foreign_objects(&mut transaction).await? {
        if !attempt(&mut transaction, &transfer(&object)).await? {
            let fix = if object.owner == SUPABASE_OWNER { membership() } else { transfer(&object) };
            return Err(BootstrapError::NotAllowed {
                role: owner.name.clone(),
                what: "give the login goforward its rights on schema auth",
                sql: fix.into_parts().0,
            });
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// A table of users that lacks what only Supabase calls so is somebody else's, and is not touched.
async fn refuse_other_systems(connection: &mut PgConnection) -> Result<(), BootstrapError> {
    let stranger: Option<String> = sqlx::query_scalar(
        "select pg_catalog.pg_get_userbyid(class.relowner)::text from pg_catalog.pg_class as class
         where class.oid = pg_catalog.to_regclass('auth.users') and not exists (
             select from pg_catalog.pg_attribute as field
             where field.attrelid = class.oid and field.attname = 'raw_app_meta_data' and not field.attisdropped)",
    )
    .fetch_optional(connection)
    .await?;
    match stranger {
        Some(owner) => Err(BootstrapError::ForeignSchema { schema: "auth".to_owned(), owner }),
        None => Ok(()),
    }
}

/// What in `auth` belongs to roles whose rights `goforward` lacks; the schema comes first, as the others need it.
async fn foreign_objects(connection: &mut PgConnection) -> Result<Vec<Foreign>, sqlx::Error> {
    sqlx::query_as(
        "select object.kind, object.name, pg_catalog.pg_get_userbyid(object.owner)::text as owner
         from pg_catalog.pg_namespace as space
         cross join lateral (
             select 1 as place, 'schema' as kind, 'auth' as name, space.nspowner as owner
             union all
             select 2, 'table', relname::text, relowner from pg_catalog.pg_class
             where relnamespace = space.oid and relname = any ($2)
             union all
             select 3, 'type', typname::text, typowner from pg_catalog.pg_type
             where typnamespace = space.oid and typname = any ($3)
             union all
             select 4, 'function', proname::text, proowner from pg_catalog.pg_proc
             where pronamespace = space.oid and pronargs = 0 and proname = any ($4)
         ) as object
         where space.nspname = 'auth' and not pg_catalog.pg_has_role($1::name, object.owner, 'USAGE')
         order by object.place, object.name",
    )
    .bind(SERVICE_LOGIN)
    .bind(TABLES.as_slice())
    .bind(TYPES.as_slice())
    .bind(FUNCTIONS.as_slice())
    .fetch_all(connection)
    .await
}

fn membership() -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("grant ").ident(SUPABASE_OWNER).lit(" to ").ident(SERVICE_LOGIN);
    sql
}

fn transfer(object: &Foreign) -> SqlBuf {
    let mut sql = SqlBuf::new();
    match object.kind.as_str() {
        "schema" => sql.lit("alter schema ").ident(&object.name),
        "table" => sql.lit("alter table ").name("auth", &object.name),
        "type" => sql.lit("alter type ").name("auth", &object.name),
        _ => sql.lit("alter function ").name("auth", &object.name).lit("()"),
    };
    sql.lit(" owner to ").ident(SERVICE_LOGIN);
    sql
}
