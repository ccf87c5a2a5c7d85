//! The signing key of a day, region and service, and what it signs: requests, chunks, trailers, policies.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

use super::credential::{AmzDate, Credential};
use crate::kernel::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Derived from a secret; it can only sign for its scope.
#[derive(Debug, Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Derives the key: HMAC over day, region, service and a constant, each keyed by the one before.
    pub fn derive(secret: &Secret, credential: &Credential) -> Self {
        let mut first = Vec::with_capacity(4 + secret.expose().len());
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.expose().as_bytes());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &first);
        for part in [credential.date.as_str(), &credential.region, "s3", "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        Self(key)
    }

    /// The signature of a text, 64 hexadecimal digits.
    pub fn sign(&self, text: &str) -> String {
        hex::encode(hmac::sign(&self.0, text.as_bytes()))
    }

    /// Whether the text was signed by this key. A signature of another length or form is a wrong one.
    pub fn signed(&self, text: &str, signature: &[u8]) -> bool {
        self.sign(text).as_bytes().ct_eq(signature).into()
    }
}

/// The text that is signed for a canonical request.
pub(super) fn string_to_sign(date: &AmzDate, credential: &Credential, canonical_request: &str) -> String {
    let hash = hex::encode(digest(&SHA256, canonical_request.as_bytes()));
    format!("{ALGORITHM}\n{}\n{}\n{hash}", date.as_str(), credential.scope())
}

/// Follows the signatures of a body's chunks: each covers the one before, the first the request's.
#[derive(Clone)]
pub struct ChunkSigner {
    key: SigningKey,
    date: AmzDate,
    scope: String,
    previous: String,
}

impl std::fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkSigner").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl ChunkSigner {
    /// Starts behind the request's own signature.
    pub fn new(key: SigningKey, date: AmzDate, credential: &Credential, seed: String) -> Self {
        Self { key, date, scope: credential.scope(), previous: seed }
    }

    /// Whether the chunk with this SHA-256 carries the right signature; then it is the one to follow.
    #[must_use]
    pub fn follows(&mut self, sha256: &[u8], signature: &[u8]) -> bool {
        let text = format!(
            "{ALGORITHM}-PAYLOAD\n{}\n{}\n{}\n{}\n{}",
            self.date.as_str(),
            self.scope,
            self.previous,
            hex::encode(digest(&SHA256, b"")),
            hex::encode(sha256)
        );
        self.step(&text, signature)
    }

    /// The same of the trailers, `name:value\n` each.
    #[must_use]
    pub fn closes(&mut self, trailers: &str, signature: &[u8]) -> bool {
        let text = format!(
            "{ALGORITHM}-TRAILER\n{}\n{}\n{}\n{}",
            self.date.as_str(),
            self.scope,
            self.previous,
            hex::encode(digest(&SHA256, trailers.as_bytes()))
        );
        self.step(&text, signature)
    }

    fn step(&mut self, text: &str, signature: &[u8]) -> bool {
        let right = self.key.sign(text);
        let holds = right.as_bytes().ct_eq(signature).into();
        self.previous = right;
        holds
    }
}
