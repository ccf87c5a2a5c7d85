//! Who calls (contract section 1): by the bearer token alone, whose session must go on.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::StorageError;
use super::state::StorageState;
use crate::kernel::http::RequestContext;
use crate::kernel::identity::scope::Service;
use crate::kernel::identity::{Caller, ClaimsError, IdentityError, SessionRefusal, TokenError, bearer_token};

impl StorageState {
    /// The caller of a request that must have one.
    pub(super) async fn caller(
        &self,
        headers: &HeaderMap,
        context: &RequestContext,
    ) -> Result<Arc<Caller>, StorageError> {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer_token);
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| denied("headers must have required property 'authorization'"))?;
        self.bearer(token, context).await
    }

    /// The caller of a request that anybody may make; none without a good token.
    pub(super) async fn caller_if_any(
        &self,
        headers: &HeaderMap,
        context: &RequestContext,
    ) -> Result<Option<Arc<Caller>>, StorageError> {
        match self.caller(headers, context).await {
            Ok(caller) => Ok(Some(caller)),
            Err(StorageError::AccessDenied(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The caller whom a token speaks for.
    pub(super) async fn bearer(
        &self,
        token: &str,
        context: &RequestContext,
    ) -> Result<Arc<Caller>, StorageError> {
        let caller = self.identity.bearer(token, context.client_ip, &*self.held_keys).await;
        let caller = caller.map_err(|error| refused(&error))?;
        if caller.scopes.as_ref().is_some_and(|scopes| !scopes.allow_all_of(Service::Storage)) {
            return Err(denied("The scopes of this API key do not allow it"));
        }
        let state = match self.sessions.remembered(&caller) {
            Some(state) => Ok(state),
            None => self.sessions.look_up(&caller).await,
        };
        state.and_then(|state| state.admit(&caller)).map_err(|refusal| match refusal {
            SessionRefusal::Unavailable => StorageError::Unavailable,
            refusal => denied(&refusal.to_string()),
        })?;
        Ok(caller)
    }
}

fn denied(reason: &str) -> StorageError {
    StorageError::AccessDenied(reason.to_owned())
}

fn refused(error: &IdentityError) -> StorageError {
    match error {
        IdentityError::KeysUnavailable => StorageError::Unavailable,
        IdentityError::Claims(ClaimsError::Expired) => denied("jwt expired"),
        IdentityError::Token(TokenError::Key(_)) | IdentityError::KeyInvalid => denied("invalid signature"),
        IdentityError::Token(_) => denied("Invalid Compact JWS"),
        other => denied(&other.to_string()),
    }
}
