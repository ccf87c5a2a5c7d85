//! Callers and their tokens: what a test signs to be somebody.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use goforward::kernel::clock::Clock;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// Somebody who asks: a role and claims.
#[derive(Clone)]
pub struct Caller(Value);

impl Caller {
    /// A signed-in user.
    pub fn user(id: &str) -> Self {
        Self(json!({ "role": "authenticated", "aud": "authenticated", "sub": id, "exp": now() + 3600 }))
    }

    /// Somebody with just a role.
    pub fn role_only(role: &str) -> Self {
        Self(json!({ "role": role, "exp": now() + 3600 }))
    }

    /// One more claim, or another value for one.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.0[name] = value;
        self
    }

    /// The role claim; empty if there is none.
    pub fn role(&self) -> &str {
        self.0["role"].as_str().unwrap_or_default()
    }

    /// All claims.
    pub fn claims(&self) -> &Value {
        &self.0
    }

    /// A token signed with HS256.
    pub fn token(&self, secret: &str) -> String {
        sign(&self.0, secret)
    }
}

/// Seconds since the epoch.
pub fn now() -> i64 {
    Clock::system().unix_seconds()
}

/// A token with any claims, signed with HS256.
pub fn sign(claims: &Value, secret: &str) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// A token with any header and signature part, for attacks.
pub fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}
