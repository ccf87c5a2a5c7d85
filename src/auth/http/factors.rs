//! POST `/factors`, `/factors/{id}/challenge`, `/factors/{id}/verify`, DELETE `/factors/{id}` (contract section 5).

use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::signed_in;
use super::audit::Asker;
use super::extract::{Entry, FirstProof, Payload, SignedIn};
use crate::auth::error::AuthError;
use crate::auth::flow::session::redeem;
use crate::auth::input;
use crate::auth::mfa::challenge::challenge as ask;
use crate::auth::mfa::enrolment::{self, Wanted};
use crate::auth::mfa::removal;
use crate::auth::mfa::security_key::check_party;
use crate::auth::mfa::verification::{self, Answer, Proof};
use crate::auth::model::FactorType;
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Origin};
use crate::kernel::secret::Secret;

/// The body of an enrolment.
#[derive(Deserialize)]
pub(super) struct NewFactor {
    #[serde(default)]
    factor_type: String,
    friendly_name: Option<String>,
    issuer: Option<String>,
    phone: Option<String>,
}

impl NewFactor {
    fn parse(&self) -> Result<Wanted, AuthError> {
        let kind = FactorType::parse(&self.factor_type).ok_or_else(|| {
            AuthError::Invalid("factor_type needs to be totp, phone, or webauthn".to_owned())
        })?;
        let phone = match kind {
            FactorType::Phone => Some(input::phone(self.phone.as_deref().unwrap_or_default())?),
            _ => None,
        };
        Ok(Wanted {
            kind,
            friendly_name: input::label("friendly_name", self.friendly_name.as_deref())?,
            issuer: input::label("issuer", self.issuer.as_deref())?,
            phone,
        })
    }
}

pub(super) async fn enrol(
    State(state): State<AuthState>,
    user: SignedIn,
    Extension(asker): Extension<Asker>,
    Payload(new): Payload<NewFactor>,
) -> Result<Json<Value>, AuthError> {
    let enrolled = enrolment::enrol(&state, &user.account, &user.session, new.parse()?).await?;
    let body = enrolled.shown();
    asker.acts_on("factor", body["id"].as_str().unwrap_or_default());
    Ok(Json(body))
}

/// The body of a challenge.
#[derive(Deserialize)]
pub(super) struct Asked {
    channel: Option<String>,
    webauthn: Option<AskedParty>,
}

/// The domain for which the page wants a credential.
#[derive(Deserialize)]
struct AskedParty {
    #[serde(rename = "rpId")]
    id: Option<String>,
}

pub(super) async fn challenge(
    State(state): State<AuthState>,
    origin: Origin,
    Path(id): Path<String>,
    FirstProof(user): FirstProof,
    Payload(asked): Payload<Asked>,
) -> Result<Json<Value>, AuthError> {
    state.limits.take_factor(user.account.id, &origin).await?;
    if asked.channel.is_some_and(|channel| !matches!(channel.as_str(), "" | "sms")) {
        return Err(AuthError::Invalid("channel must be sms".to_owned()));
    }
    if let Some(party) = &asked.webauthn {
        check_party(&state, party.id.as_deref())?;
    }
    Ok(Json(ask(&state, &user.account, factor_id(&id)?, &origin).await?.shown()))
}

/// The body of an answer.
#[derive(Deserialize)]
pub(super) struct Answered {
    challenge_id: Option<Uuid>,
    #[serde(default)]
    code: Secret,
    webauthn: Option<AnsweredKey>,
}

/// What a security key signed.
#[derive(Deserialize)]
struct AnsweredKey {
    credential_response: Value,
}

pub(super) async fn verify(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    FirstProof(user): FirstProof,
    Entry { body: answered, origin }: Entry<Answered>,
) -> Result<Response, AuthError> {
    state.limits.take_factor(user.account.id, &origin).await?;
    let challenge = answered.challenge_id;
    let challenge = challenge.ok_or_else(|| AuthError::Invalid("challenge_id is required".to_owned()))?;
    let proof = match answered.webauthn {
        Some(key) => Proof::Credential(key.credential_response),
        None => Proof::Code(answered.code),
    };
    let answer = Answer { factor: factor_id(&id)?, challenge, proof };
    let grant = verification::verify(&state, &user.session, &answer, &origin).await?;
    Ok(signed_in(&redeem(&state, grant).await?))
}

pub(super) async fn remove(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    user: SignedIn,
) -> Result<Json<Value>, AuthError> {
    let removed = removal::remove_own(&state, &user.session, factor_id(&id)?).await?;
    Ok(Json(json!({"id": removed.id})))
}

fn factor_id(text: &str) -> Result<Uuid, AuthError> {
    Uuid::parse_str(text).map_err(|_| Refusal::PathIdNotUuid.into())
}
