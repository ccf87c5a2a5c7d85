//! POST `/admin/users`, GET and PUT `/admin/users/{id}`.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::super::audit::Asker;
use super::super::extract::{Payload, Server};
use super::fields::{Fields, Wanted};
use crate::auth::error::AuthError;
use crate::auth::flow::sign_up::{self, NewUser};
use crate::auth::input;
use crate::auth::model::{Account, Contact, merge};
use crate::auth::outbox::{self, Notice};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Connection};
use crate::auth::store::{admin_users, factors, identities, one_time_tokens, sessions, users};

/// Makes an account. Nothing is sent, and without a password nobody can sign in by one.
pub(super) async fn create(
    State(state): State<AuthState>,
    _: Server,
    Extension(asker): Extension<Asker>,
    Payload(fields): Payload<Fields>,
) -> Result<Json<Value>, AuthError> {
    let wanted = fields.parse(&state).await?;
    let mut contacts = contacts(&wanted);
    let (Some(first), second) = (contacts.next(), contacts.next()) else {
        return Err(AuthError::Invalid("Cannot create a user without either an email or phone".to_owned()));
    };
    let metadata = input::metadata(wanted.user_metadata.clone())?;
    let providers: Vec<&str> =
        [Some(&first), second.as_ref()].into_iter().flatten().map(Contact::provider).collect();
    let mut app_metadata = input::metadata(wanted.app_metadata.clone())?;
    app_metadata["provider"] = json!(first.provider());
    app_metadata["providers"] = json!(providers);
    let new = NewUser {
        contact: Some(&first),
        username: wanted.username.as_ref(),
        password_hash: wanted.password_hash.as_deref(),
        metadata: &metadata,
        app_metadata: Some(&app_metadata),
        id: wanted.id,
        ..NewUser::default()
    };
    let mut transaction = state.begin().await?;
    if let Some(id) = wanted.id
        && users::by_id(&mut transaction, id).await?.is_some()
    {
        return Err(Refusal::UserExists.into());
    }
    let account = sign_up::create(&state, &mut transaction, &new).await?;
    asker.acts_on("user", &account.id);
    if let Some(second) = &second {
        set_contact(&state, &mut transaction, &account, second).await?;
    }
    confirm(&mut transaction, &account, &wanted).await?;
    if let Some(standing) = wanted.standing() {
        admin_users::set_standing(&mut transaction, account.id, standing, state.now()).await?;
    }
    let body = shown(&mut transaction, &account).await?;
    state.commit(transaction).await?;
    Ok(body)
}

pub(super) async fn show(
    State(state): State<AuthState>,
    _: Server,
    Path(id): Path<String>,
) -> Result<Json<Value>, AuthError> {
    let mut connection = state.connection().await?;
    let account = super::account(&mut connection, &id).await?;
    shown(&mut connection, &account).await
}

/// Changes an account at once: no code, no confirmation, no current password.
pub(super) async fn change(
    State(state): State<AuthState>,
    _: Server,
    Path(id): Path<String>,
    Payload(fields): Payload<Fields>,
) -> Result<Json<Value>, AuthError> {
    super::id(&id)?;
    let wanted = fields.parse(&state).await?;
    let mut transaction = state.begin().await?;
    let account = super::lock(&mut transaction, &id).await?;
    change_metadata(&mut transaction, &account, &wanted).await?;
    if let Some(username) = &wanted.username {
        let names = (username.shown.as_str(), username.normalised.as_str());
        users::set_username(&mut transaction, account.id, names).await.map_err(sign_up::taken)?;
    }
    for contact in contacts(&wanted).filter(|contact| !has(&account, contact)) {
        set_contact(&state, &mut transaction, &account, &contact).await?;
    }
    let account = users::by_id(&mut transaction, account.id).await?.ok_or(Refusal::UserNotFound)?;
    confirm(&mut transaction, &account, &wanted).await?;
    if let Some(hash) = &wanted.password_hash {
        change_password(&state, &mut transaction, &account, hash).await?;
    }
    if let Some(standing) = wanted.standing() {
        admin_users::set_standing(&mut transaction, account.id, standing, state.now()).await?;
    }
    let body = shown(&mut transaction, &account).await?;
    state.commit(transaction).await?;
    state.revocations.tell(account.id);
    Ok(body)
}

/// The account as it is now.
pub(super) async fn shown(connection: &mut Connection, account: &Account) -> Result<Json<Value>, AuthError> {
    let account = users::by_id(connection, account.id).await?.ok_or(Refusal::UserNotFound)?;
    let identities = identities::of_user(connection, account.id).await?;
    let factors = factors::of_user(connection, account.id).await?;
    Ok(Json(account.shown(&identities, &factors)))
}

fn contacts(wanted: &Wanted) -> impl Iterator<Item = Contact> + use<> {
    let email = wanted.email.clone().map(Contact::Email);
    email.into_iter().chain(wanted.phone.clone().map(Contact::Phone))
}

fn has(account: &Account, contact: &Contact) -> bool {
    match contact {
        Contact::Email(email) => account.email.as_ref() == Some(email),
        Contact::Phone(phone) => account.phone.as_ref() == Some(phone),
    }
}

async fn change_metadata(
    connection: &mut Connection,
    account: &Account,
    wanted: &Wanted,
) -> Result<(), AuthError> {
    if wanted.user_metadata.is_empty() && wanted.app_metadata.is_empty() {
        return Ok(());
    }
    let merged = |old: &Value, changes: &Map<String, Value>| match merge(old, changes) {
        Value::Object(merged) if !changes.is_empty() => input::metadata(merged),
        other => Ok(other),
    };
    let user = merged(&account.raw_user_meta_data, &wanted.user_metadata)?;
    let app = merged(&account.raw_app_meta_data, &wanted.app_metadata)?;
    Ok(users::set_metadata(connection, account.id, (&app, &user)).await?)
}

/// Gives the account an address or number, and its identity too. One that was confirmed stays so: the administrator
/// answers for the new one. What was mailed to the old one counts no more.
async fn set_contact(
    state: &AuthState,
    connection: &mut Connection,
    account: &Account,
    contact: &Contact,
) -> Result<(), AuthError> {
    admin_users::set_contact(connection, account.id, contact, state.now()).await.map_err(sign_up::taken)?;
    one_time_tokens::remove_all(connection, account.id).await?;
    let is_confirmed = match contact {
        Contact::Email(_) => account.email_confirmed_at.is_some(),
        Contact::Phone(_) => account.phone_confirmed_at.is_some(),
    };
    let data = sign_up::identity_data(account.id, contact, is_confirmed);
    identities::put(connection, account.id, (contact.provider(), &account.id.to_string()), &data).await?;
    Ok(())
}

/// Counts contacts as confirmed where that is asked for.
async fn confirm(connection: &mut Connection, account: &Account, wanted: &Wanted) -> Result<(), AuthError> {
    let account = users::by_id(connection, account.id).await?.ok_or(Refusal::UserNotFound)?;
    if let Some(email) = account.email.clone().filter(|_| wanted.confirms_email) {
        sign_up::confirm(connection, &account, &Contact::Email(email)).await?;
    }
    if let Some(phone) = account.phone.clone().filter(|_| wanted.confirms_phone) {
        sign_up::confirm(connection, &account, &Contact::Phone(phone)).await?;
    }
    Ok(())
}

/// Whoever knew the old password is signed out, what was mailed before counts no more, and the user is told.
async fn change_password(
    state: &AuthState,
    connection: &mut Connection,
    account: &Account,
    hash: &str,
) -> Result<(), AuthError> {
    users::set_password(connection, account.id, Some(hash)).await?;
    sessions::remove_all(connection, account.id, None).await?;
    one_time_tokens::remove_all(connection, account.id).await?;
    outbox::inform(state, connection, account, &Notice::PasswordChanged).await
}
