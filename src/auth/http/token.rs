//! POST `/token`: the grants (contract sections 4 and 6).

use axum::extract::{Query, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use uuid::Uuid;

use super::answer::signed_in;
use super::extract::{Entry, Project};
use super::id_token::{Fields, by_id_token};
use crate::auth::error::AuthError;
use crate::auth::flow::lockout::Attempt;
use crate::auth::flow::refresh::{Refreshed, refresh};
use crate::auth::flow::session::{begin, redeem};
use crate::auth::flow::sign_up::{self, NewUser};
use crate::auth::hook::{HookError, HookName, ProviderInput};
use crate::auth::input::{self, Login};
use crate::auth::limits::Limit;
use crate::auth::model::{Account, Contact, Method};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Connection, Origin};
use crate::auth::store::{flows, identities, sessions, users};
use crate::auth::token::pkce::{Challenge, Method as ChallengeMethod};
use crate::auth::token::rotation::Reuse;
use crate::kernel::secret::Secret;

/// The query.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    grant_type: String,
}

/// The bodies of all grants.
#[derive(Deserialize)]
pub(super) struct Body {
    #[serde(default)]
    email: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: Secret,
    #[serde(default)]
    refresh_token: Secret,
    #[serde(default)]
    auth_code: Secret,
    #[serde(default)]
    code_verifier: Secret,
    #[serde(flatten)]
    external: Fields,
}

pub(super) async fn token(
    State(state): State<AuthState>,
    _: Project,
    Query(wanted): Query<Wanted>,
    parts: Parts,
    Entry { body, origin }: Entry<Body>,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Token, &origin).await?;
    match wanted.grant_type.as_str() {
        "password" => by_password(&state, &body, &origin).await,
        "refresh_token" => by_refresh_token(&state, &body, &origin).await,
        "id_token" => by_id_token(&state, parts, &body.external, &origin).await,
        "pkce" => by_code(&state, &body, &origin).await,
        _ => Err(Refusal::UnsupportedGrant.into()),
    }
}

/// By password. Whether the account exists, is locked, banned or waits for its confirmation shows in neither answer nor
/// time; what is wrong with an account is told to who knows its password.
async fn by_password(state: &AuthState, body: &Body, origin: &Origin) -> Result<Response, AuthError> {
    let login = input::login(&body.email, &body.phone, &body.username)?;
    match &login {
        Login::Email(_) if !state.settings.config.email.enabled => {
            return Err(Refusal::EmailLoginsDisabled.into());
        }
        Login::Phone(_) if !state.settings.config.phone.enabled => {
            return Err(Refusal::PhoneLoginsDisabled.into());
        }
        _ => {}
    }
    let (account, attempt, is_refused) = {
        let mut connection = state.connection().await?;
        let account = match &login {
            Login::Email(_) | Login::Phone(_) => {
                match login.contact().filter(|contact| !contact.as_str().is_empty()) {
                    Some(contact) => users::by_contact(&mut connection, &contact).await?,
                    None => None,
                }
            }
            Login::Username(name) => users::by_username(&mut connection, name).await?,
        };
        let user = account.as_ref().map(|account| account.id);
        let attempt = Attempt::begin(state, &mut connection, (login.as_str(), user), origin).await?;
        let is_refused = attempt.is_refused(state, &mut connection, origin).await?;
        (account, attempt, is_refused)
    };
    if let (None, false, true) = (&account, is_refused, state.hooks.has_provider()) {
        return by_provider(state, (&login, &body.password), &attempt, origin).await;
    }
    let matching = check(state, account, &body.password, is_refused).await?;
    if let Some(user) = attempt.user() {
        ask_hook(state, user, matching.is_some()).await?;
    }
    let Some((account, new_hash)) = matching else {
        let mut connection = state.connection().await?;
        attempt.failed(state, &mut connection, origin).await?;
        return Err(Refusal::InvalidCredentials.into());
    };
    if account.is_banned(state.now()) {
        return Err(Refusal::UserBannedAtLogin.into());
    }
    match &login {
        Login::Email(_) if account.email_confirmed_at.is_none() => {
            return Err(Refusal::EmailNotConfirmed.into());
        }
        Login::Phone(_) if account.phone_confirmed_at.is_none() => {
            return Err(Refusal::PhoneNotConfirmed.into());
        }
        Login::Username(_) if !account.is_confirmed() => return Err(Refusal::EmailNotConfirmed.into()),
        _ => {}
    }
    let mut transaction = state.begin().await?;
    still_holds(state, &mut transaction, &account).await?;
    attempt.succeeded(state, &mut transaction).await?;
    if let (Some(old), Some(new)) = (&account.encrypted_password, &new_hash) {
        users::rehash_password(&mut transaction, account.id, (old, new)).await?;
    }
    let grant = begin(state, &mut transaction, account.id, Method::Password, origin).await?;
    transaction.commit().await?;
    Ok(signed_in(&redeem(state, grant).await?))
}

/// What was checked takes a while to check: a password that was changed meanwhile opens nothing any more (threat B13).
async fn still_holds(
    state: &AuthState,
    connection: &mut Connection,
    checked: &Account,
) -> Result<(), AuthError> {
    let now = users::lock(connection, checked.id).await?.filter(|account| !account.is_deleted());
    let now = now.filter(|account| account.encrypted_password == checked.encrypted_password);
    let now = now.ok_or(Refusal::InvalidCredentials)?;
    if now.is_banned(state.now()) { Err(Refusal::UserBannedAtLogin.into()) } else { Ok(()) }
}

/// Asks the hook that may refuse whoever has tried a password, whether it was right or wrong.
async fn ask_hook(state: &AuthState, user: Uuid, valid: bool) -> Result<(), AuthError> {
    let Some(rejection) = state.hooks.password_attempt(user.to_string(), valid).await? else { return Ok(()) };
    if rejection.should_logout_user {
        sessions::remove_all(&mut *state.connection().await?, user, None).await?;
        state.revocations.tell(user);
    }
    let message = rejection.message.unwrap_or_else(|| "Further attempts are rejected".to_owned());
    Err(HookError::Rejected { http_code: 400, message }.into())
}

/// By what another system knows of somebody who has no account here. It vouches for the address that it names.
async fn by_provider(
    state: &AuthState,
    (login, password): (&Login, &Secret),
    attempt: &Attempt,
    origin: &Origin,
) -> Result<Response, AuthError> {
    // As long as for a user that there is: whom the other system knows is its own to hide.
    state.verify_nobody(password).await?;
    let typed = |is_it: bool| is_it.then(|| login.as_str());
    let known = state
        .hooks
        .provider(&ProviderInput {
            metadata: state.hooks.metadata(HookName::AuthenticationProvider, Some(origin.ip.to_string())),
            email: typed(matches!(login, Login::Email(_))),
            phone: typed(matches!(login, Login::Phone(_))),
            username: typed(matches!(login, Login::Username(_))),
            password: password.expose(),
        })
        .await?;
    let Some(email) = known.email else {
        attempt.failed(state, &mut *state.connection().await?, origin).await?;
        return Err(Refusal::InvalidCredentials.into());
    };
    let contact = Contact::Email(input::email(&email)?);
    let metadata = input::metadata(known.user_metadata)?;
    let new =
        NewUser { contact: Some(&contact), metadata: &metadata, origin: Some(origin), ..NewUser::default() };
    if users::by_contact(&mut *state.connection().await?, &contact).await?.is_none() {
        if !state.settings.config.signup {
            return Err(Refusal::SignupDisabled.into());
        }
        sign_up::check_blocklists(state, &new).await?;
        sign_up::ask_hook(state, &new, origin).await?;
    }
    let mut transaction = state.begin().await?;
    let account = match users::by_contact(&mut transaction, &contact).await? {
        Some(account) => account,
        None => sign_up::create(state, &mut transaction, &new).await?,
    };
    if account.is_banned(state.now()) {
        return Err(Refusal::UserBannedAtLogin.into());
    }
    if account.email_confirmed_at.is_none() {
        if !account.is_confirmed() {
            // Whoever began the account before this proof may be somebody else (threat D03).
            let own = (contact.provider(), account.id.to_string());
            identities::disown(&mut transaction, account.id, &contact, (own.0, &own.1)).await?;
        }
        sign_up::confirm(&mut transaction, &account, &contact).await?;
    }
    attempt.succeeded(state, &mut transaction).await?;
    let grant = begin(state, &mut transaction, account.id, Method::Password, origin).await?;
    transaction.commit().await?;
    Ok(signed_in(&redeem(state, grant).await?))
}

/// The account if the password is its own, with a better hash where there is one. Takes as long without an account, and
/// where the answer is a refusal whatever the password.
async fn check(
    state: &AuthState,
    account: Option<Account>,
    password: &Secret,
    is_refused: bool,
) -> Result<Option<(Account, Option<String>)>, AuthError> {
    let stored = account.as_ref().and_then(|account| account.encrypted_password.clone());
    let (Some(account), Some(stored)) = (account, stored) else {
        state.verify_nobody(password).await?;
        return Ok(None);
    };
    let verdict = state.verify_password(password, &stored).await?;
    if !verdict.matches || is_refused {
        return Ok(None);
    }
    let new_hash = if verdict.needs_rehash { Some(state.hash_password(password).await?) } else { None };
    Ok(Some((account, new_hash)))
}

async fn by_refresh_token(state: &AuthState, body: &Body, origin: &Origin) -> Result<Response, AuthError> {
    if body.refresh_token.is_empty() {
        return Err(AuthError::Invalid("refresh_token required".to_owned()));
    }
    let refreshed = refresh(state, body.refresh_token.expose(), origin).await?;
    let mut response = signed_in(&refreshed.tokens);
    for (name, value) in headers(&refreshed) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(response)
}

/// What became of the refresh token, for people who look for a fault (contract section 3).
fn headers(refreshed: &Refreshed) -> Vec<(&'static str, HeaderValue)> {
    let cause = refreshed.reuse.map(|reuse| match reuse {
        Reuse::Recent => "recent",
        Reuse::Parent => "parent",
        Reuse::Interval => "interval",
    });
    let flag = |is_so: bool| HeaderValue::from_static(if is_so { "true" } else { "false" });
    let mut headers = vec![
        ("sb-auth-refresh-token-counter", HeaderValue::from(refreshed.counter)),
        ("sb-auth-refresh-token-reuse", flag(cause.is_some())),
        ("sb-auth-refresh-token-rotated", flag(cause.is_none())),
    ];
    headers.extend(cause.map(|cause| ("sb-auth-refresh-token-reuse-cause", HeaderValue::from_static(cause))));
    headers
}

/// By the code of a flow under PKCE. A code is gone after its first use, also where the verifier is wrong.
async fn by_code(state: &AuthState, body: &Body, origin: &Origin) -> Result<Response, AuthError> {
    if body.auth_code.is_empty() || body.code_verifier.is_empty() {
        let reason = "invalid request: both auth code and code verifier should be non-empty";
        return Err(AuthError::Invalid(reason.to_owned()));
    }
    let code = Uuid::parse_str(body.auth_code.expose()).map_err(|_| Refusal::FlowStateNotFound)?;
    let mut connection = state.connection().await?;
    let flow = flows::take_by_code(&mut connection, &state.auth_code_digests(code)).await?;
    drop(connection);
    let flow = flow.ok_or(Refusal::FlowStateNotFound)?;
    let issued_at = flow.auth_code_issued_at.unwrap_or(flow.created_at);
    if issued_at + crate::auth::flow::FLOW_LIFETIME < state.now() {
        return Err(Refusal::FlowStateExpired.into());
    }
    let method = flow.code_challenge_method.as_deref().and_then(ChallengeMethod::parse);
    let challenge = method.zip(flow.code_challenge.clone());
    let (method, value) = challenge.ok_or(Refusal::FlowStateNotFound)?;
    if !Challenge::stored(method, value).accepts(body.code_verifier.expose()) {
        return Err(Refusal::BadCodeVerifier.into());
    }
    let user = flow.user_id.ok_or(Refusal::FlowStateNotFound)?;
    let mut transaction = state.begin().await?;
    let account = users::lock(&mut transaction, user).await?;
    let account = account.filter(|account| !account.is_deleted()).ok_or(Refusal::FlowStateNotFound)?;
    if account.is_banned(state.now()) {
        return Err(Refusal::UserBannedAtLogin.into());
    }
    let method = if flow.authentication_method == "oauth" { Method::Oauth } else { Method::Otp };
    let grant = begin(state, &mut transaction, account.id, method, origin).await?;
    transaction.commit().await?;
    let mut tokens = redeem(state, grant).await?;
    tokens.provider_token = state.open(flow.id, flow.provider_access_token.as_deref())?;
    tokens.provider_refresh_token = state.open(flow.id, flow.provider_refresh_token.as_deref())?;
    Ok(signed_in(&tokens))
}
