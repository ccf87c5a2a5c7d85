//! POST `/token?grant_type=id_token`: an app brings the ID token that a provider's own software gave it (contract section 4).

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use serde::Deserialize;

use super::answer::signed_in;
use super::authorize::failed;
use super::extract::SignedIn;
use crate::auth::error::AuthError;
use crate::auth::flow::session::{begin, redeem};
use crate::auth::model::Method;
use crate::auth::oauth::account::{Arrival, Outcome, admit, enter, unverified};
use crate::auth::oauth::id_token::NonceRule;
use crate::auth::oauth::{Connected, Profile, ProviderError, link};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};
use crate::kernel::secret::Secret;

/// The body's fields.
#[derive(Default, Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    id_token: Secret,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    issuer: String,
    access_token: Option<Secret>,
    nonce: Option<Secret>,
    #[serde(default)]
    link_identity: bool,
}

/// `parts`: the request, for the user that an identity is to be joined to.
pub(super) async fn by_id_token(
    state: &AuthState,
    parts: Parts,
    fields: &Fields,
    origin: &Origin,
) -> Result<Response, AuthError> {
    if fields.id_token.is_empty() {
        return Err(AuthError::OAuth("invalid_request", "id_token required".to_owned()));
    }
    let linking_to = if fields.link_identity { Some(linking_user(state, parts).await?) } else { None };
    let connected = connected(state, fields)?;
    let profile = verified(state, connected, fields).await?;
    let redirect_to = state.settings.site_url.as_str();
    let arrival = Arrival { provider: &connected.provider, profile: &profile, redirect_to, origin };
    let is_admitted = linking_to.is_none() && admit(state, arrival).await?;
    let mut transaction = state.begin().await?;
    let user = match linking_to {
        Some(user) => {
            link::join(state, &mut transaction, user, arrival).await?;
            user
        }
        None => match enter(state, &mut transaction, arrival, is_admitted).await? {
            Outcome::SignedIn(user) => user,
            Outcome::Unconfirmed => {
                state.commit(transaction).await?;
                return Err(unverified(&connected.provider));
            }
        },
    };
    let grant = begin(state, &mut transaction, user, Method::Oauth, origin).await?;
    state.commit(transaction).await?;
    Ok(signed_in(&redeem(state, grant).await?))
}

async fn linking_user(state: &AuthState, mut parts: Parts) -> Result<uuid::Uuid, AuthError> {
    if !state.settings.config.manual_linking {
        return Err(Refusal::ManualLinkingDisabled.into());
    }
    Ok(SignedIn::from_request_parts(&mut parts, state).await?.account.id)
}

/// The provider that the client names, by our name or by that of its issuer. What the token says has no part in it
/// (threat D01).
fn connected<'a>(state: &'a AuthState, fields: &Fields) -> Result<&'a Connected, AuthError> {
    let disabled =
        |what: &str| AuthError::Told(Refusal::ProviderDisabled, format!("Provider ({what}) is not enabled"));
    if !fields.provider.is_empty() {
        let name = fields.provider.as_str();
        return state.providers.get(name).ok_or_else(|| disabled(&format!("name {name:?}")));
    }
    if fields.client_id.is_empty() || fields.issuer.is_empty() {
        let text = "provider or client_id and issuer required";
        return Err(AuthError::OAuth("invalid_request", text.to_owned()));
    }
    let found = state.providers.by_issuer(&fields.issuer, &fields.client_id);
    found.ok_or_else(|| disabled(&format!("issuer {:?}", fields.issuer)))
}

async fn verified(state: &AuthState, connected: &Connected, fields: &Fields) -> Result<Profile, AuthError> {
    let nonce = fields.nonce.as_ref().map(Secret::expose).filter(|nonce| !nonce.is_empty());
    let access_token = fields.access_token.as_ref().map(Secret::expose).filter(|token| !token.is_empty());
    let now = state.clock.unix_seconds();
    let token = fields.id_token.expose();
    let verified = connected.verify(token, NonceRule::HashOf(nonce), access_token, now).await;
    verified.map_err(|error| match error {
        ProviderError::IdToken(error) => AuthError::OAuth("invalid_grant", error.to_string()),
        ProviderError::Profile(error) => AuthError::OAuth("invalid_grant", error.to_string()),
        error => failed(&connected.provider.name, &error),
    })
}
