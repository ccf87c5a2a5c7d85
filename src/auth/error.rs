//! The errors of the service and their one mapping to answers (contract section 2). Codes are listed in `docs/errors.md`.
//!
//! The shape of an answer depends on the request's `X-Supabase-Api-Version`, so an error travels as an extension of its
//! response and is written out by [`shape`], which sees the request.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::hook::HookError;
use super::mfa::refusal::FactorRefusal;
use super::refusal::Refusal;
use super::token::pkce::ChallengeError;
use crate::kernel::http::{BodyError, RequestContext};

/// The version of the API that clients of today ask for; from this one on `code` is the code.
const API_VERSION: &str = "2024-01-01";
const X_API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
/// The code of an error, for programs that do not read its body.
pub(crate) const X_ERROR_CODE: HeaderName = HeaderName::from_static("x-sb-error-code");

/// Why a request to the service fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// One of the contract's refusals.
    #[error("{}", .0.parts().message)]
    Refused(Refusal),
    /// One of those about second factors and passkeys.
    #[error("{}", .0.parts().message)]
    Factor(FactorRefusal),
    /// One of them, with a text that says more.
    #[error("{1}")]
    Told(Refusal, String),
    /// A field is missing or wrong; what, and what to do.
    #[error("{0}")]
    Invalid(String),
    /// The body cannot be had.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The password does not keep to the rules.
    #[error("{message}")]
    WeakPassword {
        /// For people.
        message: String,
        /// `length`, `characters`, `pwned`.
        reasons: Vec<&'static str>,
    },
    /// Too much in too short a time.
    #[error("{message}")]
    TooMany {
        /// Of what.
        refusal: Refusal,
        /// For people.
        message: String,
        /// Seconds until it may be tried again.
        retry_after: u64,
    },
    /// In the shape of OAuth 2 (RFC 6749 section 5.2).
    #[error("{1}")]
    OAuth(&'static str, String),
    /// A hook refuses in its own words, or fails.
    #[error("{0}")]
    Hook(HookError),
    /// The database does not answer, or not as expected; for the log.
    #[error("the service cannot reach its data")]
    Database(#[from] sqlx::Error),
    /// Something else that the service depends on is down or overloaded; what, for the log.
    #[error("the service is overloaded or one of its parts is down")]
    Unavailable(String),
    /// A fault of ours; for the log.
    #[error("Unexpected failure, please check server logs for more information")]
    Internal(String),
}

impl From<ChallengeError> for AuthError {
    fn from(error: ChallengeError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<HookError> for AuthError {
    fn from(error: HookError) -> Self {
        Self::Hook(error)
    }
}

impl From<FactorRefusal> for AuthError {
    fn from(refusal: FactorRefusal) -> Self {
        Self::Factor(refusal)
    }
}

impl From<Refusal> for AuthError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What [`shape`] writes out.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    code: &'static str,
    message: String,
    body: Body,
    retry_after: Option<u64>,
}

#[derive(Clone, Debug)]
enum Body {
    Plain,
    WeakPassword(Vec<&'static str>),
    OAuth(&'static str),
}

impl AuthError {
    /// The contract's code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) | Self::Told(refusal, _) | Self::TooMany { refusal, .. } => {
                refusal.parts().code
            }
            Self::Factor(refusal) => refusal.parts().code,
            Self::Invalid(_) => "validation_failed",
            Self::Body(BodyError::TooLarge(_)) => "request_entity_too_large",
            Self::Body(_) => "bad_json",
            Self::WeakPassword { .. } => "weak_password",
            Self::OAuth(error, _) => error,
            Self::Hook(error) => error.code(),
            Self::Database(error) if !is_outage(error) => "unexpected_failure",
            Self::Database(_) | Self::Unavailable(_) => "service_unavailable",
            Self::Internal(_) => "unexpected_failure",
        }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) | Self::Told(refusal, _) | Self::TooMany { refusal, .. } => {
                StatusCode::from_u16(refusal.parts().status).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Factor(refusal) => {
                StatusCode::from_u16(refusal.parts().status).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Invalid(_) | Self::OAuth(..) => StatusCode::BAD_REQUEST,
            Self::Body(error) => error.status(),
            Self::WeakPassword { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Hook(error) => {
                StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Database(error) if !is_outage(error) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Database(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Internals go to the log only.
    pub(crate) fn log(&self) {
        match self {
            Self::Database(cause) => tracing::error!(error = %cause, "auth: the database failed"),
            Self::Unavailable(cause) => tracing::warn!(cause, "auth: something is down or overloaded"),
            Self::Hook(HookError::Rejected { .. }) => {}
            Self::Hook(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::warn!(%error, cause, "auth: a hook failed");
            }
            Self::Internal(cause) => tracing::error!(cause, "auth: internal error"),
            _ => {}
        }
    }
}

/// Whether the database is down, overloaded, or wants to be asked again, and not that we asked it something wrong.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // Classes of connection, our own login, resources and operator; serialisation failure and deadlock.
            ["08", "28", "53", "57"].iter().any(|class| code.starts_with(class))
                || code == "40001"
                || code == "40P01"
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        self.log();
        let answer = Answer {
            status: self.status(),
            code: self.code(),
            message: self.to_string(),
            retry_after: match &self {
                Self::TooMany { retry_after, .. } => Some(*retry_after),
                Self::Database(error) if !is_outage(error) => None,
                Self::Database(_) | Self::Unavailable(_) => Some(1),
                _ => None,
            },
            body: match self {
                Self::WeakPassword { reasons, .. } => Body::WeakPassword(reasons),
                Self::OAuth(error, _) => Body::OAuth(error),
                _ => Body::Plain,
            },
        };
        let mut response = answer.status.into_response();
        response.extensions_mut().insert(Arc::new(answer));
        response
    }
}

/// Writes errors in the shape that the request's version of the API asks for.
pub(super) async fn shape(request: Request, next: Next) -> Response {
    let is_new = request
        .headers()
        .get(X_API_VERSION)
        .and_then(|version| version.to_str().ok())
        .is_some_and(|version| version >= API_VERSION);
    let context = request.extensions().get::<Arc<RequestContext>>().cloned();
    let response = next.run(request).await;
    let Some(answer) = response.extensions().get::<Arc<Answer>>().cloned() else { return response };
    let body = answer.body(is_new, context.as_deref());
    let mut response = (answer.status, Json(body)).into_response();
    let headers = response.headers_mut();
    if is_new {
        headers.insert(X_API_VERSION, HeaderValue::from_static(API_VERSION));
    }
    headers.insert(X_ERROR_CODE, HeaderValue::from_static(answer.code));
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl Answer {
    fn body(&self, is_new: bool, context: Option<&RequestContext>) -> Value {
        if let Body::OAuth(error) = self.body {
            return json!({"error": error, "error_description": self.message});
        }
        let mut body = if is_new {
            json!({"code": self.code, "message": self.message})
        } else {
            json!({"code": self.status.as_u16(), "error_code": self.code, "msg": self.message})
        };
        if let Body::WeakPassword(reasons) = &self.body {
            body["weak_password"] = json!({"reasons": reasons});
        }
        if let Some(context) = context.filter(|_| !is_new && self.status.is_server_error()) {
            body["error_id"] = context.request_id.as_str().into();
        }
        body
    }
}
