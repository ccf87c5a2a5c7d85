//! Making, mailing and taking one-time tokens.

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::auth::error::AuthError;
use crate::auth::model::{Account, Contact};
use crate::auth::outbox::{self, Notice};
use crate::auth::state::{Connection, Parts};
use crate::auth::store::{flows, one_time_tokens, users};
use crate::auth::token::one_time::{Otp, OtpLength, Purpose, VerifyType, WireValue};
use crate::auth::token::pkce::Challenge;

/// What a token is made for.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// What it may do.
    pub(crate) purpose: Purpose,
    /// Where it goes.
    pub(crate) to: &'a Contact,
    /// Where its link leads to.
    pub(crate) redirect_to: &'a str,
    /// What the client that asked for it has shown, under PKCE.
    pub(crate) challenge: Option<&'a Challenge>,
}

/// A token that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// What a person types.
    pub(crate) code: Otp,
    /// What stands in the link.
    pub(crate) wire: WireValue,
}

/// Makes a token, in place of the one that the user may have in its slot.
pub(crate) async fn make(
    state: &Parts,
    connection: &mut Connection,
    user: Uuid,
    request: &Request<'_>,
) -> Result<Made, AuthError> {
    let config = &state.settings.config;
    let digits = match request.to {
        Contact::Email(_) => config.email.otp_length,
        Contact::Phone(_) => config.phone.otp_length,
    };
    let length = OtpLength::new(digits.into())
        .ok_or_else(|| AuthError::Internal("the length of codes is out of range".to_owned()))?;
    let code = Otp::generate(length, state.random.bytes());
    let wire = state.one_time.wire(request.to.as_str(), &code, request.challenge.is_some());
    let now = state.now();
    // The user first, as everywhere: two tokens at once for one slot would break its rule of one.
    users::lock(connection, user).await?;
    let token = one_time_tokens::StoredToken {
        id: state.new_id(),
        user_id: user,
        token_hash: state.one_time.stored(request.purpose, &wire),
        relates_to: request.to.as_str().to_owned(),
        created_at: now,
    };
    one_time_tokens::put(connection, &token, request.purpose.slot()).await?;
    if let Some(challenge) = request.challenge {
        let flow = flows::Flow {
            id: token.id,
            user_id: Some(user),
            auth_code: None,
            code_challenge_method: Some(challenge.method().as_str().to_owned()),
            code_challenge: Some(challenge.value().to_owned()),
            provider_type: request.to.provider().to_owned(),
            authentication_method: flow_method(request.purpose).to_owned(),
            created_at: now,
            auth_code_issued_at: None,
            referrer: Some(request.redirect_to.to_owned()),
            linking_target_id: None,
            provider_access_token: None,
            provider_refresh_token: None,
        };
        flows::insert(connection, &flow).await?;
    }
    Ok(Made { code, wire })
}

/// Makes a token and sends it, when the transaction is committed. How often is the business of `AuthLimits::take_sending`,
/// which counts addresses without an account too: what only the account knows would tell that there is one.
pub(crate) async fn send(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    request: &Request<'_>,
) -> Result<(), AuthError> {
    let now = state.now();
    let made = make(state, connection, account.id, request).await?;
    users::sent(connection, account.id, request.purpose, now).await?;
    let notice = Notice::Token { purpose: request.purpose, made: &made, redirect_to: request.redirect_to };
    outbox::send(state, connection, account, request.to, &notice).await
}

/// The word for what a flow is for.
fn flow_method(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Signup | Purpose::PhoneConfirmation | Purpose::Claim => "email/signup",
        Purpose::Invite => "invite",
        Purpose::MagicLink => "magiclink",
        Purpose::Recovery => "recovery",
        Purpose::EmailChangeNew | Purpose::EmailChangeCurrent | Purpose::PhoneChange => "email_change",
        Purpose::Reauthentication => "reauthentication",
    }
}

/// A token that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// Its id, and that of the flow that waits for it.
    pub(crate) id: Uuid,
    /// Whose it was.
    pub(crate) user_id: Uuid,
    /// What it was made for.
    pub(crate) purpose: Purpose,
    /// Where it had gone.
    pub(crate) recipient: String,
    /// Whether a flow under PKCE waits for it.
    pub(crate) is_pkce: bool,
}

/// Takes the token of a link. Who gets it has had it first.
pub(crate) async fn take_link(
    state: &Parts,
    connection: &mut Connection,
    kind: VerifyType,
    wire: &WireValue,
) -> Result<Option<Taken>, AuthError> {
    let findable = state.one_time.findable(kind, std::slice::from_ref(wire));
    let stored: Vec<String> = findable.iter().map(|(_, stored)| stored.clone()).collect();
    let oldest = oldest(state, kind.is_phone());
    let Some(user) = one_time_tokens::holder(connection, &stored).await? else { return Ok(None) };
    users::lock(connection, user).await?;
    let Some(token) = one_time_tokens::take(connection, &stored, oldest).await? else { return Ok(None) };
    let purpose =
        findable.iter().find(|(_, stored)| *stored == token.token_hash).map(|(purpose, _)| *purpose);
    Ok(purpose.map(|purpose| Taken {
        id: token.id,
        user_id: token.user_id,
        purpose,
        recipient: token.relates_to,
        is_pkce: wire.is_pkce(),
    }))
}

/// Takes the token of a code that somebody typed. Every value tried is counted before it is compared, so that however
/// many come at once no more than the allowed ones are compared (threat B05). The count stands only if the caller commits
/// also where nothing was taken.
pub(crate) async fn take_code(
    state: &Parts,
    connection: &mut Connection,
    purposes: &[Purpose],
    account: &Account,
    (recipient, code): (&str, &Otp),
) -> Result<Option<Taken>, AuthError> {
    users::lock(connection, account.id).await?;
    let is_phone = account.phone.as_deref() == Some(recipient) || account.phone_change == recipient;
    let slots: Vec<&str> = purposes.iter().map(|purpose| purpose.slot().as_str()).collect();
    let tokens = one_time_tokens::lock_open(connection, account.id, &slots, oldest(state, is_phone)).await?;
    let tokens: Vec<_> = tokens.into_iter().filter(|token| token.relates_to == recipient).collect();
    let ids: Vec<Uuid> = tokens.iter().map(|token| token.id).collect();
    let comparable = one_time_tokens::count_attempt(connection, &ids).await?;
    let candidates = state.one_time.candidates(recipient, code);
    let mut found = None;
    for token in tokens.iter().filter(|token| comparable.contains(&token.id)) {
        for purpose in purposes {
            for wire in &candidates {
                if state.one_time.matches(*purpose, wire, &token.token_hash) {
                    found = Some((token, *purpose, wire.is_pkce()));
                }
            }
        }
    }
    let Some((token, purpose, is_pkce)) = found else { return Ok(None) };
    if !one_time_tokens::remove(connection, token.id).await? {
        return Ok(None);
    }
    Ok(Some(Taken {
        id: token.id,
        user_id: account.id,
        purpose,
        recipient: token.relates_to.clone(),
        is_pkce,
    }))
}

/// When a token must have been made to count still.
fn oldest(state: &Parts, is_phone: bool) -> DateTime<Utc> {
    let config = &state.settings.config;
    let lifetime = if is_phone { config.phone.otp_lifetime } else { config.email.otp_lifetime };
    state.now() - Duration::from_std(lifetime.get()).unwrap_or_default()
}
