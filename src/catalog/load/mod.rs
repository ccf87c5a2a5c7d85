//! Reads the catalog from PostgreSQL: one round trip per kind of object, all in one repeatable-read transaction with an
//! empty search path, so that every type name comes out qualified and all of them fit together.
//!
//! The queries are in the files beside this one, each with the rows it yields; `assemble` makes the snapshot of them.
//! Reads `pg_catalog` only and needs no more rights than any login has. PostgreSQL 14 to 18.

mod assemble;
mod assemble_functions;
mod carriers;
mod columns;
mod fingerprint;
mod functions;
mod keys;
mod lineage;
mod relations;
mod roles;
mod settings;
pub(crate) mod table_security;
mod views;

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use super::model::{Catalog, QualifiedName, TableSecurityRows};

pub use fingerprint::{Fingerprint, event_trigger_present, fingerprint, snapshot_text};
pub use settings::{in_database_settings, server_version};
pub(super) use table_security::stored_rules;

/// What of the database belongs to the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The exposed schemas, the default first.
    pub schemas: Vec<String>,
    /// Schemas whose views may be read through when tracing keys, though they are not exposed themselves.
    pub extra_search_path: Vec<String>,
    /// The login that switches to the callers' roles; the login of the loading connection if none is given.
    pub authenticator: Option<String>,
}

/// Why the catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database did not answer, or not as expected.
    #[error("cannot read the database schema: {0}")]
    Database(#[from] sqlx::Error),
    /// The login that the roles are asked for does not exist.
    #[error("the login \"{0}\" does not exist in the database; create it or correct database.authenticator")]
    UnknownAuthenticator(String),
    /// The server is too old.
    #[error("PostgreSQL 14 or newer is needed, this one is {0}")]
    TooOld(u32),
    /// Putting the snapshot together failed.
    #[error("cannot put the catalog together: {0}")]
    Assemble(#[from] tokio::task::JoinError),
}

impl LoadError {
    /// Whether an object vanished while it was read (DDL at the same moment); trying again at once helps.
    pub fn is_race(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        // internal_error is what "cache lookup failed" comes as; undefined_table and undefined_object the others.
        error.code().is_some_and(|code| matches!(&*code, "XX000" | "42P01" | "42704" | "42883"))
    }
}

/// What the queries yielded, before it is put together.
struct Rows {
    relations: Vec<relations::RelationRow>,
    bases: Vec<relations::BaseRow>,
    comments: Vec<relations::SchemaCommentRow>,
    columns: Vec<columns::ColumnRow>,
    keys: Vec<keys::KeyRow>,
    views: Vec<views::ViewRow>,
    read_columns: Vec<views::ReadColumnRow>,
    heirs: Vec<carriers::HeirRow>,
    generated: Vec<carriers::GeneratedRow>,
    row_functions: Vec<carriers::RowFunctionRow>,
    table_security: TableSecurityRows,
    not_granted: Vec<table_security::NotGrantedRow>,
    own_policies: Vec<table_security::OwnPolicyRow>,
    functions: Vec<functions::FunctionRow>,
    computed: Vec<functions::ComputedRow>,
    handlers: Vec<functions::HandlerRow>,
    representations: Vec<functions::RepresentationRow>,
    roles: Vec<roles::RoleRow>,
    role_settings: Vec<roles::RoleSettingRow>,
}

/// Reads one snapshot. Its `version` is 0: whoever publishes it counts.
///
/// `previous` lends what does not change while a server runs (time zone names, slow to read).
pub async fn load(
    connection: &mut PgConnection,
    options: &LoadOptions,
    previous: Option<&Catalog>,
) -> Result<Catalog, LoadError> {
    let server_version = server_version(connection).await?;
    if server_version < 140_000 {
        return Err(LoadError::TooOld(server_version));
    }
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    // Compiling these plans would take longer than running them.
    sqlx::raw_sql(
        "SET LOCAL search_path = ''; SET LOCAL jit = off; SET LOCAL statement_timeout = '60s'; \
         SET LOCAL quote_all_identifiers = off",
    )
    .execute(&mut *transaction)
    .await?;
    let timezones = match previous {
        Some(catalog) if catalog.server_version == server_version && !catalog.timezones.is_empty() => {
            catalog.timezones.clone()
        }
        _ => Arc::new(roles::timezones(&mut transaction).await?),
    };
    let mut rows = read_all(&mut transaction, options, server_version).await?;
    transaction.commit().await?;
    let had_rules = previous.is_some_and(|previous| *previous.table_security != TableSecurityRows::Absent);
    if had_rules && rows.table_security == TableSecurityRows::Absent {
        // Rules do not end by losing their table.
        rows.table_security = TableSecurityRows::Unreadable(Arc::from("goforward.table_security is gone"));
    }
    let options = options.clone();
    let catalog =
        tokio::task::spawn_blocking(move || assemble::assemble(rows, &options, timezones, server_version))
            .await?;
    Ok(catalog)
}

async fn read_all(
    connection: &mut PgConnection,
    options: &LoadOptions,
    server_version: u32,
) -> Result<Rows, LoadError> {
    let schemas = &options.schemas;
    let mut traced = schemas.clone();
    traced.extend(options.extra_search_path.iter().cloned());
    let authenticator = options.authenticator.as_deref();
    Ok(Rows {
        // First, as it says clearly when the authenticator is missing.
        roles: roles::roles(connection, authenticator, server_version).await?,
        role_settings: roles::role_settings(connection, authenticator, server_version).await?,
        relations: relations::relations(connection, schemas).await?,
        bases: relations::bases(connection).await?,
        comments: relations::schema_comments(connection, schemas).await?,
        columns: columns::columns(connection, schemas).await?,
        keys: keys::keys(connection).await?,
        views: views::views(connection, &traced).await?,
        read_columns: views::read_columns(connection).await?,
        heirs: carriers::heirs(connection).await?,
        generated: carriers::generated(connection).await?,
        row_functions: carriers::row_functions(connection).await?,
        not_granted: table_security::not_granted(connection, schemas, authenticator, server_version).await?,
        own_policies: table_security::own_policies(connection).await?,
        table_security: table_security::stored_rules(connection).await?,
        functions: functions::functions(connection, schemas).await?,
        computed: functions::computed(connection).await?,
        handlers: functions::handlers(connection, schemas).await?,
        representations: functions::representations(connection, authenticator).await?,
    })
}

/// One `Arc` per distinct text: type names and columns called `id` repeat thousands of times.
#[derive(Default)]
struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(text);
        self.0.insert(new.clone());
        new
    }

    fn name(&mut self, schema: &str, name: &str) -> QualifiedName {
        QualifiedName { schema: self.text(schema), name: self.text(name) }
    }

    fn texts(&mut self, texts: &[String]) -> Vec<Arc<str>> {
        texts.iter().map(|text| self.text(text)).collect()
    }
}
