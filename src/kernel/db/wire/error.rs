//! What can go wrong between a group and its answer.
//!
//! [`SqlError`] is PostgreSQL's own report, field by field; [`DbError`] adds what our side knows. Texts in here may hold
//! user data (a row in DETAIL), so they go to the caller or nowhere; they are not for the log.

use std::time::Duration;

/// Which statement of the group failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stage {
    /// Opening the transaction.
    Begin,
    /// Setting role, claims and the other settings.
    Settings,
    /// The pre-request call.
    Before,
    /// The query itself.
    #[default]
    Query,
    /// The end: deferred constraints, serialization failures.
    End,
}

/// An `ErrorResponse` of PostgreSQL
/// (<https://www.postgresql.org/docs/current/protocol-error-fields.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlError {
    /// ERROR, FATAL or PANIC, never translated.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// DETAIL
    pub detail: Option<String>,
    /// HINT
    pub hint: Option<String>,
    /// A 1-based character position in the query.
    pub position: Option<u32>,
    /// CONTEXT: the call stack.
    pub context: Option<String>,
    /// The schema concerned.
    pub schema: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The data type concerned.
    pub data_type: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
    /// PostgreSQL's source routine; unlike the message it is never translated.
    pub routine: Option<String>,
    /// The statement of the group that failed.
    pub stage: Stage,
}

impl SqlError {
    /// An error of our own in PostgreSQL's shape, for limits that are the protocol's.
    pub(in crate::kernel::db) fn local(code: &str, message: &str) -> Self {
        Self {
            severity: "ERROR".to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            ..Self::default()
        }
    }

    /// Reads the fields of an `ErrorResponse`'s body.
    pub(in crate::kernel::db) fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, text)) = field.split_first() else { continue };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'S' if error.severity.is_empty() => error.severity = text,
                b'V' => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'P' => error.position = text.parse().ok(),
                b'W' => error.context = Some(text),
                b's' => error.schema = Some(text),
                b't' => error.table = Some(text),
                b'c' => error.column = Some(text),
                b'd' => error.data_type = Some(text),
                b'n' => error.constraint = Some(text),
                b'R' => error.routine = Some(text),
                _ => {}
            }
        }
        error
    }

    /// Whether the connection ends with this error.
    pub fn is_fatal(&self) -> bool {
        self.severity == "FATAL" || self.severity == "PANIC"
    }

    /// Whether the same request may succeed if it is sent again: serialization failure or deadlock.
    pub fn is_retryable(&self) -> bool {
        matches!(self.code.as_str(), "40001" | "40P01")
    }

    /// Whether a prepared statement of ours no longer fits: its result type changed or it is gone.
    pub(in crate::kernel::db) fn is_stale_statement(&self) -> bool {
        match self.code.as_str() {
            "0A000" => self.routine.as_deref() == Some("RevalidateCachedQuery"),
            "26000" => true,
            _ => false,
        }
    }
}

/// Why the database cannot be used now. The reason names no secret and no address; the log has the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// A short reason.
    pub reason: &'static str,
    /// When to try again.
    pub retry_after: Duration,
    /// A write whose connection was lost after it was sent: it may or may not have happened.
    pub maybe_committed: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// PostgreSQL refused; the transaction was rolled back.
    #[error("{}: {}", .0.code, .0.message)]
    Sql(Box<SqlError>),
    /// The database is down, starting, or full.
    #[error("the database is not available: {}", .0.reason)]
    Unavailable(Box<Unavailable>),
    /// No connection came free within the acquire timeout.
    #[error("timed out waiting for a database connection")]
    PoolTimeout,
    /// Too many requests wait already.
    #[error("too many requests wait for a database connection")]
    QueueFull,
    /// The database did not answer in time; the query was cancelled.
    #[error("the database did not answer in time")]
    Timeout,
    /// The reader of the answer was too slow and lost it.
    #[error("the answer was not read in time")]
    ClientGone,
    /// A fault of ours.
    #[error("{0}")]
    Internal(&'static str),
}

impl DbError {
    /// Unavailable, with nothing written.
    pub(in crate::kernel::db) fn unavailable(reason: &'static str, retry_after: Duration) -> Self {
        Self::Unavailable(Box::new(Unavailable { reason, retry_after, maybe_committed: false }))
    }

    /// Unavailable because the connection of a running group was lost.
    pub(in crate::kernel::db) fn lost(maybe_committed: bool) -> Self {
        Self::Unavailable(Box::new(Unavailable {
            reason: "the connection was lost",
            retry_after: Duration::from_secs(1),
            maybe_committed,
        }))
    }

    /// Whether the same request may succeed if it is sent again, with no danger of doing it twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Sql(error) => error.is_retryable(),
            Self::Unavailable(unavailable) => !unavailable.maybe_committed,
            Self::PoolTimeout | Self::QueueFull => true,
            Self::Timeout | Self::ClientGone | Self::Internal(_) => false,
        }
    }

    /// PostgreSQL's report, where this is one.
    pub fn sql(&self) -> Option<&SqlError> {
        match self {
            Self::Sql(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_gives_all_its_fields() {
        let body = b"SFEHLER\0VERROR\0C23505\0Mduplicate\0Dkey (id)\0Hhint\0P12\0Wctx\0spublic\0tt\0cc\0dint4\0nt_pkey\0R_bt\0\0";
        let error = SqlError::parse(body);
        assert_eq!((error.severity.as_str(), error.code.as_str()), ("ERROR", "23505"));
        assert_eq!((error.position, error.constraint.as_deref()), (Some(12), Some("t_pkey")));
        assert_eq!((error.schema.as_deref(), error.table.as_deref()), (Some("public"), Some("t")));
        assert!(!error.is_fatal() && !error.is_retryable());
    }

    #[test]
    fn a_write_that_may_have_happened_is_not_retryable() {
        assert!(!DbError::lost(true).is_retryable());
        assert!(DbError::lost(false).is_retryable());
        assert!(DbError::Sql(Box::new(SqlError::local("40001", "x"))).is_retryable());
    }
}
