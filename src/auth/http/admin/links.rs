//! POST `/admin/generate_link`, which sends nothing, and POST `/invite`, which does (contract section 8).

use axum::extract::{Query, State};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::audit::Asker;
use super::super::extract::{Payload, Server};
use super::super::redirect::{Wanted, redirect_to};
use super::users::shown;
use crate::auth::error::AuthError;
use crate::auth::flow::one_time::{self, Made, Request};
use crate::auth::flow::sign_up::{self, NewUser};
use crate::auth::input;
use crate::auth::limits::Sending;
use crate::auth::mail::confirmation_url;
use crate::auth::model::{Account, Contact};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Connection};
use crate::auth::store::{identities, users};
use crate::auth::token::one_time::Purpose;
use crate::kernel::secret::Secret;

/// The body of `/admin/generate_link`.
#[derive(Deserialize)]
pub(super) struct LinkAsked {
    r#type: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    new_email: String,
    password: Option<Secret>,
    #[serde(default)]
    data: Map<String, Value>,
    redirect_to: Option<String>,
}

/// The link and code that a mail would have.
pub(super) async fn generate(
    State(state): State<AuthState>,
    _: Server,
    Extension(caller): Extension<Asker>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    Payload(asked): Payload<LinkAsked>,
) -> Result<Json<Value>, AuthError> {
    let purpose = purpose(&asked.r#type)?;
    let email = Contact::Email(input::email(&asked.email)?);
    let wanted = Wanted { redirect_to: asked.redirect_to.clone().or(wanted.redirect_to) };
    let redirect_to = redirect_to(&state, &wanted, &headers);
    let metadata = input::metadata(asked.data.clone())?;
    let known = users::by_contact(&mut *state.connection().await?, &email).await?;
    // Who is not known yet signs up by it.
    let purpose = if purpose == Purpose::MagicLink && known.is_none() { Purpose::Signup } else { purpose };
    let password = asked.password.as_ref().filter(|password| !password.is_empty());
    let hash = match password {
        Some(password) if purpose == Purpose::Signup => {
            state.check_password(password).await?;
            Some(state.hash_password(password).await?)
        }
        None if asked.r#type == "signup" => {
            return Err(AuthError::Invalid("Signup requires a valid password".to_owned()));
        }
        _ => None,
    };
    let mut transaction = state.begin().await?;
    let new = NewUser {
        contact: Some(&email),
        password_hash: hash.as_deref(),
        metadata: &metadata,
        ..NewUser::default()
    };
    let account = subject(&state, &mut transaction, purpose, &new).await?;
    caller.acts_on("user", &account.id);
    let to = match purpose {
        Purpose::EmailChangeNew | Purpose::EmailChangeCurrent => {
            change_of_email(&state, &mut transaction, &account, (purpose, &asked.new_email)).await?
        }
        _ => email.clone(),
    };
    let request = Request { purpose, to: &to, redirect_to: &redirect_to, challenge: None };
    let made = one_time::make(&state, &mut transaction, account.id, &request).await?;
    if purpose == Purpose::Invite {
        users::sent(&mut transaction, account.id, purpose, state.now()).await?;
    }
    let Json(mut body) = shown(&mut transaction, &account).await?;
    state.commit(transaction).await?;
    add_link(&state, &mut body, &made, (purpose, &redirect_to));
    Ok(Json(body))
}

/// What a link of this type may do.
fn purpose(kind: &str) -> Result<Purpose, AuthError> {
    match kind {
        "signup" => Ok(Purpose::Signup),
        "invite" => Ok(Purpose::Invite),
        "magiclink" => Ok(Purpose::MagicLink),
        "recovery" => Ok(Purpose::Recovery),
        "email_change_current" => Ok(Purpose::EmailChangeCurrent),
        "email_change_new" => Ok(Purpose::EmailChangeNew),
        other => Err(AuthError::Invalid(format!("there is no link of type {other:?}"))),
    }
}

/// The account that a link is for: made where it is not there and the link would bring it about. One that nobody ever
/// confirmed may have been made by somebody else, so what they put into it gives way (threat D03).
async fn subject(
    state: &AuthState,
    connection: &mut Connection,
    purpose: Purpose,
    new: &NewUser<'_>,
) -> Result<Account, AuthError> {
    let contact = new.contact.ok_or_else(|| AuthError::Internal("a link to nobody".to_owned()))?;
    let is_for_new = matches!(purpose, Purpose::Signup | Purpose::Invite);
    match users::by_contact(connection, contact).await? {
        Some(account) if is_for_new && account.email_confirmed_at.is_some() => {
            Err(Refusal::EmailExists.into())
        }
        Some(account) if is_for_new && account.phone_confirmed_at.is_none() => {
            let own = account.id.to_string();
            identities::disown(connection, account.id, contact, (contact.provider(), &own)).await?;
            users::set_password(connection, account.id, new.password_hash).await?;
            Ok(account)
        }
        Some(account) => Ok(account),
        None if is_for_new => sign_up::create(state, connection, new).await,
        None => Err(Refusal::UserNotFound.into()),
    }
}

/// Begins a change of address, unless it is under way already; where the link of this half goes to.
async fn change_of_email(
    state: &AuthState,
    connection: &mut Connection,
    account: &Account,
    (half, typed): (Purpose, &str),
) -> Result<Contact, AuthError> {
    let new = Contact::Email(input::email(typed)?);
    if users::by_contact(connection, &new).await?.is_some() {
        return Err(Refusal::EmailExists.into());
    }
    if account.email_change != new.as_str() {
        users::begin_change(connection, account.id, &new, state.now()).await?;
    }
    match (half, account.email.clone()) {
        (Purpose::EmailChangeCurrent, Some(current)) => Ok(Contact::Email(current)),
        _ => Ok(new),
    }
}

/// Adds what a mail would say to the account. Clients of this route name the halves of a change of address.
fn add_link(state: &AuthState, body: &mut Value, made: &Made, (purpose, redirect_to): (Purpose, &str)) {
    let wire = Secret::new(made.wire.expose());
    let link = confirmation_url(&state.settings.external_url, &wire, purpose.verify_type(), redirect_to);
    let kind = match purpose {
        Purpose::EmailChangeNew => "email_change_new",
        Purpose::EmailChangeCurrent => "email_change_current",
        other => other.verify_type(),
    };
    body["action_link"] = json!(link.expose());
    body["email_otp"] = json!(made.code.expose());
    body["hashed_token"] = json!(made.wire.expose());
    body["verification_type"] = json!(kind);
    body["redirect_to"] = json!(redirect_to);
}

/// The body of `/invite`.
#[derive(Deserialize)]
pub(super) struct Invited {
    #[serde(default)]
    email: String,
    #[serde(default)]
    data: Map<String, Value>,
}

/// Makes an account for somebody and mails them a link to it; whoever has not come yet gets another.
pub(super) async fn invite(
    State(state): State<AuthState>,
    _: Server,
    Extension(caller): Extension<Asker>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    Payload(invited): Payload<Invited>,
) -> Result<Json<Value>, AuthError> {
    let contact = Contact::Email(input::email(&invited.email)?);
    let metadata = input::metadata(invited.data)?;
    let redirect_to = redirect_to(&state, &wanted, &headers);
    let new = NewUser { contact: Some(&contact), metadata: &metadata, ..NewUser::default() };
    let mut transaction = state.begin().await?;
    let account = subject(&state, &mut transaction, Purpose::Invite, &new).await?;
    caller.acts_on("user", &account.id);
    state.limits.take_sending(Sending::Invite, &contact).await?;
    let request =
        Request { purpose: Purpose::Invite, to: &contact, redirect_to: &redirect_to, challenge: None };
    one_time::send(&state, &mut transaction, &account, &request).await?;
    let body = shown(&mut transaction, &account).await?;
    state.commit(transaction).await?;
    Ok(body)
}
