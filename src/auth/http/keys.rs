//! `/keys`: API keys of users and of other backends. A key is shown once, in the answer to its making.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::Asker;
use super::extract::{Payload, Project, Server, SignedIn};
use crate::auth::error::AuthError;
use crate::auth::flow::api_key::{self, Wish};
use crate::auth::input;
use crate::auth::limits::Limit;
use crate::auth::model::{HeldKey, KeyHolder, KeyRecord, rfc3339};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};
use crate::auth::store::keys;
use crate::auth::token::api_key::{ApiKey, KeyKind};
use crate::kernel::identity::Scopes;
use crate::kernel::secret::Secret;
use crate::policy::model::Network;

/// Networks of one key.
const MOST_NETWORKS: usize = 100;

/// Who manages keys: a user theirs, a server everybody's.
pub(super) enum Owner {
    User(Box<SignedIn>),
    Server,
}

impl FromRequestParts<AuthState> for Owner {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, AuthError> {
        match Server::from_request_parts(parts, state).await {
            Ok(Server { is_by_key: false }) => Ok(Self::Server),
            // A key that made others would outlive its own end.
            Ok(Server { is_by_key: true }) => Err(Refusal::NotAdmin.into()),
            Err(AuthError::Refused(Refusal::NotAdmin)) => {
                SignedIn::from_request_parts(parts, state).await.map(|user| Self::User(Box::new(user)))
            }
            Err(error) => Err(error),
        }
    }
}

impl Owner {
    /// The user whose keys alone there are; none for all.
    fn user(&self) -> Option<Uuid> {
        match self {
            Self::User(user) => Some(user.account.id),
            Self::Server => None,
        }
    }
}

/// Who checks keys and tokens of others: a server with the project's secret key, or whoever shows a service key. Whether
/// that key is in force is looked up together with what it is to check (see [`Backend::check`]).
pub(super) enum Backend {
    Server,
    ByKey(ApiKey),
}

impl FromRequestParts<AuthState> for Backend {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, AuthError> {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header(AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let shown = bearer.map(|(_, token)| token.trim()).into_iter().chain(header("apikey"));
        let key = shown.filter_map(|text| ApiKey::parse(text).ok()).find(ApiKey::may_be_of_service);
        match key {
            Some(key) => Ok(Self::ByKey(key)),
            None => Server::from_request_parts(parts, state).await.map(|_| Self::Server),
        }
    }
}

impl Backend {
    /// The key in force that is presented from an address, if it is one; one round trip, the backend's own key included.
    pub(super) async fn check(
        &self,
        state: &AuthState,
        origin: &Origin,
        presented: Option<(&ApiKey, IpAddr)>,
    ) -> Result<Option<HeldKey>, AuthError> {
        let own = match self {
            Self::ByKey(key) => Some((key, origin.ip)),
            Self::Server => None,
        };
        let asked: Vec<_> = own.into_iter().chain(presented).collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let mut held = api_key::look_up(state, &asked).await?.into_iter();
        if own.is_some() {
            match held.next().flatten() {
                Some(own) if api_key::may_check(&own) => {}
                Some(_) => return Err(Refusal::OutOfScope.into()),
                None => return Err(Refusal::NotAdmin.into()),
            }
        }
        Ok(held.next().flatten())
    }
}

/// What a key is to be like.
#[derive(Deserialize)]
pub(super) struct Wanted {
    name: String,
    kind: String,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    ip_allowlist: Vec<String>,
    expires_at: Option<String>,
    /// Servers name the user whose key they make.
    user_id: Option<Uuid>,
    /// Servers bring along the keys (UUIDs) of a system that they leave.
    key: Option<Secret>,
}

pub(super) async fn make(
    State(state): State<AuthState>,
    owner: Owner,
    origin: Origin,
    Extension(asker): Extension<Asker>,
    Payload(wanted): Payload<Wanted>,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Keys, &origin).await?;
    let (wish, imported) = wish(&wanted, &owner, state.now())?;
    let mut transaction = state.begin().await?;
    let (kept, key) = api_key::make(&state, &mut transaction, &wish, imported).await?;
    about(&asker, &kept, "key");
    transaction.commit().await?;
    Ok(made(&kept, &key))
}

fn wish(wanted: &Wanted, owner: &Owner, now: DateTime<Utc>) -> Result<(Wish, Option<ApiKey>), AuthError> {
    let invalid = |problem: &str| AuthError::Invalid(problem.to_owned());
    let kind = KeyKind::parse(&wanted.kind).ok_or_else(|| invalid("kind is service, personal or session"))?;
    let (user, session) = match (owner, kind) {
        (Owner::User(user), KeyKind::Personal) => (Some(user.account.id), None),
        (Owner::User(user), KeyKind::Session) => (Some(user.account.id), Some(user.session.id)),
        (Owner::User(_), KeyKind::Service) => return Err(Refusal::NotAdmin.into()),
        (Owner::Server, KeyKind::Session) => {
            return Err(invalid("a session's key is made by its user, or at sign-in (issue_api_key)"));
        }
        (Owner::Server, KeyKind::Service) if wanted.user_id.is_some() => {
            return Err(invalid("a service key speaks for no user"));
        }
        (Owner::Server, KeyKind::Service) => (None, None),
        (Owner::Server, KeyKind::Personal) => {
            let user = wanted.user_id.ok_or_else(|| invalid("user_id is needed"))?;
            (Some(user), None)
        }
    };
    let is_for_servers = wanted.user_id.is_some() || wanted.key.is_some();
    if is_for_servers && matches!(owner, Owner::User(_)) {
        return Err(Refusal::NotAdmin.into());
    }
    let imported = match wanted.key.as_ref().map(|key| ApiKey::parse(key.expose())) {
        None => None,
        Some(Ok(key)) if key.kind().is_none() => Some(key),
        Some(_) => return Err(invalid("key must be a UUID")),
    };
    let wish = Wish {
        kind,
        user,
        session,
        name: input::key_name(&wanted.name)?,
        scopes: wanted.scopes.clone().map(scopes).transpose()?,
        ip_allowlist: networks(&wanted.ip_allowlist)?,
        expires_at: wanted.expires_at.as_deref().map(|text| end(text, now)).transpose()?,
        rotated_from: None,
    };
    Ok((wish, imported))
}

fn scopes(texts: Vec<String>) -> Result<Scopes, AuthError> {
    let scopes = Scopes::try_from(texts).map_err(|error| AuthError::Invalid(format!("scopes: {error}")))?;
    if scopes.iter().any(|scope| !scope.can_be_held()) {
        let problem = "scopes: only rest can be narrowed to a table or verb (rest:public.todos:select), and auth to \
            auth:keys:execute; of other services a key has all (storage:*:*) or nothing";
        return Err(AuthError::Invalid(problem.to_owned()));
    }
    Ok(scopes)
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, AuthError> {
    if texts.len() > MOST_NETWORKS {
        return Err(AuthError::Invalid(format!("ip_allowlist has at most {MOST_NETWORKS} entries")));
    }
    let network = |text: &String| Network::try_from(text.clone()).map(|network| network.0.trunc());
    texts
        .iter()
        .map(network)
        .collect::<Result<_, _>>()
        .map_err(|problem| AuthError::Invalid(format!("ip_allowlist: {problem}")))
}

fn end(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, AuthError> {
    let end = DateTime::parse_from_rfc3339(text).map(|end| end.to_utc()).ok();
    end.filter(|end| *end > now).ok_or_else(|| {
        AuthError::Invalid("expires_at is a time to come, as in 2030-01-31T12:00:00Z (RFC 3339)".to_owned())
    })
}

/// The answer that shows a key.
fn made(kept: &KeyRecord, key: &ApiKey) -> Response {
    let mut shown = kept.shown();
    shown["key"] = key.expose().into();
    unstored(shown)
}

/// An answer that no cache keeps.
fn unstored(body: Value) -> Response {
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response()
}

/// Whose keys a server wants to see; those of services unless a user is named.
#[derive(Deserialize)]
pub(super) struct Whose {
    user_id: Option<Uuid>,
}

pub(super) async fn list(
    State(state): State<AuthState>,
    Query(whose): Query<Whose>,
    owner: Owner,
) -> Result<Json<Value>, AuthError> {
    let user = owner.user().or(whose.user_id);
    let keys = keys::list(&mut *state.connection().await?, user).await?;
    Ok(Json(keys.iter().map(KeyRecord::shown).collect()))
}

pub(super) async fn remove(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    owner: Owner,
) -> Result<StatusCode, AuthError> {
    let id = Uuid::parse_str(&id).map_err(|_| Refusal::PathIdNotUuid)?;
    if keys::remove(&mut *state.connection().await?, id, owner.user()).await? {
        state.revocations.tell(id);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::KeyNotFound.into())
    }
}

pub(super) async fn rotate(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    owner: Owner,
    origin: Origin,
    Extension(asker): Extension<Asker>,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Keys, &origin).await?;
    let id = Uuid::parse_str(&id).map_err(|_| Refusal::PathIdNotUuid)?;
    let mut transaction = state.begin().await?;
    let (kept, key) = api_key::rotate(&state, &mut transaction, id, owner.user()).await?;
    about(&asker, &kept, "new_key");
    transaction.commit().await?;
    state.revocations.tell(id);
    Ok(made(&kept, &key))
}

/// Notes which key was made, and for whom.
fn about(asker: &Asker, kept: &KeyRecord, kind: &'static str) {
    asker.acts_on(kind, &kept.id);
    if let Some(user) = kept.user_id {
        asker.acts_on("user", &user);
    }
}

/// A key that somebody has shown.
#[derive(Deserialize)]
pub(super) struct Presented {
    #[serde(default)]
    key: Secret,
    /// Where it comes from, as a backend says; the request's own address unless set.
    ip: Option<IpAddr>,
}

pub(super) async fn verify(
    State(state): State<AuthState>,
    backend: Backend,
    origin: Origin,
    Payload(presented): Payload<Presented>,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Keys, &origin).await?;
    let key = ApiKey::parse(presented.key.expose()).ok();
    let asked = key.as_ref().map(|key| (key, presented.ip.unwrap_or(origin.ip)));
    let HeldKey { record, holder, .. } =
        backend.check(&state, &origin, asked).await?.ok_or(Refusal::KeyNotAccepted)?;
    Ok(unstored(json!({
        "id": record.id, "kind": record.kind.as_str(), "name": record.name,
        "user": holder.as_ref().map(KeyHolder::shown),
        "scopes": record.scopes.as_ref().map(|scopes| &scopes.0),
        "expires_at": record.ends_at().map(rfc3339),
    })))
}

/// Who exchanges a key: its holder, or a backend that was shown it.
pub(super) struct Exchanger(Option<Backend>);

impl FromRequestParts<AuthState> for Exchanger {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, AuthError> {
        if let Ok(backend) = Backend::from_request_parts(parts, state).await {
            return Ok(Self(Some(backend)));
        }
        Project::from_request_parts(parts, state).await.map(|Project| Self(None))
    }
}

pub(super) async fn exchange(
    State(state): State<AuthState>,
    Exchanger(backend): Exchanger,
    origin: Origin,
    Payload(presented): Payload<Presented>,
) -> Result<Response, AuthError> {
    state.limits.take(Limit::Keys, &origin).await?;
    if backend.is_none() && presented.ip.is_some() {
        return Err(AuthError::Invalid("only a backend with a service key may say ip".to_owned()));
    }
    let key = ApiKey::parse(presented.key.expose()).ok();
    let asked = key.as_ref().map(|key| (key, presented.ip.unwrap_or(origin.ip)));
    let backend = backend.unwrap_or(Backend::Server);
    let held = backend.check(&state, &origin, asked).await?.ok_or(Refusal::KeyNotAccepted)?;
    let token = api_key::exchange(&state, &held, presented.ip.map(|_| origin.ip)).await?;
    Ok(unstored(token.shown(&held.record)))
}
