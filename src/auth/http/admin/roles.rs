//! Roles of the application: `/admin/roles` and `/admin/users/{id}/roles`. They are no roles of PostgreSQL: tokens carry
//! them in the claim `app_roles`, from the next refresh on.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::audit::Asker;
use super::super::extract::{Payload, Server};
use crate::auth::error::AuthError;
use crate::auth::model::{Account, rfc3339};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Connection};
use crate::auth::store::roles::{self, AppRole};
use crate::auth::store::users;

/// The longest name and description, in characters.
const LONGEST_NAME: usize = 64;
const LONGEST_DESCRIPTION: usize = 1000;
/// The most roles of a user: every token carries them.
const MOST_OF_USER: usize = 100;
/// What every user is.
const EVERYBODY: &str = "user";

/// A role to be.
#[derive(Deserialize)]
pub(super) struct NewRole {
    name: String,
    #[serde(default)]
    description: String,
}

/// One role.
#[derive(Deserialize)]
pub(super) struct Named {
    role: String,
}

/// All roles of a user.
#[derive(Deserialize)]
pub(super) struct Listed {
    roles: Vec<String>,
}

pub(super) async fn list(State(state): State<AuthState>, _: Server) -> Result<Json<Value>, AuthError> {
    let roles = roles::list(&mut *state.connection().await?).await?;
    Ok(Json(roles.iter().map(shown).collect()))
}

/// Makes a role, or changes its description.
pub(super) async fn put(
    State(state): State<AuthState>,
    _: Server,
    Extension(asker): Extension<Asker>,
    Payload(new): Payload<NewRole>,
) -> Result<Json<Value>, AuthError> {
    asker.acts_on("role", &new.name);
    check_name(&new.name)?;
    if new.description.chars().count() > LONGEST_DESCRIPTION || new.description.contains('\0') {
        let problem = format!("description must be a text of at most {LONGEST_DESCRIPTION} characters");
        return Err(AuthError::Invalid(problem));
    }
    let mut connection = state.connection().await?;
    let role = roles::put(&mut connection, (&new.name, &new.description), state.now()).await?;
    Ok(Json(shown(&role)))
}

/// Removes a role, and takes it from everybody.
pub(super) async fn remove(
    State(state): State<AuthState>,
    _: Server,
    Path(name): Path<String>,
) -> Result<StatusCode, AuthError> {
    if name == EVERYBODY {
        return Err(AuthError::Invalid(format!("the role {EVERYBODY} is every user's and stays")));
    }
    if !is_name(&name) || !roles::remove(&mut *state.connection().await?, &name).await? {
        return Err(Refusal::NotFound.into());
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn of_user(
    State(state): State<AuthState>,
    _: Server,
    Path(id): Path<String>,
) -> Result<Json<Value>, AuthError> {
    let mut connection = state.connection().await?;
    let account = super::account(&mut connection, &id).await?;
    shown_of(&mut connection, &account).await
}

/// Gives a user these roles and no other. Without any it is a `user`, like everybody.
pub(super) async fn replace(
    State(state): State<AuthState>,
    _: Server,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Payload(listed): Payload<Listed>,
) -> Result<Json<Value>, AuthError> {
    asker.acts_on("roles", &listed.roles.join(" "));
    let mut transaction = state.begin().await?;
    let account = super::lock(&mut transaction, &id).await?;
    roles::withdraw_others(&mut transaction, account.id, &listed.roles).await?;
    give(&state, &mut transaction, &account, &listed.roles).await?;
    let body = shown_of(&mut transaction, &account).await?;
    transaction.commit().await?;
    Ok(body)
}

/// Gives a user one more role.
pub(super) async fn grant(
    State(state): State<AuthState>,
    _: Server,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Payload(named): Payload<Named>,
) -> Result<Json<Value>, AuthError> {
    asker.acts_on("role", &named.role);
    let mut transaction = state.begin().await?;
    let account = super::lock(&mut transaction, &id).await?;
    give(&state, &mut transaction, &account, &[named.role]).await?;
    let body = shown_of(&mut transaction, &account).await?;
    transaction.commit().await?;
    Ok(body)
}

/// Takes a role from a user.
pub(super) async fn withdraw(
    State(state): State<AuthState>,
    _: Server,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Payload(named): Payload<Named>,
) -> Result<Json<Value>, AuthError> {
    asker.acts_on("role", &named.role);
    let mut transaction = state.begin().await?;
    let account = super::lock(&mut transaction, &id).await?;
    check_name(&named.role)?;
    if !roles::withdraw(&mut transaction, account.id, &named.role).await? {
        return Err(Refusal::NotFound.into());
    }
    let body = shown_of(&mut transaction, &account).await?;
    transaction.commit().await?;
    Ok(body)
}

async fn give(
    state: &AuthState,
    connection: &mut Connection,
    account: &Account,
    names: &[String],
) -> Result<(), AuthError> {
    for name in names {
        check_name(name)?;
    }
    if let Some(unknown) = roles::unknown(connection, names).await?.first() {
        return Err(AuthError::Invalid(format!("there is no role {unknown}")));
    }
    roles::grant(connection, account.id, names, state.now()).await?;
    if users::app_roles(connection, account.id).await?.len() > MOST_OF_USER {
        return Err(AuthError::Invalid(format!("a user has at most {MOST_OF_USER} roles")));
    }
    Ok(())
}

fn shown(role: &AppRole) -> Value {
    json!({"name": role.name, "description": role.description, "created_at": rfc3339(role.created_at)})
}

async fn shown_of(connection: &mut Connection, account: &Account) -> Result<Json<Value>, AuthError> {
    let roles = users::app_roles(connection, account.id).await?;
    Ok(Json(json!({"user_id": account.id, "roles": roles})))
}

fn check_name(name: &str) -> Result<(), AuthError> {
    if is_name(name) {
        return Ok(());
    }
    let rule = "letters, digits and any of - _ . :";
    Err(AuthError::Invalid(format!("a role has 1 to {LONGEST_NAME} {rule}")))
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits)
}
