//! Hashing and verifying, off the threads that serve requests and bounded in number.

use std::sync::Arc;

use super::config::{Algorithm, Argon2Cost, PasswordConfig, PasswordConfigError};
use super::memory::WorkingMemory;
use super::pool::{BoundedPool, PoolError};
use super::stored::argon2::Argon2Hash;
use super::stored::bcrypt::{self, BcryptHash};
use super::stored::{ComputationFailed, StoredHash, StoredHashError};
use super::strength::{Unusable, usable};
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

/// Hashes and verifies passwords. Clones share the pool.
#[derive(Clone)]
pub struct PasswordHasher {
    algorithm: Algorithm,
    random: Random,
    pool: BoundedPool,
    memory: WorkingMemory,
    /// The hash of no password, at the cost of a new one.
    pub(super) nobody: Arc<StoredHash>,
}

/// What verifying found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    /// Whether the password is the right one.
    pub matches: bool,
    /// Whether it is right, and its hash should be replaced by a new one of [`PasswordHasher::hash`].
    pub needs_rehash: bool,
    /// Why the stored hash can never match: for the log, never for the client.
    pub fault: Option<StoredHashError>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many are waiting for their turn: 429 or 503, and try again.
    #[error("too many passwords are being checked, try again later")]
    Busy,
    /// The text can be nobody's password. This is found before any hash is looked at, so it tells of no account.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// No memory, a panic, or the server is stopping.
    #[error("the password could not be computed")]
    Failed,
}

impl From<PoolError> for PasswordError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy => Self::Busy,
            PoolError::Abandoned => Self::Failed,
        }
    }
}

impl From<ComputationFailed> for PasswordError {
    fn from(ComputationFailed: ComputationFailed) -> Self {
        Self::Failed
    }
}

impl PasswordHasher {
    /// A hasher with a pool of its own. Have one in the whole process: the pool is what bounds memory.
    pub fn new(config: &PasswordConfig, random: Random) -> Result<Self, PasswordConfigError> {
        config.validate()?;
        let nobody = match config.algorithm {
            Algorithm::Argon2id(cost) => Argon2Hash::placeholder(&cost, random.bytes(), random.bytes())
                .map(StoredHash::Argon2)
                .ok_or(PasswordConfigError::Argon2Cost)?,
            Algorithm::Bcrypt { cost } => {
                StoredHash::Bcrypt(BcryptHash::placeholder(cost, random.bytes(), random.bytes()))
            }
        };
        Ok(Self {
            algorithm: config.algorithm,
            random,
            pool: BoundedPool::new(config.concurrency, config.queue),
            memory: WorkingMemory::new(nobody.memory_blocks()),
            nobody: Arc::new(nobody),
        })
    }

    /// The text to store for a new password: a PHC string, or bcrypt's own form.
    pub async fn hash(&self, password: &Secret) -> Result<String, PasswordError> {
        usable(password)?;
        let is_bcrypt = matches!(self.algorithm, Algorithm::Bcrypt { .. });
        if is_bcrypt && password.expose().len() > bcrypt::MAX_PASSWORD_BYTES {
            return Err(Unusable::TooLong { max: bcrypt::MAX_PASSWORD_BYTES }.into());
        }
        let (algorithm, salt, password) = (self.algorithm, self.random.bytes(), password.clone());
        let mut memory = self.memory.share();
        let hashed = self.pool.run(1, move || match algorithm {
            Algorithm::Argon2id(cost) => {
                Argon2Hash::create(password.expose().as_bytes(), &cost, salt, &mut memory)
                    .map(|hash| hash.to_string())
            }
            Algorithm::Bcrypt { cost } => {
                Ok(BcryptHash::create(password.expose().as_bytes(), cost, salt).to_string())
            }
        });
        Ok(hashed.await??)
    }

    /// Whether the password is the one of the stored hash.
    ///
    /// A hash that cannot be read takes as long as a wrong password. So does an empty one, of a user without a password.
    /// An imported hash takes the time of its own parameters until it is replaced.
    pub async fn verify(&self, password: &Secret, stored: &str) -> Result<Verdict, PasswordError> {
        if stored.is_empty() {
            return self.verify_nobody(password).await;
        }
        match StoredHash::parse(stored) {
            Ok(hash) => self.compare(password, Arc::new(hash)).await,
            Err(fault) => Ok(Verdict { fault: Some(fault), ..self.verify_nobody(password).await? }),
        }
    }

    /// Takes as long as verifying a password does, and never matches: for a user who does not exist (threats B01, B02).
    pub async fn verify_nobody(&self, password: &Secret) -> Result<Verdict, PasswordError> {
        let _never_true = self.compare(password, Arc::clone(&self.nobody)).await?;
        Ok(Verdict { matches: false, needs_rehash: false, fault: None })
    }

    async fn compare(&self, password: &Secret, hash: Arc<StoredHash>) -> Result<Verdict, PasswordError> {
        usable(password)?;
        let (algorithm, password) = (self.algorithm, password.clone());
        let mut memory = self.memory.share();
        let compared = self.pool.run(self.shares(&hash), move || {
            let password = password.expose().as_bytes();
            let matches = hash.matches(password, &mut memory)?;
            let needs_rehash = matches && hash.needs_rehash(&algorithm, password);
            Ok::<_, ComputationFailed>(Verdict { matches, needs_rehash, fault: None })
        });
        Ok(compared.await??)
    }

    /// How many slots a hash takes. One that needs the memory of several of ours takes the place of as many, so that
    /// the memory of the whole pool stays bounded, or it runs alone.
    pub(super) fn shares(&self, hash: &StoredHash) -> u32 {
        let default = Argon2Cost::default().memory_kib;
        let of_one = match self.algorithm {
            Algorithm::Argon2id(cost) => cost.memory_kib.max(default),
            Algorithm::Bcrypt { .. } => default,
        };
        hash.memory_kib().div_ceil(of_one)
    }
}

impl std::fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordHasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
