//! Tests of the rules for new passwords.

use super::super::{PasswordRefusal, Reason, RequiredCharacters, StrengthRules, Unusable, WeakPassword};
use super::*;

fn rules(classes: &str) -> StrengthRules {
    let required_characters = RequiredCharacters::parse(classes);
    PasswordConfig { required_characters, ..PasswordConfig::default() }.rules()
}

fn weakness(rules: &StrengthRules, password: &str, is_leaked: bool) -> WeakPassword {
    match rules.check(&secret(password), is_leaked) {
        Err(PasswordRefusal::Weak(weakness)) => weakness,
        other => panic!("{password}: {other:?}"),
    }
}

#[test]
fn a_short_password_is_told_the_least_length() {
    let weakness = weakness(&rules(""), "12345", false);

    assert_eq!(weakness.reasons, [Reason::Length]);
    assert_eq!(weakness.message, "Password should be at least 6 characters.");
    assert_eq!(rules("").check(&secret("123456"), false), Ok(()));
}

#[test]
fn length_counts_characters_not_bytes() {
    assert_eq!(weakness(&rules(""), "äöüß€", false).reasons, [Reason::Length]);
    assert_eq!(rules("").check(&secret("äöüß€ñ"), false), Ok(()));
}

#[test]
fn a_missing_class_is_told_with_all_classes() {
    let rules = rules("abc:ABC:0123");
    let weakness = weakness(&rules, "bbbbb2", false);

    assert_eq!(weakness.reasons, [Reason::Characters]);
    assert_eq!(weakness.message, "Password should contain at least one character of each: abc, ABC, 0123.");
    assert_eq!(rules.check(&secret("bbbbB2"), false), Ok(()));
}

#[test]
fn all_broken_rules_are_told_at_once() {
    let weakness = weakness(&rules("ABC"), "pass", true);

    assert_eq!(weakness.reasons, [Reason::Length, Reason::Characters, Reason::Pwned]);
    assert_eq!(
        weakness.message,
        "Password should be at least 6 characters. \
         Password should contain at least one character of each: ABC. \
         Password is known to be weak and easy to guess, please choose a different one."
    );
    assert_eq!(
        serde_json::to_value(&weakness).unwrap()["reasons"],
        serde_json::json!(["length", "characters", "pwned"])
    );
}

#[test]
fn a_leaked_password_is_refused_however_long() {
    assert_eq!(weakness(&rules(""), "correct horse battery staple", true).reasons, [Reason::Pwned]);
}

#[test]
fn more_than_256_characters_and_nul_are_no_passwords() {
    let check = |text: &str| rules("").check(&secret(text), true);

    assert_eq!(check(&"€".repeat(257)), Err(Unusable::TooLong { max: 256 }.into()));
    assert_eq!(check("pass\0word"), Err(Unusable::Nul.into()));
    assert_eq!(rules("").check(&secret(&"\u{10ffff}".repeat(256)), false), Ok(()));
}

#[test]
fn under_bcrypt_72_bytes_are_the_most() {
    let rules = PasswordConfig { algorithm: Algorithm::BCRYPT, ..PasswordConfig::default() }.rules();

    assert_eq!(rules.check(&secret(&"a".repeat(72)), false), Ok(()));
    assert_eq!(rules.check(&secret(&"ä".repeat(37)), false), Err(Unusable::TooLong { max: 72 }.into()));
}

#[test]
fn classes_are_separated_by_colons_and_an_escaped_colon_is_one_of_them() {
    for (notation, classes) in [
        ("", &[][..]),
        (":::", &[]),
        ("abc", &["abc"]),
        ("abc:ABC:0123", &["abc", "ABC", "0123"]),
        (r"abc:!\:?", &["abc", "!:?"]),
        (r"a\:b\:c", &["a:b:c"]),
        (r"\\:x", &[r"\:x"]),
        (r"abc:\n\", &["abc", r"\n\"]),
    ] {
        assert_eq!(RequiredCharacters::parse(notation).classes(), classes, "{notation}");
    }
}
