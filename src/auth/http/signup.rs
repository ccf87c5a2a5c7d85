//! POST `/signup` (contract section 4).

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::signed_in;
use super::extract::{Entry, Project};
use super::redirect::{Wanted, redirect_to};
use crate::auth::error::AuthError;
use crate::auth::flow::one_time;
use crate::auth::flow::session::{begin, redeem};
use crate::auth::flow::sign_up::{self, NewUser};
use crate::auth::input;
use crate::auth::limits::{Limit, Sending};
use crate::auth::model::{Contact, Method};
use crate::auth::outbox;
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};
use crate::auth::store::{identities, users};
use crate::auth::token::one_time::Purpose;
use crate::auth::token::pkce::Challenge;
use crate::kernel::secret::Secret;

/// The body.
#[derive(Deserialize)]
pub(super) struct SignUp {
    #[serde(default)]
    email: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    username: String,
    password: Option<Secret>,
    #[serde(default)]
    data: Map<String, Value>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

pub(super) async fn sign_up(
    State(state): State<AuthState>,
    _: Project,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    Entry { body, origin }: Entry<SignUp>,
) -> Result<Response, AuthError> {
    let metadata = input::metadata(body.data)?;
    if !state.settings.config.signup {
        return Err(Refusal::SignupDisabled.into());
    }
    if body.email.is_empty() && body.phone.is_empty() {
        return anonymous(&state, metadata, &origin).await;
    }
    state.limits.take(Limit::Otp, &origin).await?;
    let contact = input::contact(&body.email, &body.phone)?;
    match &contact {
        Contact::Email(_) if !state.settings.config.email.enabled => {
            return Err(Refusal::EmailProviderDisabled.into());
        }
        Contact::Phone(_) if !state.settings.config.phone.enabled => {
            return Err(Refusal::PhoneProviderDisabled.into());
        }
        _ => {}
    }
    let username = input::username(&body.username)?;
    let password = body.password.filter(|password| !password.is_empty());
    let password =
        password.ok_or_else(|| AuthError::Invalid("Signup requires a valid password".to_owned()))?;
    state.check_password(&password).await?;
    let challenge =
        Challenge::from_request(body.code_challenge.as_deref(), body.code_challenge_method.as_deref())?;
    let redirect_to = redirect_to(&state, &wanted, &headers);
    // Also for addresses that have an account: the time must not tell.
    let hash = state.hash_password(&password).await?;
    let is_theirs = is_theirs(&state, &contact, &password).await?;
    let new = NewUser {
        contact: Some(&contact),
        username: username.as_ref(),
        password_hash: Some(&hash),
        metadata: &metadata,
        origin: Some(&origin),
        ..NewUser::default()
    };
    with_contact(&state, &new, (&contact, challenge.as_ref(), is_theirs), &redirect_to, &origin).await
}

/// Whether an account that waits to be confirmed has this password, so that whoever signs up again is who did first. Takes as
/// long where there is none.
async fn is_theirs(state: &AuthState, contact: &Contact, password: &Secret) -> Result<bool, AuthError> {
    let waiting = users::by_contact(&mut *state.connection().await?, contact).await?;
    match waiting.and_then(|account| account.encrypted_password) {
        Some(stored) => Ok(state.verify_password(password, &stored).await?.matches),
        None => state.verify_nobody(password).await.map(|()| false),
    }
}

/// A user with an address or a number.
async fn with_contact(
    state: &AuthState,
    new: &NewUser<'_>,
    (contact, challenge, is_theirs): (&Contact, Option<&Challenge>, bool),
    redirect_to: &str,
    origin: &Origin,
) -> Result<Response, AuthError> {
    sign_up::check_blocklists(state, new).await?;
    sign_up::ask_hook(state, new, origin).await?;
    let config = &state.settings.config;
    let autoconfirm = match contact {
        Contact::Email(_) => config.email.autoconfirm,
        Contact::Phone(_) => config.phone.autoconfirm,
    };
    if !autoconfirm {
        state.limits.take_sending(Sending::Confirmation, contact).await?;
    }
    let mut transaction = state.begin().await?;
    // Before the contact: else a name that is taken would tell which contacts are.
    if let Some(username) = new.username
        && users::by_username(&mut transaction, &username.normalised).await?.is_some()
    {
        return Err(Refusal::UsernameExists.into());
    }
    let known = users::by_contact(&mut transaction, contact).await?;
    let is_known = known.is_some();
    let account = match known {
        Some(account) if autoconfirm || contact.is_confirmed(&account) => {
            if autoconfirm && !state.settings.hides_accounts {
                return Err(Refusal::UserExists.into());
            }
            outbox::send_nothing(state, &mut transaction).await?;
            if !autoconfirm {
                state.limits.give_back_sending(contact).await;
            }
            state.commit(transaction).await?;
            let hides = state.settings.hides_accounts;
            let shown = if hides { sign_up::pretend_new(state, new) } else { sign_up::pretend(state, new) };
            return Ok(Json(shown).into_response());
        }
        // The password that it has stays until it is confirmed: whoever signs up again may not be who did first.
        Some(account) => account,
        None => sign_up::create(state, &mut transaction, new).await?,
    };
    if autoconfirm {
        sign_up::confirm(&mut transaction, &account, contact).await?;
        let grant = begin(state, &mut transaction, account.id, Method::Password, origin).await?;
        state.commit(transaction).await?;
        return Ok(signed_in(&redeem(state, grant).await?));
    }
    let purpose = match contact {
        _ if is_known && !is_theirs => Purpose::Claim,
        Contact::Email(_) => Purpose::Signup,
        Contact::Phone(_) => Purpose::PhoneConfirmation,
    };
    let request = one_time::Request { purpose, to: contact, redirect_to, challenge };
    one_time::send(state, &mut transaction, &account, &request).await?;
    if is_known {
        // What somebody else began is not shown to whoever asks.
        state.commit(transaction).await?;
        return Ok(Json(sign_up::pretend_new(state, new)).into_response());
    }
    let account = users::by_id(&mut transaction, account.id).await?;
    let account = account.ok_or_else(|| AuthError::Internal("the account is gone".to_owned()))?;
    let identities = identities::of_user(&mut transaction, account.id).await?;
    state.commit(transaction).await?;
    Ok(Json(account.shown(&identities, &[])).into_response())
}

/// A user without any identifier.
async fn anonymous(state: &AuthState, metadata: Value, origin: &Origin) -> Result<Response, AuthError> {
    if !state.settings.config.anonymous_users {
        return Err(Refusal::AnonymousDisabled.into());
    }
    state.limits.take(Limit::Anonymous, origin).await?;
    let app_metadata = json!({});
    let new = NewUser {
        metadata: &metadata,
        app_metadata: Some(&app_metadata),
        is_anonymous: true,
        origin: Some(origin),
        ..NewUser::default()
    };
    sign_up::ask_hook(state, &new, origin).await?;
    let mut transaction = state.begin().await?;
    let account = sign_up::create(state, &mut transaction, &new).await?;
    let grant = begin(state, &mut transaction, account.id, Method::Anonymous, origin).await?;
    state.commit(transaction).await?;
    Ok(signed_in(&redeem(state, grant).await?))
}
