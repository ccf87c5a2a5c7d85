//! An API key as its owner, and the backends that check it, see it. The key itself is nowhere.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::AccountWithRoles;
use super::account::rfc3339;
use crate::auth::token::api_key::KeyKind;
use crate::kernel::identity::Scopes;

/// A row of `goforward.auth_api_keys`.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct KeyRecord {
    /// Its id: the claim `key_id` of tokens that it is exchanged for.
    #[sqlx(rename = "key_id")]
    pub(crate) id: Uuid,
    /// Whom it speaks for.
    #[sqlx(rename = "key_kind", try_from = "String")]
    pub(crate) kind: KeyKind,
    /// Whose it is; none for services.
    #[sqlx(rename = "key_user_id")]
    pub(crate) user_id: Option<Uuid>,
    /// The session that it ends with.
    #[sqlx(rename = "key_session_id")]
    pub(crate) session_id: Option<Uuid>,
    /// What its owner calls it.
    #[sqlx(rename = "key_name")]
    pub(crate) name: String,
    /// The beginning of the key.
    #[sqlx(rename = "key_prefix")]
    pub(crate) prefix: String,
    /// What it is for; none for everything that its user may do.
    #[sqlx(rename = "key_scopes")]
    pub(crate) scopes: Option<Json<Scopes>>,
    /// Where it may be used; empty for everywhere.
    #[sqlx(rename = "key_ip_allowlist")]
    pub(crate) ip_allowlist: Vec<IpNet>,
    /// When it ends.
    #[sqlx(rename = "key_expires_at")]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    #[sqlx(rename = "key_created_at")]
    pub(crate) created_at: DateTime<Utc>,
    /// When it was used last, to the minute.
    #[sqlx(rename = "key_last_used_at")]
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    /// The key that it replaces.
    #[sqlx(rename = "key_rotated_from")]
    pub(crate) rotated_from: Option<Uuid>,
    /// When it ends because another has replaced it.
    #[sqlx(rename = "key_overlap_until")]
    pub(crate) overlap_until: Option<DateTime<Utc>>,
}

impl KeyRecord {
    /// When it ends, by whatever comes first.
    pub(crate) fn ends_at(&self) -> Option<DateTime<Utc>> {
        [self.expires_at, self.overlap_until].into_iter().flatten().min()
    }

    /// The object that its owner reads.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "id": self.id, "kind": self.kind.as_str(), "name": self.name, "prefix": self.prefix,
            "user_id": self.user_id, "session_id": self.session_id,
            "scopes": self.scopes.as_ref().map(|scopes| &scopes.0),
            "ip_allowlist": self.ip_allowlist,
            "expires_at": self.expires_at.map(rfc3339),
            "created_at": rfc3339(self.created_at),
            "last_used_at": self.last_used_at.map(rfc3339),
            "rotated_from": self.rotated_from,
            "overlap_until": self.overlap_until.map(rfc3339),
        })
    }
}

/// A key in force, found by its digest.
#[derive(Clone, Debug)]
pub(crate) struct HeldKey {
    /// The place of the question that it answers, from 1.
    pub(crate) place: i64,
    /// The digest under which it is stored.
    pub(crate) digest: Vec<u8>,
    /// The key.
    pub(crate) record: KeyRecord,
    /// Whom it speaks for; none for services.
    pub(crate) holder: Option<AccountWithRoles>,
}

impl FromRow<'_, PgRow> for HeldKey {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let record = KeyRecord::from_row(row)?;
        let holder = match record.user_id {
            Some(_) => Some(AccountWithRoles::from_row(row)?),
            None => None,
        };
        Ok(Self { place: row.try_get("place")?, digest: row.try_get("digest")?, record, holder })
    }
}
