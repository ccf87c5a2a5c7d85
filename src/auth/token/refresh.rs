//! Refresh tokens on the wire: the current layout, and recognition of imported older ones.
//!
//! A token is the unpadded base64url of `0x00 . session (16) . uvarint counter . MAC (16) . checksum (4)` (contract
//! section 6). The MAC is HMAC-SHA256, cut to 16 bytes, under a key that derives from the root secret, the session and
//! its generation. So the server makes the active token again whenever it needs it, and the database holds nothing that
//! refreshes a session. The checksum (SHA-256, cut) only tells a damaged token from a forged one.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::kernel::secret::Secret;
use crate::kernel::vault::{MacKeys, RootSecrets};

/// The first byte of the layout.
const VERSION: u8 = 0;
const MAC_LENGTH: usize = 16;
const CHECKSUM_LENGTH: usize = 4;
/// The length of an imported token in characters.
const IMPORTED_LENGTH: usize = 12;
/// What the stored form of an imported token begins with.
const STORED_PREFIX: &str = "sha256:";

/// The text is no refresh token: the answer is 400 `validation_failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token")]
pub struct Malformed;

/// A refresh token as a client presented it. Its form is right; whether we issued it is still open.
#[derive(Debug)]
pub enum Presented {
    /// In the current layout.
    Current(Unverified),
    /// Imported with an existing database; it is replaced at its first use.
    Imported(Imported),
}

impl Presented {
    /// Reads either form.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text.len() {
            IMPORTED_LENGTH => Imported::parse(text).map(Self::Imported),
            _ => Unverified::parse(text).map(Self::Current),
        }
    }
}

/// A token in the current layout. It gives its counter away only against the right key.
pub struct Unverified {
    session: Uuid,
    counter: u64,
    mac: [u8; MAC_LENGTH],
}

impl Unverified {
    fn parse(text: &str) -> Result<Self, Malformed> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?;
        let (rest, checksum) = bytes.split_last_chunk::<CHECKSUM_LENGTH>().ok_or(Malformed)?;
        if !bool::from(checksum_of(rest).ct_eq(checksum)) {
            return Err(Malformed);
        }
        let (rest, mac) = rest.split_last_chunk::<MAC_LENGTH>().ok_or(Malformed)?;
        let rest = rest.strip_prefix(&[VERSION]).ok_or(Malformed)?;
        let (session, counter) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
        let counter = read_uvarint(counter).ok_or(Malformed)?;
        Ok(Self { session: Uuid::from_bytes(*session), counter, mac: *mac })
    }

    /// The session that the token claims: good for the look-up, proof of nothing.
    pub fn session(&self) -> Uuid {
        self.session
    }

    /// The token's counter, if we issued it for its session in this generation. Compares in constant time.
    pub fn verify(&self, mac: &RefreshMac, generation: u32) -> Option<u64> {
        let signed = signed_part(self.session, self.counter);
        let is_ours = mac.0.any_makes(&self.mac, |key| tag(key, self.session, generation, &signed));
        is_ours.then_some(self.counter)
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Issues and checks refresh tokens.
#[derive(Clone)]
pub struct RefreshMac(MacKeys);

impl RefreshMac {
    /// With the keys that derive from the root secrets: the current one issues, all are recognised.
    pub fn new(roots: &RootSecrets) -> Self {
        Self(roots.mac_keys("refresh token mac"))
    }

    /// The token of a session with this counter: the same each time.
    ///
    /// A new generation makes every earlier token of the session a forgery. Counters go up to `i64::MAX`, what the
    /// database column holds.
    pub fn issue(&self, session: Uuid, generation: u32, counter: u64) -> Secret {
        let mut token = signed_part(session, counter);
        let tag = tag(self.0.current(), session, generation, &token);
        token.extend_from_slice(&tag);
        token.extend_from_slice(&checksum_of(&token));
        Secret::new(URL_SAFE_NO_PAD.encode(token))
    }
}

/// The MAC under the key of a session in its generation.
fn tag(key: &hmac::Key, session: Uuid, generation: u32, signed: &[u8]) -> [u8; MAC_LENGTH] {
    let mut key = hmac::Context::with_key(key);
    key.update(session.as_bytes());
    key.update(&generation.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.sign().as_ref());
    truncated(hmac::sign(&key, signed).as_ref())
}

impl fmt::Debug for RefreshMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshMac")
    }
}

/// A token of 12 lower-case letters and digits from an imported database.
#[derive(Debug)]
pub struct Imported(Secret);

impl Imported {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let well_formed = text.len() == IMPORTED_LENGTH && text.bytes().all(allowed);
        if well_formed { Ok(Self(Secret::new(text))) } else { Err(Malformed) }
    }

    /// What the database holds instead of the token: `sha256:` and the digest in hex. Look a presented token up by it.
    pub fn stored(&self) -> String {
        Self::stored_form(self.0.expose())
    }

    /// The same of a value from the rows that an import brings. They may hold tokens in older forms, which nobody presents
    /// any more.
    pub fn stored_form(value: &str) -> String {
        format!("{STORED_PREFIX}{}", hex::encode(digest::digest(&digest::SHA256, value.as_bytes())))
    }

    /// Whether a database value is such a digest already.
    pub fn is_stored_form(value: &str) -> bool {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        value.strip_prefix(STORED_PREFIX).is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
    }
}

/// Everything before the MAC.
fn signed_part(session: Uuid, counter: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 16 + 10 + MAC_LENGTH + CHECKSUM_LENGTH);
    bytes.push(VERSION);
    bytes.extend_from_slice(session.as_bytes());
    write_uvarint(counter, &mut bytes);
    bytes
}

fn checksum_of(bytes: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    truncated(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The first `N` bytes of a digest, which is longer.
fn truncated<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&digest[..N]);
    out
}

/// Seven bits to a byte, the lowest first; the high bit says that more follow.
fn write_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Reads one number that fills the input exactly, in its shortest form, up to `i64::MAX`.
fn read_uvarint(bytes: &[u8]) -> Option<u64> {
    let (&last, rest) = bytes.split_last()?;
    let shortest = last != 0 || rest.is_empty();
    // Nine bytes hold 63 bits.
    if !shortest || last >= 0x80 || bytes.len() > 9 || rest.iter().any(|&byte| byte < 0x80) {
        return None;
    }
    Some(bytes.iter().rev().fold(0, |value, &byte| value << 7 | u64::from(byte & 0x7f)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SESSION: Uuid = Uuid::from_u128(0x0018_5ee5_4c6a_4f2b_9d3e_8c7b_6a59_4837);

    fn mac() -> RefreshMac {
        RefreshMac::new(&RootSecrets::new(&Secret::new("a root secret of the tests"), &[]))
    }

    fn counter_of(token: &str, mac: &RefreshMac, generation: u32) -> Option<u64> {
        match Presented::parse(token) {
            Ok(Presented::Current(token)) => token.verify(mac, generation),
            _ => None,
        }
    }

    #[test]
    fn the_layout_is_that_of_the_contract() {
        let token = mac().issue(SESSION, 1, 300);
        let bytes = URL_SAFE_NO_PAD.decode(token.expose()).unwrap();
        assert_eq!(bytes.len(), 1 + 16 + 2 + 16 + 4);
        assert_eq!(bytes[0], 0);
        assert_eq!(&bytes[1..17], SESSION.as_bytes());
        assert_eq!(&bytes[17..19], &[0xac, 0x02]);
        assert_eq!(&bytes[35..], &digest::digest(&digest::SHA256, &bytes[..35]).as_ref()[..4]);
    }

    #[test]
    fn the_active_token_can_be_made_again() {
        assert_eq!(mac().issue(SESSION, 1, 7), mac().issue(SESSION, 1, 7));
        assert_ne!(mac().issue(SESSION, 1, 7), mac().issue(SESSION, 1, 8));
    }

    #[test]
    fn a_token_is_bound_to_key_session_and_generation() {
        let token = mac().issue(SESSION, 1, 7);
        assert_eq!(counter_of(token.expose(), &mac(), 1), Some(7));
        assert_eq!(counter_of(token.expose(), &mac(), 2), None);
        let other = RefreshMac::new(&RootSecrets::new(&Secret::new("another root secret"), &[]));
        assert_eq!(counter_of(token.expose(), &other, 1), None);
    }

    #[test]
    fn a_token_outlives_the_root_secret_that_made_it_while_that_is_listed() {
        let token = mac().issue(SESSION, 1, 7);
        let rotated = |previous: &[Secret]| RefreshMac::new(&RootSecrets::new(&Secret::new("new"), previous));
        let listed = rotated(&[Secret::new("older"), Secret::new("a root secret of the tests")]);
        assert_eq!(counter_of(token.expose(), &listed, 1), Some(7));
        assert_eq!(counter_of(token.expose(), &listed, 2), None);
        assert_eq!(counter_of(token.expose(), &rotated(&[]), 1), None);
        assert_eq!(listed.issue(SESSION, 1, 8), rotated(&[]).issue(SESSION, 1, 8));
    }

    #[test]
    fn the_mac_of_another_session_does_not_count() {
        let bytes = URL_SAFE_NO_PAD.decode(mac().issue(SESSION, 1, 7).expose()).unwrap();
        let mut forged = signed_part(Uuid::from_u128(9), 7);
        forged.extend_from_slice(&bytes[18..34]);
        forged.extend_from_slice(&checksum_of(&forged));
        assert_eq!(counter_of(&URL_SAFE_NO_PAD.encode(forged), &mac(), 1), None);
    }

    #[test]
    fn counters_have_one_spelling() {
        for (bytes, value) in [
            (&[0][..], Some(0)),
            (&[0x7f], Some(127)),
            (&[0x80, 0x01], Some(128)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Some(i64::MAX as u64)),
            (&[], None),
            (&[0x80], None),
            (&[0x80, 0x00], None),
            (&[0x01, 0x01], None),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], None),
        ] {
            assert_eq!(read_uvarint(bytes), value, "{bytes:02x?}");
        }
    }

    #[test]
    fn imported_tokens_are_recognised_and_kept_as_digests() {
        let Ok(Presented::Imported(token)) = Presented::parse("abc123def456") else {
            panic!("not recognised")
        };
        let stored = token.stored();
        assert_eq!(stored, "sha256:e861b2eab679927cfa36fe256e9deb1969b0468ad0744d61064f9d188333aec6");
        assert!(Imported::is_stored_form(&stored));
        for text in ["", "abc123def45", "ABC123DEF456", "abc123def45-", "abc123def4567"] {
            assert!(Imported::parse(text).is_err(), "{text}");
            assert!(!Imported::is_stored_form(text));
        }
        assert!(!Imported::is_stored_form(&stored.to_uppercase()));
        assert!(Imported::parse(&stored).is_err());
    }

    #[test]
    fn debug_output_shows_no_token() {
        let shown = format!("{:?} {:?}", Presented::parse("abc123def456"), mac());
        assert_eq!(shown, "Ok(Imported(Imported(***))) RefreshMac");
    }

    proptest! {
        #[test]
        fn every_token_comes_back(session: u128, generation: u32, counter in 0..=i64::MAX as u64) {
            let session = Uuid::from_u128(session);
            let token = mac().issue(session, generation, counter);
            let Ok(Presented::Current(read)) = Presented::parse(token.expose()) else { panic!("refused") };
            prop_assert_eq!(read.session(), session);
            prop_assert_eq!(read.verify(&mac(), generation), Some(counter));
        }

        #[test]
        fn a_flipped_bit_of_the_text_is_malformed(counter in 0..100_000_u64, at: proptest::sample::Index, bit in 0..7_u8) {
            let mut text = mac().issue(SESSION, 1, counter).expose().as_bytes().to_vec();
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
            prop_assert!(Presented::parse(&String::from_utf8(text).unwrap()).is_err());
        }

        #[test]
        fn a_flipped_bit_under_a_mended_checksum_is_no_token_of_ours(
            counter in 0..100_000_u64, at: proptest::sample::Index, bit in 0..8_u8,
        ) {
            let mut bytes = URL_SAFE_NO_PAD.decode(mac().issue(SESSION, 1, counter).expose()).unwrap();
            bytes.truncate(bytes.len() - CHECKSUM_LENGTH);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes.extend_from_slice(&checksum_of(&bytes));
            prop_assert_eq!(counter_of(&URL_SAFE_NO_PAD.encode(bytes), &mac(), 1), None);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String, bytes: Vec<u8>) {
            let _ = Presented::parse(&text);
            let _ = Presented::parse(&URL_SAFE_NO_PAD.encode(&bytes));
            let _ = read_uvarint(&bytes);
        }
    }
}
