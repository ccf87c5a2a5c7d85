//! `/admin/users/{id}/factors` and `/admin/users/{id}/passkeys`: for users who have lost theirs.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::super::extract::{Payload, Server};
use super::id;
use crate::auth::error::AuthError;
use crate::auth::input;
use crate::auth::mfa::enrolment::taken;
use crate::auth::mfa::refusal::FactorRefusal;
use crate::auth::mfa::removal;
use crate::auth::model::{Factor, FactorType, Passkey};
use crate::auth::state::AuthState;
use crate::auth::store::{factors, passkeys};

pub(super) async fn list(
    State(state): State<AuthState>,
    _: Server,
    Path(user): Path<String>,
) -> Result<Json<Value>, AuthError> {
    let mut connection = state.connection().await?;
    let account = super::account(&mut connection, &user).await?;
    let factors = factors::of_user(&mut connection, account.id).await?;
    Ok(Json(factors.iter().map(Factor::shown).collect()))
}

/// The body of a change.
#[derive(Deserialize)]
pub(super) struct Change {
    friendly_name: Option<String>,
    phone: Option<String>,
}

pub(super) async fn change(
    State(state): State<AuthState>,
    _: Server,
    Path((user, factor)): Path<(String, String)>,
    Payload(change): Payload<Change>,
) -> Result<Json<Value>, AuthError> {
    let name = input::label("friendly_name", change.friendly_name.as_deref())?;
    let phone = change.phone.as_deref().filter(|phone| !phone.is_empty());
    let phone = phone.map(input::phone).transpose()?;
    let mut transaction = state.begin().await?;
    let account = super::lock(&mut transaction, &user).await?;
    let found = factors::by_id(&mut transaction, account.id, id(&factor)?).await?;
    let found = found.ok_or(FactorRefusal::FactorNotFound)?;
    if phone.is_some() && found.factor_type != FactorType::Phone {
        return Err(AuthError::Invalid("only a factor of type phone has a phone".to_owned()));
    }
    let values = (name.as_deref(), phone.as_deref());
    let changed = factors::change(&mut transaction, found.id, values, state.now()).await.map_err(taken)?;
    transaction.commit().await?;
    Ok(Json(changed.shown()))
}

/// Removes a factor: what the user's sessions had of it they lose.
pub(super) async fn remove(
    State(state): State<AuthState>,
    _: Server,
    Path((user, factor)): Path<(String, String)>,
) -> Result<Json<Value>, AuthError> {
    let mut transaction = state.begin().await?;
    let account = super::lock(&mut transaction, &user).await?;
    let removed = removal::remove(&state, &mut transaction, &account, id(&factor)?).await?;
    state.commit(transaction).await?;
    state.revocations.tell(account.id);
    Ok(Json(removed.shown()))
}

pub(super) async fn list_passkeys(
    State(state): State<AuthState>,
    _: Server,
    Path(user): Path<String>,
) -> Result<Json<Value>, AuthError> {
    let mut connection = state.connection().await?;
    let account = super::account(&mut connection, &user).await?;
    let passkeys = passkeys::of_user(&mut connection, account.id).await?;
    Ok(Json(passkeys.iter().map(Passkey::shown).collect()))
}

pub(super) async fn remove_passkey(
    State(state): State<AuthState>,
    _: Server,
    Path((user, passkey)): Path<(String, String)>,
) -> Result<StatusCode, AuthError> {
    let mut transaction = state.begin().await?;
    let account = super::lock(&mut transaction, &user).await?;
    crate::auth::mfa::passkeys::remove(&state, &mut transaction, &account, id(&passkey)?).await?;
    state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}
