//! A second factor (contract section 3, "Factor").

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Method;
use super::account::rfc3339;

/// What a factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "auth.factor_type", rename_all = "lowercase")]
pub(crate) enum FactorType {
    /// An authenticator app (RFC 6238).
    Totp,
    /// A security key or passkey.
    Webauthn,
    /// Codes by text message.
    Phone,
}

impl FactorType {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
            Self::Phone => "phone",
        }
    }

    /// The type of that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Totp, Self::Webauthn, Self::Phone].into_iter().find(|kind| kind.word() == word)
    }

    /// What a session rests on where such a factor was given.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Totp => Method::Totp,
            Self::Webauthn => Method::MfaWebauthn,
            Self::Phone => Method::MfaPhone,
        }
    }
}

/// Whether a factor counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "auth.factor_status", rename_all = "lowercase")]
pub(crate) enum FactorStatus {
    /// Not yet: its first code was never given.
    Unverified,
    /// It does.
    Verified,
}

/// A row of `auth.mfa_factors`.
#[expect(clippy::struct_field_names, reason = "fields are called as their columns")]
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Factor {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// What the user calls it.
    pub(crate) friendly_name: Option<String>,
    /// What it is.
    pub(crate) factor_type: FactorType,
    /// Whether it counts.
    pub(crate) status: FactorStatus,
    /// The secret, encrypted.
    pub(crate) secret: Option<String>,
    /// The number, digits only.
    pub(crate) phone: Option<String>,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// When it was changed last.
    pub(crate) updated_at: DateTime<Utc>,
    /// The last challenge.
    pub(crate) last_challenged_at: Option<DateTime<Utc>>,
    /// The credential of a security key.
    pub(crate) web_authn_credential: Option<Value>,
    /// The model of the security key.
    pub(crate) web_authn_aaguid: Option<Uuid>,
}

impl Factor {
    /// Whether it counts.
    pub(crate) fn is_verified(&self) -> bool {
        self.status == FactorStatus::Verified
    }

    /// The object that clients read.
    pub(crate) fn shown(&self) -> Value {
        let status = if self.is_verified() { "verified" } else { "unverified" };
        let mut shown = json!({
            "id": self.id, "created_at": rfc3339(self.created_at), "updated_at": rfc3339(self.updated_at),
            "status": status, "factor_type": self.factor_type.word(),
        });
        if let Some(name) = &self.friendly_name {
            shown["friendly_name"] = json!(name);
        }
        if let Some(phone) = &self.phone {
            shown["phone"] = json!(phone);
        }
        if let Some(at) = self.last_challenged_at {
            shown["last_challenged_at"] = json!(rfc3339(at));
        }
        if let Some(aaguid) = self.web_authn_aaguid {
            shown["web_authn_aaguid"] = json!(aaguid);
        }
        shown
    }
}
