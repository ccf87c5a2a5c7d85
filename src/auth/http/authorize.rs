//! GET `/authorize`: to a provider (contract section 4). What the caller may add to the request is in `oauth::authorization`.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use url::Url;
use uuid::Uuid;

use super::redirect::{target, to};
use crate::auth::error::AuthError;
use crate::auth::limits::Limit;
use crate::auth::oauth::ProviderError;
use crate::auth::oauth::authorization::{FlowSecrets, Wanted, address};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin, Parts};
use crate::auth::store::flows::{self, Flow, WITH_PROVIDER};
use crate::auth::token::pkce::Challenge;

pub(super) async fn authorize(
    State(state): State<AuthState>,
    origin: Origin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let wanted = Wanted::parse(query.as_deref().unwrap_or_default());
    let address = begin(&state, &wanted, &headers, &origin, None).await?;
    Ok(to(StatusCode::FOUND, address.as_str()))
}

/// Begins a flow; the address that the browser is to go to. `link_to`: the user that the identity shall be joined to.
pub(super) async fn begin(
    state: &AuthState,
    wanted: &Wanted,
    headers: &HeaderMap,
    origin: &Origin,
    link_to: Option<Uuid>,
) -> Result<Url, AuthError> {
    state.limits.take(Limit::Token, origin).await?;
    let connected = state
        .providers
        .get(&wanted.provider)
        .ok_or_else(|| AuthError::Invalid("Unsupported provider: provider is not enabled".to_owned()))?;
    let challenge =
        Challenge::from_request(wanted.code_challenge.as_deref(), wanted.code_challenge_method.as_deref())?;
    let endpoint = connected.authorization_endpoint().await;
    let (endpoint, takes_nonce) = endpoint.map_err(|error| failed(&wanted.provider, &error))?;
    let flow = Flow {
        id: state.new_id(),
        user_id: None,
        auth_code: None,
        code_challenge_method: challenge.as_ref().map(|challenge| challenge.method().as_str().to_owned()),
        code_challenge: challenge.as_ref().map(|challenge| challenge.value().to_owned()),
        provider_type: wanted.provider.clone(),
        authentication_method: WITH_PROVIDER.to_owned(),
        created_at: state.now(),
        auth_code_issued_at: None,
        referrer: Some(target(state, wanted.redirect_to.as_deref(), headers)),
        linking_target_id: link_to,
        provider_access_token: None,
        provider_refresh_token: None,
    };
    flows::insert(&mut *state.connection().await?, &flow).await?;
    let secrets = flow_secrets(state, flow.id);
    let nonce = takes_nonce.then_some(secrets.nonce.as_str());
    Ok(address(&connected.provider, &endpoint, (flow.id, &secrets.verifier, nonce), wanted))
}

/// See [`FlowSecrets`].
pub(super) fn flow_secrets(state: &Parts, flow: Uuid) -> FlowSecrets {
    FlowSecrets::derive(|purpose| state.digest(purpose, flow.as_bytes()))
}

/// The cause goes to the log; what a provider says about us is nobody else's business.
pub(super) fn failed(provider: &str, error: &ProviderError) -> AuthError {
    tracing::warn!(provider, %error, "an identity provider is of no help");
    if error.is_transient() {
        AuthError::Unavailable(format!("the identity provider {provider} {error}"))
    } else {
        Refusal::ProviderFailed.into()
    }
}
