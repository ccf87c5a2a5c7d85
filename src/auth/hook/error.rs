//! Why a hook stops a flow, and the error that a hook itself may answer with.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ClaimsError;
use crate::kernel::outbound::OutboundError;

/// Longest message of a hook that is passed on, in characters.
const LONGEST_MESSAGE: usize = 1000;

/// A hook that failed, or that says no. [`HookError::code`] and [`HookError::http_status`] are the wire's.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// No answer within the time limit.
    #[error("Failed to reach hook within maximum time of {0} seconds")]
    Timeout(f32),
    /// Every try failed, or the pause that the hook asks for does not fit the time limit.
    #[error("Failed to reach hook after maximum retries")]
    TimeoutAfterRetry,
    /// The answer is larger than a hook's may be.
    #[error("Payload size exceeded size limit of {0} bytes")]
    TooLarge(usize),
    /// The answer is not called `application/json`.
    #[error("Invalid JSON response. Received content-type other than application/json")]
    ContentType,
    /// The hook itself says no: its words, with a status of 400 to 599.
    #[error("{message}")]
    Rejected {
        /// The status to answer with.
        http_code: u16,
        /// What the user is told.
        message: String,
    },
    /// A status that is neither success nor worth another try.
    #[error("Unexpected status code returned from hook: {0}")]
    Status(u16),
    /// The answer is not the document that this hook gives.
    #[error("Invalid payload returned from hook")]
    Payload(#[source] serde_json::Error),
    /// The claims of the answer are not to be signed.
    #[error("Invalid claims returned from hook: {0}")]
    Claims(#[from] ClaimsError),
    /// The hook's URL must not be called.
    #[error("The hook cannot be called")]
    Outbound(#[source] OutboundError),
    /// The function in the database failed; its words are for the log.
    #[error("Error running hook")]
    Function(#[source] sqlx::Error),
    /// The input has no JSON form.
    #[error("The hook's input cannot be written")]
    Input(#[source] serde_json::Error),
}

impl HookError {
    /// The wire's `error_code` (contract section 2).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "hook_timeout",
            Self::TimeoutAfterRetry => "hook_timeout_after_retry",
            Self::TooLarge(_) => "hook_payload_over_size_limit",
            Self::ContentType => "hook_payload_invalid_content_type",
            Self::Rejected { http_code, .. } if *http_code != 500 => "unknown",
            _ => "unexpected_failure",
        }
    }

    /// The status that the caller of the flow gets.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Timeout(_) | Self::TimeoutAfterRetry | Self::TooLarge(_) => 422,
            Self::ContentType => 400,
            Self::Rejected { http_code, .. } => *http_code,
            _ => 500,
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    http_code: Option<u16>,
    #[serde(default)]
    message: String,
}

/// Reads what a hook answered, of either kind: its error first, then the document it should be. Nothing at all counts as
/// an empty document.
pub fn read_reply<T: DeserializeOwned>(body: &[u8]) -> Result<T, HookError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let reply: Map<String, Value> = serde_json::from_slice(body).map_err(HookError::Payload)?;
    match reply.get("error") {
        None | Some(Value::Null) => {}
        Some(Value::Object(empty)) if empty.is_empty() => {}
        Some(error) => {
            return Err(match Refusal::deserialize(error) {
                Ok(refusal) => rejection(&refusal),
                Err(unreadable) => HookError::Payload(unreadable),
            });
        }
    }
    serde_json::from_value(Value::Object(reply)).map_err(HookError::Payload)
}

fn rejection(refusal: &Refusal) -> HookError {
    let http_code = refusal.http_code.filter(|code| (400..=599).contains(code)).unwrap_or(500);
    let message = refusal.message.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect();
    HookError::Rejected { http_code, message }
}
