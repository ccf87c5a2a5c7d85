//! The public keys of an issuer (RFC 7517), and whether one of them made a signature. Pure.
//!
//! A token names neither its algorithm nor its key freely: the algorithm must be one for public keys and go with the key's
//! type, and where key or token name the one or the other, they must agree.

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The most keys that are taken of a set.
const MOST_KEYS: usize = 64;

/// Keys that check signatures.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    named_algorithm: Option<Algorithm>,
    material: DecodingKey,
}

#[derive(Deserialize)]
struct JsonWebKey {
    kty: String,
    #[serde(default)]
    r#use: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

/// The algorithm of this name, if it is one that we take: none with a shared secret, and never `none`.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    let known: Algorithm = name.parse().ok()?;
    let is_shared = matches!(known, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
    (!is_shared).then_some(known)
}

impl KeySet {
    /// Reads a document. Keys of other kinds or for other uses are left out, as an issuer may have some for others.
    pub(super) fn parse(document: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let keys = document.get("keys")?.as_array()?;
        Some(Self(keys.iter().take(MOST_KEYS).filter_map(Key::parse).collect()))
    }

    /// Whether a token that names this key, or none, can be checked at all.
    pub(super) fn has(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.0.iter().any(|key| key.fits(id, algorithm))
    }

    /// Whether the signature (base64url text) is of one of the keys.
    pub(super) fn verifies(
        &self,
        (id, algorithm): (Option<&str>, Algorithm),
        message: &str,
        signature: &str,
    ) -> bool {
        self.0.iter().filter(|key| key.fits(id, algorithm)).any(|key| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.material, algorithm)
                .unwrap_or(false)
        })
    }
}

impl Key {
    fn parse(document: &Value) -> Option<Self> {
        let key = JsonWebKey::deserialize(document).ok()?;
        if key.r#use.as_deref().is_some_and(|r#use| r#use != "sig") {
            return None;
        }
        let named_algorithm = match key.alg.as_deref() {
            Some(name) => Some(algorithm(name)?),
            None => None,
        };
        let (algorithms, material): (&[Algorithm], _) = match (key.kty.as_str(), key.crv.as_str()) {
            ("RSA", _) => (
                &[
                    Algorithm::RS256,
                    Algorithm::RS384,
                    Algorithm::RS512,
                    Algorithm::PS256,
                    Algorithm::PS384,
                    Algorithm::PS512,
                ],
                DecodingKey::from_rsa_components(&key.n, &key.e),
            ),
            ("EC", "P-256") => (&[Algorithm::ES256], DecodingKey::from_ec_components(&key.x, &key.y)),
            ("EC", "P-384") => (&[Algorithm::ES384], DecodingKey::from_ec_components(&key.x, &key.y)),
            ("OKP", "Ed25519") => (&[Algorithm::EdDSA], DecodingKey::from_ed_components(&key.x)),
            _ => return None,
        };
        Some(Self { id: key.kid, algorithms, named_algorithm, material: material.ok()? })
    }

    fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
            && self.named_algorithm.is_none_or(|named| named == algorithm)
            && (id.is_none() || self.id.is_none() || self.id.as_deref() == id)
    }
}
