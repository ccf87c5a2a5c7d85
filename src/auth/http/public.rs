//! What everybody may know: GET `/health`, `/settings`, and the keys that check our tokens (contract section 4).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::extract::Project;
use crate::auth::state::AuthState;
use crate::kernel::config::SmsProvider;

/// Providers that clients look for among the settings.
const PROVIDERS: [&str; 21] = [
    "apple",
    "azure",
    "bitbucket",
    "discord",
    "facebook",
    "figma",
    "fly",
    "github",
    "gitlab",
    "google",
    "kakao",
    "keycloak",
    "linkedin",
    "linkedin_oidc",
    "notion",
    "slack",
    "slack_oidc",
    "spotify",
    "twitch",
    "twitter",
    "zoom",
];

pub(super) async fn health() -> Json<Value> {
    // Clients of Supabase look for this name.
    Json(json!({"version": concat!("v", env!("CARGO_PKG_VERSION")), "name": "GoTrue",
        "description": "goforward's auth service, on the wire of GoTrue"}))
}

pub(super) async fn settings(_: Project, State(state): State<AuthState>) -> Json<Value> {
    let config = &state.settings.config;
    let mut external: serde_json::Map<String, Value> =
        PROVIDERS.iter().map(|name| ((*name).to_owned(), false.into())).collect();
    external.extend(state.providers.names().map(|name| (name.to_owned(), true.into())));
    external.insert("email".to_owned(), config.email.enabled.into());
    external.insert("phone".to_owned(), config.phone.enabled.into());
    external.insert("anonymous_users".to_owned(), config.anonymous_users.into());
    Json(json!({
        "external": external,
        "disable_signup": !config.signup,
        "mailer_autoconfirm": config.email.autoconfirm,
        "phone_autoconfirm": config.phone.autoconfirm,
        "sms_provider": if config.sms.provider == SmsProvider::Off { "" } else { config.sms.provider.as_str() },
        "saml_enabled": false,
        "saml_private_key_next_configured": false,
        "passkeys_enabled": config.mfa.passkeys,
    }))
}

pub(super) async fn keys(State(state): State<AuthState>) -> Response {
    cached(state.signer.load().public_keys())
}

pub(super) async fn openid_configuration(State(state): State<AuthState>) -> Response {
    let (issuer, url) = (&state.settings.issuer, &state.settings.external_url);
    cached(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{url}/oauth/authorize"),
        "token_endpoint": format!("{url}/oauth/token"),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "userinfo_endpoint": format!("{url}/oauth/userinfo"),
        "scopes_supported": ["openid", "profile", "email", "phone", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256", "plain"],
    }))
}

fn cached(body: Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    response
}
