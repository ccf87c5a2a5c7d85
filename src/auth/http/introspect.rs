//! POST `/introspect` (RFC 7662): what is behind an access token, a refresh token or an API key, for other backends. Of what
//! is not in force nothing more is said.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::extract::read;
use super::keys::Backend;
use crate::auth::error::AuthError;
use crate::auth::limits::Limit;
use crate::auth::model::HeldKey;
use crate::auth::state::{AuthState, Origin};
use crate::auth::store::sessions::ImportedStanding;
use crate::auth::store::{sessions, users};
use crate::auth::token::api_key::ApiKey;
use crate::auth::token::refresh;
use crate::kernel::identity::{Caller, Scopes};
use crate::kernel::secret::Secret;

/// The form `token=...`. What the client takes the token for (`token_type_hint`) is seen by its form.
pub(super) struct Asked(Secret);

impl FromRequest<AuthState> for Asked {
    type Rejection = AuthError;

    async fn from_request(request: Request, _: &AuthState) -> Result<Self, AuthError> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let malformed = |problem: &str| AuthError::OAuth("invalid_request", problem.to_owned());
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(malformed("The body must be a form (application/x-www-form-urlencoded)"));
        }
        let body = read(&parts, body).await?;
        let mut tokens = url::form_urlencoded::parse(&body).filter(|(name, _)| name == "token");
        match (tokens.next(), tokens.next()) {
            (Some((_, token)), None) if !token.is_empty() => Ok(Self(Secret::new(token))),
            _ => Err(malformed("The form must have the field token once")),
        }
    }
}

pub(super) async fn introspect(
    State(state): State<AuthState>,
    backend: Backend,
    origin: Origin,
    Asked(token): Asked,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Keys, &origin).await?;
    let key = ApiKey::parse(token.expose()).ok();
    let held = backend.check(&state, &origin, key.as_ref().map(|key| (key, origin.ip))).await?;
    let found = if key.is_some() {
        held.as_ref().map(of_key)
    } else if token.expose().contains('.') {
        of_access_token(&state, token.expose()).await?
    } else {
        of_refresh_token(&state, token.expose()).await?
    };
    let mut answer = found.unwrap_or_default();
    answer.insert("active".to_owned(), (!answer.is_empty()).into());
    let headers = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(Value::Object(answer))).into_response())
}

/// The fields that have a value.
fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    present.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Scopes as OAuth writes them: with spaces between.
fn scope(scopes: Option<&Scopes>) -> Value {
    scopes.map(|scopes| Vec::from(scopes.clone()).join(" ")).into()
}

fn of_key(HeldKey { record, holder, .. }: &HeldKey) -> Map<String, Value> {
    let account = holder.as_ref().map(|holder| &holder.account);
    fields([
        ("token_type", "api_key".into()),
        ("jti", json!(record.id)),
        ("sub", json!(record.user_id)),
        ("username", json!(account.and_then(|account| account.email.as_ref().or(account.username.as_ref())))),
        ("role", json!(account.map(|account| &account.role))),
        ("scope", scope(record.scopes.as_ref().map(|scopes| &scopes.0))),
        ("iat", record.created_at.timestamp().into()),
        ("exp", record.ends_at().map(|end| end.timestamp()).into()),
    ])
}

async fn of_access_token(state: &AuthState, token: &str) -> Result<Option<Map<String, Value>>, AuthError> {
    let Ok(caller) = state.identity.verify(token) else { return Ok(None) };
    if !goes_on(state, &caller).await? {
        return Ok(None);
    }
    let claim = |name: &str| caller.claims.get(name).cloned().unwrap_or_default();
    Ok(Some(fields([
        ("token_type", "bearer".into()),
        ("sub", claim("sub")),
        ("username", claim("email")),
        ("role", json!(&*caller.role)),
        ("scope", scope(caller.scopes.as_deref())),
        ("iss", claim("iss")),
        ("aud", claim("aud")),
        ("iat", claim("iat")),
        ("nbf", claim("nbf")),
        ("exp", claim("exp")),
        ("session_id", claim("session_id")),
        ("aal", claim("aal")),
    ])))
}

/// Whether what the token stands for goes on, as every service asks it; here without a memory.
pub(super) async fn goes_on(state: &AuthState, caller: &Caller) -> Result<bool, AuthError> {
    let Some(question) = sessions::Question::of(caller, &state.settings.issuer) else { return Ok(true) };
    let mut connection = state.connection().await?;
    let requires_factor = state.settings.config.mfa.required_for_login;
    let standings = sessions::standings(&mut connection, &[question], (state.now(), requires_factor)).await?;
    Ok(standings.first().is_some_and(|standing| {
        let keeps_factor = standing.second_factor || caller.assurance_level() != Some("aal2");
        standing.live && !standing.banned && !standing.owes_factor && keeps_factor
    }))
}

async fn of_refresh_token(state: &AuthState, token: &str) -> Result<Option<Map<String, Value>>, AuthError> {
    let Ok(presented) = refresh::Presented::parse(token) else { return Ok(None) };
    let mut connection = state.connection().await?;
    let id = match &presented {
        refresh::Presented::Current(token) => token.session(),
        refresh::Presented::Imported(token) => {
            match sessions::imported_token(&mut connection, &token.stored()).await? {
                Some((session, ImportedStanding::Active)) => session,
                _ => return Ok(None),
            }
        }
    };
    let Some(session) = sessions::by_id(&mut connection, id).await? else { return Ok(None) };
    let is_active = match &presented {
        refresh::Presented::Current(token) => session
            .chain()
            .is_some_and(|chain| token.verify(&state.refresh, chain.generation) == Some(chain.state.active)),
        // Once the session goes on with tokens of ours this one is an ancestor.
        refresh::Presented::Imported(_) => session.chain().is_none(),
    };
    let (_, inactivity) = state.settings.session_limits();
    let now = state.now();
    let has_ended = session.not_after.is_some_and(|end| end <= now)
        || inactivity.is_some_and(|limit| session.last_used_at() + limit <= now);
    let account = users::by_id(&mut connection, session.user_id).await?;
    let account = account.filter(|account| !account.is_deleted() && !account.is_banned(now));
    let Some(account) = account.filter(|_| is_active && !has_ended) else { return Ok(None) };
    let end = [session.not_after, inactivity.map(|limit| session.last_used_at() + limit)];
    Ok(Some(fields([
        ("token_type", "refresh_token".into()),
        ("sub", json!(account.id)),
        ("username", json!(account.email)),
        ("iss", state.settings.issuer.as_str().into()),
        ("iat", session.last_used_at().timestamp().into()),
        ("exp", end.into_iter().flatten().min().map(|end| end.timestamp()).into()),
        ("session_id", json!(session.id)),
    ])))
}
