//! The errors of the service and their one mapping to answers. Codes are listed in `docs/errors.md`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::kernel::http::BodyError;
use crate::policy::model::RuleError;
use crate::policy::store::StoreError;
use crate::policy::store::lint::LintError;

/// Why a request to the service fails.
#[derive(Debug)]
pub(super) enum SecurityError {
    /// The caller may not do this.
    NotAllowed(&'static str),
    /// The path does not name a table.
    BadTable,
    /// The body is no JSON, or not of the form asked for; what is wrong.
    BadBody(String),
    /// The body cannot be had.
    Body(BodyError),
    /// The rules make no sense.
    Rules(RuleError),
    /// `If-Match` or `If-None-Match` cannot be read.
    BadCondition,
    /// The claims name no role that a caller can have.
    BadRole(String),
    /// The store refused or failed.
    Store(StoreError),
    /// The database could not be asked.
    Database(sqlx::Error),
    /// The database could not be linted.
    Lint(LintError),
    /// There is no catalog yet.
    NotReady,
}

impl From<LintError> for SecurityError {
    fn from(error: LintError) -> Self {
        Self::Lint(error)
    }
}

impl From<StoreError> for SecurityError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RuleError> for SecurityError {
    fn from(error: RuleError) -> Self {
        Self::Rules(error)
    }
}

impl From<sqlx::Error> for SecurityError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl SecurityError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => "not_allowed",
            Self::BadTable => "invalid_table_name",
            Self::BadBody(_) | Self::Body(_) => "invalid_body",
            Self::Rules(_) => "invalid_rules",
            Self::BadCondition => "invalid_condition",
            Self::BadRole(_) => "role_refused",
            Self::Store(error) => store_code(error),
            Self::Database(_) | Self::Lint(_) | Self::NotReady => "database_unavailable",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotAllowed(_) => StatusCode::FORBIDDEN,
            Self::BadTable | Self::BadBody(_) | Self::Rules(_) | Self::BadCondition | Self::BadRole(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Body(error) => error.status(),
            Self::Store(error) => store_status(error),
            Self::Database(_) | Self::Lint(_) | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::NotAllowed(what) => format!("you may not {what}"),
            Self::BadTable => "the path does not name a table".to_owned(),
            Self::BadBody(problem) => format!("the body cannot be read: {problem}"),
            Self::Body(error) => error.to_string(),
            Self::Rules(error) => error.to_string(),
            Self::BadCondition => "the condition header is no version of this table's rules".to_owned(),
            Self::BadRole(role) => format!("callers cannot have the role {role}"),
            // Details of the connection go to the log only.
            Self::Store(StoreError::Unavailable(_) | StoreError::Database(_))
            | Self::Database(_)
            | Self::Lint(_)
            | Self::NotReady => "the database does not answer".to_owned(),
            Self::Store(error) => error.to_string(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAllowed(_) => Some("Use the project's secret key (`goforward keys`)"),
            Self::BadTable => Some("Write it as schema.table, such as public.orders"),
            Self::BadCondition => Some("Send the ETag of a GET as it is, such as \"v3\""),
            Self::BadRole(_) => Some("Grant the role to the authenticator login, or name another one"),
            _ => None,
        }
    }
}

fn store_code(error: &StoreError) -> &'static str {
    fn code(error: &StoreError) -> &'static str {
        match error {
            StoreError::NotFound(_) => "no_rules",
            StoreError::VersionMismatch { .. } => "version_mismatch",
            StoreError::NoSuchTable(_) => "no_such_table",
            StoreError::NoSuchColumn { .. } => "no_such_column",
            StoreError::Unsuitable { .. } => "invalid_rules",
            StoreError::Filter { .. } => "invalid_filter",
            StoreError::Unreadable { .. } | StoreError::Orphaned { .. } => "unreadable_rules",
            StoreError::NotOwner { .. } => "not_owner",
            StoreError::Busy(_) => "table_busy",
            StoreError::NotPrepared => "not_prepared",
            StoreError::Unavailable(_) | StoreError::Database(_) => "database_unavailable",
        }
    }
    code(error)
}

fn store_status(error: &StoreError) -> StatusCode {
    match error {
        StoreError::NotFound(_) | StoreError::NoSuchTable(_) => StatusCode::NOT_FOUND,
        StoreError::VersionMismatch { .. } => StatusCode::PRECONDITION_FAILED,
        StoreError::NoSuchColumn { .. } | StoreError::Unsuitable { .. } | StoreError::Filter { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        StoreError::Unreadable { .. }
        | StoreError::Orphaned { .. }
        | StoreError::NotOwner { .. }
        | StoreError::NotPrepared => StatusCode::CONFLICT,
        StoreError::Busy(_) | StoreError::Unavailable(_) | StoreError::Database(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

impl IntoResponse for SecurityError {
    fn into_response(self) -> Response {
        match &self {
            Self::Database(cause)
            | Self::Store(StoreError::Unavailable(cause) | StoreError::Database(cause)) => {
                tracing::error!(kind = "error", "rules of tables cannot be read or changed: {cause}");
            }
            Self::Lint(cause) => tracing::error!(kind = "error", "the database cannot be linted: {cause}"),
            _ => {}
        }
        let body: Value = json!({
            "code": self.code(), "message": self.message(), "details": null, "hint": self.hint(),
        });
        let status = self.status();
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
