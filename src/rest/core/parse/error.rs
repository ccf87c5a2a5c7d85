//! Everything that can be wrong with a request before the catalog is asked, with PostgREST's codes and texts.
//!
//! Owns the wire-visible `code`, `message`, `details`, `hint` and status of the parser's errors; turning them into a
//! response is the REST service's job. Texts may echo the client's own input and nothing else.

/// Why a request was refused by the parser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A query parameter does not follow the grammar (PGRST100).
    #[error("{message}")]
    QueryParam {
        /// Which parameter and where.
        message: String,
        /// What was found and what was expected.
        details: String,
    },
    /// The URL is well-formed but larger or deeper than is served (PGRST100).
    #[error("{0}")]
    TooComplex(String),
    /// The URL holds bytes that are no text (PGRST100).
    #[error("The {0} of the URL holds invalid UTF-8 or a NUL character")]
    InvalidUrlText(&'static str),
    /// A method that functions do not have (PGRST101).
    #[error("Cannot use the {0} method on RPC")]
    InvalidRpcMethod(String),
    /// The body is not what its content type says, or its type is not taken (PGRST102).
    #[error("{0}")]
    InvalidBody(String),
    /// `limit` or `Range` describe no rows (PGRST103).
    #[error("Requested range not satisfiable")]
    InvalidRange(RangeError),
    /// A profile header names a schema that is not exposed (PGRST106).
    #[error("Invalid schema: {schema}")]
    UnacceptableSchema {
        /// The schema asked for.
        schema: String,
        /// The schemas there are.
        exposed: Vec<String>,
    },
    /// `limit` or `offset` on `PUT` (PGRST114).
    #[error("limit/offset querystring parameters are not allowed for PUT")]
    PutLimitNotAllowed,
    /// A method that relations or the root do not have (PGRST117).
    #[error("Unsupported HTTP method: {0}")]
    UnsupportedMethod(String),
    /// Unknown preferences under `handling=strict` (PGRST122).
    #[error("Invalid preferences given with handling=strict")]
    InvalidPreferences(Vec<String>),
    /// A path that is neither the root, a relation, nor a function (PGRST125).
    #[error("Invalid path specified in request URL")]
    InvalidResourcePath,
    /// The root was asked for and describes nothing (PGRST126).
    #[error("Root endpoint metadata is disabled")]
    OpenApiDisabled,
}

/// Why a range describes no rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// `limit` is below zero.
    NegativeLimit,
    /// The `Range` header ends before it starts.
    LowerAboveUpper,
}

impl RequestError {
    /// PostgREST's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::QueryParam { .. } | Self::TooComplex(_) | Self::InvalidUrlText(_) => "PGRST100",
            Self::InvalidRpcMethod(_) => "PGRST101",
            Self::InvalidBody(_) => "PGRST102",
            Self::InvalidRange(_) => "PGRST103",
            Self::UnacceptableSchema { .. } => "PGRST106",
            Self::PutLimitNotAllowed => "PGRST114",
            Self::UnsupportedMethod(_) => "PGRST117",
            Self::InvalidPreferences(_) => "PGRST122",
            Self::InvalidResourcePath => "PGRST125",
            Self::OpenApiDisabled => "PGRST126",
        }
    }

    /// The `message` of the error body.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The `details` of the error body.
    pub fn details(&self) -> Option<String> {
        match self {
            Self::QueryParam { details, .. } => Some(details.clone()),
            Self::InvalidRange(RangeError::NegativeLimit) => {
                Some("Limit should be greater than or equal to zero.".to_owned())
            }
            Self::InvalidRange(RangeError::LowerAboveUpper) => Some(
                "The lower boundary must be lower than or equal to the upper boundary in the Range header."
                    .to_owned(),
            ),
            Self::InvalidPreferences(preferences) => {
                Some(format!("Invalid preferences: {}", preferences.join(", ")))
            }
            _ => None,
        }
    }

    /// The `hint` of the error body.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnacceptableSchema { exposed, .. } => {
                Some(format!("Only the following schemas are exposed: {}", exposed.join(", ")))
            }
            _ => None,
        }
    }

    /// The HTTP status.
    pub fn status_code(&self) -> u16 {
        match self {
            Self::QueryParam { .. }
            | Self::TooComplex(_)
            | Self::InvalidUrlText(_)
            | Self::InvalidBody(_)
            | Self::PutLimitNotAllowed
            | Self::InvalidPreferences(_) => 400,
            Self::InvalidResourcePath | Self::OpenApiDisabled => 404,
            Self::InvalidRpcMethod(_) | Self::UnsupportedMethod(_) => 405,
            Self::UnacceptableSchema { .. } => 406,
            Self::InvalidRange(_) => 416,
        }
    }
}
