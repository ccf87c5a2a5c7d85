//! Stands around the actions that ask for a captcha, where the operator wants one.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use url::form_urlencoded::parse;

use super::extract::{Project, Server, read};
use crate::auth::error::AuthError;
use crate::auth::state::{AuthState, Origin};
use crate::kernel::secret::Secret;

/// Where clients of GoTrue put the token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    gotrue_meta_security: Option<Meta>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    captcha_token: Option<Secret>,
}

/// Lets a request through whose captcha was passed. Servers of the project's need none, and neither do those who have
/// proved something else: sessions that are refreshed, codes that end a flow, tokens of a provider.
pub(super) async fn check(State(state): State<AuthState>, request: Request, next: Next) -> Response {
    match passed(&state, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn passed(state: &AuthState, request: Request) -> Result<Request, AuthError> {
    let Some(captcha) = &state.captcha else { return Ok(request) };
    let grant = parse(request.uri().query().unwrap_or_default().as_bytes())
        .find_map(|(name, value)| (name == "grant_type").then(|| value.into_owned()));
    if matches!(grant.as_deref(), Some("refresh_token" | "pkce" | "id_token")) {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    Project::from_request_parts(&mut parts, state).await?;
    if Server::from_request_parts(&mut parts, state).await.is_ok() {
        return Ok(Request::from_parts(parts, body));
    }
    let origin = Origin::from_request_parts(&mut parts, state).await?;
    let body = read(&parts, body).await?;
    // What is no JSON is told by the action, to whoever has passed.
    let meta = serde_json::from_slice::<Asked>(&body).unwrap_or_default().gotrue_meta_security;
    let token = meta.and_then(|meta| meta.captcha_token).unwrap_or_default();
    captcha.check(token.expose(), origin.ip).await?;
    Ok(Request::from_parts(parts, Body::from(body)))
}
