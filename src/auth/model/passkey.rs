//! A passkey (contract section 5, `/passkeys`).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::account::rfc3339;

/// A row of `auth.webauthn_credentials`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Passkey {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// What the authenticator calls it.
    pub(crate) credential_id: Vec<u8>,
    /// Its public key, in COSE.
    pub(crate) public_key: Vec<u8>,
    /// The authenticator's model.
    pub(crate) aaguid: Option<Uuid>,
    /// Signatures by now.
    pub(crate) sign_count: i64,
    /// How the authenticator is reached: a list of words.
    pub(crate) transports: Value,
    /// Whether it may be copied to other devices.
    pub(crate) backup_eligible: bool,
    /// Whether it is.
    pub(crate) backed_up: bool,
    /// What the user calls it; empty for nothing.
    pub(crate) friendly_name: String,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// When it was used last.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

impl Passkey {
    /// The object that clients read.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({"id": self.id, "created_at": rfc3339(self.created_at)});
        if !self.friendly_name.is_empty() {
            shown["friendly_name"] = json!(self.friendly_name);
        }
        if let Some(at) = self.last_used_at {
            shown["last_used_at"] = json!(rfc3339(at));
        }
        shown
    }
}
