//! From the credentials of a request to its caller: which of key and token counts, and what a missing one means.
//!
//! `Authorization` decides the role where it carries a token; an opaque key in it is a key; otherwise the API key does.
//! Whether a key is demanded is a switch, because hosted projects enforce keys and local development does not.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::api_keys::{KeyRing, OPAQUE_PREFIX};
use super::caller::{Caller, IdentityError, Via};
use super::held_keys::{HeldKeys, is_held_key};
use super::verifier::Verifier;

/// What a request brought along. Neither part is trusted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The header `Authorization`, whole.
    pub authorization: Option<&'a str>,
    /// The header `apikey`, or the query parameter where one is allowed.
    pub api_key: Option<&'a str>,
}

/// How much is made of API keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyMode {
    /// `apikey` is not looked at (PostgREST's behaviour).
    Off,
    /// A good key gives its role; a missing or unknown one makes an anonymous caller.
    #[default]
    Lenient,
    /// A missing or unknown key is refused, also beside a good token.
    Strict,
}

/// Which roles a token may name.
pub trait RoleTable: Send + Sync {
    /// Whether the role exists, is no login and no superuser, and is granted to the login of callers.
    fn may_be_taken(&self, role: &str) -> bool;
}

impl<F: Fn(&str) -> bool + Send + Sync> RoleTable for F {
    fn may_be_taken(&self, role: &str) -> bool {
        self(role)
    }
}

/// Who decides about the role of a token.
#[derive(Clone, Default)]
pub enum RolePolicy {
    /// The database, when the role is switched to (PostgREST's behaviour).
    #[default]
    LetDatabaseDecide,
    /// The table, before any SQL; what it does not know is refused.
    RefuseUnlisted(Arc<dyn RoleTable>),
}

/// How callers are made.
#[derive(Clone, Default)]
pub struct IdentityOptions {
    /// The role of callers without credentials; none: they are refused with PGRST302.
    pub anonymous_role: Option<String>,
    /// How much is made of API keys.
    pub key_mode: KeyMode,
    /// Who decides about the role of a token.
    pub role_policy: RolePolicy,
}

/// The identity of requests: shared by the gateway and by services that authenticate by themselves.
pub struct Identity {
    verifier: ArcSwap<Verifier>,
    keys: ArcSwap<KeyRing>,
    anonymous: Option<Arc<Caller>>,
    key_mode: KeyMode,
    role_policy: RolePolicy,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("key_mode", &self.key_mode).finish_non_exhaustive()
    }
}

impl Identity {
    /// Puts the parts together.
    pub fn new(options: IdentityOptions, verifier: Verifier, keys: KeyRing) -> Self {
        let anonymous = options.anonymous_role.filter(|role| !role.is_empty());
        Self {
            verifier: ArcSwap::from_pointee(verifier),
            keys: ArcSwap::from_pointee(keys),
            anonymous: anonymous.map(|role| Arc::new(Caller::for_role(&role, true, Via::Nothing, None))),
            key_mode: options.key_mode,
            role_policy: options.role_policy,
        }
    }

    /// Changes keys at once: tokens and keys of before are no longer accepted, cached or not.
    pub fn replace(&self, verifier: Verifier, keys: KeyRing) {
        self.verifier.store(Arc::new(verifier));
        self.keys.store(Arc::new(keys));
    }

    /// The caller of a request from an address. Asks `held_keys` where a key of a user or of another backend came along; else
    /// there is no I/O, and a cached token costs well under a microsecond.
    pub async fn recognise(
        &self,
        credentials: Credentials<'_>,
        address: IpAddr,
        held_keys: &dyn HeldKeys,
    ) -> Result<Arc<Caller>, IdentityError> {
        let bearer = credentials.authorization.and_then(bearer_token);
        let shown = bearer.into_iter().chain(credentials.api_key);
        let held = match shown.filter(|_| self.key_mode != KeyMode::Off).find(|text| is_held_key(text)) {
            Some(key) => Some((key, held_keys.caller(key, address).await?)),
            None => None,
        };
        let held = held.as_ref().map(|(key, caller)| (*key, caller));
        at_home(self.identify(bearer, credentials.api_key, held)?, address)
    }

    /// Whom a text speaks for that came as a bearer token, with no regard to other keys of the request.
    pub async fn bearer(
        &self,
        text: &str,
        address: IpAddr,
        held_keys: &dyn HeldKeys,
    ) -> Result<Arc<Caller>, IdentityError> {
        if let Some(caller) = self.key(text) {
            return Ok(caller);
        }
        if self.key_mode != KeyMode::Off && is_held_key(text) {
            return held_keys.caller(text, address).await;
        }
        at_home(self.verify(text)?, address)
    }

    /// By what the request has shown; `held`: a key of a user or of another backend in it, which is in force.
    fn identify(
        &self,
        bearer: Option<&str>,
        api_key: Option<&str>,
        held: Option<(&str, &Arc<Caller>)>,
    ) -> Result<Arc<Caller>, IdentityError> {
        let api_key = api_key.filter(|key| !key.is_empty() && self.key_mode != KeyMode::Off);
        let keys = self.keys.load();
        let find = |text: &str| match held {
            Some((key, caller)) if key == text => Some(Arc::clone(caller)),
            _ => keys.find(text),
        };
        let by_bearer_key = bearer.and_then(find);
        let by_key = match api_key {
            Some(key) if bearer == Some(key) => by_bearer_key.clone(),
            Some(key) => find(key),
            None => None,
        };
        if self.key_mode == KeyMode::Strict && by_key.is_none() {
            let opaque_bearer = bearer.is_some_and(|token| token.starts_with(OPAQUE_PREFIX));
            if api_key.is_some() || (opaque_bearer && by_bearer_key.is_none()) {
                return Err(IdentityError::KeyInvalid);
            }
            if by_bearer_key.is_none() {
                return Err(IdentityError::KeyMissing);
            }
        }
        if let Some(caller) = by_bearer_key {
            return Ok(caller);
        }
        match bearer {
            Some(token) if self.key_mode == KeyMode::Off || !token.starts_with(OPAQUE_PREFIX) => {
                self.verify(token)
            }
            _ => match (by_key, api_key) {
                (Some(caller), _) => Ok(caller),
                // Not registered, but perhaps signed by this project with another tool.
                (None, Some(key)) if key.split('.').count() == 3 => {
                    self.verify(key).or_else(|_| self.anonymous())
                }
                (None, _) => self.anonymous(),
            },
        }
    }

    /// The caller that a registered API key makes.
    pub fn key(&self, key: &str) -> Option<Arc<Caller>> {
        self.keys.load().find(key)
    }

    /// The caller that an access token speaks for; the role is checked.
    pub fn verify(&self, token: &str) -> Result<Arc<Caller>, IdentityError> {
        let caller = self.verifier.load().verify(token)?;
        if self.takes_role(&caller.role) { Ok(caller) } else { Err(IdentityError::RoleRefused) }
    }

    /// Whether credentials may name this role.
    pub fn takes_role(&self, role: &str) -> bool {
        // `none` means "no role" to `SET ROLE`, which would leave the login itself in charge.
        !role.eq_ignore_ascii_case("none")
            && match &self.role_policy {
                RolePolicy::LetDatabaseDecide => true,
                // `pg_` roles are the server's own.
                RolePolicy::RefuseUnlisted(table) => {
                    !role.is_empty() && !role.starts_with("pg_") && table.may_be_taken(role)
                }
            }
    }

    /// The caller without credentials.
    pub fn anonymous(&self) -> Result<Arc<Caller>, IdentityError> {
        self.anonymous.clone().ok_or(IdentityError::TokenRequired)
    }
}

/// The caller, unless it is here by a token that may not be used from this address.
fn at_home(caller: Arc<Caller>, address: IpAddr) -> Result<Arc<Caller>, IdentityError> {
    if caller.networks.as_ref().is_none_or(|networks| networks.contain(address)) {
        Ok(caller)
    } else {
        Err(IdentityError::KeyNotAccepted)
    }
}

/// The token of `Bearer <token>`, scheme in any case; empty if only the scheme was sent. Other schemes are no token.
pub fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once([' ', '\t']).unwrap_or((authorization, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
