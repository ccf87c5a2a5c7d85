//! GET and POST `/verify`: codes and links (contract section 5).

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use super::answer::signed_in;
use super::confirm_page;
use super::extract::{Entry, Project};
use super::redirect::Back;
use crate::auth::error::AuthError;
use crate::auth::flow::confirm::{Outcome, apply};
use crate::auth::flow::one_time::{Taken, take_code, take_link};
use crate::auth::flow::session::redeem;
use crate::auth::input;
use crate::auth::limits::Limit;
use crate::auth::model::NewTokens;
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Connection, Origin};
use crate::auth::store::{flows, users};
use crate::auth::token::one_time::{Otp, VerifyType, WireValue};
use crate::auth::token::pkce::auth_code;

/// What the first half of a change of address is told.
const ONE_OF_TWO: &str = "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/// The body.
#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    token_hash: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    phone: String,
}

/// A code that was typed, or the hash of a link that the application took over.
pub(super) async fn by_code(
    State(state): State<AuthState>,
    _: Project,
    Entry { body: shown, origin }: Entry<Shown>,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Verify, &origin).await?;
    let kind = verify_type(&shown.r#type)?;
    let mut transaction = state.begin().await?;
    let taken = if shown.token_hash.is_empty() {
        let taken = typed(&state, &mut transaction, kind, &shown).await?;
        if taken.is_none() {
            // The try counts.
            state.commit(transaction).await?;
            return Err(Refusal::OtpExpired.into());
        }
        taken
    } else {
        if !shown.email.is_empty() || !shown.phone.is_empty() {
            let reason = "Only the token_hash and type should be provided";
            return Err(AuthError::Invalid(reason.to_owned()));
        }
        match WireValue::parse(&shown.token_hash) {
            Some(wire) => take_link(&state, &mut transaction, kind, &wire).await?,
            None => None,
        }
    };
    let taken = taken.ok_or(Refusal::LinkExpired)?;
    let outcome = apply(&state, &mut transaction, &taken, &origin, true).await?;
    state.commit(transaction).await?;
    match outcome {
        Outcome::SignedIn(grant) => Ok(signed_in(&redeem(&state, *grant).await?)),
        Outcome::OneOfTwo | Outcome::Confirmed => {
            Ok(Json(json!({"msg": ONE_OF_TWO, "code": "200"})).into_response())
        }
    }
}

async fn typed(
    state: &AuthState,
    connection: &mut Connection,
    kind: VerifyType,
    shown: &Shown,
) -> Result<Option<Taken>, AuthError> {
    if shown.token.is_empty() {
        return Err(AuthError::Invalid("Verify requires a token or a token hash".to_owned()));
    }
    let contact = input::contact(&shown.email, &shown.phone)?;
    if kind.is_phone() != shown.email.is_empty() {
        let reason = "Only an email address or phone number should be provided on verify, as the type asks";
        return Err(AuthError::Invalid(reason.to_owned()));
    }
    // A change is confirmed from the new address or number, or from the old one; both belong to the one account.
    let is_change = matches!(kind, VerifyType::EmailChange | VerifyType::PhoneChange);
    let account = match users::by_contact(connection, &contact).await? {
        None if is_change => users::by_pending_contact(connection, &contact).await?,
        account => account,
    };
    let Some(account) = account else { return Ok(None) };
    let code = Otp::presented(&shown.token);
    take_code(state, connection, kind.consumes(), &account, (contact.as_str(), &code)).await
}

fn verify_type(word: &str) -> Result<VerifyType, AuthError> {
    VerifyType::parse(word)
        .ok_or_else(|| AuthError::Invalid("Verify requires a verification type".to_owned()))
}

/// The query of a link.
#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
    #[serde(default)]
    r#type: String,
    redirect_to: Option<String>,
}

/// A link that was followed: done at once, or by a page with a button.
pub(super) async fn by_link(
    state: State<AuthState>,
    origin: Origin,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    if state.settings.config.email.confirm_page {
        let redirect_to = link.redirect_to.as_deref().unwrap_or_default();
        return Ok(confirm_page::page(&[
            ("token", &link.token),
            ("type", &link.r#type),
            ("redirect_to", redirect_to),
        ]));
    }
    by_button(state, origin, Query(link), headers).await
}

/// The same, wanted by a person. The answer is always a redirect: to the application, with tokens, a code or an error.
pub(super) async fn by_button(
    State(state): State<AuthState>,
    origin: Origin,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let referer = headers.get(http::header::REFERER).and_then(|value| value.to_str().ok());
    let target = state.redirects.choose(link.redirect_to.as_deref(), referer).to_string();
    let is_pkce = WireValue::parse(&link.token).is_some_and(|wire| wire.is_pkce());
    let back = Back::from_link(&target);
    Ok(match follow(&state, &link, &origin).await {
        Ok(Followed::Tokens(tokens)) => back.with_tokens(&tokens, Some(&link.r#type)),
        Ok(Followed::Code(code)) => back.with_code(&code),
        Ok(Followed::OneOfTwo) => back.with_message(ONE_OF_TWO),
        Err(error) => back.with_error(&error, is_pkce),
    })
}

enum Followed {
    Tokens(Box<NewTokens>),
    Code(String),
    OneOfTwo,
}

async fn follow(state: &AuthState, link: &Link, origin: &Origin) -> Result<Followed, AuthError> {
    state.limits.take(Limit::Verify, origin).await?;
    let kind = verify_type(&link.r#type)?;
    let wire = WireValue::parse(&link.token).ok_or(Refusal::LinkExpired)?;
    let mut transaction = state.begin().await?;
    let taken = take_link(state, &mut transaction, kind, &wire).await?.ok_or(Refusal::LinkExpired)?;
    let outcome = apply(state, &mut transaction, &taken, origin, !taken.is_pkce).await?;
    let followed = match outcome {
        Outcome::OneOfTwo => Followed::OneOfTwo,
        Outcome::SignedIn(grant) => {
            state.commit(transaction).await?;
            return Ok(Followed::Tokens(Box::new(redeem(state, *grant).await?)));
        }
        Outcome::Confirmed => Followed::Code(issue_code(state, &mut transaction, &taken).await?),
    };
    state.commit(transaction).await?;
    Ok(followed)
}

/// The code that ends the flow which waits for this token.
async fn issue_code(
    state: &AuthState,
    connection: &mut Connection,
    taken: &Taken,
) -> Result<String, AuthError> {
    let code = auth_code(state.random.bytes());
    let digest = state.auth_code_digest(code);
    let flow = flows::issue_code(connection, taken.id, &digest, state.now()).await?;
    flow.ok_or(Refusal::FlowStateNotFound)?;
    Ok(code.to_string())
}
