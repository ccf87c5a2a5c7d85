//! Pure: Argon2 (RFC 9106) in the PHC string format: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<digest>`.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use super::{ComputationFailed, MAX_MEMORY_KIB, StoredHashError, bytes, digest, number, value_of};
use crate::auth::password::config::Argon2Cost;
use crate::auth::password::memory::Share;

/// The most that one hash may work: memory times passes.
pub(crate) const MAX_MEMORY_PASSES_KIB: u64 = 1_048_576;

/// The most lanes.
pub(crate) const MAX_LANES: u32 = 64;

/// Bytes of a new digest.
const DIGEST_BYTES: usize = 32;

/// Bytes of a new salt.
pub(crate) const SALT_BYTES: usize = 16;

/// An Argon2 hash of any variant and version.
pub(crate) struct Argon2Hash {
    variant: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

/// Whether hashes of this cost can be computed, within the bounds.
pub(crate) fn is_acceptable(cost: &Argon2Cost) -> bool {
    is_affordable(cost) && params(cost).is_some()
}

fn is_affordable(cost: &Argon2Cost) -> bool {
    let work = u64::from(cost.memory_kib) * u64::from(cost.iterations);
    cost.memory_kib <= MAX_MEMORY_KIB && cost.parallelism <= MAX_LANES && work <= MAX_MEMORY_PASSES_KIB
}

fn params(cost: &Argon2Cost) -> Option<Params> {
    Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None).ok()
}

impl Argon2Hash {
    /// Hashes a password with Argon2id, version 1.3.
    pub(crate) fn create(
        password: &[u8],
        cost: &Argon2Cost,
        salt: [u8; SALT_BYTES],
        memory: &mut Share,
    ) -> Result<Self, ComputationFailed> {
        let mut hash = Self::placeholder(cost, salt, [0; DIGEST_BYTES]).ok_or(ComputationFailed)?;
        hash.digest = hash.compute(password, memory)?;
        Ok(hash)
    }

    /// A hash with the given digest: with a random one it is the hash of no password, yet costs the same to try.
    pub(crate) fn placeholder(
        cost: &Argon2Cost,
        salt: [u8; SALT_BYTES],
        digest: [u8; DIGEST_BYTES],
    ) -> Option<Self> {
        Some(Self {
            variant: Algorithm::Argon2id,
            version: Version::V0x13,
            params: params(cost)?,
            salt: salt.to_vec(),
            digest: digest.to_vec(),
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoredHashError> {
        let fields: Vec<&str> = text.split('$').skip(1).collect();
        let (variant, version, costs, salt, digest_text) = match fields.as_slice() {
            [variant, version, costs, salt, digest] => (*variant, *version, *costs, *salt, *digest),
            // Hashes from before version 1.3 do not name their version.
            [variant, costs, salt, digest] => (*variant, "v=16", *costs, *salt, *digest),
            _ => return Err(StoredHashError::Malformed("Argon2")),
        };
        let cost = read_cost(costs).ok_or(StoredHashError::Malformed("Argon2"))?;
        if !is_affordable(&cost) {
            return Err(StoredHashError::TooExpensive("Argon2"));
        }
        let read = || {
            Some(Self {
                variant: variant.parse().ok()?,
                version: Version::try_from(value_of(version, "v").and_then(number)?).ok()?,
                params: params(&cost)?,
                salt: bytes(salt).filter(|salt| salt.len() >= argon2::MIN_SALT_LEN)?,
                digest: digest(digest_text)?,
            })
        };
        read().ok_or(StoredHashError::Malformed("Argon2"))
    }

    pub(super) fn matches(&self, password: &[u8], memory: &mut Share) -> Result<bool, ComputationFailed> {
        Ok(self.compute(password, memory)?.ct_eq(&self.digest).into())
    }

    fn compute(&self, password: &[u8], memory: &mut Share) -> Result<Vec<u8>, ComputationFailed> {
        let blocks = memory.blocks(self.params.block_count())?;
        let mut digest = vec![0; self.digest.len()];
        Argon2::new(self.variant, self.version, self.params.clone())
            .hash_password_into_with_memory(password, &self.salt, &mut digest, blocks)
            .map_err(|_| ComputationFailed)?;
        Ok(digest)
    }

    /// Whether a new hash of this cost would be like this one.
    pub(super) fn is_made_with(&self, cost: &Argon2Cost) -> bool {
        self.variant == Algorithm::Argon2id
            && self.version == Version::V0x13
            && params(cost).as_ref() == Some(&self.params)
            && self.salt.len() >= SALT_BYTES
            && self.digest.len() >= DIGEST_BYTES
    }

    pub(super) fn memory_kib(&self) -> u32 {
        self.params.m_cost()
    }

    /// The blocks of 1 KiB that computing takes.
    pub(super) fn memory_blocks(&self) -> usize {
        self.params.block_count()
    }
}

/// `m=<KiB>,t=<passes>,p=<lanes>`. A key id or associated data belongs to schemes that we hold no key of.
fn read_cost(text: &str) -> Option<Argon2Cost> {
    let mut parts = text.split(',');
    let mut next = |name: &str| number(value_of(parts.next()?, name)?);
    let cost = Argon2Cost { memory_kib: next("m")?, iterations: next("t")?, parallelism: next("p")? };
    parts.next().is_none().then_some(cost)
}

impl std::fmt::Display for Argon2Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (variant, version) = (self.variant.as_str(), u32::from(self.version));
        let (memory, passes, lanes) = (self.params.m_cost(), self.params.t_cost(), self.params.p_cost());
        let (salt, digest) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.digest));
        write!(f, "${variant}$v={version}$m={memory},t={passes},p={lanes}${salt}${digest}")
    }
}
