//! What actions take of a request: who asks, from where, and the body. A permission is the type of an argument.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::audit::Asker;
use super::introspect::goes_on;
use crate::auth::error::AuthError;
use crate::auth::model::{Account, AssuranceLevel, Session};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};
use crate::auth::store::{factors, sessions, users};
use crate::kernel::http::{RequestContext, read_body};
use crate::kernel::identity::scope::{KEY_ID, Service};
use crate::kernel::identity::{Caller, Credentials, IdentityError};

fn context(parts: &Parts) -> Result<Arc<RequestContext>, AuthError> {
    let context = parts.extensions.get::<Arc<RequestContext>>().cloned();
    context.ok_or_else(|| AuthError::Internal("a request without a context".to_owned()))
}

impl FromRequestParts<AuthState> for Origin {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, _: &AuthState) -> Result<Self, AuthError> {
        Ok(Self::of(&*context(parts)?, &parts.headers))
    }
}

/// The body, a JSON object of this form. An empty one counts as `{}`, and a field that is `null` as one that is not there:
/// clients also name what they have no value for.
pub(super) struct Payload<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AuthState> for Payload<T> {
    type Rejection = AuthError;

    async fn from_request(request: Request, _: &AuthState) -> Result<Self, AuthError> {
        let (parts, body) = request.into_parts();
        parse(&read(&parts, body).await?).map(Self)
    }
}

/// The body of what may begin a session or raise one, and where it comes from. With `issue_api_key` beside the action's own
/// fields the client asks for an API key that ends with the session.
pub(super) struct Entry<T> {
    pub(super) body: T,
    pub(super) origin: Origin,
}

impl<T: DeserializeOwned> FromRequest<AuthState> for Entry<T> {
    type Rejection = AuthError;

    async fn from_request(request: Request, state: &AuthState) -> Result<Self, AuthError> {
        let (mut parts, body) = request.into_parts();
        let origin = Origin::from_request_parts(&mut parts, state).await?;
        let body = read(&parts, body).await?;
        let Asked { issue_api_key } = parse(&body)?;
        Ok(Self { body: parse(&body)?, origin: Origin { wants_api_key: issue_api_key, ..origin } })
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    issue_api_key: bool,
}

/// The body, a JSON object as it stands: where `null` says something.
pub(super) struct Object(pub(super) Map<String, Value>);

impl FromRequest<AuthState> for Object {
    type Rejection = AuthError;

    async fn from_request(request: Request, _: &AuthState) -> Result<Self, AuthError> {
        let (parts, body) = request.into_parts();
        object(&read(&parts, body).await?).map(Self)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AuthError> {
    let mut fields = object(body)?;
    fields.retain(|_, value| !value.is_null());
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| no_json(&error))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, AuthError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| no_json(&error))
}

fn no_json(error: &dyn std::fmt::Display) -> AuthError {
    AuthError::Told(Refusal::BadJson, format!("Could not parse request body as JSON: {error}"))
}

/// The body as it came.
pub(super) async fn read(parts: &Parts, body: Body) -> Result<bytes::Bytes, AuthError> {
    let context = context(parts)?;
    let deadline = context.body_deadline.min(context.deadline);
    Ok(read_body(body, context.body_limit, deadline, &context.body_budget).await?)
}

/// A client of this project: it has shown an API key, where one is asked for. What it says in `Authorization` counts only
/// if it is a key.
pub(super) struct Project;

impl FromRequestParts<AuthState> for Project {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, AuthError> {
        let (authorization, api_key) = (text(parts, AUTHORIZATION.as_str()), text(parts, "apikey"));
        let address = context(parts)?.client_ip;
        let recognise = |credentials| state.identity.recognise(credentials, address, state);
        let whole = recognise(Credentials { authorization, api_key }).await;
        let found = match whole {
            // A user's token that has expired does not keep the user from signing in.
            Err(error) if is_about_token(&error) => {
                recognise(Credentials { authorization: None, api_key }).await
            }
            whole => whole,
        };
        match found {
            Ok(caller) => {
                if let Some(asker) = parts.extensions.get::<Asker>() {
                    asker.has_role(&caller.role);
                }
                Ok(Self)
            }
            Err(IdentityError::TokenRequired | IdentityError::SecretMissing) => Ok(Self),
            Err(error) if is_about_token(&error) => Ok(Self),
            Err(error) => Err(about_key(&error, Refusal::NoApiKey)),
        }
    }
}

fn is_about_token(error: &IdentityError) -> bool {
    matches!(error, IdentityError::Token(_) | IdentityError::Claims(_) | IdentityError::RoleRefused)
}

fn text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// What is wrong with an API key; `otherwise` for what is not special to those of users and backends.
fn about_key(error: &IdentityError, otherwise: Refusal) -> AuthError {
    match error {
        IdentityError::KeyNotAccepted => Refusal::KeyNotAccepted.into(),
        IdentityError::KeysUnavailable => AuthError::Unavailable(error.to_string()),
        _ => AuthError::Told(otherwise, error.to_string()),
    }
}

/// Whoever the bearer token, or a key in its place, speaks for.
async fn bearer(parts: &Parts, state: &AuthState) -> Result<Arc<Caller>, AuthError> {
    let authorization = text(parts, AUTHORIZATION.as_str()).ok_or(Refusal::NoAuthorization)?;
    let token = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty());
    let token = token.ok_or(Refusal::NoAuthorization)?;
    let address = context(parts)?.client_ip;
    state.identity.bearer(token, address, state).await.map_err(|error| match error {
        IdentityError::KeyNotAccepted | IdentityError::KeysUnavailable => about_key(&error, Refusal::BadJwt),
        error => AuthError::Told(
            Refusal::BadJwt,
            format!("invalid JWT: unable to parse or verify signature, {error}"),
        ),
    })
}

/// A user, by an access token whose session goes on; where the configuration asks users for their second factor
/// (`auth.mfa.required_for_login`), one who has given it.
pub(super) struct SignedIn {
    pub(super) account: Account,
    pub(super) session: Session,
    pub(super) caller: Arc<Caller>,
}

impl FromRequestParts<AuthState> for SignedIn {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, AuthError> {
        let FirstProof(user) = FirstProof::from_request_parts(parts, state).await?;
        if state.settings.config.mfa.required_for_login
            && user.session.aal < AssuranceLevel::Aal2
            && factors::has_verified(&mut *state.connection().await?, user.account.id).await?
        {
            return Err(Refusal::InsufficientAal.into());
        }
        Ok(user)
    }
}

/// The same, whether the second factor was given or not: for what leads to it, and for signing out.
pub(super) struct FirstProof(pub(super) SignedIn);

impl FromRequestParts<AuthState> for FirstProof {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, AuthError> {
        Project::from_request_parts(parts, state).await?;
        let caller = bearer(parts, state).await?;
        let subject = caller
            .subject
            .as_deref()
            .ok_or_else(|| AuthError::Told(Refusal::BadJwt, "invalid claim: missing sub claim".to_owned()))?;
        let user = Uuid::parse_str(subject).map_err(|_| Refusal::BadSubject)?;
        let session = caller.session.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        let mut connection = state.connection().await?;
        let account = users::by_id(&mut connection, user).await?;
        let account = account.filter(|account| !account.is_deleted()).ok_or(Refusal::UserGone)?;
        if account.is_banned(state.now()) {
            return Err(Refusal::UserBanned.into());
        }
        let session = match session {
            Some(session) => sessions::by_id(&mut connection, session).await?,
            None => None,
        };
        let goes_on = |session: &Session| {
            session.user_id == user && session.not_after.is_none_or(|end| end > state.now())
        };
        let session = session.filter(goes_on).ok_or(Refusal::SessionNotFound)?;
        // A factor that was removed takes its level along (threat B12).
        if caller.assurance_level() == Some("aal2") && session.aal.word() == "aal1" {
            return Err(Refusal::InsufficientAal.into());
        }
        if let Some(asker) = parts.extensions.get::<Asker>() {
            asker.is_user(user, Some(session.id));
        }
        Ok(Self(SignedIn { account, session, caller }))
    }
}

/// A server: with the project's secret key, a token of that role, or the key of a service that may do everything here.
pub(super) struct Server {
    /// Whether it is here by the key of a service.
    pub(super) is_by_key: bool,
}

impl FromRequestParts<AuthState> for Server {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, AuthError> {
        Project::from_request_parts(parts, state).await?;
        let caller = bearer(parts, state).await?;
        let role = &*caller.role;
        let is_by_key = caller.claims.contains_key(KEY_ID);
        // A key of a user who was given the role is that user's, and no server's.
        if (is_by_key && caller.subject.is_some())
            || (role != state.settings.service_role && role != "supabase_admin")
        {
            return Err(Refusal::NotAdmin.into());
        }
        if caller.scopes.as_ref().is_some_and(|scopes| !scopes.allow_all_of(Service::Auth)) {
            return Err(Refusal::OutOfScope.into());
        }
        if is_by_key && !goes_on(state, &caller).await? {
            return Err(Refusal::KeyNotAccepted.into());
        }
        if caller.session.is_some() {
            // A user who was given the role has it while the session goes on (threats C04, C05).
            SignedIn::from_request_parts(parts, state).await?;
        }
        Ok(Self { is_by_key })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Body {
        email: String,
        data: Map<String, Value>,
    }

    #[test]
    fn a_field_that_is_null_is_one_that_is_not_there() {
        for text in ["", " \n", "{}", r#"{"email":null,"data":null,"unknown":null}"#] {
            assert_eq!(parse::<Body>(text.as_bytes()).unwrap(), Body::default(), "{text}");
        }
        let kept: Body = parse(br#"{"data":{"age":null}}"#).unwrap();
        assert_eq!(kept.data.get("age"), Some(&Value::Null), "null in metadata removes a key");
    }

    #[test]
    fn what_is_no_object_or_has_fields_of_another_kind_is_refused() {
        for text in ["[]", "null", "{", "{} {}", r#"{"email":1}"#, r#"{"data":[]}"#] {
            let error = parse::<Body>(text.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "bad_json", "{text}");
        }
        let error = parse::<Body>(br#"{"email":1}"#).unwrap_err().to_string();
        assert!(error.contains("email"), "{error}");
    }
}
