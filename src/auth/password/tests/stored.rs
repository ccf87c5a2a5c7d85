//! Hashes made by other programs. Python 3.11 made the vectors for the password `correct horse battery staple`: bcrypt 5.0
//! (`bcrypt.hashpw`), argon2-cffi 25.1 (`argon2.low_level.hash_secret`), passlib 1.7 (`passlib.hash.pbkdf2_sha256`),
//! hashlib (`pbkdf2_hmac` in Django's form; `scrypt`, with AES-256-CTR of cryptography 50, in Firebase's form).

use proptest::prelude::*;

use super::super::memory::{Share, WorkingMemory};
use super::super::stored::argon2::Argon2Hash;
use super::super::stored::{MAX_MEMORY_KIB, StoredHash, StoredHashError};
use super::{Algorithm, Argon2Cost, CHEAP};

const PASSWORD: &[u8] = b"correct horse battery staple";

const BCRYPT_2A: &str = "$2a$04$SKR7zQJqCu3etjqHPTCgiusFvelpV8b.sAZNpUc3HZ8EQk6T.QIjC";
const BCRYPT_2B: &str = "$2b$04$22rM7WLBJrge4nQgIK8IVuJT6PEYCKaBUM9G8/2W/0qnoV4sSenBG";
const BCRYPT_2Y: &str = "$2y$04$hJxzEC.p9LTy5PxUG/60UumSxrwPpB0oOCFyt88/aO/KM2hQ2SF9C";
const ARGON2ID: &str =
    "$argon2id$v=19$m=64,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$NPiBM7Cbq+pUNQviHFoHwfMWkJ71vkFniQFfn3kyxzY";
const ARGON2I: &str =
    "$argon2i$v=19$m=64,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$FXHTWTqcq0xPS3EUM8AuVku+Zm3x2FKCINVelTKi2Ko";
const ARGON2D: &str =
    "$argon2d$v=19$m=64,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$mxNXNwddfAjnaNBC2sVVoIzIsq9IN8Dxu++r87ERtvM";
const ARGON2ID_DEFAULT: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlIHNsdA$k81ovk8fkH1PorA/36zCkEKia28tQyMQYijfaS5RQy4";
const ARGON2I_OF_VERSION_16: &str =
    "$argon2i$v=16$m=64,t=3,p=1$c2l4dGVlbiBieXRlIHNsdA$EH+rLDXwHxWXzc9OAlz36n0Q9SJJQq82";
const PASSLIB_SHA256: &str =
    "$pbkdf2-sha256$1000$xXiPMUYIAcCYk3KulXJuzQ$rfEaHc2xs4oY7ZT7I7Ej0g3sdCJCmM2yVfSoefBXm6k";
const PASSLIB_SHA512: &str = "$pbkdf2-sha512$1000$l5JSKiVECOH83xvDWOs9pw$bogjs5t4snLM3G6T0C5AXr8NJIy28Rp6c1wq8apZrjBJ0gj2Xx7t6APai\
    tkZNy4wZVXsBAHOFSb4VhkLodQxGg";
const DJANGO: &str = "pbkdf2_sha256$1000$Zq3vT8wLk2Nf$W6FA4UcqeKUT8BHM5PKVTjqeRLbsLCFGjcwL8G27hec=";
const FIREBASE: &str = "$fbscrypt$v=1,n=10,r=8,p=1,ss=Bw==,sk=AevEMqc8B/J/B5hBSSpdWcSlhWfOvigYtDe0QDPUTGGPAFQx23Ru7lC5YSr12r\
    PunkuHz7I2ctCf/Rj2ybnyJQ==$dGVuIGJ5dGVzIQ==$pjXEpvM+QrUq+8qmqGXPAtG+qLUN3ELMhT6skaQbyb9xepBw3HBppwB6\
    lz1MC29x1JG9cjEGjfdcQPq71TIcIQ==";
const FIREBASE_OF_OTHER_COST: &str = "$fbscrypt$v=1,n=8,r=4,p=2,ss=Bw==,sk=AevEMqc8B/J/B5hBSSpdWcSlhWfOvigYtDe0QDPUTGGPAFQx23Ru7lC5YSr12rP\
    unkuHz7I2ctCf/Rj2ybnyJQ==$dGVuIGJ5dGVzIQ==$p9QADlhIvicA75GETnYO3yeyhV1bDtkRHXs/C/h/tRQ+sRZkPtkzSQ0gQ\
    YNASk1kkkET6PopuRS1f8z1jUEgiA==";

/// All of them, which are made from [`PASSWORD`].
const VECTORS: [&str; 13] = [
    BCRYPT_2A,
    BCRYPT_2B,
    BCRYPT_2Y,
    ARGON2ID,
    ARGON2I,
    ARGON2D,
    ARGON2ID_DEFAULT,
    ARGON2I_OF_VERSION_16,
    PASSLIB_SHA256,
    PASSLIB_SHA512,
    DJANGO,
    FIREBASE,
    FIREBASE_OF_OTHER_COST,
];

/// bcrypt of 72 times the letter a.
const BCRYPT_OF_72_BYTES: &str = "$2b$04$aC408qUGkRTrvHKEPouo3uWZelaYkA9P.P3DjI0o2ZOE9yAqpDt4K";
/// bcrypt, cost 10, of `pässwörd€`.
const BCRYPT_UTF8: &str = "$2b$10$mYP8rZCNjGgI.1gGDVHjyO3Lx1CUm9WKJ4PL0iMsLTxxD4bbuNZ4S";
/// The example of github.com/firebase/scrypt: the password is `user1password`.
const FIREBASE_EXAMPLE: &str = "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUEC\
    Kbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn\
    3aoItz+VHjoZilo78198JAdRuid5lQ==";

fn matches(stored: &str, password: &[u8]) -> bool {
    StoredHash::parse(stored).unwrap().matches(password, &mut memory()).unwrap()
}

fn memory() -> Share {
    WorkingMemory::new(0).share()
}

fn refusal(stored: &str) -> StoredHashError {
    StoredHash::parse(stored).err().unwrap_or_else(|| panic!("{stored} was read"))
}

#[test]
fn hashes_of_other_programs_match_their_password_only() {
    for stored in VECTORS {
        assert!(matches(stored, PASSWORD), "{stored}");
        for wrong in [&b"correct horse battery stapl"[..], b"correct horse battery staple ", b""] {
            assert!(!matches(stored, wrong), "{stored} matches {wrong:?}");
        }
    }
    assert!(matches(BCRYPT_UTF8, "pässwörd€".as_bytes()));
    assert!(matches(FIREBASE_EXAMPLE, b"user1password"));
    assert!(!matches(FIREBASE_EXAMPLE, PASSWORD));
}

#[test]
fn a_hash_changed_in_any_character_never_matches() {
    for stored in VECTORS {
        let secret_part = stored.rfind('$').unwrap() + 1;
        for position in secret_part..stored.trim_end_matches('=').len() {
            let mut changed = stored.as_bytes().to_vec();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let still_matches =
                StoredHash::parse(&changed).is_ok_and(|hash| hash.matches(PASSWORD, &mut memory()).unwrap());
            // The last characters of a bcrypt salt and digest carry bits that mean nothing.
            let is_padding = stored.starts_with("$2") && matches!(position, 28 | 59);
            assert!(is_padding || !still_matches, "{changed}");
        }
    }
}

#[test]
fn exports_in_the_url_safe_alphabet_match_too() {
    let url_safe = FIREBASE_EXAMPLE.replace('+', "-").replace('/', "_");

    assert_ne!(url_safe, FIREBASE_EXAMPLE);
    assert!(matches(&url_safe, b"user1password"));
}

#[test]
fn bcrypt_reads_72_bytes() {
    assert!(matches(BCRYPT_OF_72_BYTES, &[b'a'; 72]));
    assert!(matches(BCRYPT_OF_72_BYTES, &[b'a'; 100]));
    assert!(!matches(BCRYPT_OF_72_BYTES, &[b'a'; 71]));
}

#[test]
fn our_own_hash_is_what_another_program_computes() {
    let ours =
        Argon2Hash::create(PASSWORD, &Argon2Cost::default(), *b"sixteen byte slt", &mut memory()).unwrap();

    assert_eq!(ours.to_string(), ARGON2ID_DEFAULT);
}

#[test]
fn hashes_that_would_cost_too_much_are_refused_unread() {
    let digest = "NPiBM7Cbq+pUNQviHFoHwfMWkJ71vkFniQFfn3kyxzY";
    let argon2 = |costs: &str| format!("$argon2id$v=19${costs}$c2l4dGVlbiBieXRlIHNsdA${digest}");
    let firebase = |costs: &str| FIREBASE.replace("n=10,r=8,p=1", costs);

    for expensive in [
        argon2("m=262145,t=1,p=1"),
        argon2("m=4294967295,t=4294967295,p=1"),
        argon2("m=262144,t=5,p=1"),
        argon2("m=8192,t=200,p=1"),
        argon2("m=8192,t=1,p=65"),
        BCRYPT_2B.replace("$04$", "$16$"),
        firebase("n=19,r=8,p=1"),
        firebase("n=14,r=8,p=33"),
        firebase("n=63,r=4294967295,p=4294967295"),
        firebase("n=64,r=8,p=1"),
        firebase("n=4294967295,r=8,p=1"),
        PASSLIB_SHA256.replace("$1000$", "$2000001$"),
        format!("$pbkdf2-sha256$1000$c2FsdA${}", "A".repeat(88)),
    ] {
        assert!(matches!(refusal(&expensive), StoredHashError::TooExpensive(_)), "{expensive}");
    }
    for dear in [argon2("m=262144,t=4,p=1"), firebase("n=18,r=8,p=1"), firebase("n=14,r=8,p=32")] {
        assert!(StoredHash::parse(&dear).is_ok(), "{dear}");
    }
}

#[test]
fn known_forms_that_do_not_parse_are_malformed() {
    for malformed in [
        "$argon2id$",
        "$argon2id$v=19$m=64,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$",
        "$argon2id$v=19$m=64,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$AAAA",
        "$argon2id$v=18$m=64,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$NPiBM7Cbq+pUNQviHFoHwfMWkJ71vkFniQFfn3kyxzY",
        "$argon2id$v=19$m=+64,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$NPiBM7Cbq+pUNQviHFoHwfMWkJ71vkFniQFfn3kyxzY",
        "$argon2id$v=19$m=64,t=2,p=2,keyid=AA$c2l4dGVlbiBieXRlIHNsdA$NPiBM7Cbq+pUNQviHFoHwfMWkJ71vkFniQFfn3kyxzY",
        // Less memory than the lanes need.
        "$argon2id$v=19$m=8,t=2,p=2$c2l4dGVlbiBieXRlIHNsdA$NPiBM7Cbq+pUNQviHFoHwfMWkJ71vkFniQFfn3kyxzY",
        "$2b$03$22rM7WLBJrge4nQgIK8IVuJT6PEYCKaBUM9G8/2W/0qnoV4sSenBG",
        "$2b$4$22rM7WLBJrge4nQgIK8IVuJT6PEYCKaBUM9G8/2W/0qnoV4sSenBG",
        "$2b$04$22rM7WLBJrge4nQgIK8IVuJT6PEYCKaBUM9G8/2W/0qnoV4sSenB",
        "$2b$04$22rM7WLBJrge4nQgIK8IVué6PEYCKaBUM9G8/2W/0qnoV4sSenBG",
        "$fbscrypt$v=2,n=10,r=8,p=1,ss=Bw==,sk=AevEMqc8B/J/B5hBSSpdWcSl$dGVuIGJ5dGVzIQ==$pjXEpvM+QrUq+8qmqGXPAtG+",
        "$fbscrypt$v=1,n=10,r=0,p=1,ss=Bw==,sk=AevEMqc8B/J/B5hBSSpdWcSl$dGVuIGJ5dGVzIQ==$pjXEpvM+QrUq+8qmqGXPAtG+",
        "$fbscrypt$v=1,n=10,r=8,p=1,ss=Bw==,sk=AevE$dGVuIGJ5dGVzIQ==$pjXEpvM+QrUq+8qmqGXPAtG+",
        "$pbkdf2-sha256$0$c2FsdA$rfEaHc2xs4oY7ZT7I7Ej0g3sdCJCmM2yVfSoefBXm6k",
        "$pbkdf2-sha256$1000$c2FsdA",
        "pbkdf2_sha256$1000$salt$not base64",
    ] {
        assert!(matches!(refusal(malformed), StoredHashError::Malformed(_)), "{malformed}");
    }
}

#[test]
fn other_texts_are_unknown() {
    let endless = format!("$2b$04${}", "a".repeat(2000));
    for unknown in
        ["", "hunter2", "$", "$$", "$1$salt$hash", "$2x$04$abc", "$5$salt$hash", "$argon2$x", &endless]
    {
        assert_eq!(refusal(unknown), StoredHashError::Unknown, "{unknown}");
    }
}

#[test]
fn a_hash_that_was_made_otherwise_is_to_be_replaced() {
    let is_replaced =
        |stored: &str, wanted: &Algorithm| StoredHash::parse(stored).unwrap().needs_rehash(wanted, PASSWORD);
    let default = Algorithm::default();
    for stored in VECTORS {
        assert_eq!(is_replaced(stored, &default), stored != ARGON2ID_DEFAULT, "{stored}");
    }
    assert!(is_replaced(ARGON2ID_DEFAULT, &CHEAP));
    assert!(is_replaced(ARGON2ID_DEFAULT, &Algorithm::BCRYPT));
    assert!(is_replaced(BCRYPT_2B, &Algorithm::BCRYPT));
    assert!(!is_replaced(BCRYPT_2B, &Algorithm::Bcrypt { cost: 4 }));
}

#[test]
fn a_password_longer_than_bcrypt_reads_keeps_its_hash() {
    let long = [b'a'; 73];
    let hash = |stored| StoredHash::parse(stored).unwrap();

    assert!(!hash(BCRYPT_OF_72_BYTES).needs_rehash(&Algorithm::default(), &long));
    assert!(hash(BCRYPT_OF_72_BYTES).needs_rehash(&Algorithm::default(), &long[..72]));
    assert!(!hash(ARGON2ID).needs_rehash(&Algorithm::BCRYPT, &long));
    assert!(hash(ARGON2ID).needs_rehash(&CHEAP, &long));
}

proptest! {
    #[test]
    fn reading_any_text_never_panics(text in "\\PC{0,200}") {
        let _read = StoredHash::parse(&text);
    }

    #[test]
    fn reading_any_parameters_never_panics_and_stays_within_the_bounds(
        name in "(\\$argon2(id|i|d)|\\$fbscrypt|\\$2[aby]|\\$pbkdf2-sha(256|512)|pbkdf2_sha256)",
        rest in "[$=,mtpvnrsk0-9A-Za-z+/.]{0,120}",
    ) {
        if let Ok(hash) = StoredHash::parse(&format!("{name}${rest}")) {
            prop_assert!(hash.memory_kib() <= MAX_MEMORY_KIB);
        }
    }

    #[test]
    fn reading_a_hash_with_a_changed_part_never_panics(
        vector in proptest::sample::select(&VECTORS[..]),
        start in any::<proptest::sample::Index>(),
        length in 0..20_usize,
        new in "[$=,0-9a-z\u{e9}]{0,20}",
    ) {
        let start = start.index(vector.len());
        let end = (start + length).min(vector.len());
        let text = format!("{}{new}{}", &vector[..start], &vector[end..]);
        if let Ok(hash) = StoredHash::parse(&text) {
            prop_assert!(hash.memory_kib() <= MAX_MEMORY_KIB);
        }
    }
}
