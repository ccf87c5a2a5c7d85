//! Requests for codes and links: POST `/otp`, `/magiclink`, `/recover`, `/resend`, GET `/reauthenticate` (contract
//! sections 4 and 5). Answers do not tell whether there is an account, but for what the contract itself gives away.

use axum::Json;
use axum::extract::{Query, State};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::extract::{Payload, Project, SignedIn};
use super::redirect::{Wanted, redirect_to};
use crate::auth::error::AuthError;
use crate::auth::flow::one_time::{self, Request};
use crate::auth::flow::sign_up::{self, NewUser};
use crate::auth::input;
use crate::auth::limits::{Limit, Sending};
use crate::auth::model::{Account, Contact};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};
use crate::auth::store::users;
use crate::auth::token::one_time::Purpose;
use crate::auth::token::pkce::Challenge;

/// The body of all of them.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    email: String,
    #[serde(default)]
    phone: String,
    #[serde(default = "yes")]
    create_user: bool,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    r#type: String,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

fn yes() -> bool {
    true
}

impl Asked {
    fn challenge(&self) -> Result<Option<Challenge>, AuthError> {
        Ok(Challenge::from_request(self.code_challenge.as_deref(), self.code_challenge_method.as_deref())?)
    }
}

/// A code or link to sign in with; a new user is signed up by it.
pub(super) async fn otp(
    State(state): State<AuthState>,
    _: Project,
    origin: Origin,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    Payload(asked): Payload<Asked>,
) -> Result<Json<Value>, AuthError> {
    let contact = counted(&state, &asked, &origin).await?;
    let challenge = asked.challenge()?;
    let redirect_to = redirect_to(&state, &wanted, &headers);
    let metadata = input::metadata(asked.data)?;
    // Before anybody looks whether there is an account.
    state.limits.take_sending(Sending::MagicLink, &contact).await?;
    let known = users::by_contact(&mut *state.connection().await?, &contact).await?;
    if known.is_none() && !(asked.create_user && state.settings.config.signup) {
        state.limits.give_back_sending(&contact).await;
        if state.settings.hides_accounts {
            return Ok(Json(json!({})));
        }
        let refusal = if asked.create_user { Refusal::SignupDisabled } else { Refusal::OtpDisabled };
        return Err(refusal.into());
    }
    let new =
        NewUser { contact: Some(&contact), metadata: &metadata, origin: Some(&origin), ..NewUser::default() };
    if known.is_none() || state.settings.hides_accounts {
        sign_up::check_blocklists(&state, &new).await?;
    }
    if known.is_none() {
        sign_up::ask_hook(&state, &new, &origin).await?;
    }
    let mut transaction = state.begin().await?;
    let account = match users::by_contact(&mut transaction, &contact).await? {
        Some(account) => account,
        None => sign_up::create(&state, &mut transaction, &new).await?,
    };
    let purpose = match &contact {
        // Whoever began the account may be somebody else.
        _ if !account.is_confirmed() && !sign_up::is_bare(&mut transaction, &account).await? => {
            Purpose::Claim
        }
        Contact::Phone(_) => Purpose::PhoneConfirmation,
        Contact::Email(_) if account.email_confirmed_at.is_none() => Purpose::Signup,
        Contact::Email(_) => Purpose::MagicLink,
    };
    let request = Request { purpose, to: &contact, redirect_to: &redirect_to, challenge: challenge.as_ref() };
    send(&state, transaction, &account, &request).await
}

/// A link to set a new password with.
pub(super) async fn recover(
    State(state): State<AuthState>,
    _: Project,
    origin: Origin,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    Payload(asked): Payload<Asked>,
) -> Result<Json<Value>, AuthError> {
    state.limits.take(Limit::Otp, &origin).await?;
    let contact = Contact::Email(input::email(&asked.email)?);
    let challenge = asked.challenge()?;
    let redirect_to = redirect_to(&state, &wanted, &headers);
    state.limits.take_sending(Sending::Recovery, &contact).await?;
    let mut transaction = state.begin().await?;
    let Some(account) = users::by_contact(&mut transaction, &contact).await? else {
        return nothing(&state, transaction, &contact).await;
    };
    let request = Request {
        purpose: Purpose::Recovery,
        to: &contact,
        redirect_to: &redirect_to,
        challenge: challenge.as_ref(),
    };
    send(&state, transaction, &account, &request).await
}

/// Once more what is still waited for; nothing, and the same answer, where nothing is.
pub(super) async fn resend(
    State(state): State<AuthState>,
    _: Project,
    origin: Origin,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    Payload(asked): Payload<Asked>,
) -> Result<Json<Value>, AuthError> {
    let contact = counted(&state, &asked, &origin).await?;
    let challenge = asked.challenge()?;
    let redirect_to = redirect_to(&state, &wanted, &headers);
    let is_for = |account: &Account| match (asked.r#type.as_str(), &contact) {
        ("signup", Contact::Email(_)) => {
            Ok(account.email_confirmed_at.is_none().then(|| (Purpose::Signup, contact.clone())))
        }
        ("sms", Contact::Phone(_)) => {
            Ok(account.phone_confirmed_at.is_none().then(|| (Purpose::PhoneConfirmation, contact.clone())))
        }
        ("email_change", Contact::Email(_)) => Ok((!account.email_change.is_empty())
            .then(|| (Purpose::EmailChangeNew, Contact::Email(account.email_change.clone())))),
        ("phone_change", Contact::Phone(_)) => Ok((!account.phone_change.is_empty())
            .then(|| (Purpose::PhoneChange, Contact::Phone(account.phone_change.clone())))),
        _ => Err(AuthError::Invalid(
            "type must be signup or email_change with an email, sms or phone_change with a phone".to_owned(),
        )),
    };
    let what = match asked.r#type.as_str() {
        "email_change" | "phone_change" => Sending::Change,
        _ => Sending::Confirmation,
    };
    state.limits.take_sending(what, &contact).await?;
    let mut transaction = state.begin().await?;
    let account = users::by_contact(&mut transaction, &contact).await?;
    let waiting = match &account {
        Some(account) => is_for(account)?,
        None => None,
    };
    let (Some(account), Some((purpose, to))) = (account, waiting) else {
        return nothing(&state, transaction, &contact).await;
    };
    let request = Request { purpose, to: &to, redirect_to: &redirect_to, challenge: challenge.as_ref() };
    send(&state, transaction, &account, &request).await
}

/// A code that shows that the user is present, before a sensitive change.
pub(super) async fn reauthenticate(
    State(state): State<AuthState>,
    origin: Origin,
    user: SignedIn,
) -> Result<Json<Value>, AuthError> {
    state.limits.take(Limit::Otp, &origin).await?;
    let contact = user.account.contact();
    let contact = contact.ok_or_else(|| {
        AuthError::Invalid("Reauthentication requires the user to have an email or a phone number".to_owned())
    })?;
    let is_confirmed = match &contact {
        Contact::Email(_) => user.account.email_confirmed_at.is_some(),
        Contact::Phone(_) => user.account.phone_confirmed_at.is_some(),
    };
    if !is_confirmed {
        return Err(Refusal::EmailNotConfirmed.into());
    }
    state.limits.take_sending_of(user.account.id, Sending::Reauthentication, &contact).await?;
    let transaction = state.begin().await?;
    let request =
        Request { purpose: Purpose::Reauthentication, to: &contact, redirect_to: "", challenge: None };
    send(&state, transaction, &user.account, &request).await
}

/// The address or number that is asked about, where there are accounts with such; counts the request.
async fn counted(state: &AuthState, asked: &Asked, origin: &Origin) -> Result<Contact, AuthError> {
    state.limits.take(Limit::Otp, origin).await?;
    let contact = input::contact(&asked.email, &asked.phone)?;
    let config = &state.settings.config;
    match &contact {
        Contact::Email(_) if !config.email.enabled => Err(Refusal::EmailProviderDisabled.into()),
        Contact::Phone(_) if !config.phone.enabled => Err(Refusal::PhoneProviderDisabled.into()),
        _ => Ok(contact),
    }
}

/// Sends nothing, and takes about as long as sending.
async fn nothing(
    state: &AuthState,
    mut transaction: crate::auth::state::Transaction,
    contact: &Contact,
) -> Result<Json<Value>, AuthError> {
    crate::auth::outbox::send_nothing(state, &mut transaction).await?;
    state.limits.give_back_sending(contact).await;
    state.commit(transaction).await?;
    Ok(Json(json!({})))
}

/// Sends, commits, and answers as if there were nothing to tell.
async fn send(
    state: &AuthState,
    mut transaction: crate::auth::state::Transaction,
    account: &Account,
    request: &Request<'_>,
) -> Result<Json<Value>, AuthError> {
    one_time::send(state, &mut transaction, account, request).await?;
    state.commit(transaction).await?;
    Ok(Json(json!({})))
}
