//! Text messages: what one is, and who carries it.

mod capture;
mod twilio;
mod webhook;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::kernel::outbound::OutboundError;

pub use capture::NoSms;
pub use twilio::{TwilioConfig, TwilioSender};
pub use webhook::WebhookSender;

/// A message to one telephone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sms {
    /// The number in international form; a leading `+` may be missing, as `auth.users.phone` has it.
    pub to: String,
    /// What it says.
    pub text: String,
    /// How it gets there.
    pub channel: SmsChannel,
}

/// The way of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmsChannel {
    /// A text message.
    #[default]
    Sms,
    /// A WhatsApp message.
    Whatsapp,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SmsError {
    /// The carrier was not reached; sending again may help.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The carrier said no. Its words may name the number and are not kept.
    #[error("the SMS service answered {status}{}", code.map(|code| format!(" (code {code})")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The carrier's own code, where it has one.
        code: Option<i64>,
    },
    /// Nobody carries messages here.
    #[error("no SMS service is configured: set auth.sms.provider")]
    NotConfigured,
    /// The carrier's answer makes no sense.
    #[error("the answer of the SMS service cannot be read")]
    Answer,
}

impl SmsError {
    /// Whether the same message may go through later: the carrier is down or busy.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Outbound(error) => !matches!(error, OutboundError::Target(_)),
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::NotConfigured => true,
            Self::Answer => false,
        }
    }
}

/// Carries messages: a driver of a service, or the development capture.
pub trait SmsSender: Send + Sync {
    /// Hands the message over and gives the carrier's id of it; empty where the carrier has none.
    fn send<'a>(&'a self, sms: &'a Sms) -> BoxFuture<'a, Result<String, SmsError>>;
}

/// The number with its `+`.
fn international(number: &str) -> String {
    format!("+{}", number.trim_start_matches('+'))
}

#[cfg(test)]
mod tests;
