//! Which of key and token counts, by what is made of keys; the project's keys and those of users and of other backends.

use super::*;
use crate::kernel::identity::held_keys::is_held_key;

#[test]
fn minted_keys_have_the_forms_that_clients_expect() {
    let (identity, keys) = identity(KeyMode::Strict, RolePolicy::default());

    assert!(keys.publishable_key.expose().starts_with("sb_publishable_"));
    assert!(keys.secret_key.expose().starts_with("sb_secret_"));
    let claims = identity.verify(keys.service_role_key.expose()).unwrap().claims.clone();
    assert_eq!(
        Value::Object(claims.as_ref().clone()),
        json!({
            "iss": "supabase", "role": "service_role", "iat": NOW, "exp": NOW + 315_360_000,
        })
    );
}

#[test]
fn key_and_token_decide_the_caller_by_mode() {
    let user = token(&json!({"role": "authenticated", "sub": "u"}));
    let own_key = token(&json!({"role": "anon", "iss": "made with another tool"}));
    let missing = Err(IdentityError::KeyMissing);
    let invalid = Err(IdentityError::KeyInvalid);
    let caller = |role: &str, via| Ok((role.to_owned(), via));
    for mode in [KeyMode::Strict, KeyMode::Lenient] {
        let (identity, keys) = identity(mode, RolePolicy::default());
        let strict = mode == KeyMode::Strict;
        let either = |in_strict: &Result<_, _>, else_: Result<(String, Via), IdentityError>| {
            if strict { in_strict.clone() } else { else_ }
        };
        let (anon, service) = (keys.anon_key.expose(), keys.service_role_key.expose());
        let (publishable, secret) = (keys.publishable_key.expose(), keys.secret_key.expose());
        let nobody = || caller("anon", Via::Nothing);
        let table = [
            (None, None, either(&missing, nobody())),
            (None, Some("foo"), either(&invalid, nobody())),
            (None, Some(anon), caller("anon", Via::PublishableKey)),
            (None, Some(publishable), caller("anon", Via::PublishableKey)),
            (None, Some(service), caller("service_role", Via::SecretKey)),
            (None, Some(secret), caller("service_role", Via::SecretKey)),
            (Some(anon), Some(anon), caller("anon", Via::PublishableKey)),
            (Some(publishable), Some(publishable), caller("anon", Via::PublishableKey)),
            (Some(secret), None, caller("service_role", Via::SecretKey)),
            (Some(secret), Some(anon), caller("service_role", Via::SecretKey)),
            (Some("sb_secret_guess"), None, either(&invalid, nobody())),
            (Some("sb_secret_guess"), Some(anon), caller("anon", Via::PublishableKey)),
            (Some(&user), Some(anon), caller("authenticated", Via::Token)),
            (Some(&user), Some(secret), caller("authenticated", Via::Token)),
            (Some(&user), None, either(&missing, caller("authenticated", Via::Token))),
            (Some(&user), Some("foo"), either(&invalid, caller("authenticated", Via::Token))),
            (None, Some(&own_key), either(&invalid, caller("anon", Via::Token))),
        ];
        for (bearer, api_key, expected) in table {
            assert_eq!(ask(&identity, bearer, api_key), expected, "{mode:?} {bearer:?} {api_key:?}");
        }
        let forged = ask(&identity, Some("a.b.c"), Some(anon)).unwrap_err();
        assert_eq!(forged.code(), "PGRST301");
    }
}

#[test]
fn with_keys_off_only_authorization_counts_as_in_postgrest() {
    let (identity, keys) = identity(KeyMode::Off, RolePolicy::default());

    assert_eq!(ask(&identity, None, Some(keys.secret_key.expose())), Ok(("anon".to_owned(), Via::Nothing)));
    assert_eq!(
        ask(&identity, Some("sb_publishable_x"), None).unwrap_err().to_string(),
        "Expected 3 parts in JWT; got 1"
    );
    for (authorization, expected) in
        [("Bearer", "PGRST301"), ("Bearer ", "PGRST301"), ("bearer a.b", "PGRST301")]
    {
        let credentials = Credentials { authorization: Some(authorization), api_key: None };
        assert_eq!(recognise(&identity, credentials).unwrap_err().code(), expected);
    }
    for other in ["Basic dTpw", "AWS4-HMAC-SHA256 Credential=x", "Bearerx", ""] {
        let credentials = Credentials { authorization: Some(other), api_key: None };
        assert_eq!(recognise(&identity, credentials).unwrap().via, Via::Nothing, "{other}");
    }
}

const HELD: &str = "gf_service_of_the_tests";

/// Knows one key, which makes an editor, from one address.
struct OneKey;

impl HeldKeys for OneKey {
    fn caller<'a>(&'a self, key: &'a str, address: std::net::IpAddr) -> Recognising<'a> {
        let found = if key == HELD && address.is_loopback() {
            Ok(Arc::new(Caller::for_role("editor", false, Via::Token, None)))
        } else {
            Err(IdentityError::KeyNotAccepted)
        };
        Box::pin(std::future::ready(found))
    }
}

fn role(identity: &Identity, bearer: Option<&str>, api_key: Option<&str>) -> Result<String, IdentityError> {
    let authorization = bearer.map(|token| format!("Bearer {token}"));
    let credentials = Credentials { authorization: authorization.as_deref(), api_key };
    let found = identity.recognise(credentials, Ipv4Addr::LOCALHOST.into(), &OneKey);
    found.now_or_never().unwrap().map(|caller| caller.role.to_string())
}

#[test]
fn the_key_of_a_user_or_backend_counts_like_a_key_of_the_project() {
    let user = token(&json!({"role": "authenticated", "sub": "u"}));
    for mode in [KeyMode::Strict, KeyMode::Lenient] {
        let (identity, keys) = identity(mode, RolePolicy::default());
        let anon = Some(keys.anon_key.expose());
        for (bearer, api_key, expected) in [
            (Some(HELD), None, Ok("editor")),
            (None, Some(HELD), Ok("editor")),
            (Some(HELD), Some(HELD), Ok("editor")),
            (Some(HELD), anon, Ok("editor")),
            // As with the project's keys: a token decides, and its key has to be one.
            (Some(&*user), Some(HELD), Ok("authenticated")),
            (anon, Some(HELD), Ok("anon")),
            (Some("gf_service_guess"), anon, Err(IdentityError::KeyNotAccepted)),
            (Some(&*user), Some("gf_service_guess"), Err(IdentityError::KeyNotAccepted)),
            (None, Some("550e8400-e29b-41d4-a716-446655440000"), Err(IdentityError::KeyNotAccepted)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(role(&identity, bearer, api_key), expected, "{mode:?} {bearer:?} {api_key:?}");
        }
    }
    let (off, _) = identity(KeyMode::Off, RolePolicy::default());
    assert_eq!(role(&off, None, Some(HELD)), Ok("anon".to_owned()));
    assert_eq!(role(&off, Some(HELD), None).unwrap_err().code(), "PGRST301");
}

#[test]
fn a_server_without_accounts_says_that_it_knows_no_such_keys() {
    let (identity, _) = identity(KeyMode::Lenient, RolePolicy::default());

    let error = ask(&identity, Some(HELD), None).unwrap_err();

    assert_eq!((error.status(), error.code()), (401, "api_key_unknowable"));
}

#[test]
fn the_token_of_a_key_is_refused_from_other_networks_than_the_key_s() {
    let (identity, keys) = identity(KeyMode::Lenient, RolePolicy::default());
    let bound = |networks: Value| token(&json!({"role": "editor", "key_id": "1", "ip_allowlist": networks}));
    let anon = Some(keys.anon_key.expose());

    assert_eq!(role(&identity, Some(&bound(json!(["127.0.0.0/8"]))), anon), Ok("editor".to_owned()));
    for elsewhere in [json!(["192.0.2.0/24"]), json!([]), json!("127.0.0.0/8")] {
        let refused = role(&identity, Some(&bound(elsewhere.clone())), anon);
        assert_eq!(refused, Err(IdentityError::KeyNotAccepted), "{elsewhere}");
        let token = bound(elsewhere);
        let by_bearer = identity.bearer(&token, Ipv4Addr::LOCALHOST.into(), &OneKey);
        assert_eq!(by_bearer.now_or_never().unwrap().unwrap_err(), IdentityError::KeyNotAccepted);
    }
}

#[test]
fn no_token_and_no_key_of_the_project_is_taken_for_a_key_of_others() {
    let (_, keys) = identity(KeyMode::Lenient, RolePolicy::default());
    for text in
        [keys.anon_key.expose(), keys.secret_key.expose(), "", "a.b.c", "550e8400e29b41d4a716446655440000"]
    {
        assert!(!is_held_key(text), "{text}");
    }
    assert!(is_held_key(HELD) && is_held_key("550E8400-E29B-41D4-A716-446655440000"));
}
