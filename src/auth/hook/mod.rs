//! Hooks: places where an operator's own code takes part in a flow. What goes in and what comes out (contract section 9).
//!
//! A hook is a function in the database or a signed HTTP endpoint ([`http`]); both get and give the same JSON. Types read
//! here hold what a hook may decide; what it may not is checked in [`claims`].

mod call;
mod claims;
mod error;
pub mod http;
#[cfg(test)]
mod tests;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use call::ProviderInput;
pub use call::{HookConfigError, Hooks};
pub use claims::{ClaimsError, check_claims};
pub use error::{HookError, read_reply};

/// About the call itself.
#[derive(Clone, Debug, Serialize)]
pub struct HookMetadata {
    /// Names this call.
    pub uuid: String,
    /// When it was made, RFC 3339.
    pub time: String,
    /// The hook's name, such as `before-user-created`.
    pub name: HookName,
    /// Who caused it; left out where unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
}

impl HookMetadata {
    /// The metadata of a call at this time.
    pub fn new(uuid: String, unix_seconds: i64, name: HookName, ip_address: Option<String>) -> Self {
        let time = DateTime::<Utc>::from_timestamp(unix_seconds, 0).unwrap_or_default();
        Self { uuid, time: time.to_rfc3339_opts(SecondsFormat::Secs, true), name, ip_address }
    }
}

/// Every place that has a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookName {
    /// Before an access token is signed; may change its claims.
    CustomAccessToken,
    /// Instead of sending a mail.
    SendEmail,
    /// Instead of sending a text message.
    SendSms,
    /// After a password was checked, before the answer.
    PasswordVerificationAttempt,
    /// After a factor's code was checked, before the answer.
    MfaVerificationAttempt,
    /// Before a user is stored.
    BeforeUserCreated,
    /// After a user is stored.
    AfterUserCreated,
    /// When somebody signs in who has no account here.
    AuthenticationProvider,
}

/// Input of [`HookName::CustomAccessToken`].
#[derive(Clone, Debug, Serialize)]
pub struct CustomAccessTokenInput {
    /// About the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<HookMetadata>,
    /// Whose token it is.
    pub user_id: String,
    /// The claims as they would be signed.
    pub claims: Map<String, Value>,
    /// How the user signed in, as in `amr`.
    pub authentication_method: String,
}

/// Output of [`HookName::CustomAccessToken`]; not to be signed before [`check_claims`].
#[derive(Clone, Debug, Deserialize)]
pub struct CustomAccessTokenOutput {
    /// All claims, not only the changed ones.
    pub claims: Map<String, Value>,
}

/// Input of [`HookName::SendEmail`]; its output is empty.
#[derive(Clone, Debug, Serialize)]
pub struct SendEmailInput {
    /// About the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<HookMetadata>,
    /// The user as clients see it.
    pub user: Value,
    /// What the mail has to say.
    pub email_data: EmailData,
}

/// What a mail has to say. The token fields of the email change are crossed over: `token` belongs to `token_hash_new`
/// and the current address, `token_new` to `token_hash` and the new one. Clients of the wire rely on it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EmailData {
    /// The code to type in.
    pub token: String,
    /// The value of the link's `token`.
    pub token_hash: String,
    /// Where the link leads in the end.
    pub redirect_to: String,
    /// `signup`, `recovery`, `magiclink`, `invite`, `email_change`, `reauthentication`, ...
    pub email_action_type: String,
    /// The site URL.
    pub site_url: String,
    /// The second code of an email change.
    pub token_new: String,
    /// The second link value of an email change.
    pub token_hash_new: String,
    /// The address before a change.
    pub old_email: String,
    /// The telephone number before a change.
    pub old_phone: String,
    /// The identity provider, for notices about identities.
    pub provider: String,
    /// The kind of factor, for notices about factors.
    pub factor_type: String,
}

/// Input of [`HookName::SendSms`]; its output is empty.
#[derive(Clone, Debug, Serialize)]
pub struct SendSmsInput {
    /// About the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<HookMetadata>,
    /// The user as clients see it.
    pub user: Value,
    /// The message.
    pub sms: SmsData,
}

/// What a text message has to say.
#[derive(Clone, Debug, Serialize)]
pub struct SmsData {
    /// The code.
    pub otp: String,
    /// Why it is sent, as `email_action_type` for mails.
    pub sms_type: String,
    /// Where it goes, where that is not the user's own number (a change, a factor).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// Input of [`HookName::PasswordVerificationAttempt`].
#[derive(Clone, Debug, Serialize)]
pub struct PasswordVerificationAttemptInput {
    /// Whose password.
    pub user_id: String,
    /// Whether it was right.
    pub valid: bool,
}

/// Input of [`HookName::MfaVerificationAttempt`].
#[derive(Clone, Debug, Serialize)]
pub struct MfaVerificationAttemptInput {
    /// Whose factor.
    pub user_id: String,
    /// Which one.
    pub factor_id: String,
    /// `totp`, `phone` or `webauthn`.
    pub factor_type: String,
    /// Whether the code was right.
    pub valid: bool,
}

/// Output of both verification attempts. A hook cannot turn a wrong password or code into a right one: `continue` lets the
/// flow go on as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VerificationOutput {
    /// What to do.
    pub decision: Decision,
    /// What the user is told on a rejection.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether a rejection also ends the user's sessions (passwords only).
    #[serde(default)]
    pub should_logout_user: bool,
}

/// What a verification hook says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Go on.
    Continue,
    /// Refuse.
    Reject,
}

/// Input of [`HookName::BeforeUserCreated`] and [`HookName::AfterUserCreated`]; their output is empty, or an error, by which
/// the first blocks.
#[derive(Clone, Debug, Serialize)]
pub struct UserCreatedInput {
    /// About the call.
    pub metadata: HookMetadata,
    /// The user as clients see it.
    pub user: Value,
}

/// Output of hooks that only do something. Whatever they say besides an error is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EmptyOutput {}
