//! `/passkeys`: registering passkeys, signing in with them, and a user's list of them (contract sections 4 and 5).

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::answer::signed_in;
use super::extract::{Entry, Payload, Project, SignedIn};
use crate::auth::error::AuthError;
use crate::auth::flow::session::redeem;
use crate::auth::input;
use crate::auth::limits::Limit;
use crate::auth::mfa::passkeys as flow;
use crate::auth::mfa::refusal::FactorRefusal;
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};
use crate::auth::store::passkeys;

/// The answer of an authenticator.
#[derive(Deserialize)]
pub(super) struct Answered {
    challenge_id: Option<Uuid>,
    #[serde(default)]
    credential: Value,
}

impl Answered {
    fn parse(&self) -> Result<(Uuid, &Value), AuthError> {
        let id =
            self.challenge_id.ok_or_else(|| AuthError::Invalid("challenge_id is required".to_owned()))?;
        Ok((id, &self.credential))
    }
}

pub(super) async fn begin_registration(
    State(state): State<AuthState>,
    user: SignedIn,
) -> Result<Json<Value>, AuthError> {
    Ok(Json(flow::begin_registration(&state, &user.account, &user.session).await?.shown()))
}

pub(super) async fn register(
    State(state): State<AuthState>,
    user: SignedIn,
    Payload(answered): Payload<Answered>,
) -> Result<Json<Value>, AuthError> {
    let passkey = flow::register(&state, &user.account, &user.session, answered.parse()?).await?;
    Ok(Json(passkey.shown()))
}

pub(super) async fn begin_authentication(
    State(state): State<AuthState>,
    _: Project,
    origin: Origin,
) -> Result<Json<Value>, AuthError> {
    state.limits.take(Limit::Passkeys, &origin).await?;
    Ok(Json(flow::begin_authentication(&state).await?.shown()))
}

pub(super) async fn authenticate(
    State(state): State<AuthState>,
    _: Project,
    Entry { body: answered, origin }: Entry<Answered>,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Passkeys, &origin).await?;
    let grant = flow::authenticate(&state, answered.parse()?, &origin).await?;
    Ok(signed_in(&redeem(&state, grant).await?))
}

pub(super) async fn list(State(state): State<AuthState>, user: SignedIn) -> Result<Json<Value>, AuthError> {
    flow::party(&state)?;
    let passkeys = passkeys::of_user(&mut *state.connection().await?, user.account.id).await?;
    Ok(Json(passkeys.iter().map(crate::auth::model::Passkey::shown).collect()))
}

/// The body of a change.
#[derive(Deserialize)]
pub(super) struct Change {
    friendly_name: Option<String>,
}

pub(super) async fn rename(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    user: SignedIn,
    Payload(change): Payload<Change>,
) -> Result<Json<Value>, AuthError> {
    flow::party(&state)?;
    let name = input::label("friendly_name", change.friendly_name.as_deref())?;
    let name = name.ok_or_else(|| AuthError::Invalid("friendly_name is required".to_owned()))?;
    let mut connection = state.connection().await?;
    flow::check_level(&mut connection, &user.account, &user.session).await?;
    let which = (user.account.id, passkey_id(&id)?);
    let renamed = passkeys::rename(&mut connection, which, &name, state.now()).await?;
    Ok(Json(renamed.ok_or(FactorRefusal::PasskeyNotFound)?.shown()))
}

pub(super) async fn remove(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    user: SignedIn,
) -> Result<StatusCode, AuthError> {
    flow::party(&state)?;
    let mut transaction = state.begin().await?;
    flow::check_level(&mut transaction, &user.account, &user.session).await?;
    flow::remove(&state, &mut transaction, &user.account, passkey_id(&id)?).await?;
    state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn passkey_id(text: &str) -> Result<Uuid, AuthError> {
    Uuid::parse_str(text).map_err(|_| Refusal::PathIdNotUuid.into())
}
