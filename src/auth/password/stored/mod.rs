//! Pure: stored password hashes, read from their text forms, bounded in what they may cost, and compared.
//!
//! | form | of |
//! |---|---|
//! | `$argon2id$`, `$argon2i$`, `$argon2d$` | the PHC string format; the first is our own |
//! | `$2a$`, `$2b$`, `$2y$` | bcrypt: GoTrue and most others |
//! | `$fbscrypt$` | Firebase's modified scrypt, as GoTrue writes it |
//! | `$pbkdf2-sha256$`, `$pbkdf2-sha512$` | passlib |
//! | `pbkdf2_sha256$` | Django |
//!
//! A hash comes from an import, so it is not trusted: whoever writes one must not be able to make a login cost gigabytes
//! or minutes. All bounds are constants of these files, checked while reading.

pub(super) mod argon2;
pub(super) mod bcrypt;
mod firebase;
mod pbkdf2;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::config::Algorithm;
use super::memory::Share;

/// The longest text that is read at all.
const MAX_TEXT_BYTES: usize = 1024;

/// The most memory that comparing may take.
pub(crate) const MAX_MEMORY_KIB: u32 = 262_144;

/// The fewest bytes of a digest: with fewer, a wrong password could match by chance.
const MIN_DIGEST_BYTES: usize = 16;

/// Standard base64, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A stored hash whose cost is within the bounds.
pub(crate) enum StoredHash {
    Argon2(argon2::Argon2Hash),
    Bcrypt(bcrypt::BcryptHash),
    Firebase(firebase::FirebaseHash),
    Pbkdf2(pbkdf2::Pbkdf2Hash),
}

/// Why a stored hash can never match. Says nothing of its content, so it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredHashError {
    /// No known form.
    #[error("the stored password hash has an unknown format")]
    Unknown,
    /// A known form that does not parse.
    #[error("the stored {0} hash is malformed")]
    Malformed(&'static str),
    /// Its parameters are beyond the bounds.
    #[error("the stored {0} hash would take too much memory or time")]
    TooExpensive(&'static str),
}

/// A hash function gave up: there is no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ComputationFailed;

impl StoredHash {
    /// Reads any of the known forms.
    pub(super) fn parse(text: &str) -> Result<Self, StoredHashError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(StoredHashError::Unknown);
        }
        let mut parts = text.split('$');
        match (parts.next(), parts.next()) {
            (Some(""), Some("argon2id" | "argon2i" | "argon2d")) => {
                argon2::Argon2Hash::parse(text).map(Self::Argon2)
            }
            (Some(""), Some("2a" | "2b" | "2y")) => bcrypt::BcryptHash::parse(text).map(Self::Bcrypt),
            (Some(""), Some("fbscrypt")) => firebase::FirebaseHash::parse(text).map(Self::Firebase),
            (Some(""), Some("pbkdf2-sha256" | "pbkdf2-sha512")) => {
                pbkdf2::Pbkdf2Hash::parse_passlib(text).map(Self::Pbkdf2)
            }
            (Some("pbkdf2_sha256"), _) => pbkdf2::Pbkdf2Hash::parse_django(text).map(Self::Pbkdf2),
            _ => Err(StoredHashError::Unknown),
        }
    }

    /// Whether the hash was made from this password. Digests are compared in constant time.
    pub(super) fn matches(&self, password: &[u8], memory: &mut Share) -> Result<bool, ComputationFailed> {
        match self {
            Self::Argon2(hash) => hash.matches(password, memory),
            Self::Bcrypt(hash) => Ok(hash.matches(password)),
            Self::Firebase(hash) => hash.matches(password),
            Self::Pbkdf2(hash) => Ok(hash.matches(password)),
        }
    }

    /// Whether a password that matched should be hashed anew.
    ///
    /// Never where bcrypt is involved and the password is longer than bcrypt reads: from bcrypt, the rest was not proved
    /// to be right and a new hash would demand it; to bcrypt, the rest would be dropped.
    pub(super) fn needs_rehash(&self, wanted: &Algorithm, password: &[u8]) -> bool {
        let is_bcrypt = matches!(self, Self::Bcrypt(_)) || matches!(wanted, Algorithm::Bcrypt { .. });
        if is_bcrypt && password.len() > bcrypt::MAX_PASSWORD_BYTES {
            return false;
        }
        match (self, wanted) {
            (Self::Argon2(hash), Algorithm::Argon2id(cost)) => !hash.is_made_with(cost),
            (Self::Bcrypt(hash), Algorithm::Bcrypt { cost }) => hash.cost() != *cost,
            _ => true,
        }
    }

    /// The working memory that comparing borrows, in blocks of 1 KiB.
    pub(super) fn memory_blocks(&self) -> usize {
        match self {
            Self::Argon2(hash) => hash.memory_blocks(),
            Self::Firebase(_) | Self::Bcrypt(_) | Self::Pbkdf2(_) => 0,
        }
    }

    /// The memory that comparing takes.
    pub(super) fn memory_kib(&self) -> u32 {
        match self {
            Self::Argon2(hash) => hash.memory_kib(),
            Self::Firebase(hash) => hash.memory_kib(),
            Self::Bcrypt(_) | Self::Pbkdf2(_) => 0,
        }
    }
}

/// A decimal number without sign.
fn number(text: &str) -> Option<u32> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

/// Bytes in base64 of any of the alphabets in use: standard, URL-safe (Firebase's exports), passlib's with `.` for `+`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let standard: String = text
        .chars()
        .map(|character| match character {
            '-' | '.' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    BASE64.decode(standard).ok()
}

/// The digest of a hash, long enough to mean something.
fn digest(text: &str) -> Option<Vec<u8>> {
    bytes(text).filter(|digest| digest.len() >= MIN_DIGEST_BYTES)
}

/// The value of `name=value`.
fn value_of<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    part.strip_prefix(name)?.strip_prefix('=')
}
