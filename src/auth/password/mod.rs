//! Passwords: how they are hashed, verified, and what a new one must look like.
//!
//! - [`PasswordHasher`] hashes and verifies on a bounded pool, so that a storm of logins costs neither the memory nor the
//!   other routes of the server. Start at `hasher.rs`.
//! - `stored/` reads hashes: our own, and those of systems that users are imported from.
//! - [`PasswordPolicy`] says whether a password may be chosen: length, character classes, known leaks.
//!
//! Passwords are taken as the bytes that were typed. No Unicode normalisation happens, because imported hashes were made
//! without it.

mod config;
mod hasher;
mod leaked;
mod memory;
mod policy;
mod pool;
mod range;
mod stored;
mod strength;

#[cfg(test)]
mod tests;

pub use config::{Algorithm, Argon2Cost, LeakedCheck, PasswordConfig, PasswordConfigError};
pub use hasher::{PasswordError, PasswordHasher, Verdict};
pub use leaked::{LeakedError, LeakedFile, LeakedPasswords, RangeError, RangeSource, Reading};
pub use policy::PasswordPolicy;
pub use pool::{BoundedPool, PoolError};
pub use range::RangeEndpoint;
pub use stored::StoredHashError;
pub use strength::{
    MAX_CHARACTERS, PasswordRefusal, Reason, RequiredCharacters, StrengthRules, Unusable, WeakPassword,
};

/// Whether a hash that another system made can be kept: it is of a known form, and not too expensive to compare with.
///
/// # Errors
/// Why it could never match.
pub fn check_imported(hash: &str) -> Result<(), StoredHashError> {
    stored::StoredHash::parse(hash).map(drop)
}
