//! GET and PUT `/user` (contract section 5).

use axum::Json;
use axum::extract::{Query, State};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::extract::{FirstProof, Payload, SignedIn};
use super::redirect::{Wanted, redirect_to};
use crate::auth::error::AuthError;
use crate::auth::flow::contact_change;
use crate::auth::flow::lockout::Attempt;
use crate::auth::flow::one_time::{self, Request, take_code};
use crate::auth::flow::sign_up::{self, NewUser};
use crate::auth::input;
use crate::auth::limits::{Limit, Sending};
use crate::auth::model::{Account, Contact, merge};
use crate::auth::outbox::{self, Notice};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Connection, Origin};
use crate::auth::store::{factors, flows, identities, one_time_tokens, sessions, users};
use crate::auth::token::one_time::{Otp, Purpose};
use crate::auth::token::pkce::Challenge;
use crate::kernel::secret::Secret;

/// The age of a session from which on a change of the password needs a code.
const FRESH: chrono::Duration = chrono::Duration::hours(24);

pub(super) async fn show(
    State(state): State<AuthState>,
    FirstProof(user): FirstProof,
) -> Result<Json<Value>, AuthError> {
    let mut connection = state.connection().await?;
    shown(&mut connection, &user.account).await
}

async fn shown(connection: &mut Connection, account: &Account) -> Result<Json<Value>, AuthError> {
    let identities = identities::of_user(connection, account.id).await?;
    let factors = factors::of_user(connection, account.id).await?;
    Ok(Json(account.shown(&identities, &factors)))
}

/// The body.
#[derive(Deserialize)]
pub(super) struct Changes {
    #[serde(default)]
    email: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    username: String,
    password: Option<Secret>,
    current_password: Option<Secret>,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    data: Map<String, Value>,
    app_metadata: Option<Value>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

/// What was checked and computed before the transaction.
struct Prepared {
    email: Option<String>,
    phone: Option<String>,
    username: Option<input::Username>,
    password_hash: Option<String>,
    challenge: Option<Challenge>,
    redirect_to: String,
}

pub(super) async fn change(
    State(state): State<AuthState>,
    origin: Origin,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    user: SignedIn,
    Payload(changes): Payload<Changes>,
) -> Result<Json<Value>, AuthError> {
    state.limits.take(Limit::Otp, &origin).await?;
    let redirect_to = redirect_to(&state, &wanted, &headers);
    let prepared = prepare(&state, &user, &changes, (redirect_to, &origin)).await?;
    if prepared.password_hash.is_some() {
        check_presence(&state, &user, &changes.nonce).await?;
    }
    let mut transaction = state.begin().await?;
    let account = users::lock(&mut transaction, user.account.id).await?;
    let account = account.filter(|account| !account.is_deleted()).ok_or(Refusal::UserGone)?;
    // What ended the session meanwhile ends this too.
    sessions::lock(&mut transaction, user.session.id).await?.ok_or(Refusal::SessionNotFound)?;
    if account.is_banned(state.now()) {
        return Err(Refusal::UserBanned.into());
    }
    if !changes.data.is_empty() {
        let merged = merge(&account.raw_user_meta_data, &changes.data);
        let merged = match merged {
            Value::Object(merged) => input::metadata(merged)?,
            other => other,
        };
        users::set_metadata(&mut transaction, account.id, (&account.raw_app_meta_data, &merged)).await?;
    }
    if let Some(hash) = &prepared.password_hash {
        change_password(&state, &mut transaction, (&account, user.session.id), hash).await?;
    }
    if let Some(username) = &prepared.username {
        let names = (username.shown.as_str(), username.normalised.as_str());
        users::set_username(&mut transaction, account.id, names).await.map_err(sign_up::taken)?;
    }
    change_contacts(&state, &mut transaction, &account, &prepared).await?;
    let account = users::by_id(&mut transaction, account.id).await?.ok_or(Refusal::UserGone)?;
    let body = shown(&mut transaction, &account).await?;
    state.commit(transaction).await?;
    state.revocations.tell(account.id);
    Ok(body)
}

/// Checks what can be checked without the transaction, and hashes the password.
async fn prepare(
    state: &AuthState,
    user: &SignedIn,
    changes: &Changes,
    (redirect_to, origin): (String, &Origin),
) -> Result<Prepared, AuthError> {
    if changes.app_metadata.is_some() {
        return Err(Refusal::NotAdmin.into());
    }
    let email = (!changes.email.is_empty()).then(|| input::email(&changes.email)).transpose()?;
    let phone = (!changes.phone.is_empty()).then(|| input::phone(&changes.phone)).transpose()?;
    let email = email.filter(|email| user.account.email.as_ref() != Some(email));
    let phone = phone.filter(|phone| user.account.phone.as_ref() != Some(phone));
    let password = changes.password.as_ref().filter(|password| !password.is_empty());
    if user.account.is_anonymous && password.is_some() && email.is_none() && phone.is_none() {
        let reason = "Updating password of an anonymous user without an email or phone is not allowed";
        return Err(AuthError::Invalid(reason.to_owned()));
    }
    let is_sensitive = email.is_some() || phone.is_some() || password.is_some();
    if is_sensitive && user.caller.assurance_level() != Some("aal2") {
        let factors = factors::of_user(&mut *state.connection().await?, user.account.id).await?;
        if factors.iter().any(crate::auth::model::Factor::is_verified) {
            return Err(Refusal::InsufficientAalForUser.into());
        }
    }
    let username = input::username(&changes.username)?;
    check_blocklists(state, (email.as_deref(), username.as_ref()), &changes.data).await?;
    let password_hash = match password {
        Some(password) => Some(new_password(state, user, password, changes, origin).await?),
        None => None,
    };
    let (challenge, method) = (&changes.code_challenge, &changes.code_challenge_method);
    Ok(Prepared {
        email,
        phone,
        username,
        password_hash,
        challenge: Challenge::from_request(challenge.as_deref(), method.as_deref())?,
        redirect_to,
    })
}

/// What nobody may sign up with nobody may take later either.
async fn check_blocklists(
    state: &AuthState,
    (email, username): (Option<&str>, Option<&input::Username>),
    data: &Map<String, Value>,
) -> Result<(), AuthError> {
    let contact = email.map(|email| Contact::Email(email.to_owned()));
    let metadata = Value::Object(data.clone());
    let new = NewUser { contact: contact.as_ref(), username, metadata: &metadata, ..NewUser::default() };
    sign_up::check_blocklists(state, &new).await
}

/// The hash of a password that may take the place of the old one.
async fn new_password(
    state: &AuthState,
    user: &SignedIn,
    password: &Secret,
    changes: &Changes,
    origin: &Origin,
) -> Result<String, AuthError> {
    state.check_password(password).await?;
    if let Some(stored) = &user.account.encrypted_password {
        if state.settings.config.password.require_current && !user.session.is_recovery {
            let current = changes.current_password.as_ref().ok_or(Refusal::CurrentPasswordRequired)?;
            check_current(state, user, (current, stored), origin).await?;
        }
        if state.verify_password(password, stored).await?.matches {
            return Err(Refusal::SamePassword.into());
        }
    }
    state.hash_password(password).await
}

/// That the user knows the current password. Tries are counted as those of a sign-in.
async fn check_current(
    state: &AuthState,
    user: &SignedIn,
    (current, stored): (&Secret, &str),
    origin: &Origin,
) -> Result<(), AuthError> {
    let (attempt, refused) = {
        let mut connection = state.connection().await?;
        let attempt = Attempt::begin(state, &mut connection, ("", Some(user.account.id)), origin).await?;
        let refused = attempt.is_refused(state, &mut connection, origin).await?;
        (attempt, refused)
    };
    if state.verify_password(current, stored).await?.matches && !refused {
        return attempt.succeeded(state, &mut *state.connection().await?).await;
    }
    attempt.failed(state, &mut *state.connection().await?, origin).await?;
    Err(Refusal::CurrentPasswordInvalid.into())
}

/// That the user is present, where the configuration asks for it and the session is not fresh. The code is used up, or its
/// try counted, whatever becomes of the change.
async fn check_presence(state: &AuthState, user: &SignedIn, nonce: &str) -> Result<(), AuthError> {
    let is_fresh = user.session.created_at + FRESH > state.now();
    if !state.settings.config.password.require_reauthentication || is_fresh {
        return Ok(());
    }
    if nonce.is_empty() {
        return Err(Refusal::ReauthenticationNeeded.into());
    }
    let contact = user.account.contact().ok_or(Refusal::ReauthenticationInvalid)?;
    let code = Otp::presented(nonce);
    let tried = (contact.as_str(), &code);
    let mut transaction = state.begin().await?;
    let taken =
        take_code(state, &mut transaction, &[Purpose::Reauthentication], &user.account, tried).await?;
    transaction.commit().await?;
    taken.map(drop).ok_or_else(|| Refusal::ReauthenticationInvalid.into())
}

/// Whoever knew the old password is signed out, and what was mailed before counts no more.
async fn change_password(
    state: &AuthState,
    connection: &mut Connection,
    (account, session): (&Account, uuid::Uuid),
    hash: &str,
) -> Result<(), AuthError> {
    users::set_password(connection, account.id, Some(hash)).await?;
    sessions::remove_all(connection, account.id, Some(session)).await?;
    one_time_tokens::remove_all(connection, account.id).await?;
    flows::remove_of_user(connection, account.id).await?;
    outbox::inform(state, connection, account, &Notice::PasswordChanged).await
}

/// Begins changes of address and number; without a confirmation to wait for they are made at once.
async fn change_contacts(
    state: &AuthState,
    connection: &mut Connection,
    account: &Account,
    prepared: &Prepared,
) -> Result<(), AuthError> {
    let config = &state.settings.config;
    let now = state.now();
    if let Some(email) = &prepared.email {
        let contact = Contact::Email(email.clone());
        let is_taken = users::by_contact(connection, &contact).await?.is_some();
        if is_taken && !state.settings.hides_accounts {
            return Err(Refusal::EmailExists.into());
        }
        if !config.email.autoconfirm {
            state.limits.take_sending_of(account.id, Sending::Change, &contact).await?;
        }
        users::begin_change(connection, account.id, &contact, now).await?;
        if is_taken {
            // Looks like every other change, and waits for a mail that nobody gets.
            outbox::send_nothing(state, connection).await?;
            if !config.email.autoconfirm {
                state.limits.give_back_sending(&contact).await;
            }
        } else if config.email.autoconfirm {
            contact_change::apply(state, connection, account, &contact).await?;
        } else {
            let account = users::by_id(connection, account.id).await?.ok_or(Refusal::UserGone)?;
            if let Some(current) = account.email.clone().filter(|_| config.email.secure_change) {
                let to = Contact::Email(current);
                send(state, connection, &account, (Purpose::EmailChangeCurrent, &to), prepared).await?;
            }
            send(state, connection, &account, (Purpose::EmailChangeNew, &contact), prepared).await?;
        }
    }
    if let Some(phone) = &prepared.phone {
        let contact = Contact::Phone(phone.clone());
        if users::by_contact(connection, &contact).await?.is_some() {
            return Err(Refusal::PhoneExists.into());
        }
        users::begin_change(connection, account.id, &contact, now).await?;
        if config.phone.autoconfirm {
            contact_change::apply(state, connection, account, &contact).await?;
        } else {
            state.limits.take_sending_of(account.id, Sending::Change, &contact).await?;
            send(state, connection, account, (Purpose::PhoneChange, &contact), prepared).await?;
        }
    }
    Ok(())
}

async fn send(
    state: &AuthState,
    connection: &mut Connection,
    account: &Account,
    (purpose, to): (Purpose, &Contact),
    prepared: &Prepared,
) -> Result<(), AuthError> {
    let challenge = prepared.challenge.as_ref();
    let request = Request { purpose, to, redirect_to: &prepared.redirect_to, challenge };
    one_time::send(state, connection, account, &request).await
}
