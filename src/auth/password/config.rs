//! What an operator decides about passwords, and the bounds within which they may decide it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::stored::{self, argon2, bcrypt};
use super::strength::{self, MAX_CHARACTERS, RequiredCharacters, StrengthRules};

/// The most hashes that run at once when nothing is configured, however many cores there are.
const MAX_DEFAULT_CONCURRENCY: usize = 16;

/// Everything configurable about passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordConfig {
    /// How new hashes are made. A stored hash that was made otherwise is replaced at the next login.
    pub algorithm: Algorithm,
    /// How many hashes are computed at once. This times the memory of one bounds what hashing takes.
    pub concurrency: NonZeroUsize,
    /// How many more may wait for their turn; the next is refused as busy.
    pub queue: usize,
    /// The fewest characters of a new password, from 1 to [`MAX_CHARACTERS`].
    pub min_length: usize,
    /// Classes of which a new password needs one character each.
    pub required_characters: RequiredCharacters,
    /// Where known leaked passwords are looked up.
    pub leaked: LeakedCheck,
    /// Whether a new password is refused when the look-up fails; otherwise it passes with a warning in the log.
    pub leaked_fail_closed: bool,
}

/// The hash function of new passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Argon2id, RFC 9106.
    Argon2id(Argon2Cost),
    /// bcrypt with this cost, as a power of two. It reads 72 bytes, so longer passwords are refused.
    Bcrypt {
        /// From 4 to 15; the default elsewhere is 10 to 12.
        cost: u32,
    },
}

/// What one Argon2 hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes. They are computed one after the other: logins are what runs in parallel.
    pub parallelism: u32,
}

/// Where known leaked passwords are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LeakedCheck {
    /// Nowhere.
    #[default]
    Off,
    /// In a local list of SHA-1 digests in the format of Have I Been Pwned: `<40 hex digits>:<count>`, sorted by digest.
    File(PathBuf),
    /// At an endpoint that is asked for the first five hex digits only (k-anonymity): its base address.
    Endpoint(String),
}

impl Default for Argon2Cost {
    /// The first recommendation of OWASP for Argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::Argon2id(Argon2Cost::default())
    }
}

impl Algorithm {
    /// bcrypt at the cost that goforward recommends.
    pub const BCRYPT: Self = Self::Bcrypt { cost: 12 };
}

impl Default for PasswordConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let concurrency = NonZeroUsize::new(cores.min(MAX_DEFAULT_CONCURRENCY)).unwrap_or(NonZeroUsize::MIN);
        Self {
            algorithm: Algorithm::default(),
            concurrency,
            queue: 256,
            min_length: 6,
            required_characters: RequiredCharacters::default(),
            leaked: LeakedCheck::default(),
            leaked_fail_closed: false,
        }
    }
}

impl PasswordConfig {
    /// What a new password must look like under this configuration.
    pub fn rules(&self) -> StrengthRules {
        let max_bytes = match self.algorithm {
            Algorithm::Argon2id(_) => strength::MAX_BYTES,
            Algorithm::Bcrypt { .. } => bcrypt::MAX_PASSWORD_BYTES,
        };
        StrengthRules {
            min_characters: self.min_length,
            max_bytes,
            required_characters: self.required_characters.clone(),
        }
    }

    /// Whether everything is within its bounds.
    pub fn validate(&self) -> Result<(), PasswordConfigError> {
        if !(1..=MAX_CHARACTERS).contains(&self.min_length) {
            return Err(PasswordConfigError::MinLength);
        }
        let sum = self.concurrency.get().checked_add(self.queue);
        if sum.is_none_or(|sum| sum > super::pool::MAX_ADMITTED) {
            return Err(PasswordConfigError::Queue);
        }
        match self.algorithm {
            Algorithm::Bcrypt { cost } if !bcrypt::COSTS.contains(&cost) => {
                Err(PasswordConfigError::BcryptCost)
            }
            Algorithm::Argon2id(cost) if !argon2::is_acceptable(&cost) => {
                Err(PasswordConfigError::Argon2Cost)
            }
            _ => Ok(()),
        }
    }
}

/// A configuration out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordConfigError {
    /// See [`PasswordConfig::min_length`].
    #[error("the shortest password must have 1 to {MAX_CHARACTERS} characters")]
    MinLength,
    /// See [`PasswordConfig::queue`].
    #[error("at most {} password hashes may run and wait", super::pool::MAX_ADMITTED)]
    Queue,
    /// See [`Algorithm::Bcrypt`].
    #[error("the bcrypt cost must be from {} to {}", bcrypt::COSTS.start(), bcrypt::COSTS.end())]
    BcryptCost,
    /// See [`Argon2Cost`].
    #[error(
        "Argon2 takes 8 KiB of memory per lane to {} KiB, at least one pass and lane, at most {} lanes, and memory times \
         iterations up to {} KiB",
        stored::MAX_MEMORY_KIB,
        argon2::MAX_LANES,
        argon2::MAX_MEMORY_PASSES_KIB
    )]
    Argon2Cost,
}
