//! Who sends a request: the one type that services receive, and why a caller is refused.
//!
//! Pure: no HTTP framework, no database, no clock. A [`Caller`] is only built by this module's siblings (from a verified
//! token or an API key), so holding one is proof that the credentials were checked.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::networks::Networks;
use super::scope::Scopes;
use super::verifier::fingerprint;

/// The claims of a token as a JSON object.
pub type Claims = Map<String, Value>;

/// The identity of one request, cheap to clone (all parts are shared).
#[derive(Clone)]
pub struct Caller {
    /// The PostgreSQL role to switch to; never empty.
    pub role: Arc<str>,
    /// The exact JSON text for the setting `request.jwt.claims`; always an object that names the role.
    pub claims_json: Bytes,
    /// The same claims, parsed. For an anonymous caller only `role`.
    pub claims: Arc<Claims>,
    /// Claim `sub`: the user's id where a user is signed in.
    pub subject: Option<Arc<str>>,
    /// Claim `session_id` of tokens issued by the auth service.
    pub session: Option<Arc<str>>,
    /// What the API key allows that the token was exchanged for; none: whatever the role may do. Every service holds its
    /// callers to it.
    pub scopes: Option<Arc<Scopes>>,
    /// Where that API key may be used from, and the token with it; none: everywhere. Whoever recognises callers holds them to
    /// it.
    pub networks: Option<Arc<Networks>>,
    /// Whether the role is the anonymous role, by default, by the public key or by claim.
    ///
    /// PostgREST answers 42501 with 401 to such callers, and with 403 to the others.
    pub anonymous: bool,
    /// How the role was arrived at.
    pub via: Via,
    /// The first 16 hexadecimal digits of the SHA-256 of the token or key; fit for logs and for rate-limit keys.
    pub token_fingerprint: Option<Arc<str>>,
}

/// What decided the role of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// No credentials at all: the anonymous role.
    Nothing,
    /// The project's public key (legacy anon token or `sb_publishable_...`).
    PublishableKey,
    /// The project's secret key (legacy service token or `sb_secret_...`).
    SecretKey,
    /// A user's (or any other verified) access token.
    Token,
}

impl Caller {
    /// A caller without any token: the anonymous role with claims `{"role": ...}`, or a key's role.
    pub fn for_role(role: &str, anonymous: bool, via: Via, token_fingerprint: Option<Arc<str>>) -> Self {
        let mut claims = Claims::new();
        claims.insert("role".to_owned(), Value::String(role.to_owned()));
        Self {
            role: Arc::from(role),
            claims_json: Bytes::from(Value::Object(claims.clone()).to_string()),
            claims: Arc::new(claims),
            subject: None,
            session: None,
            scopes: None,
            networks: None,
            anonymous,
            via,
            token_fingerprint,
        }
    }

    /// The same caller, who came with an API key in place of a token: counted and logged by the key, which stays.
    #[must_use]
    pub fn known_by_key(&self, key: &str) -> Self {
        Self { token_fingerprint: Some(fingerprint(key)), ..self.clone() }
    }

    /// Whether the role is another than the anonymous one.
    pub fn is_authenticated(&self) -> bool {
        !self.anonymous
    }

    /// Whether the role is the anonymous one.
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Whether a user is signed in: a token with a subject.
    pub fn is_user(&self) -> bool {
        self.via == Via::Token && self.subject.is_some()
    }

    /// Claim `aal` (`aal1`, or `aal2` after a second factor); `None` where the token has none.
    pub fn assurance_level(&self) -> Option<&str> {
        self.claims.get("aal").and_then(Value::as_str)
    }
}

/// Names the role and kind only: claims hold personal data.
impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("role", &self.role).field("via", &self.via).finish_non_exhaustive()
    }
}

/// Why credentials are refused. Texts and codes of the first three groups are PostgREST's (17 development).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A token was sent, but no secret is configured to check it with.
    #[error("Server lacks JWT secret")]
    SecretMissing,
    /// The token's form, algorithm, key or signature is wrong.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No role: neither claim nor anonymous role.
    #[error("Anonymous access is disabled")]
    TokenRequired,
    /// The signature is good, but the claims are not acceptable now and here.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The role claim names no role that a caller may take (goforward profile only).
    #[error("The role of this token cannot be used")]
    RoleRefused,
    /// Strict keys: neither `apikey` nor a key in `Authorization`.
    #[error("No API key found in request")]
    KeyMissing,
    /// Strict keys: the key is not one of this project's.
    #[error("Invalid authentication credentials")]
    KeyInvalid,
    /// An API key of a user or of another backend that is wrong, has ended, or is used from elsewhere; or its token is.
    #[error("This API key is not accepted")]
    KeyNotAccepted,
    /// Such a key, where nobody can say whose it is: this server has no accounts.
    #[error("This server has no accounts, so it knows no such API keys")]
    KeyUnknowable,
    /// Such a key, and nobody can say at the moment.
    #[error("API keys cannot be checked at the moment")]
    KeysUnavailable,
}

/// What is wrong with a token before its claims are looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `Authorization: Bearer` with nothing after it.
    #[error("Empty JWT is sent in Authorization header")]
    Empty,
    /// Not three parts with dots between.
    #[error("Expected 3 parts in JWT; got {0}")]
    Parts(usize),
    /// No configured key fits the header, or none of them made this signature.
    #[error("No suitable key or wrong key type")]
    Key(&'static str),
    /// The header names an algorithm that no key here uses (`none` among them).
    #[error("Wrong or unsupported encoding algorithm")]
    Algorithm(&'static str),
    /// The token cannot be taken apart.
    #[error("JWT cryptographic operation failed")]
    Crypto,
}

/// What is wrong with the claims of a token whose signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// The payload is not a JSON object.
    #[error("Parsing claims failed")]
    NotAnObject,
    /// `exp` is more than 30 seconds ago.
    #[error("JWT expired")]
    Expired,
    /// `nbf` is more than 30 seconds ahead.
    #[error("JWT not yet valid")]
    NotYetValid,
    /// `iat` is more than 30 seconds ahead.
    #[error("JWT issued at future")]
    IssuedInFuture,
    /// None of the token's audiences is the configured one.
    #[error("JWT not in audience")]
    NotInAudience,
    /// `iss` is not the configured issuer (only where one is configured).
    #[error("JWT not from the expected issuer")]
    WrongIssuer,
    /// A time claim has the wrong type or range; the name of the claim.
    #[error("The JWT '{0}' claim must be a number")]
    NotANumber(&'static str),
    /// `aud` is neither a string nor an array of strings.
    #[error("The JWT 'aud' claim must be a string or an array of strings")]
    AudienceType,
    /// A user token without an end, where that is refused.
    #[error("The JWT must have an 'exp' claim")]
    NoExpiry,
}

impl IdentityError {
    /// The HTTP status of the refusal.
    pub fn status(&self) -> u16 {
        match self {
            Self::SecretMissing => 500,
            Self::RoleRefused => 403,
            Self::Token(_)
            | Self::TokenRequired
            | Self::Claims(_)
            | Self::KeyMissing
            | Self::KeyInvalid
            | Self::KeyNotAccepted
            | Self::KeyUnknowable => 401,
            Self::KeysUnavailable => 503,
        }
    }

    /// The stable code: PostgREST's where it has one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SecretMissing => "PGRST300",
            Self::Token(_) => "PGRST301",
            Self::TokenRequired => "PGRST302",
            Self::Claims(_) => "PGRST303",
            Self::RoleRefused => "role_refused",
            Self::KeyMissing => "api_key_missing",
            Self::KeyInvalid => "api_key_invalid",
            Self::KeyNotAccepted => "api_key_not_accepted",
            Self::KeyUnknowable => "api_key_unknowable",
            Self::KeysUnavailable => "api_keys_unavailable",
        }
    }

    /// More about the refusal, for `details`.
    pub fn details(&self) -> Option<&str> {
        match self {
            Self::Token(TokenError::Key(text) | TokenError::Algorithm(text)) => Some(text),
            _ => None,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750), where one belongs in the answer.
    pub fn www_authenticate(&self) -> Option<String> {
        match self {
            Self::TokenRequired => Some("Bearer".to_owned()),
            Self::Token(_) | Self::Claims(_) => {
                Some(format!("Bearer error=\"invalid_token\", error_description=\"{self}\""))
            }
            Self::SecretMissing
            | Self::RoleRefused
            | Self::KeyMissing
            | Self::KeyInvalid
            | Self::KeyNotAccepted
            | Self::KeyUnknowable
            | Self::KeysUnavailable => None,
        }
    }
}
