//! Who is behind a key or token, and how it is said that it will not do (contract sections 1 and 3).

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::state::RealtimeState;
use crate::kernel::identity::scope::Service;
use crate::kernel::identity::{Account, Caller, ClaimsError, IdentityError, SessionRefusal, TokenError, Via};

/// What an opaque key of the project begins with: as a channel's token it means "keep the socket's key".
const OPAQUE_PREFIX: &str = "sb_";

/// A caller, and until when.
#[derive(Clone)]
pub(super) struct Credentials {
    /// Who it is.
    pub(super) caller: Arc<Caller>,
    /// The account behind a token of ours.
    pub(super) account: Option<Account>,
    /// The second since the Unix epoch at which the token ends; none for keys of the project.
    pub(super) expires_at: Option<i64>,
}

/// Why a key or token will not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CredentialsError {
    /// None was sent.
    #[error("API key is missing")]
    Missing,
    /// It has ended so many seconds ago.
    #[error("Token has expired")]
    Expired(i64),
    /// `exp` or `role` is missing or of another type.
    #[error("Fields `role` and `exp` are required in JWT")]
    ClaimsMissing,
    /// It is no token of three parts, or its claims cannot be taken.
    #[error("The token provided is not a valid JWT")]
    Malformed,
    /// No key of ours made its signature.
    #[error("Failed to validate JWT signature")]
    Signature,
    /// Its scopes do not open this service.
    #[error("The API key does not open this service")]
    Scope,
    /// It cannot be asked about at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// The session behind it does not go on.
    #[error("{0}")]
    Session(SessionRefusal),
}

impl CredentialsError {
    /// Whether it is worth asking again soon.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The reason in a reply to a join, and in the message that ends a channel.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Expired(ago) => format!("InvalidJWTToken: Token has expired {ago} seconds ago"),
            Self::ClaimsMissing | Self::Session(_) | Self::Missing | Self::Scope => {
                format!("InvalidJWTToken: {self}")
            }
            Self::Unavailable(_) => format!("UnableToConnectToProject: {self}"),
            Self::Malformed => format!("MalformedJWT: {self}"),
            Self::Signature => format!("JwtSignatureError: {self}"),
        }
    }
}

/// Whether a channel's token says nothing beyond the socket's key.
pub(super) fn keeps_the_key(token: &str) -> bool {
    token.is_empty() || token.starts_with(OPAQUE_PREFIX)
}

impl RealtimeState {
    /// The caller behind a key or token that is used from an address, and whose session goes on.
    pub(super) async fn credentials(
        &self,
        token: Option<&str>,
        address: IpAddr,
    ) -> Result<Credentials, CredentialsError> {
        let token = token.filter(|token| !token.is_empty()).ok_or(CredentialsError::Missing)?;
        if token.starts_with(OPAQUE_PREFIX) && self.identity.key(token).is_none() {
            return Err(CredentialsError::Signature);
        }
        let now = self.clock.unix_seconds();
        let caller = self.identity.bearer(token, address, &*self.held_keys).await;
        let caller = caller.map_err(|error| refusal(&error, token, now))?;
        // Scopes of single topics are not told apart.
        if caller.scopes.as_ref().is_some_and(|scopes| !scopes.allow_all_of(Service::Realtime)) {
            return Err(CredentialsError::Scope);
        }
        if caller.via != Via::Token {
            return Ok(Credentials { caller, account: None, expires_at: None });
        }
        let expires_at = caller.claims.get("exp").and_then(Value::as_i64);
        let has_role = caller.claims.get("role").is_some_and(Value::is_string);
        let expires_at = expires_at.filter(|_| has_role).ok_or(CredentialsError::ClaimsMissing)?;
        if expires_at <= now {
            return Err(CredentialsError::Expired(now - expires_at));
        }
        let account = self.check_session(&caller).await.map_err(|refusal| match refusal {
            SessionRefusal::Unavailable => CredentialsError::Unavailable(refusal.to_string()),
            refusal => CredentialsError::Session(refusal),
        })?;
        Ok(Credentials { caller, account, expires_at: Some(expires_at) })
    }

    /// The account behind a caller, if its session goes on. One that cannot be asked about counts as ended.
    pub(super) async fn check_session(&self, caller: &Caller) -> Result<Option<Account>, SessionRefusal> {
        let state = match self.sessions.remembered(caller) {
            Some(state) => state,
            None => self.sessions.look_up(caller).await?,
        };
        state.admit(caller)
    }
}

fn refusal(error: &IdentityError, token: &str, now: i64) -> CredentialsError {
    match error {
        IdentityError::KeysUnavailable => CredentialsError::Unavailable(error.to_string()),
        IdentityError::Claims(ClaimsError::Expired) => {
            CredentialsError::Expired(now - stated_end(token).unwrap_or(now))
        }
        IdentityError::Claims(ClaimsError::NoExpiry | ClaimsError::NotANumber("exp"))
        | IdentityError::TokenRequired => CredentialsError::ClaimsMissing,
        IdentityError::Token(TokenError::Key(_) | TokenError::Algorithm(_))
        | IdentityError::SecretMissing
        | IdentityError::KeyInvalid => CredentialsError::Signature,
        _ => CredentialsError::Malformed,
    }
}

/// When a token says that it ends. Only for the text about one whose signature was found good.
fn stated_end(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_i64()
}
