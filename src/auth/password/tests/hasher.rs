//! Tests of hashing and verifying.

use std::task::Poll;

use super::super::stored::StoredHash;
use super::super::{PasswordConfigError, PasswordError, PasswordHasher, StoredHashError, Unusable};
use super::*;
use crate::kernel::random::Random;

/// bcrypt, cost 4, of `correct horse battery staple`; see the tests of stored hashes.
const IMPORTED: &str = "$2b$04$22rM7WLBJrge4nQgIK8IVuJT6PEYCKaBUM9G8/2W/0qnoV4sSenBG";

fn hasher(algorithm: Algorithm) -> PasswordHasher {
    PasswordHasher::new(&PasswordConfig { algorithm, ..cheap() }, Random::seeded(1)).unwrap()
}

#[tokio::test]
async fn a_new_hash_matches_its_password_only() {
    for (algorithm, start) in
        [(CHEAP, "$argon2id$v=19$m=64,t=1,p=1$"), (Algorithm::Bcrypt { cost: 4 }, "$2b$04$")]
    {
        let hasher = hasher(algorithm);
        let stored = hasher.hash(&secret("pässwörd")).await.unwrap();
        let right = hasher.verify(&secret("pässwörd"), &stored).await.unwrap();
        let wrong = hasher.verify(&secret("passwörd"), &stored).await.unwrap();

        assert!(stored.starts_with(start), "{stored}");
        assert!(right.matches && !right.needs_rehash && right.fault.is_none());
        assert!(!wrong.matches && !wrong.needs_rehash && wrong.fault.is_none());
    }
}

#[tokio::test]
async fn new_hashes_cost_what_owasp_recommends() {
    let hasher = hasher(Algorithm::default());

    let stored = hasher.hash(&secret("password")).await.unwrap();

    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
}

#[tokio::test]
async fn equal_passwords_have_different_hashes() {
    let hasher = hasher(CHEAP);

    assert_ne!(hasher.hash(&secret("password")).await, hasher.hash(&secret("password")).await);
}

#[tokio::test]
async fn an_imported_hash_is_replaced_at_the_first_login_with_the_right_password() {
    let (hasher, password) = (hasher(CHEAP), secret("correct horse battery staple"));

    let wrong = hasher.verify(&secret("correct horse"), IMPORTED).await.unwrap();
    let right = hasher.verify(&password, IMPORTED).await.unwrap();
    let replaced = hasher.hash(&password).await.unwrap();
    let again = hasher.verify(&password, &replaced).await.unwrap();

    assert!(!wrong.matches && !wrong.needs_rehash);
    assert!(right.matches && right.needs_rehash);
    assert!(again.matches && !again.needs_rehash);
}

#[tokio::test]
async fn a_hash_that_cannot_be_read_never_matches_and_says_why_to_the_log() {
    let hasher = hasher(CHEAP);

    let unknown = hasher.verify(&secret("password"), "password").await.unwrap();
    let expensive = hasher.verify(&secret("password"), &IMPORTED.replace("$04$", "$31$")).await.unwrap();

    assert!(!unknown.matches && !expensive.matches);
    assert_eq!(unknown.fault, Some(StoredHashError::Unknown));
    assert_eq!(expensive.fault, Some(StoredHashError::TooExpensive("bcrypt")));
}

#[tokio::test]
async fn nobody_has_no_password_at_the_cost_of_somebody() {
    for algorithm in [CHEAP, Algorithm::Bcrypt { cost: 4 }] {
        let hasher = hasher(algorithm);
        let unknown = hasher.verify_nobody(&secret("password")).await.unwrap();
        let without = hasher.verify(&secret("password"), "").await.unwrap();
        let stored = StoredHash::parse(&hasher.hash(&secret("password")).await.unwrap()).unwrap();

        assert!(!unknown.matches && !without.matches && without.fault.is_none());
        // Its parameters are those of a new hash, of which the time follows.
        assert!(!hasher.nobody.needs_rehash(&algorithm, b""));
        assert_eq!(hasher.nobody.memory_kib(), stored.memory_kib());
    }
}

#[tokio::test]
async fn texts_that_are_no_passwords_are_refused_before_any_work() {
    let hasher = hasher(CHEAP);
    let too_long = Err(PasswordError::Unusable(Unusable::TooLong { max: 256 }));
    let nul = Err(PasswordError::Unusable(Unusable::Nul));
    let longest = secret(&"ä".repeat(256));
    let longer = secret(&"ä".repeat(257));

    let stored = hasher.hash(&longest).await.unwrap();
    assert!(hasher.verify(&longest, &stored).await.unwrap().matches);
    for (password, refused) in [(&longer, too_long), (&secret("pass\0word"), nul)] {
        for stored in [stored.as_str(), IMPORTED, "unknown", ""] {
            let verifying = std::pin::pin!(hasher.verify(password, stored));
            assert_eq!(poll_once(verifying), Poll::Ready(refused));
        }
        let hashing = std::pin::pin!(hasher.hash(password));
        assert_eq!(poll_once(hashing), Poll::Ready(refused.map(|_| String::new())));
    }
}

#[tokio::test]
async fn bcrypt_never_cuts_a_new_password() {
    let hasher = hasher(Algorithm::Bcrypt { cost: 4 });

    assert!(hasher.hash(&secret(&"a".repeat(72))).await.is_ok());
    assert_eq!(
        hasher.hash(&secret(&"a".repeat(73))).await,
        Err(PasswordError::Unusable(Unusable::TooLong { max: 72 }))
    );
}

#[test]
fn a_hash_with_the_memory_of_several_takes_the_place_of_several() {
    let hasher = hasher(Algorithm::default());
    let shares = |memory: u32| {
        let stored = format!("$argon2id$v=19$m={memory},t=1,p=1$c2l4dGVlbiBieXRlIHNsdA${}", "A".repeat(43));
        hasher.shares(&StoredHash::parse(&stored).unwrap())
    };

    assert_eq!((shares(19_456), shares(19_457), shares(65_536)), (1, 2, 4));
}

#[test]
fn configurations_out_of_their_bounds_are_refused() {
    let argon2 = |memory_kib, iterations, parallelism| {
        Algorithm::Argon2id(Argon2Cost { memory_kib, iterations, parallelism })
    };
    let refusal = |config: &PasswordConfig| PasswordHasher::new(config, Random::seeded(1)).err();
    for algorithm in [argon2(7, 1, 1), argon2(64, 0, 1), argon2(64, 1, 0), argon2(262_145, 1, 1)] {
        let config = PasswordConfig { algorithm, ..cheap() };
        assert_eq!(refusal(&config), Some(PasswordConfigError::Argon2Cost), "{algorithm:?}");
    }
    for cost in [0, 3, 16, 31] {
        let config = PasswordConfig { algorithm: Algorithm::Bcrypt { cost }, ..cheap() };
        assert_eq!(refusal(&config), Some(PasswordConfigError::BcryptCost));
    }
    for min_length in [0, 257] {
        assert_eq!(refusal(&PasswordConfig { min_length, ..cheap() }), Some(PasswordConfigError::MinLength));
    }
    assert_eq!(refusal(&PasswordConfig { queue: usize::MAX, ..cheap() }), Some(PasswordConfigError::Queue));
    assert_eq!(refusal(&PasswordConfig { algorithm: Algorithm::BCRYPT, ..PasswordConfig::default() }), None);
}
