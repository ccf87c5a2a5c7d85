//! A way in which a user signs in (contract section 3, "Identity").

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::account::rfc3339;

/// A row of `auth.identities`.
#[derive(Clone, Debug, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "the column's name, and the wire's")]
pub(crate) struct Identity {
    /// The row's own id.
    pub(crate) id: Uuid,
    /// The provider's name for the user.
    pub(crate) provider_id: String,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// What the provider says.
    pub(crate) identity_data: Value,
    /// The provider.
    pub(crate) provider: String,
    /// The last sign-in by it.
    pub(crate) last_sign_in_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub(crate) created_at: Option<DateTime<Utc>>,
    /// When it was changed last.
    pub(crate) updated_at: Option<DateTime<Utc>>,
    /// The address in `identity_data`, in lower case.
    pub(crate) email: Option<String>,
}

impl Identity {
    /// The object that clients read.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({
            "identity_id": self.id, "id": self.provider_id, "user_id": self.user_id,
            "identity_data": self.identity_data, "provider": self.provider,
        });
        let times = [
            ("last_sign_in_at", self.last_sign_in_at),
            ("created_at", self.created_at),
            ("updated_at", self.updated_at),
        ];
        for (name, at) in times {
            if let Some(at) = at {
                shown[name] = json!(rfc3339(at));
            }
        }
        if let Some(email) = &self.email {
            shown["email"] = json!(email);
        }
        shown
    }
}
