//! Schemas `auth`, `realtime` and `storage` that were there before us: made by Supabase they are completed and used, made by anything
//! else they are left.
//!
//! The login `goforward` needs an owner's rights on their tables, since row-level security hides their rows from everybody
//! else. Where the role is one that Supabase made for the schema, `goforward` becomes a member of it, so that what belongs
//! to that role goes on working. From any other owner, such as the superuser who restored a dump, the objects go over to
//! `goforward`: being a member of that role would give it more than it needs.

use sqlx::postgres::PgConnection;

use super::error::BootstrapError;
use super::roles::can_act_as;
use super::step::{self, attempt};
use super::{Owner, SERVICE_LOGIN};
use crate::kernel::sql::SqlBuf;

/// A schema that Supabase makes as well.
struct Shared {
    schema: &'static str,
    /// The role that owns it, or the main part of it, in Supabase projects, and owns nothing else.
    supabase_owner: &'static str,
    /// A table and a column of it that only Supabase calls so: without the column it is another system's.
    mark: (&'static str, &'static str),
    /// Ours in it. What else is there is the application's, and stays whose it is.
    tables: &'static [&'static str],
    types: &'static [&'static str],
    functions: &'static [&'static str],
}

const SHARED: [Shared; 3] = [
    Shared {
        schema: "auth",
        supabase_owner: "supabase_auth_admin",
        mark: ("users", "raw_app_meta_data"),
        tables: &TABLES,
        types: &TYPES,
        functions: &["email", "jwt", "role", "uid"],
    },
    Shared {
        schema: "realtime",
        supabase_owner: "supabase_realtime_admin",
        mark: ("messages", "extension"),
        tables: &["messages", "subscription"],
        types: &["action", "equality_op", "user_defined_filter"],
        functions: &["broadcast_changes", "send", "send_binary", "to_regrole", "topic"],
    },
    Shared {
        schema: "storage",
        supabase_owner: "supabase_storage_admin",
        mark: ("objects", "bucket_id"),
        tables: &["buckets", "objects", "s3_multipart_uploads", "s3_multipart_uploads_parts"],
        types: &["buckettype", "file_reference"],
        functions: &[
            "allow_any_operation",
            "allow_only_operation",
            "enforce_bucket_name_length",
            "extension",
            "filename",
            "foldername",
            "get_size_by_bucket",
            "list_objects_with_delimiter",
            "operation",
            "protect_delete",
            "search",
            "search_v2",
            "update_updated_at_column",
        ],
    },
];

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

/// An object in a shared schema that `goforward` would have to own.
#[derive(sqlx::FromRow)]
struct Foreign {
    /// `schema`, `table`, `type` or `function`.
    kind: String,
    /// Of a function the whole signature, as SQL.
    name: String,
    owner: String,
}

/// Gives `goforward` its rights; does nothing where it has them.
pub(super) async fn ensure(connection: &mut PgConnection, owner: &Owner) -> Result<(), BootstrapError> {
    for shared in &SHARED {
        shared.refuse_other_systems(connection).await?;
    }
    if owner.name == SERVICE_LOGIN || !can_act_as(connection, SERVICE_LOGIN).await? {
        return Ok(());
    }
    let mut transaction = step::begin(connection).await?;
    for shared in &SHARED {
        shared.take_over(&mut transaction, owner).await?;
    }
    transaction.commit().await?;
    Ok(())
}

impl Shared {
    /// A table that lacks what only Supabase calls so is somebody else's, and is not touched.
    async fn refuse_other_systems(&self, connection: &mut PgConnection) -> Result<(), BootstrapError> {
        let (table, column) = self.mark;
        let stranger: Option<String> = sqlx::query_scalar(
            "select pg_catalog.pg_get_userbyid(class.relowner)::text from pg_catalog.pg_class as class
             join pg_catalog.pg_namespace as space on space.oid = class.relnamespace
             where space.nspname = $1 and class.relname = $2 and not exists (
                 select from pg_catalog.pg_attribute as field
                 where field.attrelid = class.oid and field.attname = $3 and not field.attisdropped)",
        )
        .bind(self.schema)
        .bind(table)
        .bind(column)
        .fetch_optional(connection)
        .await?;
        match stranger {
            Some(owner) => Err(BootstrapError::ForeignSchema { schema: self.schema.to_owned(), owner }),
            None => Ok(()),
        }
    }

    async fn take_over(&self, connection: &mut PgConnection, owner: &Owner) -> Result<(), BootstrapError> {
        for object in self.foreign_objects(connection).await? {
            if object.owner == self.supabase_owner {
                attempt(connection, &self.membership()).await?;
                break;
            }
        }
        // Those that the membership did not settle.
        for object in self.foreign_objects(connection).await? {
            if !attempt(connection, &self.transfer(&object)).await? {
                let is_supabase = object.owner == self.supabase_owner;
                let fix = if is_supabase { self.membership() } else { self.transfer(&object) };
                return Err(BootstrapError::NotAllowed {
                    role: owner.name.clone(),
                    what: "give the login goforward its rights on a schema that it shares with Supabase",
                    sql: fix.into_parts().0,
                });
            }
        }
        Ok(())
    }

    /// What belongs to roles whose rights `goforward` lacks; the schema comes first, as the others need it.
    async fn foreign_objects(&self, connection: &mut PgConnection) -> Result<Vec<Foreign>, sqlx::Error> {
        sqlx::query_as(
            "select object.kind, object.name, pg_catalog.pg_get_userbyid(object.owner)::text as owner
             from pg_catalog.pg_namespace as space
             cross join lateral (
                 select 1 as place, 'schema' as kind, space.nspname::text as name, space.nspowner as owner
                 union all
                 -- Partitions have owners of their own.
                 select 2, 'table', relname::text, relowner from pg_catalog.pg_class
                 where relnamespace = space.oid and relkind in ('r', 'p') and (relname = any ($2) or exists (
                     select from pg_catalog.pg_inherits join pg_catalog.pg_class as root on root.oid = inhparent
                     where inhrelid = pg_class.oid and root.relname = any ($2)))
                 union all
                 select 3, 'type', typname::text, typowner from pg_catalog.pg_type
                 where typnamespace = space.oid and typname = any ($3)
                 union all
                 select 4, 'function', pg_catalog.format('%I.%I(%s)', space.nspname, proname,
                            pg_catalog.pg_get_function_identity_arguments(pg_proc.oid)), proowner
                 from pg_catalog.pg_proc where pronamespace = space.oid and proname = any ($4)
             ) as object
             where space.nspname = $5 and not pg_catalog.pg_has_role($1::name, object.owner, 'USAGE')
             order by object.place, object.name",
        )
        .bind(SERVICE_LOGIN)
        .bind(self.tables)
        .bind(self.types)
        .bind(self.functions)
        .bind(self.schema)
        .fetch_all(connection)
        .await
    }

    fn membership(&self) -> SqlBuf {
        let mut sql = SqlBuf::new();
        sql.lit("grant ").ident(self.supabase_owner).lit(" to ").ident(SERVICE_LOGIN);
        sql
    }

    fn transfer(&self, object: &Foreign) -> SqlBuf {
        let mut sql = SqlBuf::new();
        match object.kind.as_str() {
            "schema" => sql.lit("alter schema ").ident(&object.name),
            "table" => sql.lit("alter table ").name(self.schema, &object.name),
            "type" => sql.lit("alter type ").name(self.schema, &object.name),
            _ => sql.lit("alter function ").catalog_sql(&object.name),
        };
        sql.lit(" owner to ").ident(SERVICE_LOGIN);
        sql
    }
}
