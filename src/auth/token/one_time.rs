//! One-time tokens: the codes and link hashes of mails and SMS, what each may be used for, and how they are kept.
//!
//! Three forms, each leading only to the next. The *code* is what a person types. The *wire value* has the form of a
//! lower-case hex SHA-224, with `pkce_` before it if a PKCE flow asked for it: it is in the mailed link (contract section
//! 5, "Token maths"). It is a MAC of recipient and code and no bare hash: else whoever knows an address could guess at its
//! codes by `token_hash`, where nobody counts the tries of an account. The *stored form* is an HMAC of purpose and wire value, so that the database holds nothing
//! that can be presented, and a token of one purpose is not found under another.

use std::fmt;

use aws_lc_rs::hmac;

use crate::kernel::secret::Secret;
use crate::kernel::vault::{MacKeys, RootSecrets};

/// How often a wrong code may be tried against a token before it is dead (threat B05).
pub const MAX_ATTEMPTS: u32 = 5;

const PKCE_PREFIX: &str = "pkce_";
/// The length of a SHA-224 in hex, as in the contract.
const HASH_LENGTH: usize = 56;

/// What a token was made for. Its stored form is bound to it.
///
/// Finer than the column `auth.one_time_tokens.token_type`, where several purposes share a [`Slot`]: else a magic link
/// would open what only a password recovery may (threat B07).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Confirms the email address of a new account.
    Signup,
    /// Confirms the email address of an invited account.
    Invite,
    /// Confirms a phone number, or logs in with it.
    PhoneConfirmation,
    /// Confirms the contact of an account that somebody else may have begun: whatever else they know of it is dropped.
    Claim,
    /// Logs in by email.
    MagicLink,
    /// Logs in to set a new password.
    Recovery,
    /// The half of an email change that goes to the new address.
    EmailChangeNew,
    /// The half of an email change that goes to the current address.
    EmailChangeCurrent,
    /// Confirms a new phone number of an account.
    PhoneChange,
    /// Shows that the user is present, before a sensitive change.
    Reauthentication,
}

/// The values of `auth.one_time_tokens.token_type`: a user has at most one token in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `confirmation_token`
    Confirmation,
    /// `reauthentication_token`
    Reauthentication,
    /// `recovery_token`
    Recovery,
    /// `email_change_token_new`
    EmailChangeNew,
    /// `email_change_token_current`
    EmailChangeCurrent,
    /// `phone_change_token`
    PhoneChange,
}

impl Slot {
    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation_token",
            Self::Reauthentication => "reauthentication_token",
            Self::Recovery => "recovery_token",
            Self::EmailChangeNew => "email_change_token_new",
            Self::EmailChangeCurrent => "email_change_token_current",
            Self::PhoneChange => "phone_change_token",
        }
    }
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 10] = [
        Self::Signup,
        Self::Invite,
        Self::PhoneConfirmation,
        Self::Claim,
        Self::MagicLink,
        Self::Recovery,
        Self::EmailChangeNew,
        Self::EmailChangeCurrent,
        Self::PhoneChange,
        Self::Reauthentication,
    ];

    /// Where the database keeps it.
    pub const fn slot(self) -> Slot {
        match self {
            Self::Signup | Self::Invite | Self::PhoneConfirmation | Self::Claim => Slot::Confirmation,
            Self::MagicLink | Self::Recovery => Slot::Recovery,
            Self::EmailChangeNew => Slot::EmailChangeNew,
            Self::EmailChangeCurrent => Slot::EmailChangeCurrent,
            Self::PhoneChange => Slot::PhoneChange,
            Self::Reauthentication => Slot::Reauthentication,
        }
    }

    /// The `type` in the link of its mail.
    pub const fn verify_type(self) -> &'static str {
        match self {
            Self::Signup | Self::Claim => "signup",
            Self::Invite => "invite",
            Self::PhoneConfirmation => "sms",
            Self::MagicLink => "magiclink",
            Self::Recovery => "recovery",
            Self::EmailChangeNew | Self::EmailChangeCurrent => "email_change",
            Self::PhoneChange => "phone_change",
            Self::Reauthentication => "reauthentication",
        }
    }

    /// The name that the stored form is bound to. Never change one: tokens on their way would die.
    const fn label(self) -> &'static str {
        match self {
            Self::Signup => "signup",
            Self::Invite => "invite",
            Self::PhoneConfirmation => "phone confirmation",
            Self::Claim => "claim",
            Self::MagicLink => "magic link",
            Self::Recovery => "recovery",
            Self::EmailChangeNew => "email change new",
            Self::EmailChangeCurrent => "email change current",
            Self::PhoneChange => "phone change",
            Self::Reauthentication => "reauthentication",
        }
    }
}

/// The field `type` of `/verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerifyType {
    /// `signup`
    Signup,
    /// `invite`
    Invite,
    /// `recovery`
    Recovery,
    /// `magiclink`
    MagicLink,
    /// `email`: the newer name of `signup` and `magiclink` both.
    Email,
    /// `email_change`
    EmailChange,
    /// `sms`
    Sms,
    /// `phone_change`
    PhoneChange,
}

impl VerifyType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::Signup,
        Self::Invite,
        Self::Recovery,
        Self::MagicLink,
        Self::Email,
        Self::EmailChange,
        Self::Sms,
        Self::PhoneChange,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signup => "signup",
            Self::Invite => "invite",
            Self::Recovery => "recovery",
            Self::MagicLink => "magiclink",
            Self::Email => "email",
            Self::EmailChange => "email_change",
            Self::Sms => "sms",
            Self::PhoneChange => "phone_change",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The purposes whose tokens this type may consume. Reauthentication is in no row: `/verify` never takes it.
    pub const fn consumes(self) -> &'static [Purpose] {
        match self {
            Self::Signup => &[Purpose::Signup, Purpose::Claim],
            Self::Invite => &[Purpose::Invite],
            Self::Recovery => &[Purpose::Recovery],
            Self::MagicLink => &[Purpose::MagicLink],
            Self::Email => &[Purpose::Signup, Purpose::Claim, Purpose::MagicLink],
            Self::EmailChange => &[Purpose::EmailChangeCurrent, Purpose::EmailChangeNew],
            Self::Sms => &[Purpose::PhoneConfirmation, Purpose::Claim],
            Self::PhoneChange => &[Purpose::PhoneChange],
        }
    }

    /// Whether the recipient of such a token is a phone number, not an email address.
    pub const fn is_phone(self) -> bool {
        matches!(self, Self::Sms | Self::PhoneChange)
    }
}

/// How many digits a code has: 6 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtpLength(u32);

impl OtpLength {
    /// Checks the configured number.
    pub const fn new(digits: u32) -> Option<Self> {
        if 6 <= digits && digits <= 10 { Some(Self(digits)) } else { None }
    }
}

/// A code as a person types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otp(Secret);

impl Otp {
    /// A code from 16 random bytes.
    ///
    /// The remainder of a 128-bit number by at most 10^10 favours no code by more than 2^-94: as good as none.
    pub fn generate(length: OtpLength, random: [u8; 16]) -> Self {
        let code = u128::from_be_bytes(random) % 10_u128.pow(length.0);
        let width = length.0 as usize;
        Self(Secret::new(format!("{code:0width$}")))
    }

    /// A code that somebody presented: any text, since a wrong one and an impossible one get the same answer.
    pub fn presented(text: &str) -> Self {
        Self(Secret::new(text))
    }

    /// The digits: for the message to the recipient only.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What stands in the mailed link, and what `token_hash` presents.
#[derive(Clone, PartialEq, Eq)]
pub struct WireValue(Secret);

impl WireValue {
    /// Reads a presented `token_hash`; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let hash = text.strip_prefix(PKCE_PREFIX).unwrap_or(text);
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let well_formed = hash.len() == HASH_LENGTH && hash.bytes().all(is_hex);
        well_formed.then(|| Self(Secret::new(text)))
    }

    /// Whether a PKCE flow asked for the token, so that a link answers with a code and not with a session.
    pub fn is_pkce(&self) -> bool {
        self.0.expose().starts_with(PKCE_PREFIX)
    }

    /// The text itself: for the link to the recipient only.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for WireValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireValue")
    }
}

/// Makes the stored form of tokens.
#[derive(Clone)]
pub struct OneTimeMac {
    link: MacKeys,
    stored: MacKeys,
}

impl OneTimeMac {
    /// With the keys that derive from the root secrets: the current one makes tokens, those of all are recognised.
    pub fn new(roots: &RootSecrets) -> Self {
        Self { link: roots.mac_keys("one time link mac"), stored: roots.mac_keys("one time token mac") }
    }

    /// The value of a code for its recipient: the email address, or the phone number without `+`, as the account has it.
    pub fn wire(&self, recipient: &str, code: &Otp, pkce: bool) -> WireValue {
        wire_under(self.link.current(), recipient, code, pkce)
    }

    /// The values that a typed code may stand for: who types it does not know whether a PKCE flow asked for it, nor which
    /// root secret was in force.
    pub fn candidates(&self, recipient: &str, code: &Otp) -> Vec<WireValue> {
        let under = |key| [false, true].map(|pkce| wire_under(key, recipient, code, pkce));
        self.link.all().flat_map(under).collect()
    }

    /// What the database holds: the hex HMAC-SHA256 of purpose, a zero byte and wire value. Look-ups go by it.
    pub fn stored(&self, purpose: Purpose, value: &WireValue) -> String {
        stored_under(self.stored.current(), purpose, value)
    }

    /// Every stored form under which a `/verify` of this type may find one of these values, with its purpose.
    pub fn findable(&self, kind: VerifyType, values: &[WireValue]) -> Vec<(Purpose, String)> {
        let mut found = Vec::new();
        for &purpose in kind.consumes() {
            for value in values {
                found.extend(self.stored.all().map(|key| (purpose, stored_under(key, purpose, value))));
            }
        }
        found
    }

    /// Whether a stored form is that of the value, in constant time: for a row that was found by its user.
    pub fn matches(&self, purpose: Purpose, value: &WireValue, stored: &str) -> bool {
        self.stored.any_makes(stored.as_bytes(), |key| stored_under(key, purpose, value))
    }
}

fn wire_under(key: &hmac::Key, recipient: &str, code: &Otp, pkce: bool) -> WireValue {
    let mut context = hmac::Context::with_key(key);
    context.update(recipient.as_bytes());
    context.update(&[0]);
    context.update(code.expose().as_bytes());
    let mut hash = hex::encode(context.sign());
    hash.truncate(HASH_LENGTH);
    let prefix = if pkce { PKCE_PREFIX } else { "" };
    WireValue(Secret::new(format!("{prefix}{hash}")))
}

fn stored_under(key: &hmac::Key, purpose: Purpose, value: &WireValue) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(purpose.label().as_bytes());
    context.update(&[0]);
    context.update(value.expose().as_bytes());
    hex::encode(context.sign())
}

impl fmt::Debug for OneTimeMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeMac")
    }
}

/// How long tokens live, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Those sent by email (the contract's default: 86 400).
    pub email: i64,
    /// Those sent by SMS (60).
    pub sms: i64,
}

/// How a token went to its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// By email.
    Email,
    /// By SMS.
    Sms,
}

/// Whether a token still counts: not older than its channel's lifetime, and not tried too often.
///
/// `sent_at` and `now` are Unix seconds. The second at which the lifetime is over is too late.
pub const fn is_live(sent_at: i64, attempts: u32, channel: Channel, lifetimes: Lifetimes, now: i64) -> bool {
    let lifetime = match channel {
        Channel::Email => lifetimes.email,
        Channel::Sms => lifetimes.sms,
    };
    now < sent_at.saturating_add(lifetime) && attempts < MAX_ATTEMPTS
}

#[cfg(test)]
mod tests;
