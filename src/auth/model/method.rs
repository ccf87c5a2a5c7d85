//! How users prove who they are: the claims `amr` and `aal` (contract section 3).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// A way of proving who one is; the word of the claim `amr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// A password.
    Password,
    /// A code or link by mail or message.
    Otp,
    /// Another provider.
    Oauth,
    /// Nothing: an account without identifiers.
    Anonymous,
    /// An authenticator app.
    Totp,
    /// A code by message, as a second factor.
    MfaPhone,
    /// A security key, as a second factor.
    MfaWebauthn,
    /// A code kept for the loss of a second factor.
    RecoveryCode,
    /// A passkey.
    Passkey,
}

impl Method {
    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Otp => "otp",
            Self::Oauth => "oauth",
            Self::Anonymous => "anonymous",
            Self::Totp => "totp",
            Self::MfaPhone => "mfa/phone",
            Self::MfaWebauthn => "mfa/webauthn",
            Self::RecoveryCode => "mfa/recovery_code",
            Self::Passkey => "passkey",
        }
    }
}

/// A proof that a session rests on.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Amr {
    /// The method's word.
    pub(crate) authentication_method: String,
    /// When it was given.
    pub(crate) updated_at: DateTime<Utc>,
}

impl Amr {
    /// Whether it is a second factor.
    pub(crate) fn is_second_factor(&self) -> bool {
        self.authentication_method == "totp" || self.authentication_method.starts_with("mfa/")
    }

    /// The entry of the claim.
    pub(crate) fn shown(&self) -> Value {
        json!({"method": self.authentication_method, "timestamp": self.updated_at.timestamp()})
    }
}

/// How sure the server is of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(type_name = "auth.aal_level", rename_all = "lowercase")]
pub(crate) enum AssuranceLevel {
    /// One proof.
    Aal1,
    /// A second factor too.
    Aal2,
    /// Not given by this server; rows of other systems may hold it.
    Aal3,
}

impl AssuranceLevel {
    /// What these proofs come to.
    pub(crate) fn of(proofs: &[Amr]) -> Self {
        if proofs.iter().any(Amr::is_second_factor) { Self::Aal2 } else { Self::Aal1 }
    }

    /// The word of the claim.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Aal1 => "aal1",
            Self::Aal2 => "aal2",
            Self::Aal3 => "aal3",
        }
    }
}
