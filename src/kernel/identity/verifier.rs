//! Turns the text of an access token into a [`Caller`], or says why not.
//!
//! Signature first, claims after, role last; the outcome is cached until the token ends. A verifier never changes: a
//! change of keys is a new verifier, and with it an empty cache.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use metrics::Counter;
use serde::Deserialize;
use serde_json::Value;

use super::caller::{Caller, Claims, ClaimsError, IdentityError, TokenError, Via};
use super::claims::ClaimRules;
use super::networks::Networks;
use super::role_path::RolePath;
use super::scope::Scopes;
use super::signing_keys::{self, SecretError, VerificationKey};
use super::token_cache::{TokenCache, VerifiedToken};
use crate::kernel::clock::Clock;
use crate::kernel::secret::Secret;

/// Longer tokens are refused unread, in bytes.
const LONGEST_TOKEN: usize = 64 * 1024;

/// How tokens are checked.
#[derive(Clone, Debug)]
pub struct VerifierOptions {
    /// Text of at least 32 bytes (HS256), a JWK or a JWK set; none: every token is refused with PGRST300.
    pub secret: Option<Secret>,
    /// The secret is base64 (either alphabet).
    pub secret_is_base64: bool,
    /// One of a token's audiences must be this one.
    pub audience: Option<String>,
    /// The issuer that tokens must name. Registered API keys are not asked.
    pub issuer: Option<String>,
    /// Refuse time claims that are null, negative or no whole numbers (PostgREST lets some of them pass).
    pub strict_claims: bool,
    /// Refuse tokens without `exp`. Registered API keys are not asked.
    pub require_expiry: bool,
    /// Where the role is.
    pub role_path: RolePath,
    /// The role of tokens that name none; none: PGRST302.
    pub anonymous_role: Option<String>,
    /// How many verified tokens are remembered; 0 turns the cache off.
    pub cache_entries: usize,
    /// About how much memory they may take, in bytes.
    pub cache_bytes: usize,
}

impl Default for VerifierOptions {
    fn default() -> Self {
        Self {
            secret: None,
            secret_is_base64: false,
            audience: None,
            issuer: None,
            strict_claims: true,
            require_expiry: false,
            role_path: RolePath::default(),
            anonymous_role: Some("anon".to_owned()),
            cache_entries: 4096,
            cache_bytes: 16 << 20,
        }
    }
}

/// Checks tokens with one set of keys.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<VerificationKey>,
    rules: ClaimRules,
    role_path: RolePath,
    anonymous_role: Option<String>,
    cache: TokenCache,
    counters: Counters,
    clock: Clock,
}

/// How the checks of tokens ended.
#[derive(Debug)]
struct Counters {
    cached: Counter,
    verified: Counter,
    refused: Counter,
}

impl Counters {
    fn new() -> Self {
        let of = |result: &'static str| metrics::counter!("goforward_token_checks_total", "result" => result);
        Self { cached: of("cached"), verified: of("verified"), refused: of("refused") }
    }
}

/// The parts of a token's header that are looked at; `jwk`, `jku`, `x5u` and their like are not.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

impl Verifier {
    /// Reads the keys.
    pub fn new(options: VerifierOptions, clock: Clock) -> Result<Self, SecretError> {
        let keys = match &options.secret {
            Some(secret) => signing_keys::parse(secret.expose(), options.secret_is_base64)?,
            None => Vec::new(),
        };
        Ok(Self {
            keys,
            rules: ClaimRules {
                audience: options.audience,
                issuer: options.issuer,
                strict: options.strict_claims,
                require_expiry: options.require_expiry,
            },
            role_path: options.role_path,
            anonymous_role: options.anonymous_role,
            cache: TokenCache::new(options.cache_entries, options.cache_bytes),
            counters: Counters::new(),
            clock,
        })
    }

    /// The caller that the token speaks for.
    pub fn verify(&self, token: &str) -> Result<Arc<Caller>, IdentityError> {
        self.check(token).inspect_err(|_| self.counters.refused.increment(1))
    }

    fn check(&self, token: &str) -> Result<Arc<Caller>, IdentityError> {
        if self.keys.is_empty() {
            return Err(IdentityError::SecretMissing);
        }
        let now = self.clock.unix_seconds();
        if let Some(known) = self.cache.get(token) {
            return match known.times.check(now) {
                Ok(()) => {
                    self.counters.cached.increment(1);
                    Ok(Arc::clone(&known.caller))
                }
                Err(refusal) => {
                    self.cache.remove(token);
                    Err(refusal.into())
                }
            };
        }
        let payload = self.check_signature(token)?;
        let text = payload.trim_ascii();
        let claims: Claims = serde_json::from_slice(text).map_err(|_| ClaimsError::NotAnObject)?;
        let times = self.rules.check(&claims, now)?;
        let caller = Arc::new(self.caller(token, text, claims)?);
        self.cache.insert(Arc::new(VerifiedToken {
            token: token.into(),
            caller: Arc::clone(&caller),
            times,
        }));
        self.counters.verified.increment(1);
        Ok(caller)
    }

    /// The payload, once a key has vouched for it.
    fn check_signature(&self, token: &str) -> Result<Vec<u8>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        let parts = token.split('.').count();
        let Some((message, signature)) = token.rsplit_once('.').filter(|_| parts == 3) else {
            return Err(TokenError::Parts(parts));
        };
        let (header, payload) = message.split_once('.').ok_or(TokenError::Crypto)?;
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::Crypto);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Crypto)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Crypto)?;
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(TokenError::Algorithm("JWT is unsecured but expected 'alg' was not 'none'"));
        }
        if header.crit.is_some() {
            return Err(TokenError::Crypto);
        }
        let algorithm = signing_keys::parse_algorithm(&header.alg).ok_or(TokenError::Crypto)?;
        let mut candidates =
            self.keys.iter().filter(|key| key.fits(algorithm, header.kid.as_deref())).peekable();
        if candidates.peek().is_none() {
            return Err(TokenError::Key("No suitable key was found to decode the JWT"));
        }
        if !candidates.any(|key| key.verifies(message.as_bytes(), signature)) {
            return Err(TokenError::Key("None of the keys was able to decode the JWT"));
        }
        URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Crypto)
    }

    fn caller(&self, token: &str, text: &[u8], claims: Claims) -> Result<Caller, IdentityError> {
        let (role, named): (Arc<str>, bool) = match self.role_path.find(&claims) {
            Some(Value::String(role)) => (Arc::from(role), true),
            Some(other) => (Arc::from(other.to_string()), true),
            None => (Arc::from(self.anonymous_role.as_deref().ok_or(IdentityError::TokenRequired)?), false),
        };
        let text_claim = |name: &str| claims.get(name).and_then(Value::as_str).map(Arc::from);
        Ok(Caller {
            anonymous: !named || self.anonymous_role.as_deref() == Some(&*role),
            claims_json: with_role(text, &claims, &role),
            subject: text_claim("sub"),
            session: text_claim("session_id"),
            scopes: Scopes::of_claims(&claims).map(Arc::new),
            networks: Networks::of_claims(&claims).map(Arc::new),
            via: Via::Token,
            token_fingerprint: Some(fingerprint(token)),
            claims: Arc::new(claims),
            role,
        })
    }
}

/// The payload's own text, so that numbers keep all digits; with the role put in front where the payload names none.
fn with_role(text: &[u8], claims: &Claims, role: &str) -> Bytes {
    if claims.contains_key("role") {
        return Bytes::copy_from_slice(text);
    }
    let mut json = format!("{{\"role\":{}", Value::String(role.to_owned())).into_bytes();
    if !claims.is_empty() {
        json.push(b',');
    }
    json.extend_from_slice(text.get(1..).unwrap_or_default());
    Bytes::from(json)
}

/// 16 hexadecimal digits that stand for a secret in logs.
pub(super) fn fingerprint(secret: &str) -> Arc<str> {
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    Arc::from(hex::encode(digest.as_ref().get(..8).unwrap_or_default()))
}
