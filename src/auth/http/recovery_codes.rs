//! POST `/factors/recovery-codes`, `/factors/recovery-codes/verify`: ours.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use serde_json::json;

use super::answer::signed_in;
use super::extract::{Entry, FirstProof, SignedIn};
use crate::auth::error::AuthError;
use crate::auth::flow::session::redeem;
use crate::auth::mfa::recovery;
use crate::auth::state::AuthState;
use crate::auth::token::recovery_code::RecoveryCode;
use crate::kernel::secret::Secret;

/// New codes; the old ones are void.
pub(super) async fn renew(State(state): State<AuthState>, user: SignedIn) -> Result<Response, AuthError> {
    let codes = recovery::renew(&state, &user.account, &user.session).await?;
    let codes: Vec<String> = codes.iter().map(RecoveryCode::shown).collect();
    let mut response = Json(json!({"codes": codes})).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The body.
#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    code: Secret,
}

/// A session of `aal2` for a code.
pub(super) async fn verify(
    State(state): State<AuthState>,
    FirstProof(user): FirstProof,
    Entry { body: typed, origin }: Entry<Typed>,
) -> Result<Response, AuthError> {
    state.limits.take_factor(user.account.id, &origin).await?;
    let grant = recovery::verify(&state, &user.session, &typed.code, &origin).await?;
    Ok(signed_in(&redeem(&state, grant).await?))
}
