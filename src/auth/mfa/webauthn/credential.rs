//! A credential as it is kept: the public half of a key pair whose other half stays in the authenticator. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Seen;

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    /// Its id, as the authenticator chose it.
    pub(crate) id: Vec<u8>,
    /// Its public key, in COSE.
    pub(crate) public_key: Vec<u8>,
    /// The authenticator's model; zeros where it keeps that to itself.
    pub(crate) aaguid: Uuid,
    /// Signatures by now; 0 for authenticators that do not count.
    pub(crate) sign_count: u32,
    /// How the authenticator is reached, as the browser says.
    pub(crate) transports: Vec<String>,
    /// Whether the authenticator recognised its user when it was made.
    pub(crate) user_verified: bool,
    /// Whether it may be copied to other devices.
    pub(crate) backup_eligible: bool,
    /// Whether it is.
    pub(crate) backed_up: bool,
}

impl Credential {
    /// The same after an authentication.
    pub(crate) fn after(self, seen: Seen) -> Self {
        Self { sign_count: seen.sign_count, backed_up: seen.backed_up, ..self }
    }

    /// What stands in `auth.mfa_factors.web_authn_credential`: the form that rows of other systems have.
    pub(crate) fn stored(&self) -> Value {
        json!({
            "id": STANDARD.encode(&self.id),
            "publicKey": STANDARD.encode(&self.public_key),
            "attestationType": "none",
            "transport": self.transports,
            "flags": {
                "userPresent": true, "userVerified": self.user_verified,
                "backupEligible": self.backup_eligible, "backupState": self.backed_up,
            },
            "authenticator": {
                "AAGUID": STANDARD.encode(self.aaguid), "signCount": self.sign_count, "cloneWarning": false,
            },
        })
    }

    /// Reads it back; `None` for what is none.
    pub(crate) fn from_stored(stored: &Value) -> Option<Self> {
        let bytes = |value: &Value| value.as_str().and_then(|text| STANDARD.decode(text).ok());
        let flag = |name: &str| stored["flags"][name].as_bool().unwrap_or_default();
        let transports = stored["transport"].as_array().map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            id: bytes(&stored["id"])?,
            public_key: bytes(&stored["publicKey"])?,
            aaguid: bytes(&stored["authenticator"]["AAGUID"])
                .and_then(|bytes| Uuid::from_slice(&bytes).ok())
                .unwrap_or_default(),
            sign_count: stored["authenticator"]["signCount"].as_u64()?.try_into().ok()?,
            transports: transports.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            user_verified: flag("userVerified"),
            backup_eligible: flag("backupEligible"),
            backed_up: flag("backupState"),
        })
    }
}
