//! Why a request is refused that S3 has its own word for: codes and statuses as its clients know them (contract sections 2
//! and 10).

use std::borrow::Cow;

use http::StatusCode;

/// A refusal that other protocols do not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    /// The signature is not the one that the secret gives, whatever its length or form.
    #[error("The request signature we calculated does not match the signature you provided")]
    SignatureDoesNotMatch,
    /// Nobody holds this access key.
    #[error("The access key id you provided does not exist")]
    InvalidAccessKeyId,
    /// The clocks are more than [`signature::MAX_SKEW`](super::signature::MAX_SKEW) apart. SDKs correct theirs by this code.
    #[error("The difference between the request time and the server's time is too large")]
    RequestTimeTooSkewed,
    /// Not signed, expired, or against the policy of a form; says which.
    #[error("{0}")]
    AccessDenied(Cow<'static, str>),
    /// The request does not keep to the protocol; says how.
    #[error("{0}")]
    InvalidRequest(Cow<'static, str>),
    /// A parameter or header has a value that it cannot have; names it.
    #[error("Invalid value for {0}")]
    InvalidParameter(&'static str),
    /// A length must be told before the body.
    #[error("A length must be provided: {0}")]
    MissingContentLength(&'static str),
    /// The XML of the body is not what the operation takes.
    #[error("The XML you provided was not well-formed or did not validate")]
    MalformedXml,
    /// The body is not the one that was digested; names the digest.
    #[error("The {0} you specified did not match what we received")]
    InvalidChecksum(&'static str),
    /// The body is larger than what is taken.
    #[error("Your proposed upload exceeds the maximum allowed size")]
    EntityTooLarge,
    /// A part is smaller than [`MIN_PART`](super::multipart::MIN_PART), and not the last one.
    #[error("Your proposed upload is smaller than the minimum allowed size")]
    EntityTooSmall,
    /// A part is not there, or is another one by now.
    #[error("One or more of the specified parts could not be found, or has another entity tag")]
    InvalidPart,
    /// The parts do not come in ascending order.
    #[error("The list of parts was not in ascending order")]
    InvalidPartOrder,
    /// The upload is complete, given up or expired, was never there, or is somebody else's.
    #[error("The specified upload does not exist")]
    NoSuchUpload,
    /// A condition of the request does not hold.
    #[error("At least one of the preconditions you specified did not hold")]
    PreconditionFailed,
    /// Part of S3, not of this service; says what.
    #[error("{0} is not implemented")]
    NotImplemented(Cow<'static, str>),
    /// No operation of S3 has this method here.
    #[error("The specified method is not allowed against this resource")]
    MethodNotAllowed,
}

impl S3Error {
    /// The code of the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            Self::InvalidAccessKeyId => "InvalidAccessKeyId",
            Self::RequestTimeTooSkewed => "RequestTimeTooSkewed",
            Self::AccessDenied(_) => "AccessDenied",
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::InvalidParameter(_) => "InvalidParameter",
            Self::MissingContentLength(_) => "MissingContentLength",
            Self::MalformedXml => "MalformedXML",
            Self::InvalidChecksum(_) => "InvalidChecksum",
            Self::EntityTooLarge => "EntityTooLarge",
            Self::EntityTooSmall => "EntityTooSmall",
            Self::InvalidPart => "InvalidPart",
            Self::InvalidPartOrder => "InvalidPartOrder",
            Self::NoSuchUpload => "NoSuchUpload",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::NotImplemented(_) => "NotImplemented",
            Self::MethodNotAllowed => "MethodNotAllowed",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::SignatureDoesNotMatch
            | Self::InvalidAccessKeyId
            | Self::RequestTimeTooSkewed
            | Self::AccessDenied(_) => StatusCode::FORBIDDEN,
            Self::InvalidRequest(_)
            | Self::InvalidParameter(_)
            | Self::MissingContentLength(_)
            | Self::MalformedXml
            | Self::EntityTooSmall
            | Self::InvalidPart
            | Self::InvalidPartOrder
            | Self::InvalidChecksum(_) => StatusCode::BAD_REQUEST,
            Self::EntityTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSuchUpload => StatusCode::NOT_FOUND,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest(message.into())
    }

    pub(super) fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::AccessDenied(message.into())
    }
}
