//! Pure: bcrypt in the modular crypt format: `$2b$12$<22 characters of salt><31 of digest>`.
//!
//! `$2a$` and `$2y$` name the same computation; `$2x$` marks a faulty one of old PHP and is not accepted.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq;

use super::{StoredHashError, number};

/// The bytes that bcrypt reads of a password.
pub(crate) const MAX_PASSWORD_BYTES: usize = 72;

/// The costs that are computed. Each step doubles the time; 15 takes about two seconds.
pub(crate) const COSTS: RangeInclusive<u32> = 4..=15;

/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 16;

/// Bytes of a digest. The last byte of the computation is left out by tradition.
const DIGEST_BYTES: usize = 23;

/// Salts that were not made from 16 bytes exist, so stray bits at the end are let pass.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A bcrypt hash.
pub(crate) struct BcryptHash {
    cost: u32,
    salt: [u8; SALT_BYTES],
    digest: [u8; DIGEST_BYTES],
}

impl BcryptHash {
    /// Hashes a password of at most [`MAX_PASSWORD_BYTES`].
    pub(crate) fn create(password: &[u8], cost: u32, salt: [u8; SALT_BYTES]) -> Self {
        Self { cost, salt, digest: compute(password, cost, salt) }
    }

    /// A hash with the given digest: with a random one it is the hash of no password, yet costs the same to try.
    pub(crate) fn placeholder(cost: u32, salt: [u8; SALT_BYTES], digest: [u8; DIGEST_BYTES]) -> Self {
        Self { cost, salt, digest }
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoredHashError> {
        let malformed = StoredHashError::Malformed("bcrypt");
        let fields: Vec<&str> = text.split('$').collect();
        let ["", _version, cost, rest] = fields.as_slice() else { return Err(malformed) };
        let cost =
            number(cost).filter(|number| cost.len() == 2 && number >= COSTS.start()).ok_or(malformed)?;
        if !COSTS.contains(&cost) {
            return Err(StoredHashError::TooExpensive("bcrypt"));
        }
        let (salt, digest) =
            rest.split_at_checked(22).filter(|(_, digest)| digest.len() == 31).ok_or(malformed)?;
        let decode = |text| BASE64.decode(text).map_err(|_| malformed);
        Ok(Self {
            cost,
            salt: decode(salt)?.try_into().map_err(|_| malformed)?,
            digest: decode(digest)?.try_into().map_err(|_| malformed)?,
        })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        compute(password, self.cost, self.salt).ct_eq(&self.digest).into()
    }

    pub(super) fn cost(&self) -> u32 {
        self.cost
    }
}

/// bcrypt reads the password with its terminating NUL, up to 72 bytes.
fn compute(password: &[u8], cost: u32, salt: [u8; SALT_BYTES]) -> [u8; DIGEST_BYTES] {
    let mut text = password.to_vec();
    text.push(0);
    text.truncate(MAX_PASSWORD_BYTES);
    let computed = bcrypt::bcrypt(cost, salt, &text);
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&computed[..DIGEST_BYTES]);
    digest
}

impl std::fmt::Display for BcryptHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "$2b${:02}${}{}", self.cost, BASE64.encode(self.salt), BASE64.encode(self.digest))
    }
}
