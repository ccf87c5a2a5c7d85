//! Recovery codes: the second factor of a user who has lost the others.
//!
//! A code is 60 random bits in Crockford's base 32, as `7k2m-9qxz-4t8w`. Only a MAC is stored, under a key outside of the
//! database and bound to the user: at 60 bits nobody without that key finds the code, and no user's code is another's.

use std::fmt;

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::kernel::secret::Secret;
use crate::kernel::vault::{MacKeys, RootSecrets};

/// How many codes a user gets at once.
pub const COUNT: usize = 10;

/// How many random bytes one code takes.
pub const RANDOM_LENGTH: usize = 8;

/// Crockford's base 32: no `i`, `l`, `o` and `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 12;
const GROUP: usize = 4;

/// A code in its one spelling: twelve characters of the alphabet, without hyphens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryCode(Secret);

impl RecoveryCode {
    /// A code from random bytes; four of their 64 bits are left over.
    pub fn generate(random: [u8; RANDOM_LENGTH]) -> Self {
        let bits = u64::from_be_bytes(random);
        let digit = |at: usize| {
            let low = (bits >> (at * 5)).to_le_bytes()[0];
            char::from(ALPHABET[usize::from(low) % ALPHABET.len()])
        };
        Self(Secret::new((0..LENGTH).rev().map(digit).collect::<String>()))
    }

    /// A user's set of codes.
    pub fn generate_set(random: [[u8; RANDOM_LENGTH]; COUNT]) -> [Self; COUNT] {
        random.map(Self::generate)
    }

    /// Reads what a person typed: in any case, with or without hyphens and spaces, `o` for `0`, `i` and `l` for `1`.
    ///
    /// `None` for what cannot be a code.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut code = String::with_capacity(LENGTH);
        for character in typed.chars().filter(|character| !matches!(character, '-' | ' ')) {
            let digit = match character.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            };
            if code.len() == LENGTH || !digit.is_ascii() || !ALPHABET.contains(&(digit as u8)) {
                return None;
            }
            code.push(digit);
        }
        (code.len() == LENGTH).then(|| Self(Secret::new(code)))
    }

    /// The code in groups, as it is shown to its user once.
    pub fn shown(&self) -> String {
        let code = self.0.expose();
        let groups = (0..LENGTH).step_by(GROUP).filter_map(|at| code.get(at..at + GROUP));
        groups.collect::<Vec<_>>().join("-")
    }
}

/// Makes the stored form of codes.
#[derive(Clone)]
pub struct RecoveryCodeMac(MacKeys);

impl RecoveryCodeMac {
    /// With the keys that derive from the root secrets.
    pub fn new(roots: &RootSecrets) -> Self {
        Self(roots.mac_keys("recovery code mac"))
    }

    /// The HMAC-SHA256 of user and code, as it is stored.
    pub fn digest(&self, user: Uuid, code: &RecoveryCode) -> [u8; 32] {
        digest_of(self.0.current(), user, code)
    }

    /// Every form that may be stored: the code may be older than the root secret. A code is consumed by one conditional
    /// `UPDATE` on them.
    pub fn digests(&self, user: Uuid, code: &RecoveryCode) -> Vec<[u8; 32]> {
        self.0.all().map(|mac| digest_of(mac, user, code)).collect()
    }
}

fn digest_of(mac: &hmac::Key, user: Uuid, code: &RecoveryCode) -> [u8; 32] {
    let mut context = hmac::Context::with_key(mac);
    context.update(user.as_bytes());
    context.update(code.0.expose().as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

impl fmt::Debug for RecoveryCodeMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCodeMac")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: Uuid = Uuid::from_u128(1);

    fn mac() -> RecoveryCodeMac {
        RecoveryCodeMac::new(&RootSecrets::new(&Secret::new("a root secret of the tests"), &[]))
    }

    #[test]
    fn a_code_is_three_groups_of_four() {
        assert_eq!(RecoveryCode::generate([0; 8]).shown(), "0000-0000-0000");
        assert_eq!(RecoveryCode::generate([0xff; 8]).shown(), "zzzz-zzzz-zzzz");
        assert_eq!(RecoveryCode::generate(33_u64.to_be_bytes()).shown(), "0000-0000-0011");
    }

    #[test]
    fn a_person_may_type_it_in_many_ways() {
        let code = RecoveryCode::parse("7k2m-9qxz-0181").unwrap();
        for typed in ["7K2M9QXZ0181", "7k2m 9qxz 0181", " 7k2m-9qxz-o18l-", "7k2m9qxzOI8L"] {
            assert_eq!(RecoveryCode::parse(typed), Some(code.clone()), "{typed}");
        }
        for typed in
            ["", "7k2m-9qxz-018", "7k2m-9qxz-01811", "7k2m-9qxz-018u", "7k2m-9qxz-018é", "7k2m_9qxz_0181"]
        {
            assert_eq!(RecoveryCode::parse(typed), None, "{typed}");
        }
    }

    #[test]
    fn the_stored_form_is_bound_to_user_and_root_secret() {
        let code = RecoveryCode::generate([5; 8]);
        let stored = mac().digest(USER, &code);
        assert_eq!(stored, mac().digest(USER, &code));
        assert_ne!(stored, mac().digest(Uuid::from_u128(2), &code));
        let rotated = |previous| RecoveryCodeMac::new(&RootSecrets::new(&Secret::new("other"), previous));
        assert_ne!(stored, rotated(&[]).digest(USER, &code));
        assert!(!rotated(&[]).digests(USER, &code).contains(&stored));
        let old = Secret::new("a root secret of the tests");
        assert_eq!(rotated(&[old]).digests(USER, &code)[1], stored);
    }

    #[test]
    fn debug_output_shows_no_code() {
        assert_eq!(format!("{:?}", RecoveryCode::generate([5; 8])), "RecoveryCode(***)");
    }

    proptest! {
        #[test]
        fn every_code_comes_back_as_it_is_shown(random: [u8; 8]) {
            let code = RecoveryCode::generate(random);
            prop_assert_eq!(RecoveryCode::parse(&code.shown()), Some(code));
        }

        #[test]
        fn sixty_bits_of_the_random_bytes_count(random: [u8; 8], bit in 0..60_u32) {
            let other = (u64::from_be_bytes(random) ^ 1 << bit).to_be_bytes();
            prop_assert_ne!(RecoveryCode::generate(random), RecoveryCode::generate(other));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = RecoveryCode::parse(&text);
        }
    }
}
