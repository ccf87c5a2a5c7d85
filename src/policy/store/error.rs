//! What can go wrong with stored rules, each text saying what to do.

use crate::catalog::model::QualifiedName;

/// Why rules could not be read, stored or put in force.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table has no rules.
    #[error("{0} has no rules; store some first")]
    NotFound(QualifiedName),
    /// Somebody else changed the rules meanwhile.
    #[error("the rules of {table} are {}, not what you expected; read them again and repeat your change", version_text(*actual))]
    VersionMismatch {
        /// The table.
        table: QualifiedName,
        /// The version that is stored; none if there are no rules.
        actual: Option<i64>,
    },
    /// There is no such table.
    #[error(
        "there is no table or view {0}; write it as schema and name, in the case in which it was created"
    )]
    NoSuchTable(QualifiedName),
    /// A rule names a column that the table does not have.
    #[error("{field}: {table} has no column {column}")]
    NoSuchColumn {
        /// The rule.
        field: String,
        /// The column.
        column: String,
        /// The table.
        table: QualifiedName,
    },
    /// A rule does not fit the table.
    #[error("{field}: {problem}")]
    Unsuitable {
        /// The rule.
        field: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// PostgreSQL or we refuse a filter.
    #[error("custom_filters.{name}: {problem}")]
    Filter {
        /// The filter.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The stored rules of the table cannot be understood.
    #[error("the stored rules of {table} cannot be read: {problem}; store them again")]
    Unreadable {
        /// The table.
        table: QualifiedName,
        /// What is wrong with them.
        problem: String,
    },
    /// A table without rules has traces of some, while rules of a table that is gone are stored.
    #[error(
        "{table} has policies or triggers of rules, but no rules; {missing} has rules, but is not there: if one is the other \
         under a new name, store the rules under it, else remove those of {missing}"
    )]
    Orphaned {
        /// The table that is there.
        table: QualifiedName,
        /// The one that is not.
        missing: QualifiedName,
    },
    /// The rules ask for what only the table's owner may change.
    #[error(
        "{table} belongs to role {owner}, and {login} may not change its policies and grants: run `grant {owner} to {login}`, \
         or set database.owner_url to a login that owns the table"
    )]
    NotOwner {
        /// The table.
        table: QualifiedName,
        /// Its owner.
        owner: String,
        /// The connected role.
        login: String,
    },
    /// Others keep the table locked.
    #[error(
        "{0} is locked by other transactions for too long; try again, or look for a long one in pg_stat_activity"
    )]
    Busy(QualifiedName),
    /// The database has no place for rules.
    #[error("this database was not prepared for rules: start `goforward serve` on it once, without --only")]
    NotPrepared,
    /// The database does not answer.
    #[error("the database cannot be reached: {0}")]
    Unavailable(sqlx::Error),
    /// The database answered with an error that we did not expect.
    #[error("the database refused: {0}")]
    Database(sqlx::Error),
}

fn version_text(version: Option<i64>) -> String {
    version.map_or_else(|| "absent".to_owned(), |version| format!("at version {version}"))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(_) if code_of(&error).is_some_and(|code| code.starts_with("57P0")) => {
                Self::Unavailable(error)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            error => Self::Database(error),
        }
    }
}

/// The SQLSTATE that the database answered with.
pub(super) fn code_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned)
}

impl StoreError {
    /// Whether a lock was in the way, so that a new try may succeed: lock_not_available, deadlock_detected.
    pub(super) fn is_locked(&self) -> bool {
        let Self::Database(error) = self else { return false };
        code_of(error).is_some_and(|code| matches!(code.as_str(), "55P03" | "40P01"))
    }
}
