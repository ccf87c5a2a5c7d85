//! Rules of the parts; whole ceremonies are in `tests/it/auth/mfa`.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ciborium::{Value, cbor};
use proptest::prelude::*;

use super::authenticator_data::AuthenticatorData;
use super::cose::PublicKey;
use super::*;

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn ec2(point: &[u8]) -> Value {
    let (x, y) = (Value::from(&point[1..33]), Value::from(&point[33..]));
    cbor!({1 => 2, 3 => -7, -1 => 1, -2 => x, -3 => y}).unwrap()
}

/// A key of each algorithm, and its signature of `message`.
fn keys() -> Vec<(Value, Vec<u8>)> {
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut by_rsa = vec![0; rsa.public_modulus_len()];
    rsa.sign(&RSA_PKCS1_SHA256, &random, b"message", &mut by_rsa).unwrap();
    let public = rsa.public_key();
    let (n, e) = (
        public.modulus().big_endian_without_leading_zero().to_vec(),
        public.exponent().big_endian_without_leading_zero().to_vec(),
    );
    let x = Value::from(ed.public_key().as_ref());
    vec![
        (ec2(ec.public_key().as_ref()), ec.sign(&random, b"message").unwrap().as_ref().to_vec()),
        (cbor!({1 => 1, 3 => -8, -1 => 6, -2 => x}).unwrap(), ed.sign(b"message").as_ref().to_vec()),
        (cbor!({1 => 3, 3 => -257, -1 => Value::from(n), -2 => Value::from(e)}).unwrap(), by_rsa),
    ]
}

#[test]
fn signatures_of_every_algorithm_that_is_asked_for_are_checked() {
    for (key, signature) in keys() {
        let key = PublicKey::parse(&encoded(&key)).unwrap();
        assert_eq!(key.verify(b"message", &signature), Ok(()));
        assert_eq!(key.verify(b"messagf", &signature), Err(WebauthnError::Signature));
        assert_eq!(key.verify(b"message", &[]), Err(WebauthnError::Signature));
    }
}

#[test]
fn keys_of_other_algorithms_and_points_off_the_curve_are_refused() {
    let refusal = |key: Value| PublicKey::parse(&encoded(&key)).err();
    let other = cbor!({1 => 2, 3 => -35, -1 => 2, -2 => Value::from(vec![1; 48])}).unwrap();
    assert_eq!(refusal(other), Some(WebauthnError::Algorithm));
    assert_eq!(refusal(cbor!({1 => 2}).unwrap()), Some(WebauthnError::Algorithm));
    let malformed = Some(WebauthnError::Malformed("public key"));
    assert_eq!(refusal(ec2(&[4; 65])), malformed);
    assert_eq!(refusal(Value::Null), malformed);
}

#[test]
fn a_credential_comes_back_from_the_form_in_which_it_is_stored() {
    let credential = Credential {
        id: vec![1, 2, 250],
        public_key: vec![7; 77],
        aaguid: uuid::Uuid::from_u128(9),
        sign_count: 4_000_000_000,
        transports: vec!["usb".to_owned()],
        user_verified: true,
        backup_eligible: true,
        backed_up: false,
    };
    assert_eq!(Credential::from_stored(&credential.stored()), Some(credential));
    assert_eq!(Credential::from_stored(&serde_json::json!({"id": "AA=="})), None);
}

#[test]
fn origins_are_of_the_domain_or_below_it() {
    let party = |id: &str, origin: &str| RelyingParty::new(id, "Shop", &[origin.to_owned()]);
    for (id, origin) in [
        ("example.com", "https://example.com"),
        ("example.com", "https://app.example.com:8443/"),
        ("localhost", "http://localhost:3000"),
        ("example.com", "android:apk-key-hash:c2hvcA"),
    ] {
        assert!(party(id, origin).is_ok(), "{id} {origin}");
    }
    for origin in ["https://evilexample.com", "https://example.com.evil", "https://com", "example.com", ""] {
        assert_eq!(party("example.com", origin), Err(RelyingPartyError::Origin(origin.to_owned())));
    }
    for id in ["", "https://example.com", "example.com:443", "example.com/", "Example.com", "a b"] {
        assert_eq!(party(id, "https://example.com"), Err(RelyingPartyError::Id(id.to_owned())), "{id}");
    }
    let party = party("example.com", "https://example.com/").unwrap();
    assert!(party.has_origin("https://example.com"));
    assert!(!party.has_origin("http://example.com") && !party.has_origin("https://example.com/"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, flags: u8) {
        let _ = PublicKey::parse(&bytes);
        let _ = attested_data(&bytes);
        let _ = AuthenticatorData::parse(&bytes);
        let _ = AuthenticatorData::parse(&[vec![0; 32], vec![flags, 0, 0, 0, 1], bytes].concat());
    }

    #[test]
    fn a_byte_too_many_or_too_few_is_an_error(extra in 0..4_usize) {
        let whole = [vec![0; 32], vec![1, 0, 0, 0, 1]].concat();
        prop_assert!(AuthenticatorData::parse(&whole).is_ok());
        prop_assert!(AuthenticatorData::parse(&whole[..whole.len() - 1 - extra]).is_err());
        prop_assert!(AuthenticatorData::parse(&[whole, vec![0; extra + 1]].concat()).is_err());
    }
}
