//! API keys of services and persons: `gf_<kind>_<33 characters><6 characters of checksum>`.
//!
//! The checksum turns away typing errors and made-up keys before any look-up, and lets scanners recognise a leaked key
//! without asking us. Only a keyed digest is stored; the key is shown once. Keys that an import brings are UUIDs. What a
//! key may do is in [`scope`](crate::kernel::identity::scope).

use std::fmt;

use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::kernel::secret::Secret;
use crate::kernel::vault::{MacKeys, RootSecrets};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How many random bytes a key carries: 192 bits.
const RANDOM_LENGTH: usize = 24;
/// Their length in base 62: 62^33 is more than 2^192.
const BODY_LENGTH: usize = 33;
/// The length of 32 bits in base 62.
const CHECKSUM_LENGTH: usize = 6;
/// How much of the body lists show.
const VISIBLE_LENGTH: usize = 6;

/// What lets a key die, and whom it speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Another backend's.
    Service,
    /// A user's own, until it expires or is revoked.
    Personal,
    /// A user's, until the session ends that it was made in.
    Session,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Service, Self::Personal, Self::Session];

    /// The word in keys, on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Personal => "personal",
            Self::Session => "session",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl TryFrom<String> for KeyKind {
    type Error = NotAKey;

    fn try_from(word: String) -> Result<Self, NotAKey> {
        Self::parse(&word).ok_or(NotAKey)
    }
}

/// A key whose form is right, so that a look-up is worth it. Whether it is in force, the database says.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    text: Secret,
    kind: Option<KeyKind>,
}

/// The text is no API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct NotAKey;

impl ApiKey {
    /// A new key from random bytes.
    pub fn mint(kind: KeyKind, random: [u8; RANDOM_LENGTH]) -> Self {
        let mut text = format!("gf_{}_", kind.as_str());
        push_base62(&random, BODY_LENGTH, &mut text);
        let checksum = checksum_of(&text);
        text.push_str(&checksum);
        Self { text: Secret::new(text), kind: Some(kind) }
    }

    /// Reads a presented key: one of ours with its checksum, or an imported UUID in any case.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let Some(rest) = text.strip_prefix("gf_") else { return Self::imported(text) };
        let (kind, body) = rest.split_once('_').ok_or(NotAKey)?;
        let kind = KeyKind::parse(kind).ok_or(NotAKey)?;
        if body.len() != BODY_LENGTH + CHECKSUM_LENGTH
            || !body.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(NotAKey);
        }
        let (before, checksum) = text.split_at(text.len() - CHECKSUM_LENGTH);
        if checksum_of(before) != checksum {
            return Err(NotAKey);
        }
        Ok(Self { text: Secret::new(text), kind: Some(kind) })
    }

    fn imported(text: &str) -> Result<Self, NotAKey> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(NotAKey);
        }
        let uuid = Uuid::try_parse(text).map_err(|_| NotAKey)?;
        Ok(Self { text: Secret::new(uuid.to_string()), kind: None })
    }

    /// The kind that the key names; `None` for an imported one, whose kind only the database knows.
    pub fn kind(&self) -> Option<KeyKind> {
        self.kind
    }

    /// Whether it may be a service's, by what the key itself says.
    pub fn may_be_of_service(&self) -> bool {
        matches!(self.kind, None | Some(KeyKind::Service))
    }

    /// The beginning that lists and logs may show: not enough to guess the rest.
    pub fn visible_prefix(&self) -> &str {
        let length = match self.kind {
            Some(kind) => "gf_".len() + kind.as_str().len() + "_".len() + VISIBLE_LENGTH,
            None => VISIBLE_LENGTH,
        };
        self.text.expose().get(..length).unwrap_or_default()
    }

    /// The key itself: for the one answer that shows it.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}...)", self.visible_prefix())
    }
}

/// Makes the digests that the database holds.
#[derive(Clone)]
pub struct ApiKeyMac(MacKeys);

impl ApiKeyMac {
    /// With the keys that derive from the root secrets.
    pub fn new(roots: &RootSecrets) -> Self {
        Self(roots.mac_keys("api key mac"))
    }

    /// The HMAC-SHA256 of a key. Look-ups go by it: without the MAC key nobody steers what an index compares.
    pub fn digest(&self, key: &ApiKey) -> Vec<u8> {
        digest_of(self.0.current(), key)
    }

    /// Every digest that the key may be stored under, the current one first: it may be older than the root secret.
    pub fn digests(&self, key: &ApiKey) -> Vec<Vec<u8>> {
        self.0.all().map(|mac| digest_of(mac, key)).collect()
    }

    /// Whether a stored digest is that of the key, in constant time.
    pub fn matches(&self, key: &ApiKey, digest: &[u8]) -> bool {
        self.0.any_makes(digest, |mac| digest_of(mac, key))
    }

    /// Whether a stored digest that [`matches`](Self::matches) is to be replaced: an earlier root secret made it.
    pub fn is_outdated(&self, key: &ApiKey, digest: &[u8]) -> bool {
        !bool::from(self.digest(key).ct_eq(digest))
    }
}

fn digest_of(mac: &hmac::Key, key: &ApiKey) -> Vec<u8> {
    hmac::sign(mac, key.expose().as_bytes()).as_ref().to_vec()
}

impl fmt::Debug for ApiKeyMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyMac")
    }
}

/// The first 32 bits of the SHA-256 of all before it, in base 62.
fn checksum_of(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let mut checksum = String::with_capacity(CHECKSUM_LENGTH);
    push_base62(&digest.as_ref()[..4], CHECKSUM_LENGTH, &mut checksum);
    checksum
}

/// Appends a big-endian number in base 62, padded to `length` digits, the highest first.
fn push_base62(number: &[u8], length: usize, out: &mut String) {
    let mut number = number.to_vec();
    let mut digits = Vec::with_capacity(length);
    for _ in 0..length {
        let mut remainder = 0;
        for byte in &mut number {
            let value = remainder << 8 | usize::from(*byte);
            // The quotient is below 256, since the remainder before was below 62.
            *byte = (value / 62).to_le_bytes()[0];
            remainder = value % 62;
        }
        digits.push(char::from(ALPHABET[remainder]));
    }
    out.extend(digits.iter().rev());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::identity::tests::timing::{SAMPLES, THRESHOLD, attempts};
    use crate::kernel::random::Random;

    fn mac(secret: &str) -> ApiKeyMac {
        ApiKeyMac::new(&RootSecrets::new(&Secret::new(secret), &[]))
    }

    #[test]
    fn keys_have_the_documented_form() {
        let key = ApiKey::mint(KeyKind::Service, [0; 24]);
        let body = key.expose().strip_prefix(&format!("gf_service_{}", "0".repeat(33))).unwrap();
        assert_eq!(body.len(), 6);
        let highest = ApiKey::mint(KeyKind::Personal, [0xff; 24]);
        assert_eq!(highest.expose().len(), "gf_personal_".len() + 33 + 6);
        assert_eq!(ApiKey::parse(highest.expose()), Ok(highest));
    }

    #[test]
    fn base_62_counts_from_digits_over_capitals_to_small_letters() {
        for (number, text) in [(0_u32, "000000"), (61, "00000z"), (62, "000010"), (u32::MAX, "4gfFC3")] {
            let mut out = String::new();
            push_base62(&number.to_be_bytes(), 6, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = ApiKey::mint(KeyKind::Session, [7; 24]);
        let text = key.expose();
        for wrong in [
            "",
            "gf_",
            "gf_session",
            "gf_session_",
            "gf_admin_0000000000000000000000000000000000000000",
            &text.replace("session", "service"),
            &text[..text.len() - 1],
            &format!("{text}0"),
            &text.replace("gf_", "sb_"),
            "550e8400e29b41d4a716446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
        ] {
            assert_eq!(ApiKey::parse(wrong), Err(NotAKey), "{wrong}");
        }
    }

    #[test]
    fn imported_uuids_are_one_key_in_either_case() {
        let lower = ApiKey::parse("550e8400-e29b-41d4-a716-446655440000").unwrap();
        let upper = ApiKey::parse("550E8400-E29B-41D4-A716-446655440000").unwrap();
        assert_eq!(mac("a").digest(&lower), mac("a").digest(&upper));
        assert_eq!(lower.kind(), None);
        assert_eq!(lower.visible_prefix(), "550e84");
    }

    #[test]
    fn only_the_right_secret_gives_the_digest() {
        let key = ApiKey::mint(KeyKind::Personal, [7; 24]);
        let digest = mac("a").digest(&key);
        assert!(mac("a").matches(&key, &digest));
        assert!(!mac("b").matches(&key, &digest));
        assert!(!mac("a").matches(&ApiKey::mint(KeyKind::Personal, [8; 24]), &digest));
        assert!(!mac("a").matches(&key, b""));
    }

    #[test]
    fn a_key_is_recognised_under_an_earlier_secret_that_is_listed_and_asks_for_a_new_digest() {
        let key = ApiKey::mint(KeyKind::Personal, [7; 24]);
        let old = mac("a").digest(&key);
        let rotated = ApiKeyMac::new(&RootSecrets::new(&Secret::new("b"), &[Secret::new("a")]));
        assert!(rotated.matches(&key, &old) && rotated.is_outdated(&key, &old));
        assert_eq!(rotated.digests(&key), [mac("b").digest(&key), old]);
        assert!(!rotated.is_outdated(&key, &rotated.digest(&key)));
    }

    #[test]
    fn a13_a_check_takes_no_longer_for_a_near_guess() {
        let (mac, secret, other) = (mac("a"), [7; 24], [9; 24]);
        let stored = mac.digest(&ApiKey::mint(KeyKind::Personal, secret));
        // Both classes are made by the same work, so that only what they are near to differs.
        let guess = |near: bool, random: &Random| {
            let mut bytes = if near { secret } else { other };
            bytes[20..].copy_from_slice(&random.bytes::<4>());
            ApiKey::mint(KeyKind::Personal, bytes).expose().to_owned()
        };
        // Whether the form is right depends on the guess alone, so its parsing is left out: what is measured is all that
        // meets the secret.
        let check = |text: &str| {
            let key = ApiKey { text: Secret::new(text), kind: Some(KeyKind::Personal) };
            assert!(!mac.matches(&key, &stored));
        };

        let found = attempts(SAMPLES, guess, check);

        assert!(found.last().is_some_and(|t| *t < THRESHOLD), "{found:?}");
    }

    #[test]
    fn lists_logs_and_debug_output_see_the_beginning_alone() {
        let key = ApiKey::mint(KeyKind::Personal, [0; 24]);
        assert_eq!(key.visible_prefix(), "gf_personal_000000");
        assert_eq!(format!("{key:?} {:?}", mac("a")), "ApiKey(gf_personal_000000...) ApiKeyMac");
    }

    proptest! {
        #[test]
        fn every_key_comes_back(random: [u8; 24], kind in proptest::sample::select(KeyKind::ALL.to_vec())) {
            let key = ApiKey::mint(kind, random);
            prop_assert_eq!(ApiKey::parse(key.expose()), Ok(key.clone()));
            prop_assert_eq!(key.kind(), Some(kind));
        }

        #[test]
        fn a_flipped_bit_is_refused(random: [u8; 24], at: proptest::sample::Index, bit in 0..7_u8) {
            let mut text = ApiKey::mint(KeyKind::Service, random).expose().as_bytes().to_vec();
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
            prop_assert_eq!(ApiKey::parse(&String::from_utf8(text).unwrap()), Err(NotAKey));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = ApiKey::parse(&text);
            let prefixed = format!("gf_service_{text}");
            let _ = ApiKey::parse(&prefixed);
        }
    }
}
