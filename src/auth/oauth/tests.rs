//! The rules on providers and what they say, and on when their documents are fetched.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use super::authorization::{FlowSecrets, Wanted, address};
use super::documents::Documents;
use super::id_token::{IdTokenError, NonceRule, Unverified};
use super::profile::{Profile, ProvidedEmail};
use super::provider::{EmailRule, Issuer, IssuerRule, Provider, ProviderConfigError};
use super::providers::{ProviderError, Providers};
use crate::kernel::clock::Clock;
use crate::kernel::config::ExternalProviderConfig;
use crate::kernel::outbound::tests::server::{Reply, TestServer, client, json as reply};
use crate::kernel::secret::Secret;

const CALLBACK: &str = "https://api.example.com/auth/v1/callback";

fn config(url: Option<&str>) -> ExternalProviderConfig {
    ExternalProviderConfig {
        client_id: "web, app".to_owned(),
        client_secret: Some(Secret::new("secret")),
        url: url.map(str::to_owned),
        ..ExternalProviderConfig::default()
    }
}

fn provider(name: &str, url: Option<&str>) -> Provider {
    Provider::new(name, &config(url), CALLBACK).unwrap()
}

#[test]
fn known_providers_are_where_they_are_and_can_be_elsewhere() {
    let own = Some("https://git.example.com/");
    for (name, url, places) in [
        (
            "github",
            None,
            [
                "https://github.com/login/oauth/authorize",
                "https://github.com/login/oauth/access_token",
                "https://api.github.com/user",
            ],
        ),
        (
            "github",
            own,
            [
                "https://git.example.com/login/oauth/authorize",
                "https://git.example.com/login/oauth/access_token",
                "https://git.example.com/api/v3/user",
            ],
        ),
        (
            "gitlab",
            own,
            [
                "https://git.example.com/oauth/authorize",
                "https://git.example.com/oauth/token",
                "https://git.example.com/api/v4/user",
            ],
        ),
    ] {
        let endpoints = provider(name, url).endpoints.unwrap();
        let found = [endpoints.authorization, endpoints.token, endpoints.user].map(String::from);
        assert_eq!(found, places, "{name}");
    }
    for (name, url, discovery) in [
        ("google", None, "https://accounts.google.com/.well-known/openid-configuration"),
        ("apple", None, "https://appleid.apple.com/.well-known/openid-configuration"),
        ("facebook", None, "https://www.facebook.com/.well-known/openid-configuration"),
        ("azure", None, "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"),
        (
            "azure",
            Some("https://login.microsoftonline.com/contoso.example/v2.0"),
            "https://login.microsoftonline.com/contoso.example/v2.0/.well-known/openid-configuration",
        ),
        (
            "keycloak",
            Some("https://id.example.com/realms/a"),
            "https://id.example.com/realms/a/.well-known/openid-configuration",
        ),
    ] {
        assert_eq!(provider(name, url).issuer.unwrap().discovery.as_str(), discovery, "{name}");
    }
}

#[test]
fn a_provider_that_cannot_work_is_refused_at_the_start() {
    let refused =
        |name: &str, config: &ExternalProviderConfig| Provider::new(name, config, CALLBACK).unwrap_err();
    for name in ["email", "phone", "sso:1", "Google", "", "a b", &"a".repeat(51)] {
        assert_eq!(
            refused(name, &config(Some("https://id.example.com"))),
            ProviderConfigError::Name,
            "{name}"
        );
    }
    let nobody = ExternalProviderConfig { client_id: " , ".to_owned(), ..config(None) };
    assert_eq!(refused("google", &nobody), ProviderConfigError::ClientId);
    let public = ExternalProviderConfig { client_secret: None, ..config(None) };
    assert_eq!(refused("github", &public), ProviderConfigError::ClientSecret);
    assert!(Provider::new("google", &public, CALLBACK).is_ok());
    assert_eq!(refused("custom", &config(None)), ProviderConfigError::Url);
    for url in ["id.example.com", "ftp://id.example.com", "https://id.example.com#"] {
        assert_eq!(refused("custom", &config(Some(url))), ProviderConfigError::Url, "{url}");
    }
    let off = ExternalProviderConfig { enabled: false, ..ExternalProviderConfig::default() };
    let providers = BTreeMap::from([("google".to_owned(), off)]);
    let providers = Providers::new(&providers, CALLBACK, &client(), &Clock::manual(0)).unwrap();
    assert_eq!(providers.names().count(), 0);
}

proptest! {
    #[test]
    fn d06_no_query_of_a_caller_changes_what_is_ours(query in "[a-z_=&%0-9A-F+.:/-]{0,200}", name in "(?i)(state|nonce|redirect_uri|client_id|scope|request|response_type)") {
        let provider = provider("google", None);
        let endpoint = Url::parse("https://accounts.google.com/auth?kept=1").unwrap();
        let wanted = Wanted::parse(&format!("{query}&{name}=evil&x=1"));
        let url = address(&provider, &endpoint, (Uuid::nil(), "verifier", Some("nonce")), &wanted);
        let all = |wanted: &str| url.query_pairs().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count();
        for name in ["state", "nonce", "redirect_uri", "client_id", "scope", "response_type", "code_challenge"] {
            prop_assert_eq!(all(name), 1, "{} in {}", name, url);
        }
        prop_assert_eq!(all("request"), 0);
        prop_assert!(url.as_str().starts_with("https://accounts.google.com/auth?kept=1&client_id=web&"));
    }

    #[test]
    fn any_text_is_read_as_a_token_or_refused_without_a_panic(token in "[A-Za-z0-9_.-]{0,300}") {
        let _ = Unverified::parse(&token);
    }
}

#[test]
fn what_a_flow_must_know_again_follows_from_its_id_and_a_key() {
    let secrets = FlowSecrets::derive(|purpose| [u8::try_from(purpose.len()).unwrap(); 32]);
    assert_eq!(secrets.verifier.len(), 43, "RFC 7636 section 4.1");
    assert_ne!(secrets.verifier.as_bytes(), secrets.nonce.as_bytes());
}

fn claims(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(claims) => claims,
        _ => Map::new(),
    }
}

#[test]
fn d05_an_address_is_verified_only_where_the_provider_says_so() {
    let verified = |rule, value: Value| {
        let mut claims = claims(json!({"sub": "1", "email": "Ada@Example.COM"}));
        claims.extend(match value {
            Value::Object(more) => more,
            _ => Map::new(),
        });
        Profile::from_claims(&claims, rule).unwrap().email.unwrap()
    };
    let is = |is_verified| ProvidedEmail { address: "ada@example.com".to_owned(), is_verified };
    for (value, expected) in [
        (json!({"email_verified": true}), true),
        (json!({"email_verified": "true"}), true),
        (json!({"email_verified": false}), false),
        (json!({"email_verified": "yes"}), false),
        (json!({"email_verified": [true]}), false),
        (json!({"verified": true}), false),
        (json!({}), false),
    ] {
        assert_eq!(verified(EmailRule::Claimed, value.clone()), is(expected), "{value}");
    }
    assert_eq!(verified(EmailRule::DomainOwned, json!({"email_verified": true})), is(false));
    for owned in [json!(true), json!("1"), json!(1), json!("true")] {
        assert_eq!(verified(EmailRule::DomainOwned, json!({"xms_edov": owned})), is(true));
    }
    let unconfirmed = claims(json!({"id": 1, "email": "ada@example.com", "confirmed_at": null}));
    assert_eq!(Profile::from_gitlab(&unconfirmed).unwrap().email, Some(is(false)));
    let emails = [json!({"email": "ada@example.com", "primary": true, "verified": false})];
    let user = claims(json!({"id": 1, "email": "public@example.com"}));
    assert_eq!(Profile::from_github(&user, &emails).unwrap().email, Some(is(false)));
    assert_eq!(Profile::from_github(&user, &[]).unwrap().email, None, "the public one is no proof");
}

#[test]
fn d04_only_fields_that_are_known_are_taken_over_and_no_odd_name_stops_a_sign_in() {
    let hostile = json!({
        "sub": "1", "name": "a".repeat(500), "nickname": "ada", "role": "admin", "email": "not an address",
        "app_metadata": {"role": "admin"}, "picture": "x".repeat(5000), "given_name": {"a": 1}, "is_admin": true,
    });

    let profile = Profile::from_claims(&claims(hostile), EmailRule::Claimed).unwrap();

    assert_eq!(profile.email, None);
    let expected = json!({"nickname": "ada", "user_name": "ada", "sub": "1", "provider_id": "1"});
    assert_eq!(Value::Object(profile.metadata()), expected);
    for subject in [json!(null), json!(""), json!("a".repeat(256)), json!(["1"]), json!("a\u{0}b")] {
        assert!(Profile::from_claims(&claims(json!({"sub": subject})), EmailRule::Claimed).is_err());
    }
}

#[test]
fn another_answer_completes_a_profile_only_of_the_same_user() {
    let of = |value: Value| Profile::from_claims(&claims(value), EmailRule::Claimed).unwrap();
    let own = of(json!({"sub": "1", "name": "Ada"}));
    let more = json!({"sub": "1", "name": "Another", "email": "a@example.com", "email_verified": true});

    let whole = own.clone().completed(of(more)).unwrap();

    assert_eq!(whole.metadata()["name"], "Ada");
    assert!(whole.email.unwrap().is_verified);
    assert!(own.completed(of(json!({"sub": "2", "email": "b@example.com"}))).is_err());
}

#[test]
fn tokens_with_algorithms_that_prove_nothing_are_refused() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    for (header, expected) in [
        (json!({"alg": "none"}), IdTokenError::Algorithm),
        (json!({"alg": "HS256"}), IdTokenError::Algorithm),
        (json!({"alg": "HS512", "kid": "1"}), IdTokenError::Algorithm),
        (json!({"alg": "RS1"}), IdTokenError::Algorithm),
        (json!({"alg": "RS256", "crit": ["exp"]}), IdTokenError::Malformed),
        (json!({}), IdTokenError::Malformed),
    ] {
        let token = format!("{}.e30.x", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(Unverified::parse(&token).err(), Some(expected), "{header}");
    }
    let long = format!("{}.e30.x", "a".repeat(20_000));
    assert_eq!(Unverified::parse(&long).err(), Some(IdTokenError::Malformed));
}

#[test]
fn d01_a_tenant_is_named_by_its_id_and_nothing_else() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    const TENANT: &str = "9122040d-6c67-4c5b-b112-36a304b66dad";
    let described = "https://login.example.com/{tenantid}/v2.0";
    let checked = |issuer: &str, tenant: &str, allowed: &[&str]| {
        let claims = json!({"iss": issuer, "tid": tenant, "sub": "1", "aud": "web", "iat": 100, "exp": 200});
        let token = format!(
            "{}.{}.x",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let rule = IssuerRule::Tenants(allowed.iter().map(|tenant| (*tenant).to_owned()).collect());
        let token = Unverified::parse(&token).unwrap();
        token.check((&rule, described), &["web".to_owned()], NonceRule::Unchecked, 150)
    };
    let right = format!("https://login.example.com/{TENANT}/v2.0");
    assert_eq!(checked(&right, TENANT, &[]), Ok(()));
    assert_eq!(checked(&right, TENANT, &[TENANT]), Ok(()));
    let other = "11111111-6c67-4c5b-b112-36a304b66dad";
    for (issuer, tenant, allowed) in [
        (right.as_str(), TENANT, [other].as_slice()),
        (&right, other, &[]),
        (described, "{tenantid}", &[]),
        ("https://login.example.com/x/../evil/v2.0", "x/../evil", &[]),
        ("https://evil.example/v2.0", TENANT, &[]),
        (&right, "", &[]),
    ] {
        assert_eq!(checked(issuer, tenant, allowed), Err(IdTokenError::Issuer), "{issuer} {tenant}");
    }
}

/// A server that plays an issuer: it gives these answers, whatever it is asked.
async fn issuer(answers: Vec<Reply>) -> (TestServer, Issuer) {
    let server = TestServer::start(answers).await;
    let discovery = server.url("/.well-known/openid-configuration");
    (server, Issuer { discovery, rule: IssuerRule::Exact("http://127.0.0.2".to_owned()) })
}

fn keys(id: &str) -> Reply {
    reply(200, &json!({"keys": [{"kty": "RSA", "kid": id, "n": "AQAB", "e": "AQAB"}]}).to_string())
}

/// The documents of an issuer whose description is known, and whose keys are answered like this.
fn described(server: &TestServer, clock: &Clock) -> (Documents, super::documents::Description) {
    let documents = Documents::new(client(), clock.clone());
    let description = json!({
        "issuer": "http://127.0.0.2", "authorization_endpoint": "http://127.0.0.2/authorize",
        "jwks_uri": server.url("/keys").as_str(),
    });
    (documents, serde_json::from_value(description).unwrap())
}

#[tokio::test]
async fn j06_keys_are_asked_for_once_in_a_while_and_at_most_once_a_minute() {
    let down = || reply(500, "{}");
    let (server, _) = issuer(vec![keys("one"), keys("two"), down(), keys("three")]).await;
    let clock = Clock::manual(1_000);
    let (documents, description) = described(&server, &clock);
    let has = async |id: &'static str| {
        let key = (Some(id), Algorithm::RS256);
        documents.keys(&description, key).await.unwrap().has(key.0, key.1)
    };

    assert!(has("one").await);
    for _ in 0..10 {
        assert!(!has("two").await, "a minute has not passed");
    }
    assert_eq!(server.requests().len(), 1);
    clock.advance(Duration::from_mins(1));
    assert!(has("two").await);
    assert_eq!(server.requests().len(), 2);
    clock.advance(Duration::from_secs(599));
    assert!(has("two").await);
    assert_eq!(server.requests().len(), 2, "keys count ten minutes");
    clock.advance(Duration::from_secs(1));
    for _ in 0..10 {
        assert!(has("two").await, "what is known counts on while the issuer is down");
    }
    assert_eq!(server.requests().len(), 3);
    clock.advance(Duration::from_mins(1));
    assert!(has("three").await);
    assert!(!has("two").await, "a key that was withdrawn counts no more");
}

#[tokio::test]
async fn j06_an_endless_or_strange_answer_is_an_error_and_the_next_try_waits() {
    for bad in [Reply::Endless, reply(200, "[]"), reply(200, "no JSON"), reply(404, "{}")] {
        let (server, _) = issuer(vec![bad.clone(), keys("one")]).await;
        let clock = Clock::manual(1_000);
        let (documents, description) = described(&server, &clock);
        let key = (Some("one"), Algorithm::RS256);
        for _ in 0..5 {
            assert!(documents.keys(&description, key).await.is_err());
        }
        assert_eq!(server.requests().len(), 1);
        clock.advance(Duration::from_secs(5));
        assert!(documents.keys(&description, key).await.is_ok());
    }
}

#[tokio::test]
async fn d01_a_description_of_another_issuer_is_refused() {
    let other = json!({
        "issuer": "https://evil.example", "authorization_endpoint": "https://evil.example/a",
        "jwks_uri": "https://evil.example/keys",
    });
    let (_server, issuer) = issuer(vec![reply(200, &other.to_string())]).await;
    let documents = Documents::new(client(), Clock::manual(0));

    let error = documents.description(&issuer).await.unwrap_err();

    assert!(matches!(error, ProviderError::Malformed(_)), "{error}");
}
