//! How much is allowed in which time (contract section 10), over the counters that all services share.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::error::AuthError;
use super::model::Contact;
use super::refusal::Refusal;
use super::state::Origin;
use crate::kernel::config::{AuthConfig, AuthRateLimits};
use crate::kernel::limits::{LimitKey, LimitSubject, Limiter, Quota};

/// What is counted per address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Sign-ups and requests for codes and links.
    Otp,
    /// Codes and links tried.
    Verify,
    /// Sign-ins and refreshes.
    Token,
    /// Accounts without an identifier.
    Anonymous,
    /// Second factors.
    Factors,
    /// Sign-ins by passkey.
    Passkeys,
    /// API keys and introspection: of backends, which ask for each of their own requests.
    Keys,
}

/// Kinds of mails and messages: of each an account gets one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// That confirms a new account, sent again too.
    Confirmation,
    /// To sign in with.
    MagicLink,
    /// To set a new password with.
    Recovery,
    /// By an administrator.
    Invite,
    /// That confirms another address or number.
    Change,
    /// That shows that the user is present.
    Reauthentication,
    /// A second factor.
    Factor,
}

impl Sending {
    fn word(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::MagicLink => "magic_link",
            Self::Recovery => "recovery",
            Self::Invite => "invite",
            Self::Change => "change",
            Self::Reauthentication => "reauthentication",
            Self::Factor => "factor",
        }
    }
}

/// The most of a quota that may come at once.
const BURST: u32 = 30;
/// The same for backends.
const BACKEND_BURST: u32 = 600;

/// The counters with their quotas.
#[derive(Clone)]
pub struct AuthLimits {
    limiter: Arc<dyn Limiter>,
    config: AuthRateLimits,
    /// Time between two mails, and two messages, of a kind for one account.
    gaps: (Duration, Duration),
}

impl AuthLimits {
    /// Counts by `limiter`.
    pub fn new(limiter: Arc<dyn Limiter>, config: &AuthConfig) -> Self {
        let gaps = (config.email.resend_after.get(), config.phone.resend_after.get());
        Self { limiter, config: config.rate_limits.clone(), gaps }
    }

    /// Counts one request from an address.
    pub(crate) async fn take(&self, limit: Limit, origin: &Origin) -> Result<(), AuthError> {
        let config = &self.config;
        let (rule, requests, per) = match limit {
            Limit::Otp => ("auth.otp", config.otp, Duration::from_mins(5)),
            Limit::Verify => ("auth.verify", config.verify, Duration::from_mins(5)),
            Limit::Passkeys => ("auth.passkeys", config.verify, Duration::from_mins(5)),
            Limit::Token => ("auth.token", config.token, Duration::from_mins(5)),
            Limit::Anonymous => ("auth.anonymous", config.anonymous, Duration::from_hours(1)),
            Limit::Factors => ("auth.factors", config.factors, Duration::from_mins(1)),
            Limit::Keys => ("auth.keys", config.keys, Duration::from_mins(1)),
        };
        let burst = if limit == Limit::Keys { BACKEND_BURST } else { BURST };
        let quota = Quota { requests, per, burst: requests.min(burst) };
        let key = LimitKey { rule, object: None, subject: LimitSubject::ip(origin.ip) };
        self.count(&key, quota, Refusal::OverRequests).await
    }

    /// Counts a challenge of a second factor, or an answer to one: per address, and per account, as whoever knows its
    /// password may guess from many addresses (threat B09).
    pub(crate) async fn take_factor(&self, user: Uuid, origin: &Origin) -> Result<(), AuthError> {
        self.take(Limit::Factors, origin).await?;
        let requests = self.config.factors;
        let subject = LimitSubject::User(Arc::from(user.to_string()));
        let quota = Quota { requests, per: Duration::from_mins(1), burst: requests };
        self.count(&LimitKey { rule: "auth.factors", object: None, subject }, quota, Refusal::OverRequests)
            .await
    }

    /// Counts one mail or message of a kind: per recipient, whether it has an account or not, and over all addresses, as
    /// each costs money and reputation.
    pub(crate) async fn take_sending(&self, what: Sending, contact: &Contact) -> Result<(), AuthError> {
        self.take_sending_for(what, contact, LimitSubject::Key(Arc::from(contact.as_str()))).await
    }

    /// The same for a user who has signed in: counted by the account, whoever is to get it.
    pub(crate) async fn take_sending_of(
        &self,
        user: Uuid,
        what: Sending,
        contact: &Contact,
    ) -> Result<(), AuthError> {
        self.take_sending_for(what, contact, LimitSubject::User(Arc::from(user.to_string()))).await
    }

    /// Takes a mail or message off the count over all addresses that was counted and is not sent, as nobody is there. What
    /// is counted of the recipient stays, and so does the answer: both are as they would be if somebody were.
    pub(crate) async fn give_back_sending(&self, contact: &Contact) {
        let (key, quota, _) = self.of_all(contact);
        if quota.requests > 0 {
            self.limiter.give_back(&key, quota).await;
        }
    }

    async fn take_sending_for(
        &self,
        what: Sending,
        contact: &Contact,
        subject: LimitSubject,
    ) -> Result<(), AuthError> {
        let (all, quota, refusal) = self.of_all(contact);
        let gap = match contact {
            Contact::Email(_) => self.gaps.0,
            Contact::Phone(_) => self.gaps.1,
        };
        if !gap.is_zero() {
            // A change of address and one of number are two kinds.
            let kind = format!("{} {}", contact.provider(), what.word());
            let key = LimitKey { rule: "auth.recipient", object: Some(Arc::from(kind)), subject };
            let wait = self.limiter.take(&key, Quota { requests: 1, per: gap, burst: 1 }).await;
            if let Some(seconds) = wait.retry_after_seconds() {
                return Err(too_soon(refusal, seconds));
            }
        }
        self.count(&all, quota, refusal).await
    }

    /// What is counted over all addresses.
    fn of_all(&self, contact: &Contact) -> (LimitKey, Quota, Refusal) {
        let (rule, requests, refusal) = match contact {
            Contact::Email(_) => ("auth.emails", self.config.emails_per_hour, Refusal::OverEmails),
            Contact::Phone(_) => ("auth.sms", self.config.sms_per_hour, Refusal::OverSms),
        };
        let quota = Quota { requests, per: Duration::from_hours(1), burst: requests };
        (LimitKey { rule, object: None, subject: LimitSubject::Key(Arc::from("all")) }, quota, refusal)
    }

    async fn count(&self, key: &LimitKey, quota: Quota, refusal: Refusal) -> Result<(), AuthError> {
        if quota.requests == 0 {
            return Ok(());
        }
        match self.limiter.take(key, quota).await.retry_after_seconds() {
            None => Ok(()),
            Some(retry_after) => {
                let message = refusal.parts().message.to_owned();
                Err(AuthError::TooMany { refusal, message, retry_after })
            }
        }
    }
}

/// A mail or message to a recipient that has had one just now.
fn too_soon(refusal: Refusal, seconds: u64) -> AuthError {
    let message = format!("For security purposes, you can only request this after {seconds} seconds.");
    AuthError::TooMany { refusal, message, retry_after: seconds }
}
