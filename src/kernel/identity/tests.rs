//! Tables over tokens and keys: every attack on them that is known to have worked somewhere.

mod clock;
mod keys;
pub(crate) mod timing;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::KeyPair;
use aws_lc_rs::{hmac, rand, rsa, signature};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::*;
use crate::kernel::clock::Clock;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

const SECRET: &str = "reallyreallyreallyreallyverysafe";
const NOW: i64 = 1_800_000_000;

fn encode(part: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn token_with(header: &str, payload: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag.as_ref()))
}

fn token(claims: &Value) -> String {
    raw_token(&claims.to_string())
}

fn raw_token(payload: &str) -> String {
    token_with(r#"{"alg":"HS256","typ":"JWT"}"#, payload, SECRET.as_bytes())
}

fn options() -> VerifierOptions {
    VerifierOptions { secret: Some(Secret::new(SECRET)), ..VerifierOptions::default() }
}

fn verifier(options: VerifierOptions) -> Verifier {
    Verifier::new(options, Clock::manual(NOW)).unwrap()
}

fn refusal(verifier: &Verifier, token: &str) -> (&'static str, String, Option<String>) {
    let error = verifier.verify(token).unwrap_err();
    (error.code(), error.to_string(), error.details().map(str::to_owned))
}

fn identity(mode: KeyMode, policy: RolePolicy) -> (Identity, ProjectKeys) {
    let clock = Clock::manual(NOW);
    let keys = ProjectKeys::mint(&Secret::new(SECRET), &Random::seeded(1), &clock);
    let ring = KeyRing::of_project(&keys, "anon", "service_role");
    let options =
        IdentityOptions { anonymous_role: Some("anon".to_owned()), key_mode: mode, role_policy: policy };
    (Identity::new(options, Verifier::new(super::tests::options(), clock).unwrap(), ring), keys)
}

fn ask(
    identity: &Identity,
    bearer: Option<&str>,
    api_key: Option<&str>,
) -> Result<(String, Via), IdentityError> {
    let authorization = bearer.map(|token| format!("Bearer {token}"));
    let credentials = Credentials { authorization: authorization.as_deref(), api_key };
    recognise(identity, credentials).map(|caller| (caller.role.to_string(), caller.via))
}

/// On a server without accounts, where nothing is waited for.
fn recognise(identity: &Identity, credentials: Credentials<'_>) -> Result<Arc<Caller>, IdentityError> {
    let address = Ipv4Addr::LOCALHOST.into();
    identity.recognise(credentials, address, &NoHeldKeys).now_or_never().unwrap()
}

#[test]
fn a_good_token_gives_role_subject_and_the_exact_claims() {
    let payload =
        r#"{"role":"author","sub":"u1","session_id":"s1","big":12345678901234567890123,"aal":"aal2"}"#;

    let caller = verifier(options()).verify(&raw_token(payload)).unwrap();

    assert_eq!(&*caller.role, "author");
    assert_eq!(caller.claims_json, payload);
    assert_eq!(caller.subject.as_deref(), Some("u1"));
    assert_eq!(caller.session.as_deref(), Some("s1"));
    assert_eq!(caller.assurance_level(), Some("aal2"));
    assert!(caller.is_user() && caller.is_authenticated());
    assert!(!format!("{caller:?}").contains("u1"));
}

#[test]
fn a_token_without_a_role_is_anonymous_and_its_claims_name_the_role() {
    let verifier = verifier(options());

    let caller = verifier.verify(&raw_token("{ \"id\":2 }\n")).unwrap();
    let empty = verifier.verify(&raw_token("{}")).unwrap();

    assert_eq!((&*caller.role, caller.anonymous), ("anon", true));
    assert_eq!(caller.claims_json, "{\"role\":\"anon\", \"id\":2 }");
    assert_eq!(empty.claims_json, "{\"role\":\"anon\"}");
}

#[test]
fn every_spelling_of_the_algorithm_none_is_refused() {
    for name in ["none", "None", "NONE", "nOnE"] {
        let unsigned = format!(
            "{}.{}.",
            encode(format!("{{\"alg\":\"{name}\"}}").as_bytes()),
            encode(br#"{"role":"service_role"}"#)
        );
        let expected = (
            "PGRST301",
            "Wrong or unsupported encoding algorithm".to_owned(),
            Some("JWT is unsecured but expected 'alg' was not 'none'".to_owned()),
        );
        assert_eq!(refusal(&verifier(options()), &unsigned), expected, "{name}");
    }
}

#[test]
fn broken_tokens_are_refused_in_postgrests_words() {
    let good = token(&json!({"role": "author"}));
    let (message, _) = good.rsplit_once('.').unwrap();
    let none = "None of the keys was able to decode the JWT";
    let unsuitable = "No suitable key was found to decode the JWT";
    let crypto = "JWT cryptographic operation failed";
    let key = "No suitable key or wrong key type";
    let table = [
        (String::new(), "Empty JWT is sent in Authorization header", None),
        ("a".to_owned(), "Expected 3 parts in JWT; got 1", None),
        ("a.b".to_owned(), "Expected 3 parts in JWT; got 2", None),
        ("a.b.c.d".to_owned(), "Expected 3 parts in JWT; got 4", None),
        ("quifquirndsjagnrgniur.fonvoienqhhdj.iuqvnvhojah".to_owned(), crypto, None),
        ("!.b.c".to_owned(), crypto, None),
        (token_with("{\"alg\":\"HS999\"}", "{}", SECRET.as_bytes()), crypto, None),
        (
            token_with("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "{}", SECRET.as_bytes()),
            crypto,
            None,
        ),
        (token_with("[]", "{}", SECRET.as_bytes()), crypto, None),
        (token_with("{\"alg\":\"HS256\"}", "{}", b"another secret of the right length"), key, Some(none)),
        (format!("{message}."), key, Some(none)),
        (format!("{good}="), key, Some(none)),
        (token_with("{\"alg\":\"HS512\"}", "{}", SECRET.as_bytes()), key, Some(unsuitable)),
        (token_with("{\"alg\":\"RS256\"}", "{}", SECRET.as_bytes()), key, Some(unsuitable)),
    ];
    for (text, message, details) in table {
        let expected = ("PGRST301", message.to_owned(), details.map(str::to_owned));
        assert_eq!(refusal(&verifier(options()), &text), expected, "{text}");
    }
    let not_an_object = refusal(&verifier(options()), &raw_token("[1]"));
    assert_eq!(not_an_object, ("PGRST303", "Parsing claims failed".to_owned(), None));
}

#[test]
fn what_a_header_offers_as_key_is_ignored_and_an_unknown_key_id_is_refused() {
    let table = [
        (r#"{"alg":"HS256","kid":"../../dev/null"}"#, false),
        (r#"{"alg":"HS256","kid":"' or 1=1 --"}"#, false),
        (r#"{"alg":"HS256","kid":"unknown"}"#, false),
        (r#"{"alg":"HS256","jku":"http://127.0.0.1:1/keys"}"#, true),
        (r#"{"alg":"HS256","x5u":"http://127.0.0.1:1/cert"}"#, true),
        (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"YXR0YWNrZXI"}}"#, true),
    ];
    for (header, accepted) in table {
        let own = token_with(header, r#"{"role":"author"}"#, SECRET.as_bytes());
        assert_eq!(verifier(options()).verify(&own).is_ok(), accepted, "{header}");
        let attackers = token_with(header, r#"{"role":"author"}"#, b"attacker");
        assert_eq!(refusal(&verifier(options()), &attackers).0, "PGRST301", "{header}");
    }
}

#[test]
fn a_public_key_never_serves_as_a_shared_secret() {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let (n, e) = (
        encode(public.modulus().big_endian_without_leading_zero()),
        encode(public.exponent().big_endian_without_leading_zero()),
    );
    let jwk = json!({"kty": "RSA", "n": n, "e": e, "kid": "one"}).to_string();
    let mut set = options();
    set.secret =
        Some(Secret::new(json!({"keys": [serde_json::from_str::<Value>(&jwk).unwrap()]}).to_string()));
    let verifier = verifier(set);
    let message =
        format!("{}.{}", encode(br#"{"alg":"RS256","kid":"one"}"#), encode(br#"{"role":"author"}"#));
    let mut tag = vec![0; pair.public_modulus_len()];
    pair.sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message.as_bytes(), &mut tag)
        .unwrap();

    let signed = verifier.verify(&format!("{message}.{}", encode(&tag)));

    assert_eq!(&*signed.unwrap().role, "author");
    for secret in [jwk.as_bytes(), n.as_bytes(), public.as_ref()] {
        let confused = token_with(r#"{"alg":"HS256","kid":"one"}"#, r#"{"role":"service_role"}"#, secret);
        assert_eq!(refusal(&verifier, &confused).0, "PGRST301");
    }
    let other_hash = format!("{}.e30.{}", encode(br#"{"alg":"RS512","kid":"one"}"#), encode(&tag));
    assert_eq!(refusal(&verifier, &other_hash).2.unwrap(), "No suitable key was found to decode the JWT");
}

#[test]
fn the_rsa_key_of_a_public_example_verifies_its_token() {
    let jwk = r#"{"alg":"RS256","e":"AQAB","key_ops":["verify"],"kty":"RSA","n":"0etQ2Tg187jb04MWfpuogYGV75IFrQQBxQaGH75eq_FpbkyoLcEpRUEWSbECP2eeFya2yZ9vIO5ScD-lPmovePk4Aa4SzZ8jdjhmAbNykleRPCxMg0481kz6PQhnHRUv3nF5WP479CnObJKqTVdEagVL66oxnX9VhZG9IZA7k0Th5PfKQwrKGyUeTGczpOjaPqbxlunP73j9AfnAt4XCS8epa-n3WGz1j-wfpr_ys57Aq-zBCfqP67UYzNpeI1AoXsJhD9xSDOzvJgFRvc3vm2wjAW4LEMwi48rCplamOpZToIHEPIaPzpveYQwDnB1HFTR1ove9bpKJsHmi-e2uzQ","use":"sig"}"#;
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJyb2xlIjogInBvc3RncmVzdF90ZXN0X2F1dGhvciJ9Cg.CBOYWDvqgAR0YYnZnyDGTQi6AJLc2Pds6_eV3YuBG6I36mj_h05eLhkEKNEDA5ZteMzCiY83P60rC_xtxVd7B6vo3BeF5uoanPS3rrbuHzKPwzsrgrD_CqvEuJ4n7Q9epkQiLsNkcexneENZDRqFjbwZx3DrXiCWwlK3Ytr5NAIGxmy0od-0xNpb2U1nXQyO_Q3mumWFViRt4tmFn_3goDHNKG3Ha_AzImfUNvHnWL78kAc4rbn15vLtWXD8PwtSnZaB4lY4V6RfsaW937srQsmRetvytM1i_bHBnjkjQLAqGbXPyItjtlXPs0uGNBadE8-wgkLtfmSCC4v2DjUthw";
    for secret in [jwk.to_owned(), format!("{{\"keys\": [{jwk}]}}")] {
        let verifier = verifier(VerifierOptions { secret: Some(Secret::new(secret)), ..options() });
        assert_eq!(&*verifier.verify(token).unwrap().role, "postgrest_test_author");
    }
}

#[test]
fn unusable_secrets_are_refused_at_the_start() {
    let table = [
        ("short", false, "at least 32 characters"),
        ("not base64 !", true, "marked as base64"),
        ("{\"kty\":\"RSA\"", false, "not valid JSON"),
        ("{\"keys\":[]}", false, "without a key"),
        ("{\"hello\":\"a text secret must not look like JSON\"}", false, "cannot be used"),
        ("{\"kty\":\"RSA\",\"alg\":\"HS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", false, "does not belong"),
        ("{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AQ\",\"y\":\"AQ\"}", false, "not supported"),
        ("{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}", false, "at least 32 characters"),
    ];
    for (secret, is_base64, text) in table {
        let options =
            VerifierOptions { secret: Some(Secret::new(secret)), secret_is_base64: is_base64, ..options() };
        let error = Verifier::new(options, Clock::manual(NOW)).unwrap_err().to_string();
        assert!(error.contains(text), "{secret}: {error}");
    }
    let base64 = VerifierOptions {
        secret: Some(Secret::new(STANDARD.encode(SECRET).replace('=', "."))),
        secret_is_base64: true,
        ..options()
    };
    assert!(verifier(base64).verify(&token(&json!({}))).is_ok());
    let none = VerifierOptions { secret: None, ..options() };
    assert_eq!(refusal(&verifier(none), "a.b.c").0, "PGRST300");
}

#[test]
fn time_claims_of_the_wrong_type_are_refused() {
    let shapes = ["\"1\"", "\"\"", "null", "-1", "1e400", "-1e400", "0.5", "1e30", "[]", "[1]", "{}", "true"];
    for name in ["exp", "nbf", "iat"] {
        for shape in shapes {
            let payload = format!("{{\"role\":\"author\",\"{name}\":{shape}}}");
            let error = verifier(options()).verify(&raw_token(&payload)).unwrap_err();
            assert_eq!((error.code(), error.status()), ("PGRST303", 401), "{payload}");
        }
    }
}

#[test]
fn without_strictness_null_times_count_as_absent_as_in_postgrest() {
    let lenient = || verifier(VerifierOptions { strict_claims: false, ..options() });

    assert!(lenient().verify(&raw_token(r#"{"exp":null,"nbf":null,"aud":null}"#)).is_ok());
    assert!(lenient().verify(&raw_token(r#"{"nbf":-5,"iat":0.5}"#)).is_ok());
    let text = refusal(&lenient(), &raw_token(r#"{"exp":"invalid"}"#));
    assert_eq!(text.1, "The JWT 'exp' claim must be a number");
    assert_eq!(refusal(&lenient(), &raw_token(r#"{"exp":0.5}"#)).1, "JWT expired");
}

#[test]
fn times_are_checked_with_thirty_seconds_of_grace() {
    let table = [
        (json!({"exp": NOW - 30}), None),
        (json!({"exp": NOW - 31}), Some("JWT expired")),
        (json!({"nbf": NOW + 30}), None),
        (json!({"nbf": NOW + 31}), Some("JWT not yet valid")),
        (json!({"iat": NOW + 30}), None),
        (json!({"iat": NOW + 31}), Some("JWT issued at future")),
        (json!({"exp": 9_999_999_999_i64, "iat": 1_300_819_380, "nbf": 1_300_819_380}), None),
    ];
    for (claims, message) in table {
        let outcome = verifier(options()).verify(&token(&claims)).map_err(|error| error.to_string());
        assert_eq!(outcome.err().as_deref(), message, "{claims}");
    }
}

#[test]
fn a_cached_token_ends_at_its_time() {
    let clock = Clock::manual(NOW);
    let verifier = Verifier::new(options(), clock.clone()).unwrap();
    let text = token(&json!({"role": "author", "exp": NOW + 2}));
    assert!(verifier.verify(&text).is_ok());

    clock.advance(Duration::from_secs(32));
    assert!(verifier.verify(&text).is_ok());
    clock.advance(Duration::from_secs(1));

    assert_eq!(refusal(&verifier, &text).1, "JWT expired");
    assert_eq!(refusal(&verifier, &text).1, "JWT expired");
}

#[test]
fn an_altered_token_is_not_taken_for_the_cached_one() {
    let verifier = verifier(options());
    let good = token(&json!({"role": "author"}));
    assert!(verifier.verify(&good).is_ok());
    let signature = good.rsplit('.').next().unwrap();
    let header = good.split('.').next().unwrap();

    let forged = format!("{header}.{}.{signature}", encode(br#"{"role":"service_role"}"#));

    assert_eq!(refusal(&verifier, &forged).0, "PGRST301");
}

#[test]
fn audience_and_issuer_of_another_project_are_refused() {
    let ours = || VerifierOptions {
        audience: Some("ours".to_owned()),
        issuer: Some("https://us".to_owned()),
        ..options()
    };
    let table = [
        (json!({"aud": "ours", "iss": "https://us"}), None),
        (json!({"aud": ["theirs", "ours"], "iss": "https://us"}), None),
        (json!({"aud": "theirs", "iss": "https://us"}), Some("JWT not in audience")),
        (json!({"aud": "", "iss": "https://us"}), Some("JWT not in audience")),
        (json!({"aud": [], "iss": "https://us"}), Some("JWT not in audience")),
        (json!({"iss": "https://us"}), Some("JWT not in audience")),
        (json!({"aud": "ours", "iss": "https://them"}), Some("JWT not from the expected issuer")),
        (json!({"aud": "ours"}), Some("JWT not from the expected issuer")),
        (
            json!({"aud": {"a": 1}, "iss": "https://us"}),
            Some("The JWT 'aud' claim must be a string or an array of strings"),
        ),
        (
            json!({"aud": ["ours", 1], "iss": "https://us"}),
            Some("The JWT 'aud' claim must be a string or an array of strings"),
        ),
    ];
    for (claims, message) in table {
        let outcome = verifier(ours()).verify(&token(&claims)).map_err(|error| error.to_string());
        assert_eq!(outcome.err().as_deref(), message, "{claims}");
    }
    let as_postgrest = VerifierOptions { issuer: None, strict_claims: false, ..ours() };
    let verifier = verifier(as_postgrest);
    for claims in [json!({}), json!({"aud": []}), json!({"aud": null}), json!({"aud": "ours"})] {
        assert!(verifier.verify(&token(&claims)).is_ok(), "{claims}");
    }
}

#[test]
fn tokens_without_an_end_can_be_refused_while_registered_keys_stay_good() {
    let endless = VerifierOptions { require_expiry: true, ..options() };
    assert_eq!(refusal(&verifier(endless), &token(&json!({"role": "author"}))).0, "PGRST303");
    let (identity, keys) = identity(KeyMode::Strict, RolePolicy::default());
    let key = keys.anon_key.expose();
    assert_eq!(ask(&identity, Some(key), Some(key)), Ok(("anon".to_owned(), Via::PublishableKey)));
}

#[test]
fn a_replaced_secret_ends_cached_tokens_and_old_keys_at_once() {
    let (identity, keys) = identity(KeyMode::Lenient, RolePolicy::default());
    let text = token(&json!({"role": "author"}));
    assert!(ask(&identity, Some(&text), None).is_ok());
    let secret = Secret::new("another secret that is long enough");
    let next = VerifierOptions { secret: Some(secret), ..options() };

    identity.replace(verifier(next), KeyRing::new());

    assert_eq!(ask(&identity, Some(&text), None).unwrap_err().status(), 401);
    let old_key = ask(&identity, None, Some(keys.secret_key.expose()));
    assert_eq!(old_key, Ok(("anon".to_owned(), Via::Nothing)));
}

#[test]
fn roles_that_a_token_may_not_take_are_refused_before_sql() {
    let table: Arc<dyn RoleTable> =
        Arc::new(|role: &str| matches!(role, "authenticated" | "editor" | "anon"));
    let (identity, _) = identity(KeyMode::Lenient, RolePolicy::RefuseUnlisted(table));
    for role in ["authenticated", "editor", "anon"] {
        assert!(ask(&identity, Some(&token(&json!({"role": role}))), None).is_ok(), "{role}");
    }
    let refused = [
        "",
        "none",
        "None",
        "postgres",
        "authenticator",
        "goforward",
        "Editor",
        "pg_read_all_data",
        "x\u{0}",
        "a;drop",
    ];
    for role in refused {
        let error = ask(&identity, Some(&token(&json!({"role": role}))), None).unwrap_err();
        assert_eq!((error.status(), error.code()), (403, "role_refused"), "{role}");
    }
    for role in [json!(null), json!(5), json!(["anon"]), json!({"a": 1})] {
        assert!(ask(&identity, Some(&token(&json!({"role": role}))), None).is_err(), "{role}");
    }
}

#[test]
fn without_an_anonymous_role_a_token_is_required() {
    let verifier = verifier(VerifierOptions { anonymous_role: None, ..options() });
    assert_eq!(refusal(&verifier, &token(&json!({}))).0, "PGRST302");
    let identity = Identity::new(IdentityOptions::default(), verifier, KeyRing::new());

    let error = recognise(&identity, Credentials::default()).unwrap_err();

    assert_eq!((error.status(), error.code()), (401, "PGRST302"));
    assert_eq!(error.www_authenticate().unwrap(), "Bearer");
    assert!(ask(&identity, Some(&token(&json!({"role": "author"}))), None).is_ok());
}

#[test]
fn refusals_tell_the_client_in_the_authenticate_header() {
    let error = verifier(options()).verify(&token(&json!({"exp": 1}))).unwrap_err();
    assert_eq!(
        error.www_authenticate().unwrap(),
        "Bearer error=\"invalid_token\", error_description=\"JWT expired\""
    );
}
