//! Stands around the actions that ask for a captcha, where the operator wants one.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Uri;
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

/// Whether a request can only be one for tokens by something that a person has proved before. Any other grant that it
/// names too, however often, makes it one like all others.
fn has_proof(uri: &Uri) -> bool {
    let path = uri.path();
    let query = parse(uri.query().unwrap_or_default().as_bytes());
    let mut grants = query.filter_map(|(name, value)| (name == "grant_type").then_some(value)).peekable();
    path.strip_prefix("/auth/v1").unwrap_or(path) == "/token"
        && grants.peek().is_some()
        && grants.all(|grant| matches!(&*grant, "refresh_token" | "pkce" | "id_token"))
}

async fn passed(state: &AuthState, request: Request) -> Result<Request, AuthError> {
    let Some(captcha) = &state.captcha else { return Ok(request) };
    if has_proof(request.uri()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_for_tokens_by_an_earlier_proof_passes_without() {
        for (uri, expected) in [
            ("/token?grant_type=refresh_token", true),
            ("/auth/v1/token?grant_type=pkce", true),
            ("/token?grant_type=id_token&x=1", true),
            ("/token?grant_type=password", false),
            ("/token?grant_type=refresh_token&grant_type=password", false),
            ("/token?grant_type=password&grant_type=refresh_token", false),
            ("/token?grant_type=refresh%5Ftoken", true),
            ("/token", false),
            ("/signup?grant_type=refresh_token", false),
            ("/auth/v1/otp?grant_type=pkce", false),
        ] {
            assert_eq!(has_proof(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
