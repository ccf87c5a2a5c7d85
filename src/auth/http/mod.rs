//! The routes of the service: one file a family of actions.

mod admin;
mod answer;
mod audit;
mod authorize;
mod callback;
mod captcha;
mod confirm_page;
pub mod dev_mail;
mod extract;
mod factors;
mod id_token;
mod identities;
mod introspect;
mod keys;
mod logout;
mod otp;
mod passkeys;
mod public;
mod recovery_codes;
mod redirect;
mod settings;
mod signup;
mod token;
mod user;
mod verify;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post};
use http::StatusCode;

use super::error::{AuthError, X_ERROR_CODE, shape};
use super::refusal::Refusal;
use super::state::AuthState;

/// What the service says of itself at `place`, outside of its prefix, and there under its prefix (RFC 8414 section 3.1).
pub fn metadata_router(place: &str, prefix: &str, state: AuthState) -> Router {
    Router::new()
        .route(place, get(public::openid_configuration))
        .route(&format!("{place}{prefix}"), get(public::openid_configuration))
        .fallback(async || AuthError::from(Refusal::NotFound))
        .layer(from_fn(shape))
        .with_state(state)
}

/// The actions that ask for a captcha, where one is configured: those by which strangers cost something.
fn behind_captcha(state: &AuthState) -> Router<AuthState> {
    Router::new()
        .route("/signup", post(signup::sign_up))
        .route("/token", post(token::token))
        .route("/otp", post(otp::otp))
        .route("/magiclink", post(otp::otp))
        .route("/recover", post(otp::recover))
        .route("/resend", post(otp::resend))
        .route("/passkeys/authentication/options", post(passkeys::begin_authentication))
        .route_layer(from_fn_with_state(state.clone(), captcha::check))
}

/// The routes, without the prefix.
pub fn router(state: AuthState) -> Router {
    Router::new()
        .route("/health", get(public::health))
        .route("/settings", get(public::settings))
        .route("/.well-known/jwks.json", get(public::keys))
        .route("/.well-known/openid-configuration", get(public::openid_configuration))
        .route("/.well-known/oauth-authorization-server", get(public::openid_configuration))
        .merge(behind_captcha(&state))
        .route("/verify", get(verify::by_link).head(async || StatusCode::OK).post(verify::by_code))
        .route("/verify/confirm", post(verify::by_button))
        .route("/reauthenticate", get(otp::reauthenticate))
        .route("/user", get(user::show).put(user::change))
        .route("/logout", post(logout::log_out))
        .route("/sessions", get(logout::list))
        .route("/sessions/{id}", delete(logout::end))
        .route("/factors", post(factors::enrol))
        .route("/factors/recovery-codes", post(recovery_codes::renew))
        .route("/factors/recovery-codes/verify", post(recovery_codes::verify))
        .route("/factors/{id}", delete(factors::remove))
        .route("/factors/{id}/challenge", post(factors::challenge))
        .route("/factors/{id}/verify", post(factors::verify))
        .route("/passkeys", get(passkeys::list))
        .route("/passkeys/{id}", patch(passkeys::rename).delete(passkeys::remove))
        .route("/passkeys/registration/options", post(passkeys::begin_registration))
        .route("/passkeys/registration/verify", post(passkeys::register))
        .route("/passkeys/authentication/verify", post(passkeys::authenticate))
        .route("/authorize", get(authorize::authorize))
        .route("/callback", get(callback::by_query).post(callback::by_form))
        .route("/user/identities/authorize", get(identities::authorize))
        .route("/user/identities/{id}", delete(identities::remove))
        .route("/user/settings", get(settings::show).patch(settings::change))
        .merge(admin::routes())
        .route("/keys", get(keys::list).post(keys::make))
        .route("/keys/verify", post(keys::verify))
        .route("/keys/exchange", post(keys::exchange))
        .route("/keys/{id}", delete(keys::remove))
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/introspect", post(introspect::introspect))
        .fallback(async || AuthError::from(Refusal::NotFound))
        .layer(from_fn(shape))
        .layer(from_fn_with_state(state.clone(), audit::record))
        .with_state(state)
}
