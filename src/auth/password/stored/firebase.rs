//! Pure: Firebase's modified scrypt (github.com/firebase/scrypt) in the text form of GoTrue:
//! `$fbscrypt$v=1,n=<log2 N>,r=<block size>,p=<lanes>,ss=<salt separator>,sk=<signer key>$<salt>$<digest>`.
//!
//! scrypt of the password, with the salt and the project's separator after it, gives a key; the project's signer key,
//! encrypted with it by AES-256 in counter mode from zero, is the digest.

use aws_lc_rs::cipher::{AES_256, AES_256_KEY_LEN, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::{FixedLength, IV_LEN_128_BIT};
use scrypt::Params;
use subtle::ConstantTimeEq;

use super::{ComputationFailed, MAX_MEMORY_KIB, StoredHashError, bytes, digest, number, value_of};

/// The most blocks of 128 bytes that one hash may mix: N times r times p.
const MAX_WORK: u64 = 4_194_304;

/// A hash of Firebase.
pub(crate) struct FirebaseHash {
    params: Params,
    memory_kib: u32,
    /// The user's salt and the project's separator.
    salt: Vec<u8>,
    signer_key: Vec<u8>,
    digest: Vec<u8>,
}

impl FirebaseHash {
    pub(super) fn parse(text: &str) -> Result<Self, StoredHashError> {
        let malformed = StoredHashError::Malformed("Firebase scrypt");
        let fields: Vec<&str> = text.split('$').collect();
        let ["", _name, settings, salt, digest_text] = fields.as_slice() else { return Err(malformed) };
        let settings = Settings::read(settings).ok_or(malformed)?;
        let memory_kib = settings.memory_kib().ok_or(StoredHashError::TooExpensive("Firebase scrypt"))?;
        let read = || {
            let mut salt = bytes(salt).filter(|salt| !salt.is_empty())?;
            salt.extend(bytes(settings.separator)?);
            let signer_key = digest(settings.signer_key)?;
            let digest = digest(digest_text).filter(|digest| digest.len() == signer_key.len())?;
            let params =
                Params::new(u8::try_from(settings.log_n).ok()?, settings.block_size, settings.lanes).ok()?;
            Some(Self { params, memory_kib, salt, signer_key, digest })
        };
        read().ok_or(malformed)
    }

    pub(super) fn matches(&self, password: &[u8]) -> Result<bool, ComputationFailed> {
        let mut key = [0; AES_256_KEY_LEN];
        scrypt::scrypt(password, &self.salt, &self.params, &mut key).map_err(|_| ComputationFailed)?;
        let mut opened = self.digest.clone();
        UnboundCipherKey::new(&AES_256, &key)
            .and_then(DecryptingKey::ctr)
            .and_then(|key| {
                let zero = FixedLength::from([0; IV_LEN_128_BIT]);
                key.decrypt(&mut opened, DecryptionContext::Iv128(zero)).map(|_| ())
            })
            .map_err(|_| ComputationFailed)?;
        Ok(opened.ct_eq(&self.signer_key).into())
    }

    pub(super) fn memory_kib(&self) -> u32 {
        self.memory_kib
    }
}

/// What stands between the name and the salt.
struct Settings<'a> {
    log_n: u32,
    block_size: u32,
    lanes: u32,
    separator: &'a str,
    signer_key: &'a str,
}

impl<'a> Settings<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(',');
        let mut next = |name: &str| value_of(parts.next()?, name);
        next("v").filter(|version| *version == "1")?;
        let settings = Self {
            log_n: number(next("n")?)?,
            block_size: number(next("r")?)?,
            lanes: number(next("p")?)?,
            separator: next("ss")?,
            signer_key: next("sk")?,
        };
        let is_computable = settings.log_n > 0 && settings.block_size > 0 && settings.lanes > 0;
        (is_computable && parts.next().is_none()).then_some(settings)
    }

    /// The memory that it takes, where that and the work are within the bounds.
    fn memory_kib(&self) -> Option<u32> {
        let blocks = 1_u64.checked_shl(self.log_n)?.checked_mul(u64::from(self.block_size))?;
        let is_short = blocks.checked_mul(u64::from(self.lanes))? <= MAX_WORK;
        let kib = u32::try_from(blocks / 8).ok()?;
        (is_short && kib <= MAX_MEMORY_KIB).then_some(kib)
    }
}
