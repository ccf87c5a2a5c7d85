//! The keys that tokens are checked with: a shared secret, a JWK or a JWK set, each pinned to one algorithm.
//!
//! Only configured keys are ever used: what a token's header offers (`jwk`, `jku`, `x5u`, ...) is not read. A JSON text
//! that is not a usable key is an error and never falls back to being a shared secret, because a public key would then
//! be one (RFC 8725 section 2.1).

use std::str::FromStr;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The shortest shared secret, in bytes: the hash length of HS256 (RFC 7518 section 3.2).
const SHORTEST_SECRET: usize = 32;

/// Why a configured secret cannot be used. The secret itself is never part of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Anyone could guess it.
    #[error(
        "the JWT secret must be at least 32 characters long, but has {0}; generate one with `openssl rand -hex 32`"
    )]
    TooShort(usize),
    /// Marked as base64, but is not.
    #[error("the JWT secret is marked as base64 but cannot be decoded; check jwt_secret_is_base64")]
    NotBase64,
    /// Looks like JSON, but is no JSON.
    #[error("the JWT secret looks like a JSON Web Key but is not valid JSON: {0}")]
    NotJson(String),
    /// One of the keys has a type, curve or algorithm that is not supported.
    #[error("key {0} of the JWT secret cannot be used: {1}")]
    UnusableKey(usize, String),
    /// The set is empty.
    #[error("the JWT secret is a JSON Web Key Set without a key that verifies signatures")]
    NoKeys,
}

/// One key and the only algorithm that it is used with.
pub(super) struct VerificationKey {
    key_id: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Shared(Box<hmac::Key>),
    Public(DecodingKey),
}

impl std::fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerificationKey({:?}, {:?})", self.algorithm, self.key_id)
    }
}

impl VerificationKey {
    /// Whether a token with this header may be checked with this key. A token that names a key id needs that key.
    pub(super) fn fits(&self, algorithm: Algorithm, key_id: Option<&str>) -> bool {
        self.algorithm == algorithm && (key_id.is_none() || key_id == self.key_id.as_deref())
    }

    /// Whether the signature (base64url text) of `message` was made with this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        match &self.material {
            Material::Shared(key) => URL_SAFE_NO_PAD
                .decode(signature)
                .is_ok_and(|signature| hmac::verify(key, message, &signature).is_ok()),
            Material::Public(key) => {
                jsonwebtoken::crypto::verify(signature, message, key, self.algorithm).unwrap_or(false)
            }
        }
    }

    fn shared(secret: &[u8], algorithm: Algorithm, key_id: Option<String>) -> Result<Self, SecretError> {
        if secret.len() < SHORTEST_SECRET {
            return Err(SecretError::TooShort(secret.len()));
        }
        let hash = match algorithm {
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        Ok(Self { key_id, algorithm, material: Material::Shared(Box::new(hmac::Key::new(hash, secret))) })
    }
}

/// Reads a secret as configured: text, base64 text, a JWK or a JWK set.
pub(super) fn parse(secret: &str, is_base64: bool) -> Result<Vec<VerificationKey>, SecretError> {
    match documents(secret, is_base64)? {
        Documents::Keys(keys) => keys.iter().enumerate().map(|(index, key)| parse_jwk(index, key)).collect(),
        Documents::Shared(shared) => Ok(vec![VerificationKey::shared(&shared, Algorithm::HS256, None)?]),
    }
}

/// What a configured secret is made of.
pub(super) enum Documents {
    /// The bytes of a shared secret, long enough.
    Shared(Vec<u8>),
    /// JWKs for signatures, at least one.
    Keys(Vec<Value>),
}

/// Takes a configured secret apart.
pub(super) fn documents(secret: &str, is_base64: bool) -> Result<Documents, SecretError> {
    let bytes = if is_base64 { decode_base64(secret)? } else { secret.as_bytes().to_vec() };
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return if bytes.len() < SHORTEST_SECRET {
            Err(SecretError::TooShort(bytes.len()))
        } else {
            Ok(Documents::Shared(bytes))
        };
    }
    let document: Value =
        serde_json::from_slice(&bytes).map_err(|error| SecretError::NotJson(error.to_string()))?;
    let list = match document.get("keys") {
        Some(Value::Array(keys)) => keys.clone(),
        Some(_) => return Err(SecretError::NoKeys),
        None => vec![document],
    };
    let keys: Vec<_> =
        list.into_iter().filter(|key| key.get("use").is_none_or(|usage| usage == "sig")).collect();
    if keys.is_empty() { Err(SecretError::NoKeys) } else { Ok(Documents::Keys(keys)) }
}

#[derive(Deserialize)]
struct JsonWebKey {
    kty: String,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    k: String,
}

fn parse_jwk(index: usize, value: &Value) -> Result<VerificationKey, SecretError> {
    let unusable = |reason: &str| SecretError::UnusableKey(index, reason.to_owned());
    let key = JsonWebKey::deserialize(value)
        .map_err(|_| unusable("it has no \"kty\", or a member of the wrong type"))?;
    let default = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => Algorithm::RS256,
        ("EC", Some("P-256")) => Algorithm::ES256,
        ("EC", Some("P-384")) => Algorithm::ES384,
        ("OKP", Some("Ed25519")) => Algorithm::EdDSA,
        ("oct", _) => Algorithm::HS256,
        _ => {
            return Err(unusable(
                "its \"kty\" or \"crv\" is not supported (RSA, EC P-256 or P-384, OKP Ed25519, oct)",
            ));
        }
    };
    let algorithm = match &key.alg {
        None => default,
        Some(name) => parse_algorithm(name).ok_or_else(|| unusable("its \"alg\" is not supported"))?,
    };
    let same_family = match default {
        Algorithm::RS256 | Algorithm::HS256 => default.family() == algorithm.family(),
        _ => default == algorithm,
    };
    if !same_family {
        return Err(unusable("its \"alg\" does not belong to its \"kty\""));
    }
    let material = match key.kty.as_str() {
        "RSA" => DecodingKey::from_rsa_components(&key.n, &key.e),
        "EC" => DecodingKey::from_ec_components(&key.x, &key.y),
        "OKP" => DecodingKey::from_ed_components(&key.x),
        _ => {
            let secret =
                URL_SAFE_NO_PAD.decode(&key.k).map_err(|_| unusable("its \"k\" is not base64url"))?;
            return VerificationKey::shared(&secret, algorithm, key.kid);
        }
    };
    let material = material.map_err(|_| unusable("its numbers cannot be decoded"))?;
    Ok(VerificationKey { key_id: key.kid, algorithm, material: Material::Public(material) })
}

/// The algorithm of exactly this name.
pub(super) fn parse_algorithm(name: &str) -> Option<Algorithm> {
    Algorithm::from_str(name).ok()
}

/// Base64 as PostgREST reads secrets: either alphabet, with `.` allowed for `=`, padding optional.
fn decode_base64(secret: &str) -> Result<Vec<u8>, SecretError> {
    let text: String = secret
        .trim()
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            '.' => '=',
            other => other,
        })
        .collect();
    STANDARD.decode(&text).or_else(|_| STANDARD_NO_PAD.decode(&text)).map_err(|_| SecretError::NotBase64)
}
