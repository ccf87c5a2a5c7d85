//! Secrets at rest: the root secret that every other key derives from, and authenticated encryption of database values.
//!
//! The root secret is outside of the database, so a dump of the database alone opens nothing. A sealed value says which
//! key sealed it, so that keys rotate: a new key becomes the current one, the older ones still open, and values are
//! sealed anew one by one ([`Vault::needs_reseal`]). [`RootSecrets`] does the same for all that derives from the root.

mod roots;

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::kernel::secret::Secret;

pub use roots::{MacKeys, RootSecrets};

/// The first part of every sealed value: format and version.
const FORMAT: &str = "gfv1";

/// The salt of the extract step: it keeps our keys apart from those that others derive from the same secret.
const SALT: &[u8] = b"goforward root secret v1";

/// The longest key id.
const MAX_KEY_ID: usize = 32;

/// The secret that keys derive from, one per purpose (HKDF-SHA256, RFC 5869).
#[derive(Clone)]
pub struct RootSecret(hmac::Key);

impl RootSecret {
    /// Takes in the configured text. It should hold 128 bits of entropy or more: nothing here slows a guesser down.
    pub fn new(secret: &Secret) -> Self {
        Self::extract(SALT, secret.expose().as_bytes())
    }

    /// The key for one purpose. Different labels give independent keys, and no key leads back to the secret.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        self.expand(label.as_bytes())
    }

    /// HKDF-Extract: the pseudorandom key is the MAC of the secret under the salt (RFC 5869 section 2.2).
    fn extract(salt: &[u8], secret: &[u8]) -> Self {
        let pseudorandom = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), secret);
        Self(hmac::Key::new(hmac::HMAC_SHA256, pseudorandom.as_ref()))
    }

    /// HKDF-Expand to 32 bytes: with SHA-256 that is its first block alone (RFC 5869 section 2.3).
    fn expand(&self, info: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(info);
        context.update(&[1]);
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret")
    }
}

/// Why something could not be sealed, opened or set up. The texts hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The text is no sealed value.
    #[error("not a sealed value")]
    Malformed,
    /// The value was sealed with a key that is not configured here.
    #[error("sealed with the unknown key `{0}`")]
    UnknownKey(String),
    /// The value was altered, or belongs to another row or purpose.
    #[error("the sealed value does not belong here or was altered")]
    Refused,
    /// A key id is empty, longer than 32 characters, or holds something else than `a-z`, `0-9`, `_` and `-`.
    #[error("`{0}` is no key id: 1 to 32 of a-z, 0-9, _ and -")]
    KeyId(String),
    /// Two keys carry the same id.
    #[error("two keys have the id `{0}`")]
    DuplicateKey(String),
    /// The cipher refused the input: longer than 64 GiB.
    #[error("the value cannot be sealed")]
    Unsealable,
}

/// One key of a [`Vault`], with the id that sealed values name it by.
pub struct VaultKey {
    id: String,
    key: LessSafeKey,
}

impl VaultKey {
    /// The key that derives from a root secret, under an id that the operator chose.
    ///
    /// Fails on an id that is none ([`VaultError::KeyId`]).
    pub fn named(id: &str, root: &RootSecret) -> Result<Self, VaultError> {
        if !is_key_id(id) {
            return Err(VaultError::KeyId(id.to_owned()));
        }
        Self::new(id.to_owned(), &Zeroizing::new(root.derive("vault")))
    }

    /// The key that derives from a root secret, under a fingerprint as its id: another secret is another id.
    pub fn fingerprinted(root: &RootSecret) -> Result<Self, VaultError> {
        let key = Zeroizing::new(root.derive("vault"));
        let fingerprint = digest::digest(&digest::SHA256, &root.derive("vault key id"));
        Self::new(hex::encode(&fingerprint.as_ref()[..4]), &key)
    }

    fn new(id: String, key: &[u8; 32]) -> Result<Self, VaultError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Unsealable)?;
        Ok(Self { id, key: LessSafeKey::new(key) })
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Seals values for the database with the current key and opens those of every configured key (AES-256-GCM).
///
/// The text form is `gfv1.<key id>.<base64url of nonce, ciphertext and tag>`. Purpose and row are authenticated with
/// it, so a value that is copied into another row or column does not open there.
pub struct Vault {
    keys: BTreeMap<String, LessSafeKey>,
    current: String,
}

impl Vault {
    /// A vault that seals with `current` and also opens what `older` keys sealed.
    pub fn new(current: VaultKey, older: Vec<VaultKey>) -> Result<Self, VaultError> {
        let mut vault = Self { current: current.id.clone(), keys: BTreeMap::new() };
        for VaultKey { id, key } in std::iter::once(current).chain(older) {
            if vault.keys.insert(id.clone(), key).is_some() {
                return Err(VaultError::DuplicateKey(id));
            }
        }
        Ok(vault)
    }

    /// Seals a value for one row and purpose.
    ///
    /// The nonce must be random and fresh: a key stays safe for 2^32 values (NIST SP 800-38D section 8.3).
    pub fn seal(
        &self,
        purpose: &str,
        row: &str,
        plaintext: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Result<String, VaultError> {
        let key = self.keys.get(&self.current).ok_or(VaultError::Unsealable)?;
        let mut sealed = plaintext.to_vec();
        let context = Aad::from(associated_data(purpose, row));
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), context, &mut sealed)
            .map_err(|_| VaultError::Unsealable)?;
        let body = [&nonce, sealed.as_slice(), tag.as_ref()].concat();
        Ok(format!("{FORMAT}.{}.{}", self.current, URL_SAFE_NO_PAD.encode(body)))
    }

    /// Opens a sealed value of this row and purpose. What it returns is wiped from memory when it is dropped.
    pub fn open(&self, purpose: &str, row: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (id, body) = split(sealed).ok_or(VaultError::Malformed)?;
        let key = self.keys.get(id).ok_or_else(|| VaultError::UnknownKey(id.to_owned()))?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| VaultError::Malformed)?;
        let (nonce, ciphertext) = body.split_first_chunk().ok_or(VaultError::Malformed)?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let context = Aad::from(associated_data(purpose, row));
        let length = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), context, &mut plaintext)
            .map_err(|_| VaultError::Refused)?
            .len();
        plaintext.truncate(length);
        Ok(plaintext)
    }

    /// Which key sealed a value; `None` for a text that is no sealed value.
    pub fn key_id_of(sealed: &str) -> Option<&str> {
        split(sealed).map(|(id, _)| id)
    }

    /// Whether a value should be sealed anew: another key than the current one sealed it, or it is not sealed at all.
    pub fn needs_reseal(&self, stored: &str) -> bool {
        Self::key_id_of(stored) != Some(self.current.as_str())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.keys().collect();
        f.debug_struct("Vault").field("current", &self.current).field("keys", &ids).finish()
    }
}

/// Key id and body of a sealed value.
fn split(sealed: &str) -> Option<(&str, &str)> {
    let (id, body) = sealed.strip_prefix(FORMAT)?.strip_prefix('.')?.split_once('.')?;
    is_key_id(id).then_some((id, body))
}

fn is_key_id(id: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=MAX_KEY_ID).contains(&id.len()) && id.bytes().all(allowed)
}

/// What a value is bound to. The length of the purpose comes first, so that no two pairs read the same.
fn associated_data(purpose: &str, row: &str) -> Vec<u8> {
    let length = (purpose.len() as u64).to_be_bytes();
    [FORMAT.as_bytes(), &length, purpose.as_bytes(), row.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn root(text: &str) -> RootSecret {
        RootSecret::new(&Secret::new(text))
    }

    fn vault() -> Vault {
        Vault::new(VaultKey::named("k1", &root("first")).unwrap(), Vec::new()).unwrap()
    }

    #[test]
    fn keys_derive_as_the_first_vector_of_rfc_5869_says() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let key = RootSecret::extract(&salt, &[0x0b; 22]).expand(&info);
        assert_eq!(hex::encode(key), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }

    #[test]
    fn each_label_and_each_secret_gives_its_own_key() {
        let keys = [root("a").derive("x"), root("a").derive("y"), root("b").derive("x")];
        assert_eq!(keys[0], root("a").derive("x"));
        assert_ne!(keys[0], keys[1]);
        assert_ne!(keys[0], keys[2]);
    }

    #[test]
    fn a_value_opens_only_in_its_row_and_for_its_purpose() {
        let vault = vault();
        let sealed = vault.seal("totp", "row 1", b"JBSWY3DP", [7; 12]).unwrap();
        assert!(sealed.starts_with("gfv1.k1."));
        assert_eq!(*vault.open("totp", "row 1", &sealed).unwrap(), b"JBSWY3DP");
        for (purpose, row) in [("totp", "row 2"), ("provider", "row 1"), ("totpr", "ow 1"), ("", "totprow 1")]
        {
            assert_eq!(vault.open(purpose, row, &sealed), Err(VaultError::Refused), "{purpose} {row}");
        }
    }

    #[test]
    fn an_older_key_still_opens_and_its_values_ask_to_be_sealed_anew() {
        let sealed = vault().seal("totp", "1", b"secret", [1; 12]).unwrap();
        let current = VaultKey::named("k2", &root("second")).unwrap();
        let older = VaultKey::named("k1", &root("first")).unwrap();
        let rotated = Vault::new(current, vec![older]).unwrap();
        assert_eq!(*rotated.open("totp", "1", &sealed).unwrap(), b"secret");
        assert!(rotated.needs_reseal(&sealed));
        assert!(rotated.needs_reseal("a plain value"));
        let again = rotated.seal("totp", "1", b"secret", [2; 12]).unwrap();
        assert_eq!(Vault::key_id_of(&again), Some("k2"));
        assert!(!rotated.needs_reseal(&again));
        assert_eq!(vault().open("totp", "1", &again), Err(VaultError::UnknownKey("k2".to_owned())));
    }

    #[test]
    fn another_root_secret_has_another_fingerprint() {
        let id = |text| VaultKey::fingerprinted(&root(text)).unwrap().id;
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
        assert!(is_key_id(&id("a")));
    }

    #[test]
    fn key_ids_are_checked() {
        for id in ["", "K1", "a.b", "a b", &"a".repeat(33)] {
            assert!(matches!(VaultKey::named(id, &root("x")), Err(VaultError::KeyId(_))), "{id}");
        }
        let key = || VaultKey::named("k1", &root("x")).unwrap();
        assert!(matches!(Vault::new(key(), vec![key()]), Err(VaultError::DuplicateKey(_))));
    }

    #[test]
    fn debug_output_shows_ids_and_no_keys() {
        assert_eq!(format!("{:?}", vault()), r#"Vault { current: "k1", keys: ["k1"] }"#);
        assert_eq!(format!("{:?}", root("hidden")), "RootSecret");
    }

    proptest! {
        #[test]
        fn every_value_comes_back(plaintext: Vec<u8>, nonce: [u8; 12], purpose: String, row: String) {
            let sealed = vault().seal(&purpose, &row, &plaintext, nonce).unwrap();
            prop_assert_eq!(&*vault().open(&purpose, &row, &sealed).unwrap(), &plaintext);
        }

        #[test]
        fn an_altered_value_never_opens(plaintext: Vec<u8>, at: proptest::sample::Index, bit in 0..7_u8) {
            let mut sealed = vault().seal("p", "r", &plaintext, [3; 12]).unwrap().into_bytes();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(sealed) {
                prop_assert!(vault().open("p", "r", &text).is_err());
            }
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text: String) {
            prop_assert!(vault().open("p", "r", &text).is_err());
            let prefixed = format!("gfv1.k1.{text}");
            prop_assert!(vault().open("p", "r", &prefixed).is_err());
        }
    }
}
