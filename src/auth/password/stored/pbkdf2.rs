//! Pure: PBKDF2 (RFC 8018) as passlib and Django write it: `$pbkdf2-sha256$<rounds>$<salt>$<digest>` and
//! `pbkdf2_sha256$<rounds>$<salt as text>$<digest>`.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{Algorithm, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512, verify};

use super::{StoredHashError, bytes, digest, number};

/// The most rounds: above what Django 6 uses, and about a second of work.
const MAX_ROUNDS: u32 = 2_000_000;

/// The longest digest. Each further block of the hash function would cost all the rounds again.
const MAX_DIGEST_BYTES: usize = 64;

/// A PBKDF2 hash.
pub(crate) struct Pbkdf2Hash {
    algorithm: Algorithm,
    rounds: NonZeroU32,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Pbkdf2Hash {
    pub(super) fn parse_passlib(text: &str) -> Result<Self, StoredHashError> {
        let fields: Vec<&str> = text.split('$').collect();
        let ["", name, rounds, salt, digest] = fields.as_slice() else { return Err(MALFORMED) };
        let algorithm = if *name == "pbkdf2-sha512" { PBKDF2_HMAC_SHA512 } else { PBKDF2_HMAC_SHA256 };
        Self::new(algorithm, rounds, bytes(salt).ok_or(MALFORMED)?, digest)
    }

    pub(super) fn parse_django(text: &str) -> Result<Self, StoredHashError> {
        let fields: Vec<&str> = text.split('$').collect();
        let [_name, rounds, salt, digest] = fields.as_slice() else { return Err(MALFORMED) };
        Self::new(PBKDF2_HMAC_SHA256, rounds, salt.as_bytes().to_vec(), digest)
    }

    fn new(
        algorithm: Algorithm,
        rounds: &str,
        salt: Vec<u8>,
        digest_text: &str,
    ) -> Result<Self, StoredHashError> {
        let rounds = number(rounds).and_then(NonZeroU32::new).ok_or(MALFORMED)?;
        let digest = digest(digest_text).ok_or(MALFORMED)?;
        if rounds.get() > MAX_ROUNDS || digest.len() > MAX_DIGEST_BYTES {
            return Err(StoredHashError::TooExpensive("PBKDF2"));
        }
        Ok(Self { algorithm, rounds, salt, digest })
    }

    /// The crate compares in constant time.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        verify(self.algorithm, self.rounds, &self.salt, password, &self.digest).is_ok()
    }
}

const MALFORMED: StoredHashError = StoredHashError::Malformed("PBKDF2");
