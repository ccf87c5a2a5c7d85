//! Why something that an operator asks for is not done, and the one mapping to answers. Codes are listed in `docs/errors.md`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::credentials::CredentialsError;
use super::definitions::DefinitionError;
use super::store::definitions::StoreError;
use super::store::publication::PublicationError;
use crate::kernel::http::BodyError;

/// Why a request of an operator fails.
#[derive(Debug)]
pub(super) enum ManagementError {
    /// Who asks is not known.
    Credentials(CredentialsError),
    /// The caller may not do this.
    NotAllowed,
    /// The body is no JSON object of the form asked for; what is wrong.
    BadBody(String),
    /// The body cannot be had.
    Body(BodyError),
    /// The definition is not stored, or not there.
    Definition(StoreError),
    /// What was stored by hand cannot be read; what it is.
    Unreadable(String),
    /// The table is not named as `schema.table`.
    BadTable,
    /// The table is not published or withdrawn.
    Publication(PublicationError),
}

impl From<StoreError> for ManagementError {
    fn from(error: StoreError) -> Self {
        Self::Definition(error)
    }
}

impl From<DefinitionError> for ManagementError {
    fn from(error: DefinitionError) -> Self {
        Self::Definition(StoreError::Invalid(error))
    }
}

impl From<PublicationError> for ManagementError {
    fn from(error: PublicationError) -> Self {
        Self::Publication(error)
    }
}

impl ManagementError {
    /// The stable name of what is wrong.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Credentials(CredentialsError::Missing) => "no_authorization",
            Self::Credentials(CredentialsError::Scope) => "insufficient_scope",
            Self::Credentials(
                CredentialsError::Expired(_)
                | CredentialsError::ClaimsMissing
                | CredentialsError::Malformed
                | CredentialsError::Signature
                | CredentialsError::Session(_),
            ) => "bad_jwt",
            Self::NotAllowed => "not_allowed",
            Self::BadBody(_) | Self::Body(_) => "invalid_body",
            Self::Definition(StoreError::Invalid(_)) => "invalid_definition",
            Self::Definition(StoreError::Absent) => "no_such_definition",
            Self::Definition(StoreError::Taken(_)) => "definition_exists",
            Self::Definition(StoreError::TooMany) => "too_many_definitions",
            Self::Unreadable(_) => "unreadable_definitions",
            Self::BadTable => "invalid_table_name",
            Self::Publication(PublicationError::NoSuchTable(_)) => "no_such_table",
            Self::Publication(PublicationError::Unsuitable { .. }) => "table_unsuitable",
            Self::Publication(PublicationError::NotPublished(_)) => "table_not_published",
            Self::Publication(PublicationError::Wholesale { .. }) => "published_otherwise",
            Self::Publication(PublicationError::NotOwner(_)) => "not_owner",
            Self::Publication(PublicationError::Busy(_)) => "table_busy",
            Self::Publication(PublicationError::NotPrepared) => "not_prepared",
            Self::Credentials(CredentialsError::Unavailable(_))
            | Self::Definition(StoreError::Database(_))
            | Self::Publication(PublicationError::Database(_)) => "database_unavailable",
        }
    }

    /// Whether it was allowed and did not work.
    pub(super) fn is_failure(&self) -> bool {
        self.status().is_server_error()
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Credentials(CredentialsError::Scope) | Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::Definition(StoreError::Absent)
            | Self::Publication(PublicationError::NoSuchTable(_) | PublicationError::NotPublished(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::Unreadable(_)
            | Self::Definition(StoreError::Taken(_) | StoreError::TooMany)
            | Self::Publication(
                PublicationError::Wholesale { .. }
                | PublicationError::NotOwner(_)
                | PublicationError::NotPrepared,
            ) => StatusCode::CONFLICT,
            Self::Publication(PublicationError::Unsuitable { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Credentials(CredentialsError::Unavailable(_))
            | Self::Definition(StoreError::Database(_))
            | Self::Publication(PublicationError::Busy(_) | PublicationError::Database(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Credentials(_) => StatusCode::UNAUTHORIZED,
            Self::Body(error) => error.status(),
            Self::BadBody(_) | Self::BadTable | Self::Definition(StoreError::Invalid(_)) => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Credentials(error) => error.to_string(),
            Self::NotAllowed => "you may not see or change what holds for the channels of others".to_owned(),
            Self::BadBody(problem) => format!("the body cannot be read: {problem}"),
            Self::Body(error) => error.to_string(),
            // Details of the connection go to the log only.
            Self::Definition(StoreError::Database(_)) | Self::Publication(PublicationError::Database(_)) => {
                "the database does not answer".to_owned()
            }
            Self::Definition(error) => error.to_string(),
            Self::Unreadable(problem) => problem.clone(),
            Self::BadTable => "the table is not named".to_owned(),
            Self::Publication(error) => error.to_string(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Credentials(CredentialsError::Missing) | Self::NotAllowed => {
                Some("Use the project's secret key (`goforward keys`)")
            }
            Self::Definition(StoreError::Taken(_)) => Some("Change that one: PATCH or PUT with its id"),
            Self::Unreadable(_) => {
                Some("Mend or delete the rows of goforward.channels that were made by hand")
            }
            Self::BadTable => Some("Write it as schema.table, such as public.orders"),
            Self::Publication(error) => error.hint(),
            _ => None,
        }
    }
}

impl IntoResponse for ManagementError {
    fn into_response(self) -> Response {
        if let Self::Definition(StoreError::Database(cause))
        | Self::Publication(PublicationError::Database(cause)) = &self
        {
            tracing::error!(kind = "error", "what holds for channels cannot be read or changed: {cause}");
        }
        let body = json!({
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
