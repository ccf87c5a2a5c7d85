//! The project's API keys: how they are made and how a presented key is recognised.
//!
//! A ring holds SHA-256 digests only, and compares them in constant time, so that neither memory dumps nor timing give
//! a key away. Legacy keys are tokens signed with the project's secret; they are recognised here whole, as keys, and
//! need no signature check.

use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::caller::{Caller, Via};
use super::verifier::fingerprint;
use crate::kernel::clock::Clock;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

/// Ten years, the customary life of a legacy key, in seconds.
const LEGACY_KEY_LIFE: i64 = 10 * 365 * 24 * 3600;

/// What every opaque key begins with.
pub const OPAQUE_PREFIX: &str = "sb_";

/// What the keys of users and of other backends begin with. Whether one is in force only the auth service can say: see
/// [`HeldKeys`](super::HeldKeys).
pub const HELD_PREFIX: &str = "gf_";

/// Which of the two powers a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// May be in every browser: the anonymous role.
    Publishable,
    /// For servers only: the service role.
    Secret,
}

/// A project's keys in clear: kept in a file with tight permissions, shown by `goforward keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProjectKeys {
    /// Legacy public key: a token with the anonymous role.
    pub anon_key: Secret,
    /// Legacy secret key: a token with the service role.
    pub service_role_key: Secret,
    /// `sb_publishable_...`
    pub publishable_key: Secret,
    /// `sb_secret_...`
    pub secret_key: Secret,
}

impl ProjectKeys {
    /// Makes the keys of a new project; the legacy ones are signed (HS256) with its secret.
    pub fn mint(jwt_secret: &Secret, random: &Random, clock: &Clock) -> Self {
        let issued = clock.unix_seconds();
        let opaque = |prefix: &str| {
            Secret::new(format!("{OPAQUE_PREFIX}{prefix}_{}", URL_SAFE_NO_PAD.encode(random.bytes::<24>())))
        };
        Self {
            anon_key: sign_legacy_key(jwt_secret, "anon", issued),
            service_role_key: sign_legacy_key(jwt_secret, "service_role", issued),
            publishable_key: opaque("publishable"),
            secret_key: opaque("secret"),
        }
    }
}

/// A token without a user for one of the API roles, as Supabase clients expect of a legacy key.
fn sign_legacy_key(jwt_secret: &Secret, role: &str, issued: i64) -> Secret {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = serde_json::json!({
        "iss": "supabase", "role": role, "iat": issued, "exp": issued + LEGACY_KEY_LIFE,
    });
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, jwt_secret.expose().as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    Secret::new(format!("{message}.{signature}"))
}

/// The keys that are accepted now. To change them, make another ring.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<RegisteredKey>,
}

#[derive(Clone, Debug)]
struct RegisteredKey {
    digest: [u8; 32],
    caller: Arc<Caller>,
}

impl KeyRing {
    /// An empty ring: no key is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// A ring with the four keys of a project, for these roles.
    pub fn of_project(keys: &ProjectKeys, anonymous_role: &str, service_role: &str) -> Self {
        let mut ring = Self::new();
        ring.add(&keys.anon_key, KeyKind::Publishable, anonymous_role);
        ring.add(&keys.publishable_key, KeyKind::Publishable, anonymous_role);
        ring.add(&keys.service_role_key, KeyKind::Secret, service_role);
        ring.add(&keys.secret_key, KeyKind::Secret, service_role);
        ring
    }

    /// Registers one more key. An empty text is not a key and is left out.
    pub fn add(&mut self, key: &Secret, kind: KeyKind, role: &str) {
        if key.is_empty() {
            return;
        }
        let via = match kind {
            KeyKind::Publishable => Via::PublishableKey,
            KeyKind::Secret => Via::SecretKey,
        };
        let anonymous = kind == KeyKind::Publishable;
        let caller = Caller::for_role(role, anonymous, via, Some(fingerprint(key.expose())));
        self.keys.push(RegisteredKey { digest: sha256(key.expose()), caller: Arc::new(caller) });
    }

    /// The caller that this key makes. The time taken tells nothing about the registered keys.
    pub fn find(&self, presented: &str) -> Option<Arc<Caller>> {
        if self.keys.is_empty() || presented.len() > 4096 {
            return None;
        }
        let digest = sha256(presented);
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.digest.ct_eq(&digest)) {
                found = Some(&key.caller);
            }
        }
        found.map(Arc::clone)
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}
