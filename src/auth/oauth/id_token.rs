//! ID tokens (OpenID Connect Core 1.0 sections 2 and 3.1.3.7): what must hold before one says who somebody is. Pure.

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::key_set::algorithm;
use super::provider::IssuerRule;

/// The longest token that is read, in bytes.
const LONGEST: usize = 16 * 1024;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;

/// Why a token is refused. The texts hold nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdTokenError {
    /// No token at all.
    #[error("Bad ID token")]
    Malformed,
    /// Made with an algorithm that is not taken.
    #[error("ID token has an algorithm that is not accepted")]
    Algorithm,
    /// Not signed by a key of the issuer.
    #[error("ID token is not signed by a key of its issuer")]
    Signature,
    /// By somebody else than the provider.
    #[error("Unacceptable issuer in id_token")]
    Issuer,
    /// For another application.
    #[error("Unacceptable audience in id_token")]
    Audience,
    /// Its time is over, or has not come.
    #[error("ID token has expired or is not valid yet")]
    Time,
    /// It names no user.
    #[error("Missing sub claim in id_token")]
    Subject,
    /// The one has a nonce, the other has none.
    #[error("Passed nonce and nonce in id_token should either both exist or not.")]
    NonceMissing,
    /// The nonces differ.
    #[error("Nonces mismatch")]
    Nonce,
    /// The access token is another's.
    #[error("Access token does not belong to the id_token")]
    AccessToken,
}

/// Which nonce a token must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NonceRule<'a> {
    /// This one: we asked for it.
    Exactly(&'a str),
    /// The SHA-256, in hexadecimal, of what the client made up; none where it made up none.
    HashOf(Option<&'a str>),
    /// Any or none.
    Unchecked,
}

/// A token that was taken apart, and of which nothing is known yet.
pub(crate) struct Unverified<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    pub(crate) fn parse(token: &'a str) -> Result<Self, IdTokenError> {
        if token.len() > LONGEST {
            return Err(IdTokenError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(IdTokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(IdTokenError::Malformed)?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| IdTokenError::Malformed);
        let header: Header =
            serde_json::from_slice(&decoded(header)?).map_err(|_| IdTokenError::Malformed)?;
        let claims = serde_json::from_slice(&decoded(claims)?).map_err(|_| IdTokenError::Malformed)?;
        // We know of no extension, so we cannot honour one (RFC 7515 section 4.1.11).
        if header.crit.is_some() {
            return Err(IdTokenError::Malformed);
        }
        let algorithm = algorithm(&header.alg).ok_or(IdTokenError::Algorithm)?;
        Ok(Self { algorithm, key_id: header.kid, message, signature, claims })
    }

    /// Checks everything but the signature. `described` is what the issuer calls itself.
    pub(super) fn check(
        &self,
        (rule, described): (&IssuerRule, &str),
        client_ids: &[String],
        nonce: NonceRule<'_>,
        now: i64,
    ) -> Result<(), IdTokenError> {
        if !self.is_issued_by(rule, described) {
            return Err(IdTokenError::Issuer);
        }
        if !self.is_for(client_ids) {
            return Err(IdTokenError::Audience);
        }
        let time = |name: &str| self.claims.get(name).and_then(Value::as_f64);
        #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact in a double")]
        let (now, leeway) = (now as f64, LEEWAY as f64);
        let expires = time("exp").ok_or(IdTokenError::Time)?;
        let issued = time("iat").ok_or(IdTokenError::Time)?;
        let starts = time("nbf").unwrap_or(issued);
        if expires + leeway <= now || issued - leeway > now || starts - leeway > now {
            return Err(IdTokenError::Time);
        }
        if self.text("sub").is_empty() || self.text("sub").len() > 255 {
            return Err(IdTokenError::Subject);
        }
        self.check_nonce(nonce)
    }

    /// Checks that an access token came with it, where it says so (section 3.1.3.8).
    pub(super) fn check_access_token(&self, access_token: &str) -> Result<(), IdTokenError> {
        let Some(expected) = self.claims.get("at_hash").and_then(Value::as_str) else { return Ok(()) };
        let hash = match self.algorithm {
            Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &SHA384,
            Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => &SHA512,
            _ => &SHA256,
        };
        let digest = digest::digest(hash, access_token.as_bytes());
        let half = &digest.as_ref()[..digest.as_ref().len() / 2];
        let is_equal = URL_SAFE_NO_PAD.encode(half).as_bytes().ct_eq(expected.as_bytes());
        if is_equal.into() { Ok(()) } else { Err(IdTokenError::AccessToken) }
    }

    /// The claims of a token that passed.
    pub(super) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    fn text(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Threat D01: never whoever a token says, always who is configured.
    fn is_issued_by(&self, rule: &IssuerRule, described: &str) -> bool {
        let issuer = self.text("iss");
        match rule {
            IssuerRule::Exact(_) => issuer == described,
            IssuerRule::Tenants(allowed) => {
                let tenant = self.text("tid");
                Uuid::parse_str(tenant).is_ok_and(|id| id.hyphenated().to_string() == tenant)
                    && issuer == described.replace("{tenantid}", tenant)
                    && (allowed.is_empty() || allowed.iter().any(|known| known == tenant))
            }
        }
    }

    /// Threat D02: a token of another application says nothing here.
    fn is_for(&self, client_ids: &[String]) -> bool {
        let is_ours = |id: &str| client_ids.iter().any(|ours| ours == id);
        let (audiences, needs_party) = match self.claims.get("aud") {
            Some(Value::String(one)) => (is_ours(one), false),
            Some(Value::Array(several)) => {
                (several.iter().filter_map(Value::as_str).any(is_ours), several.len() > 1)
            }
            _ => (false, false),
        };
        match self.claims.get("azp") {
            Some(party) => audiences && party.as_str().is_some_and(is_ours),
            None => audiences && !needs_party,
        }
    }

    fn check_nonce(&self, rule: NonceRule<'_>) -> Result<(), IdTokenError> {
        let held = Some(self.text("nonce")).filter(|nonce| !nonce.is_empty());
        let expected = match rule {
            NonceRule::Unchecked => return Ok(()),
            NonceRule::Exactly(nonce) => Some(nonce.to_owned()),
            NonceRule::HashOf(made_up) => {
                made_up.map(|text| hex::encode(digest::digest(&SHA256, text.as_bytes())))
            }
        };
        match (held, expected) {
            (None, None) => Ok(()),
            (Some(held), Some(expected)) if held.as_bytes().ct_eq(expected.as_bytes()).into() => Ok(()),
            (Some(_), Some(_)) => Err(IdTokenError::Nonce),
            _ => Err(IdTokenError::NonceMissing),
        }
    }
}
