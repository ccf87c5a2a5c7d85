//! GET `/user/identities/authorize` and DELETE `/user/identities/{identity_id}`: the identities of who is signed in
//! (contract section 5).

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::authorize::begin;
use super::extract::SignedIn;
use super::redirect::to;
use crate::auth::error::AuthError;
use crate::auth::oauth::authorization::Wanted;
use crate::auth::oauth::link;
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};

pub(super) async fn authorize(
    State(state): State<AuthState>,
    origin: Origin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    user: SignedIn,
) -> Result<Response, AuthError> {
    if !state.settings.config.manual_linking {
        return Err(Refusal::ManualLinkingDisabled.into());
    }
    if user.account.is_sso_user {
        return Err(Refusal::SsoManaged.into());
    }
    let wanted = Wanted::parse(query.as_deref().unwrap_or_default());
    let address = begin(&state, &wanted, &headers, &origin, Some(user.account.id)).await?;
    if wanted.skips_redirect {
        return Ok(Json(json!({"url": address.as_str()})).into_response());
    }
    Ok(to(StatusCode::FOUND, address.as_str()))
}

pub(super) async fn remove(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    user: SignedIn,
) -> Result<Json<Value>, AuthError> {
    let id = Uuid::parse_str(&id).map_err(|_| Refusal::PathIdNotUuid)?;
    let mut transaction = state.begin().await?;
    link::part(&state, &mut transaction, user.account.id, id).await?;
    state.commit(transaction).await?;
    Ok(Json(json!({})))
}
