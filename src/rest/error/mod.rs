//! The errors of the REST service and their one mapping to answers, in PostgREST's shape.
//!
//! `code`, `message`, `details` and `hint` are what the client sees; causes go to the log only. Codes are listed in
//! `docs/errors.md`.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use serde::Serialize;
use serde_json::Value;

use crate::kernel::db::wire::DbError;
use crate::kernel::http::BodyError;
use crate::policy::model::RateLimit;
use crate::rest::core::parse::RequestError;
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::protect::Refusal;
use crate::rest::core::response::ResponseError;

mod database;
mod echo;
mod plan;
mod refusal;
#[cfg(test)]
mod tests;

/// Why a request fails.
#[derive(Clone, Debug)]
pub enum RestError {
    /// It cannot be parsed.
    Request(RequestError),
    /// It cannot be planned.
    Plan(Box<PlanError>),
    /// The caller may not run it.
    Refused(Box<Refusal>),
    /// The schema changed and could not be read again, so the rules of a table may have changed too.
    RulesMayBeOld,
    /// The caller has asked too often for a table.
    OverTableLimit {
        /// The rule.
        limit: RateLimit,
        /// Seconds until one request passes.
        retry_after: u64,
    },
    /// A value holds what the rules of its column refuse.
    InputRefused {
        /// The column, where the caller may see it.
        column: Option<Arc<str>>,
        /// The class of what it holds.
        class: &'static str,
    },
    /// The database refused it or is not there.
    Database(DbError),
    /// The statement succeeded, but its result cannot be answered.
    Response(ResponseError),
    /// One object was asked for, and there are not exactly one.
    NotSingular(i64),
    /// More rows than `max-affected` allows.
    MaxAffected(i64),
    /// PUT's body and URL name different rows.
    PutMismatch,
    /// The result is larger than `rest.max_result_bytes`.
    ResultTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body of the request cannot be had.
    Body(BodyError),
    /// The body of the request is compressed.
    EncodedBody,
    /// What the database answered is not what was asked for.
    Unreadable(&'static str),
    /// The request did not come through the gateway.
    NotIdentified,
    /// The catalog has never been loaded.
    NoCatalog,
    /// What was read must be on record before it is shown, and cannot be.
    AuditUnavailable,
}

impl From<RequestError> for RestError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<PlanError> for RestError {
    fn from(error: PlanError) -> Self {
        Self::Plan(Box::new(error))
    }
}

impl From<DbError> for RestError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl From<BodyError> for RestError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<ResponseError> for RestError {
    fn from(error: ResponseError) -> Self {
        Self::Response(error)
    }
}

/// How much of an error a caller sees.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each decides about another part of an answer")]
pub struct Disclosure {
    /// Whether the caller sent credentials: it decides between 401 and 403.
    pub authenticated: bool,
    /// Whether values of rows and names beyond the request may be quoted.
    pub verbose: bool,
    /// Whether only code and message are sent.
    pub minimal: bool,
    /// Whether the request is about a table with protected columns, which PostgreSQL's words could name.
    pub conceals: bool,
}

impl Disclosure {
    /// For a caller of whom nothing is known.
    pub const NOTHING: Self = Self { authenticated: false, verbose: false, minimal: false, conceals: false };
}

/// The visible parts of an error.
#[derive(Clone, Debug)]
pub struct ErrorParts {
    /// The status.
    pub status: StatusCode,
    /// PostgREST's code or an SQLSTATE.
    pub code: String,
    /// What happened.
    pub message: String,
    /// More about it.
    pub details: Option<Value>,
    /// What to do.
    pub hint: Option<String>,
    /// Headers beside those that every error has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The words beside the status, where a function chose them; HTTP/2 has no place for them.
    pub reason: Option<String>,
}

impl ErrorParts {
    /// An error with nothing but a status, code and message.
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { status, code, message, details: None, hint: None, headers: Vec::new(), reason: None }
    }

    /// An error of our own, which PostgREST does not have.
    fn own(error: &OwnError) -> Self {
        Self::new(error.status, error.code, error.message)
    }

    fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(Value::String(details.into()));
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// 401 asks for a token (RFC 6750).
    fn denied(disclosure: Disclosure, code: &str, message: impl Into<String>) -> Self {
        if disclosure.authenticated {
            Self::new(StatusCode::FORBIDDEN, code, message)
        } else {
            Self::new(StatusCode::UNAUTHORIZED, code, message).header(header::WWW_AUTHENTICATE, "Bearer")
        }
    }
}

/// An error that PostgREST does not have.
struct OwnError {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

const RESULT_TOO_LARGE: OwnError = OwnError {
    status: StatusCode::BAD_REQUEST,
    code: "result_too_large",
    message: "The result is too large for one answer",
};
const UNREADABLE_BODY: OwnError = OwnError {
    status: StatusCode::BAD_REQUEST,
    code: "unreadable_body",
    message: "The request body cannot be read",
};
const BODY_MEMORY_FULL: OwnError = OwnError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "body_memory_full",
    message: "Too many request bodies are in memory",
};
const ENCODED_BODY: OwnError = OwnError {
    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
    code: "encoded_body",
    message: "The request body is compressed, which is not supported",
};
const DATABASE_QUEUE_FULL: OwnError = OwnError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "database_queue_full",
    message: "Too many requests wait for the database",
};
const DATABASE_TIMEOUT: OwnError = OwnError {
    status: StatusCode::GATEWAY_TIMEOUT,
    code: "database_timeout",
    message: "The database did not answer in time",
};

const AUDIT_UNAVAILABLE: OwnError = OwnError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "audit_unavailable",
    message: "Reading this has to be put on record, which is not possible now",
};

/// The body of an error; alphabetical, as PostgREST writes it.
#[derive(Serialize)]
struct VerboseBody<'a> {
    code: &'a str,
    details: &'a Option<Value>,
    hint: &'a Option<String>,
    message: &'a str,
}

#[derive(Serialize)]
struct MinimalBody<'a> {
    code: &'a str,
    message: &'a str,
}

impl RestError {
    /// What the caller sees.
    pub fn parts(&self, disclosure: Disclosure) -> ErrorParts {
        use StatusCode as S;
        match self {
            Self::Request(error) => echo::bounded(request_parts(error)),
            Self::Plan(error) => echo::bounded(plan::parts(error, disclosure)),
            Self::Refused(refusal) => echo::bounded(refusal::parts(refusal, disclosure)),
            Self::RulesMayBeOld => refusal::rules_may_be_old(),
            Self::OverTableLimit { limit, retry_after } => refusal::over_limit(*limit, *retry_after),
            Self::InputRefused { column, class } => refusal::of_input(column.as_deref(), class),
            Self::Database(error) => database::parts(error, disclosure),
            Self::Response(error) => response_parts(*error),
            Self::NotSingular(rows) => ErrorParts::new(
                S::NOT_ACCEPTABLE,
                "PGRST116",
                "Cannot coerce the result to a single JSON object",
            )
            .details(format!("The result contains {rows} rows")),
            Self::MaxAffected(rows) => ErrorParts::new(
                S::BAD_REQUEST,
                "PGRST124",
                "Query result exceeds max-affected preference constraint",
            )
            .details(format!("The query affects {rows} rows")),
            Self::PutMismatch => ErrorParts::new(
                S::BAD_REQUEST,
                "PGRST115",
                "Payload values do not match URL in primary key column(s)",
            ),
            Self::ResultTooLarge { limit } => ErrorParts::own(&RESULT_TOO_LARGE)
                .details(format!("At most {limit} bytes are returned at once"))
                .hint("Ask for fewer rows or columns, or for text/csv or application/x-ndjson, which stream"),
            Self::Body(error) => body_parts(*error),
            // RFC 9110, section 15.5.16: so tells the server what it would take.
            Self::EncodedBody => ErrorParts::own(&ENCODED_BODY)
                .hint("Send it as it is, without Content-Encoding")
                .header(header::ACCEPT_ENCODING, "identity"),
            Self::Unreadable(_) | Self::NotIdentified => {
                ErrorParts::new(S::INTERNAL_SERVER_ERROR, "PGRSTX00", "Internal error")
            }
            Self::NoCatalog => ErrorParts::new(
                S::SERVICE_UNAVAILABLE,
                "PGRST002",
                "Could not query the database for the schema cache. Retrying.",
            )
            .header(header::RETRY_AFTER, "1"),
            Self::AuditUnavailable => ErrorParts::own(&AUDIT_UNAVAILABLE).header(header::RETRY_AFTER, "1"),
        }
    }

    /// What went wrong inside the server, for the log; none where the answer says it all.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(cause) | Self::Database(DbError::Internal(cause)) => Some(cause),
            _ => None,
        }
    }

    /// The answer.
    pub fn into_response(self, disclosure: Disclosure) -> Response {
        let parts = self.parts(disclosure);
        let body = if disclosure.minimal {
            serde_json::to_vec(&MinimalBody { code: &parts.code, message: &parts.message })
        } else {
            serde_json::to_vec(&VerboseBody {
                code: &parts.code,
                details: &parts.details,
                hint: &parts.hint,
                message: &parts.message,
            })
        };
        let mut response = Response::new(Body::from(body.unwrap_or_default()));
        *response.status_mut() = parts.status;
        // Text with line breaks or control characters cannot stand there and is left out.
        if let Some(reason) = parts.reason.and_then(|text| ReasonPhrase::try_from(text.into_bytes()).ok()) {
            response.extensions_mut().insert(reason);
        }
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, content_type);
        let proxy_status = format!("PostgREST; error={}", parts.code);
        if let Ok(value) = HeaderValue::from_str(&proxy_status) {
            headers.insert(HeaderName::from_static("proxy-status"), value);
        }
        for (name, value) in parts.headers {
            headers.append(name, value);
        }
        response
    }
}

fn body_parts(error: BodyError) -> ErrorParts {
    let unreadable = || {
        ErrorParts { status: error.status(), ..ErrorParts::own(&UNREADABLE_BODY) }.details(error.to_string())
    };
    match error {
        BodyError::TooLarge(_) => {
            unreadable().hint("Send fewer rows at a time, or raise server.body_limits.rest")
        }
        BodyError::TimedOut | BodyError::Broken => unreadable(),
        BodyError::NoMemory => ErrorParts::own(&BODY_MEMORY_FULL).header(header::RETRY_AFTER, "1"),
    }
}

fn request_parts(error: &RequestError) -> ErrorParts {
    let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
    ErrorParts {
        details: error.details().map(Value::String),
        hint: error.hint(),
        ..ErrorParts::new(status, error.code(), error.message())
    }
}

fn response_parts(error: ResponseError) -> ErrorParts {
    match error {
        ResponseError::OutOfBounds { offset, total } => {
            ErrorParts::new(StatusCode::RANGE_NOT_SATISFIABLE, "PGRST103", "Requested range not satisfiable")
                .details(format!("An offset of {offset} was requested, but there are only {total} rows."))
                .header(header::CONTENT_RANGE, &format!("*/{total}"))
        }
        ResponseError::HeadersSetting => ErrorParts::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "PGRST111",
            "response.headers guc must be a JSON array composed of objects with a single key and a string value",
        ),
        ResponseError::StatusSetting => ErrorParts::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "PGRST112",
            "response.status guc must be a valid status code",
        ),
    }
}
