//! Long-lived access keys: how they are made, kept, and recognised. The secret is shown once; in the database it is sealed.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, PgExecutor};

use super::authenticate::{AccessKey, AccessKeys};
use crate::kernel::identity::{Caller, Via};
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::kernel::vault::{Vault, VaultError};
use crate::storage::error::StorageError;
use crate::storage::state::StorageState;
use crate::storage::store::s3_keys::{self, StoredKey};

/// What secrets are sealed for.
const SEALED_FOR: &str = "storage s3 key";
/// The longest name, in characters.
const LONGEST_NAME: usize = 100;
/// The role of a key where none is asked for: it passes all policies.
const DEFAULT_ROLE: &str = "service_role";

/// A key that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyWish {
    name: String,
    claims: Map<String, Value>,
}

/// Why a key cannot be made, or not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is too long.
    #[error("a name has at most {LONGEST_NAME} characters")]
    Name,
    /// The role is none that a caller can have.
    #[error("`role` must name a role of the API")]
    Role,
    /// The vault does not seal or open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl KeyWish {
    /// A key called so, whose holder acts under these claims and this role; without one as servers do.
    pub fn new(name: &str, role: Option<&str>, mut claims: Map<String, Value>) -> Result<Self, KeyError> {
        if name.chars().count() > LONGEST_NAME {
            return Err(KeyError::Name);
        }
        let role = match (role, claims.get("role")) {
            (Some(role), _) => role,
            (None, None) => DEFAULT_ROLE,
            (None, Some(role)) => role.as_str().ok_or(KeyError::Role)?,
        };
        if role.is_empty() || role.eq_ignore_ascii_case("none") || role.starts_with("pg_") {
            return Err(KeyError::Role);
        }
        let role = role.to_owned();
        claims.insert("role".to_owned(), role.into());
        Ok(Self { name: name.to_owned(), claims })
    }

    /// The role.
    pub fn role(&self) -> &str {
        self.claims.get("role").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Makes a key and keeps it: what may be shown of it, and its secret, which nobody can see again.
pub async fn create(
    connection: impl PgExecutor<'_>,
    wish: &KeyWish,
    (vault, random): (&Vault, &Random),
) -> Result<(StoredKey, Secret), KeyError> {
    let id = format!("GF{}", hex::encode_upper(random.bytes::<9>()));
    let secret = random.secret();
    let sealed = vault.seal(SEALED_FOR, &id, secret.as_bytes(), random.bytes())?;
    let stored = s3_keys::add(connection, (&id, &wish.name), &sealed, &wish.claims).await?;
    Ok((stored, Secret::new(secret)))
}

/// What became of secrets that were to be sealed under the vault's current key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Sealed anew.
    pub resealed: u64,
    /// Sealed under it already.
    pub current: u64,
    /// Opened by no key.
    pub unopened: u64,
}

/// Seals every secret anew that another key than the vault's current one sealed.
pub async fn reseal(
    connection: &mut PgConnection,
    vault: &Vault,
    random: &Random,
) -> Result<Resealed, KeyError> {
    let mut done = Resealed::default();
    for (id, old) in s3_keys::sealed(connection).await? {
        if !vault.needs_reseal(&old) {
            done.current += 1;
            continue;
        }
        let Ok(secret) = vault.open(SEALED_FOR, &id, &old) else {
            done.unopened += 1;
            continue;
        };
        let new = vault.seal(SEALED_FOR, &id, &secret, random.bytes())?;
        // One that is gone meanwhile needs nothing.
        done.resealed += u64::from(s3_keys::replace_sealed(connection, &id, (&old, &new)).await?);
    }
    Ok(done)
}

/// The keys of the database.
pub(super) struct Keys<'a>(pub(super) &'a StorageState);

impl AccessKeys for Keys<'_> {
    type Claims = Map<String, Value>;
    type Error = StorageError;

    async fn find(&self, id: &str) -> Result<Option<AccessKey<Self::Claims>>, StorageError> {
        // Nothing else has ever been handed out, and text for the database has no NUL.
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        let Some((sealed, claims)) = s3_keys::find(&self.0.pool, id).await? else { return Ok(None) };
        let opened = self.0.vault.open(SEALED_FOR, id, &sealed);
        let secret = opened.map_err(|error| {
            tracing::error!(access_key_id = id, "the secret of an S3 access key cannot be opened: {error}");
            StorageError::Internal
        })?;
        let secret = std::str::from_utf8(&secret).map_err(|_| StorageError::Internal)?;
        Ok(Some(AccessKey { secret: Secret::new(secret), claims }))
    }
}

/// Whoever holds a key, as policies know them.
pub(super) fn holder(access_key_id: &str, claims: Map<String, Value>) -> Caller {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(Arc::from);
    let (role, subject) = (text("role").unwrap_or_else(|| Arc::from("")), text("sub"));
    Caller {
        role,
        claims_json: Bytes::from(Value::Object(claims.clone()).to_string()),
        claims: Arc::new(claims),
        subject,
        session: None,
        scopes: None,
        networks: None,
        anonymous: false,
        via: Via::SecretKey,
        token_fingerprint: Some(Arc::from(access_key_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_acts_as_servers_do_unless_it_is_made_for_somebody() {
        let role = |role: Option<&str>, claims: Value| {
            let Value::Object(claims) = claims else { panic!("no object") };
            KeyWish::new("k", role, claims).map(|wish| wish.role().to_owned()).ok()
        };
        let table = [
            (None, serde_json::json!({}), Some("service_role")),
            (Some("authenticated"), serde_json::json!({ "sub": "x" }), Some("authenticated")),
            (None, serde_json::json!({ "role": "anon" }), Some("anon")),
            (Some("None"), serde_json::json!({}), None),
            (Some(""), serde_json::json!({}), None),
            (None, serde_json::json!({ "role": 1 }), None),
            (None, serde_json::json!({ "role": "pg_monitor" }), None),
        ];
        for (asked, claims, expected) in table {
            assert_eq!(role(asked, claims.clone()).as_deref(), expected, "{asked:?} {claims}");
        }
        assert!(KeyWish::new(&"k".repeat(101), None, Map::new()).is_err());
    }

    #[test]
    fn the_holder_has_the_claims_of_the_key() {
        let Value::Object(claims) = serde_json::json!({ "role": "authenticated", "sub": "u" }) else {
            panic!("no object")
        };
        let caller = holder("GF1", claims);
        assert_eq!((&*caller.role, caller.subject.as_deref()), ("authenticated", Some("u")));
        assert_eq!(caller.claims_json, r#"{"role":"authenticated","sub":"u"}"#);
    }
}
