//! What can go wrong, and how clients of each protocol are told (contract section 2).
//!
//! REST answers 400 with the real status inside the body, as Supabase's clients expect; TUS and S3 answer the status itself.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::blobs::ReadError;
use super::model::key::InvalidName;
use super::model::options::InvalidOption;
use super::model::scan::Hold;
use super::model::token::TokenRefusal;
use super::s3::S3Error;
use crate::kernel::db::wire::DbError;

/// Why an operation did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StorageError {
    #[error("Bucket not found")]
    NoSuchBucket,
    /// Nothing is served there.
    #[error("{0}")]
    NoRoute(String),
    #[error("Object not found")]
    NoSuchKey,
    #[error("The resource was not found")]
    BytesMissing,
    /// The scanner has not spoken yet.
    #[error("The object is being scanned and cannot be read yet")]
    NotScanned,
    #[error("The object is in quarantine and cannot be read")]
    Quarantined,
    #[error("Access key not found")]
    NoSuchAccessKey,
    #[error("The resource already exists")]
    AlreadyExists,
    #[error("The bucket you tried to delete is not empty")]
    BucketNotEmpty,
    #[error("{0}")]
    Referenced(String),
    /// Credentials or policies.
    #[error("{0}")]
    AccessDenied(String),
    /// Only the service role may do it.
    #[error("Access denied")]
    ServiceOnly,
    #[error("Invalid key: {0}")]
    InvalidKey(String),
    #[error("Bucket name invalid")]
    InvalidBucketName,
    #[error("mime type {0} is not supported")]
    InvalidMimeType(String),
    #[error("The object exceeded the maximum allowed size")]
    EntityTooLarge,
    #[error("{0}")]
    QuotaExceeded(String),
    /// A picture that cannot be transformed, for this reason.
    #[error("{0}")]
    InvalidImage(String),
    /// What was sent cannot be taken, for this reason.
    #[error("{0}")]
    InvalidRequest(String),
    #[error("The requested range cannot be satisfied")]
    InvalidRange,
    #[error("{0}")]
    InvalidToken(&'static str),
    #[error("The resource is locked")]
    Locked,
    #[error("The bytes did not arrive in time or not to their end")]
    Aborted,
    #[error("Upload not found")]
    NoSuchUpload,
    #[error("The upload has expired")]
    UploadExpired,
    #[error("The upload is finished")]
    UploadFinished,
    /// The bytes of a resumable upload go on elsewhere.
    #[error("Upload-Offset conflict: the upload is at {0}")]
    OffsetConflict(u64),
    #[error("The bytes do not have the checksum that was announced")]
    ChecksumMismatch,
    #[error("Content-Type must be application/offset+octet-stream")]
    NoOffsetStream,
    #[error("Tus-Resumable must be 1.0.0")]
    OtherTusVersion,
    /// Nobody waited for this upload any more.
    #[error("The upload took too long between two parts and was given up")]
    GivenUp,
    #[error("The database did not answer in time")]
    DatabaseTimeout,
    #[error("Too many connections issued to the database")]
    TooManyConnections,
    #[error("The service is not available at the moment")]
    Unavailable,
    /// The memory of uploads is taken.
    #[error("Too many uploads are on their way")]
    Busy,
    /// The database refused for a reason of its own.
    #[error("database error, code: {0}")]
    Database(String),
    #[error("Internal Server Error")]
    Internal,
    /// The protocol of S3 has its own word for it.
    #[error(transparent)]
    S3(#[from] S3Error),
}

impl StorageError {
    /// The error of a statement in a caller's name.
    pub(super) fn of_caller(error: &DbError) -> Self {
        match error {
            DbError::Sql(sql) => Self::of_sql(&sql.code, &sql.message, sql.detail.as_deref()),
            DbError::Unavailable(_) => Self::Unavailable,
            DbError::PoolTimeout | DbError::QueueFull => Self::TooManyConnections,
            DbError::Timeout => Self::DatabaseTimeout,
            DbError::ClientGone => Self::Aborted,
            DbError::Internal(reason) => {
                tracing::error!("a statement of storage failed: {reason}");
                Self::Internal
            }
        }
    }

    fn of_sql(code: &str, message: &str, detail: Option<&str>) -> Self {
        match code {
            "42501" => Self::AccessDenied(message.to_owned()),
            "23505" => Self::AlreadyExists,
            "23503" if message.starts_with("insert or update") && message.contains("bucket") => {
                Self::NoSuchBucket
            }
            "23503" => Self::Referenced(detail.unwrap_or("The resource is still referenced").to_owned()),
            "GFQTA" => Self::QuotaExceeded(message.to_owned()),
            "GFKEY" => Self::InvalidKey(message.to_owned()),
            // Of two that wait for each other one is told to come again.
            "55P03" | "40P01" => Self::Locked,
            "57014" => Self::DatabaseTimeout,
            "25006" | "57P01" | "57P02" | "57P03" => Self::Unavailable,
            "53300" => Self::TooManyConnections,
            "22P02" | "22021" => {
                Self::InvalidRequest("a parameter has a form that the database refuses".to_owned())
            }
            code => {
                tracing::warn!(code, "a statement of storage was refused");
                Self::Database(code.to_owned())
            }
        }
    }

    /// The code, the status that is meant, and the short text where that is not the code.
    pub(super) fn facts(&self) -> (&'static str, u16, Option<&'static str>) {
        match self {
            Self::NoSuchBucket => ("NoSuchBucket", 404, Some("Bucket not found")),
            Self::NoRoute(_) => ("NoSuchRoute", 404, Some("Not Found")),
            Self::NoSuchKey => ("NoSuchKey", 404, Some("not_found")),
            Self::BytesMissing => ("NoSuchKey", 404, Some("Not found")),
            Self::NotScanned => ("ObjectNotScanned", 423, None),
            Self::Quarantined => ("ObjectQuarantined", 403, None),
            Self::NoSuchAccessKey => ("NoSuchAccessKey", 404, None),
            Self::AlreadyExists => ("KeyAlreadyExists", 409, Some("Duplicate")),
            Self::BucketNotEmpty => ("ResourceNotEmpty", 409, None),
            Self::Referenced(_) => ("ResourceReferenced", 409, None),
            Self::AccessDenied(_) | Self::ServiceOnly => ("AccessDenied", 403, Some("Unauthorized")),
            Self::InvalidKey(_) => ("InvalidKey", 400, None),
            Self::InvalidBucketName => ("InvalidBucketName", 400, Some("Invalid Input")),
            Self::InvalidMimeType(_) => ("InvalidMimeType", 415, Some("invalid_mime_type")),
            Self::EntityTooLarge | Self::QuotaExceeded(_) => {
                ("EntityTooLarge", 413, Some("Payload too large"))
            }
            Self::InvalidRequest(_) | Self::UploadFinished => ("InvalidRequest", 400, None),
            Self::InvalidImage(_) => ("InvalidRequest", 422, None),
            Self::InvalidRange => ("InvalidRange", 416, Some("invalid_range")),
            Self::InvalidToken(_) => ("InvalidJWT", 400, None),
            Self::Locked => ("ResourceLocked", 423, None),
            Self::Aborted => ("Aborted", 400, None),
            Self::NoSuchUpload | Self::GivenUp => ("NoSuchUpload", 404, None),
            Self::UploadExpired => ("UploadExpired", 410, None),
            Self::OffsetConflict(_) => ("OffsetConflict", 409, None),
            Self::ChecksumMismatch => ("InvalidChecksum", 460, None),
            Self::NoOffsetStream => ("InvalidRequest", 415, None),
            Self::OtherTusVersion => ("InvalidRequest", 412, None),
            Self::DatabaseTimeout => ("DatabaseTimeout", 544, None),
            Self::TooManyConnections => ("SlowDown", 429, Some("too_many_connections")),
            Self::Unavailable | Self::Busy => ("ServiceUnavailable", 503, None),
            Self::Database(_) => ("DatabaseError", 500, Some("Internal")),
            Self::Internal => ("InternalError", 500, Some("Internal")),
            Self::S3(error) => (error.code(), error.status().as_u16(), None),
        }
    }

    /// The code.
    pub(super) fn code(&self) -> &'static str {
        self.facts().0
    }

    /// The status that is meant.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.facts().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The status of the answer to a REST client.
    fn rest_status(&self) -> StatusCode {
        match self {
            Self::NoRoute(_) | Self::ServiceOnly | Self::InvalidRange | Self::InvalidImage(_) => {
                self.status()
            }
            _ if matches!(self.facts().1, 429 | 500..) => self.status(),
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for StorageError {
    fn into_response(self) -> Response {
        super::metrics::refused(self.facts().0);
        let (code, status, error) = self.facts();
        let body = json!({
            "statusCode": status.to_string(),
            "error": error.unwrap_or(code),
            "message": self.to_string(),
            "code": code,
        });
        let mut response = (self.rest_status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(status, 429 | 503) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refused) => {
                let code = refused.code().unwrap_or_default();
                Self::of_sql(&code, refused.message(), None)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => Self::Unavailable,
            _ => {
                tracing::error!("a statement of storage failed: {error}");
                Self::Internal
            }
        }
    }
}

impl From<Hold> for StorageError {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Pending => Self::NotScanned,
            Hold::Quarantined => Self::Quarantined,
        }
    }
}

impl From<InvalidName> for StorageError {
    fn from(InvalidName(name): InvalidName) -> Self {
        Self::InvalidKey(name)
    }
}

impl From<InvalidOption> for StorageError {
    fn from(InvalidOption(reason): InvalidOption) -> Self {
        Self::InvalidRequest(reason)
    }
}

impl From<TokenRefusal> for StorageError {
    fn from(refusal: TokenRefusal) -> Self {
        Self::InvalidToken(match refusal {
            TokenRefusal::Missing => "querystring must have required property 'token'",
            TokenRefusal::Invalid => "invalid signature",
            TokenRefusal::Expired => "\"exp\" claim timestamp check failed",
            TokenRefusal::OtherUse => "the token is not for this URL",
        })
    }
}

/// What the backend says is for the log.
impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        tracing::error!("the storage backend failed: {error}");
        Self::Unavailable
    }
}

/// The bytes of a blob could not be read to their end.
impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> Self {
        tracing::error!("the storage backend failed: {error}");
        Self::Unavailable
    }
}

/// What is wrong with the bytes is for the log.
impl From<ReadError> for StorageError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing => Self::BytesMissing,
            ReadError::Backend(error) => error.into(),
            error @ (ReadError::OtherSize | ReadError::Sealed(_)) => {
                tracing::error!("the bytes of an object cannot be read: {error}");
                Self::Internal
            }
        }
    }
}
