//! The tables and properties of one-time tokens.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn mac() -> OneTimeMac {
    OneTimeMac::new(&RootSecrets::new(&Secret::new("a root secret of the tests"), &[]))
}

fn six() -> OtpLength {
    OtpLength::new(6).unwrap()
}

#[test]
fn codes_have_six_to_ten_digits() {
    for (digits, allowed) in [(0, false), (5, false), (6, true), (10, true), (11, false)] {
        assert_eq!(OtpLength::new(digits).is_some(), allowed, "{digits}");
    }
    assert_eq!(Otp::generate(six(), [0; 16]).expose(), "000000");
    assert_eq!(Otp::generate(six(), 1_000_042_u128.to_be_bytes()).expose(), "000042");
}

#[test]
fn the_wire_value_has_the_form_of_the_contract_and_cannot_be_guessed_from_a_code() {
    let code = Otp::presented("123456");
    let [implicit, pkce] = mac().candidates("ada@example.com", &code).try_into().unwrap();

    assert_eq!(implicit, mac().wire("ada@example.com", &code, false));
    assert_eq!(pkce.expose(), format!("pkce_{}", implicit.expose()));
    assert!(!implicit.is_pkce() && pkce.is_pkce());
    assert_eq!(WireValue::parse(implicit.expose()).as_ref(), Some(&implicit));
    // echo -n ada@example.com123456 | sha224sum
    assert_ne!(implicit.expose(), "b3e6748f730bb25fa8ce9a5fda7fd5bf5f56ee21419043fe1c94d975");
    assert_ne!(implicit, mac().wire("ada@example.co", &Otp::presented("m123456"), false));
}

#[test]
fn only_a_hash_passes_for_a_token_hash() {
    let hash = "0a".repeat(28);
    for (text, passes) in [
        (hash.clone(), true),
        (format!("pkce_{hash}"), true),
        (format!("pkce_pkce_{hash}"), false),
        (hash.to_uppercase(), false),
        (hash[1..].to_owned(), false),
        (format!("{hash}0"), false),
        ("123456".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(WireValue::parse(&text).is_some(), passes, "{text}");
    }
}

/// Threat B07: type by type, which purposes it may consume. A claim is a confirmation, of mail or phone.
#[test]
fn b07_each_type_consumes_its_own_purpose_alone() {
    let value = mac().wire("ada@example.com", &Otp::presented("123456"), false);
    for kind in VerifyType::ALL {
        let findable = mac().findable(kind, std::slice::from_ref(&value));
        for purpose in Purpose::ALL {
            let stored = mac().stored(purpose, &value);
            let own = match kind {
                VerifyType::Email => matches!(purpose, Purpose::Signup | Purpose::Claim | Purpose::MagicLink),
                VerifyType::EmailChange => {
                    matches!(purpose, Purpose::EmailChangeNew | Purpose::EmailChangeCurrent)
                }
                VerifyType::Signup => matches!(purpose, Purpose::Signup | Purpose::Claim),
                VerifyType::Invite => purpose == Purpose::Invite,
                VerifyType::Recovery => purpose == Purpose::Recovery,
                VerifyType::MagicLink => purpose == Purpose::MagicLink,
                VerifyType::Sms => matches!(purpose, Purpose::PhoneConfirmation | Purpose::Claim),
                VerifyType::PhoneChange => purpose == Purpose::PhoneChange,
            };
            let found = findable.contains(&(purpose, stored));
            assert_eq!(found, own, "{kind:?} and a token for {purpose:?}");
        }
    }
}

#[test]
fn one_value_is_stored_differently_for_each_purpose_and_under_each_root_secret() {
    let value = mac().wire("ada@example.com", &Otp::presented("123456"), false);
    let mut stored: HashSet<_> = Purpose::ALL.map(|purpose| mac().stored(purpose, &value)).into();
    let other = OneTimeMac::new(&RootSecrets::new(&Secret::new("another"), &[]));
    stored.insert(other.stored(Purpose::Signup, &value));
    assert_eq!(stored.len(), Purpose::ALL.len() + 1);
    assert!(stored.iter().all(|form| form.len() == 64 && !form.contains(value.expose())));
}

#[test]
fn a_row_that_was_found_by_its_user_matches_its_own_value_alone() {
    let value = mac().wire("ada@example.com", &Otp::presented("123456"), false);
    let stored = mac().stored(Purpose::Reauthentication, &value);
    assert!(mac().matches(Purpose::Reauthentication, &value, &stored));
    assert!(!mac().matches(Purpose::Recovery, &value, &stored));
    assert!(!mac().matches(Purpose::Reauthentication, &value, ""));
}

#[test]
fn words_of_the_wire_come_back() {
    for kind in VerifyType::ALL {
        assert_eq!(VerifyType::parse(kind.as_str()), Some(kind));
    }
    for word in ["", "reauthentication", "SIGNUP", "email_change_new"] {
        assert_eq!(VerifyType::parse(word), None, "{word}");
    }
}

#[test]
fn a_token_dies_by_age_or_by_wrong_tries() {
    let lifetimes = Lifetimes { email: 3600, sms: 60 };
    for (sent_at, attempts, channel, now, live) in [
        (1000, 0, Channel::Email, 4599, true),
        (1000, 0, Channel::Email, 4600, false),
        (1000, 0, Channel::Sms, 1059, true),
        (1000, 0, Channel::Sms, 1060, false),
        (1000, 4, Channel::Email, 1000, true),
        (1000, 5, Channel::Email, 1000, false),
        (i64::MAX, 0, Channel::Email, i64::MAX, false),
    ] {
        assert_eq!(is_live(sent_at, attempts, channel, lifetimes, now), live, "{sent_at} {attempts} {now}");
    }
}

#[test]
fn debug_output_shows_no_code() {
    let code = Otp::presented("123456");
    let shown = format!("{code:?} {:?} {:?}", mac().wire("a@b.c", &code, false), mac());
    assert_eq!(shown, "Otp(***) WireValue OneTimeMac");
}

proptest! {
    #[test]
    fn every_code_has_its_length(random: [u8; 16], digits in 6..=10_u32) {
        let code = Otp::generate(OtpLength::new(digits).unwrap(), random);
        prop_assert_eq!(code.expose().len(), digits as usize);
        prop_assert!(code.expose().bytes().all(|byte| byte.is_ascii_digit()));
    }

    #[test]
    fn a_wire_value_comes_back_from_its_text(recipient: String, code: String, pkce: bool) {
        let value = mac().wire(&recipient, &Otp::presented(&code), pkce);
        prop_assert_eq!(WireValue::parse(value.expose()), Some(value));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text: String) {
        let _ = WireValue::parse(&text);
        let _ = VerifyType::parse(&text);
    }
}
