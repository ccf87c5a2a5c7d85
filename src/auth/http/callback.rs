//! GET and POST `/callback`: a browser comes back from a provider (contract section 7).
//!
//! A flow is taken by its state before anything else is done, so that no answer counts twice. Without a flow it is not
//! known where the application is, and the answer is an error; with one it is always a redirect there.

use axum::Extension;
use axum::extract::{FromRequest, RawQuery, Request, State};
use axum::response::Response;
use url::form_urlencoded::parse;
use uuid::Uuid;

use super::audit::Asker;
use super::authorize::{failed, flow_secrets};
use super::extract::read;
use super::redirect::Back;
use crate::auth::error::AuthError;
use crate::auth::flow::FLOW_LIFETIME;
use crate::auth::flow::session::{begin, redeem};
use crate::auth::model::{Method, NewTokens};
use crate::auth::oauth::account::{Arrival, Outcome, admit, enter, unverified};
use crate::auth::oauth::{ProviderTokens, Return, link};
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin, PROVIDER_TOKEN, Parts};
use crate::auth::store::flows::{self, Flow};
use crate::auth::token::pkce::auth_code;
use crate::kernel::secret::Secret;

/// The longest text of a provider that is passed on.
const LONGEST_TEXT: usize = 300;

/// What the browser brings.
#[derive(Default)]
pub(super) struct Answer {
    state: String,
    code: String,
    error: String,
    error_description: String,
    user: Option<String>,
}

impl Answer {
    /// Of several parameters of a name the first counts.
    fn parse(text: &[u8]) -> Self {
        let mut answer = Self::default();
        for (name, value) in parse(text) {
            let field = match &*name {
                "state" => &mut answer.state,
                "code" => &mut answer.code,
                "error" => &mut answer.error,
                "error_description" => &mut answer.error_description,
                "user" => answer.user.get_or_insert_default(),
                _ => continue,
            };
            if field.is_empty() {
                *field = value.into_owned();
            }
        }
        answer
    }
}

/// The body, a form.
pub(super) struct Posted(Answer);

impl FromRequest<AuthState> for Posted {
    type Rejection = AuthError;

    async fn from_request(request: Request, _: &AuthState) -> Result<Self, AuthError> {
        let (parts, body) = request.into_parts();
        Ok(Self(Answer::parse(&read(&parts, body).await?)))
    }
}

pub(super) async fn by_query(
    State(state): State<AuthState>,
    origin: Origin,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Response, AuthError> {
    answer(&state, &Answer::parse(query.unwrap_or_default().as_bytes()), &origin, &asker).await
}

pub(super) async fn by_form(
    State(state): State<AuthState>,
    origin: Origin,
    Extension(asker): Extension<Asker>,
    Posted(posted): Posted,
) -> Result<Response, AuthError> {
    answer(&state, &posted, &origin, &asker).await
}

async fn answer(
    state: &AuthState,
    answer: &Answer,
    origin: &Origin,
    asker: &Asker,
) -> Result<Response, AuthError> {
    if answer.state.is_empty() {
        return Err(Refusal::BadOauthCallback.into());
    }
    let id = Uuid::parse_str(&answer.state).map_err(|_| Refusal::BadOauthState)?;
    let flow = flows::take_by_state(&mut *state.connection().await?, id).await?;
    let flow = flow.filter(|flow| flow.created_at + FLOW_LIFETIME >= state.now());
    let flow = flow.ok_or(Refusal::BadOauthState)?;
    let target = state.redirects.choose(flow.referrer.as_deref(), None).to_string();
    let back = Back::from_provider(&target);
    if !answer.error.is_empty() {
        let (error, text) = (shortened(&answer.error), shortened(&answer.error_description));
        return Ok(back.with_reason(&error, "bad_oauth_callback", &text, true));
    }
    Ok(match arrive(state, flow, answer, &target, origin).await {
        Ok(Arrived::Tokens(tokens)) => {
            asker.is_user(tokens.user_id, Some(tokens.session_id));
            back.with_tokens(&tokens, None)
        }
        Ok(Arrived::Code { code, user }) => {
            asker.is_user(user, None);
            back.with_code(&code)
        }
        Err(error) => back.with_error(&error, true),
    })
}

/// What the provider writes, without what could do harm in a log or a page.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect()
}

enum Arrived {
    Tokens(Box<NewTokens>),
    Code { code: String, user: Uuid },
}

async fn arrive(
    state: &AuthState,
    flow: Flow,
    answer: &Answer,
    target: &str,
    origin: &Origin,
) -> Result<Arrived, AuthError> {
    let connected = state.providers.get(&flow.provider_type).ok_or(Refusal::ProviderNotSupported)?;
    if answer.code.is_empty() {
        return Err(AuthError::Told(Refusal::BadOauthCallback, "OAuth callback without a code".to_owned()));
    }
    let secrets = flow_secrets(state, flow.id);
    let back = Return {
        code: &answer.code,
        verifier: &secrets.verifier,
        nonce: &secrets.nonce,
        user: answer.user.as_deref(),
    };
    let exchanged = connected.exchange(&back, state.clock.unix_seconds()).await;
    let (tokens, profile) = exchanged.map_err(|error| failed(&flow.provider_type, &error))?;
    let arrival = Arrival { provider: &connected.provider, profile: &profile, redirect_to: target, origin };
    let is_admitted = flow.linking_target_id.is_none() && admit(state, arrival).await?;
    let mut transaction = state.begin().await?;
    let user = match flow.linking_target_id {
        Some(user) => {
            link::join(state, &mut transaction, user, arrival).await?;
            user
        }
        None => match enter(state, &mut transaction, arrival, is_admitted).await? {
            Outcome::SignedIn(user) => user,
            Outcome::Unconfirmed => {
                state.commit(transaction).await?;
                return Err(unverified(&connected.provider));
            }
        },
    };
    if flow.code_challenge.is_some() {
        let code = auth_code(state.random.bytes());
        let flow = waiting(state, flow, (user, code), &tokens)?;
        flows::insert(&mut transaction, &flow).await?;
        state.commit(transaction).await?;
        return Ok(Arrived::Code { code: code.to_string(), user });
    }
    let grant = begin(state, &mut transaction, user, Method::Oauth, origin).await?;
    state.commit(transaction).await?;
    let mut granted = redeem(state, grant).await?;
    granted.provider_token = Some(tokens.access);
    granted.provider_refresh_token = tokens.refresh;
    Ok(Arrived::Tokens(Box::new(granted)))
}

/// The flow as it waits for the client to show what its challenge was made of.
fn waiting(
    state: &Parts,
    flow: Flow,
    (user, code): (Uuid, Uuid),
    tokens: &ProviderTokens,
) -> Result<Flow, AuthError> {
    Ok(Flow {
        user_id: Some(user),
        auth_code: Some(state.auth_code_digest(code)),
        auth_code_issued_at: Some(state.now()),
        provider_access_token: Some(seal(state, flow.id, &tokens.access)?),
        provider_refresh_token: tokens
            .refresh
            .as_ref()
            .map(|token| seal(state, flow.id, token))
            .transpose()?,
        ..flow
    })
}

fn seal(state: &Parts, flow: Uuid, token: &Secret) -> Result<String, AuthError> {
    let (row, nonce) = (flow.to_string(), state.random.bytes());
    let sealed = state.vault.seal(PROVIDER_TOKEN, &row, token.expose().as_bytes(), nonce);
    sealed.map_err(|error| AuthError::Internal(error.to_string()))
}
