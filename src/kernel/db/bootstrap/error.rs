//! Why a database could not be prepared. The texts go to the operator; each says what to do.

use super::super::embedded::OLDEST_MAJOR;

/// A reason for which a database cannot be used at all; what merely degrades is a [`super::Missing`].
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The server is too old.
    #[error("the database server is PostgreSQL {version}, but {OLDEST_MAJOR} or newer is needed: upgrade it")]
    TooOld {
        /// Its major version.
        version: i32,
    },
    /// It only speaks PostgreSQL's protocol.
    #[error(
        "the database server is {product}, which lacks what goforward needs (roles for callers, row-level security): use PostgreSQL"
    )]
    OtherProduct {
        /// What it is.
        product: &'static str,
    },
    /// It cannot be written to.
    #[error("the database server is a read-only standby: set database.url to the primary server")]
    Standby,
    /// A schema that we need is somebody else's.
    #[error(
        "schema {schema} belongs to role {owner}, so another system lives in this database: use a database of its own, \
         or start with `--only rest`"
    )]
    ForeignSchema {
        /// The schema.
        schema: String,
        /// Its owner.
        owner: String,
    },
    /// The owner may not create what is needed.
    #[error("role {role} may not {what}: run `{sql}` as a superuser or as the database's owner")]
    NotAllowed {
        /// The connected role.
        role: String,
        /// What it lacks.
        what: &'static str,
        /// What gives it.
        sql: String,
    },
    /// An applied migration has another text now.
    #[error(
        "migration {name} was changed after it had been applied to this database: run the version of goforward that applied it, or restore the file"
    )]
    ChangedMigration {
        /// The migration.
        name: &'static str,
    },
    /// A migration failed.
    #[error("migration {name} failed and was rolled back: {source}")]
    Migration {
        /// The migration.
        name: &'static str,
        /// The database's answer.
        source: sqlx::Error,
    },
    /// Another node holds the lock for too long.
    #[error(
        "another goforward has been preparing this database for over a minute: look for a blocked session in pg_stat_activity"
    )]
    Locked,
    /// The database failed or is not reachable.
    #[error("the database could not be prepared: {0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for BootstrapError {
    fn from(error: sqlx::Error) -> Self {
        // lock_not_available
        if has_code(&error, &["55P03"]) { Self::Locked } else { Self::Database(error) }
    }
}

/// Whether the database answered with one of these SQLSTATEs.
pub(super) fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| codes.contains(&code.as_ref())),
        _ => false,
    }
}
