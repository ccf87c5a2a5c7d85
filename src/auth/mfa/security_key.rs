//! Security keys as second factors: their credentials in the rows of factors and challenges.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::FactorRefusal;
use super::timeout;
use super::webauthn::{
    AskedUser, Assertion, Credential, Expected, RelyingParty, WebauthnError, authenticate, creation_options,
    new_challenge, register, request_options,
};
use crate::auth::error::AuthError;
use crate::auth::model::{Account, Factor, FactorType};
use crate::auth::state::{Connection, Parts};
use crate::auth::store::challenges::Challenge;
use crate::auth::store::factors;

/// What is kept of a challenge.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    challenge: String,
}

/// What the browser is asked, and what is kept of it: a new credential for a factor that has none yet, a signature else.
pub(super) fn ask(state: &Parts, account: &Account, factor: &Factor) -> Result<(Value, Value), AuthError> {
    let party = party(state)?;
    let challenge = new_challenge(state.random.bytes());
    let timeout = timeout(state);
    let (kind, options) = match credential(factor) {
        None => {
            // A handle of its own: one that a passkey has too would take its place on the authenticator.
            let id = account.id.to_string();
            let name = account.email.as_deref().or(account.phone.as_deref()).unwrap_or(&id);
            let user = AskedUser { handle: factor.id.as_bytes(), name, is_passkey: false };
            ("create", creation_options(party, &challenge, user, (&[], timeout)))
        }
        Some(credential) => ("request", request_options(party, &challenge, (&[credential], timeout))),
    };
    let asked = json!({"type": kind, "credential_options": {"publicKey": options}});
    Ok((asked, json!(Kept { challenge })))
}

/// Checks an answer, and keeps the credential as it is from then on. To be called with the user's row locked.
pub(super) async fn check(
    state: &Parts,
    connection: &mut Connection,
    (factor, challenge): (&Factor, &Challenge),
    answer: &Value,
) -> Result<(), AuthError> {
    let kept = challenge.web_authn_session_data.as_ref().and_then(|kept| Kept::deserialize(kept).ok());
    let kept = kept.ok_or(FactorRefusal::ChallengeNotFound)?;
    let expected = Expected { party: party(state)?, challenge: &kept.challenge, user_verification: false };
    let credential = match credential(factor) {
        None => register(expected, &read(answer)?),
        Some(credential) => {
            let assertion: Assertion = read(answer)?;
            let seen = authenticate(expected, &credential, &[factor.id.as_bytes()], &assertion);
            seen.map(|seen| credential.after(seen))
        }
    };
    let credential = credential.map_err(|error| refused(error, FactorRefusal::VerificationFailed))?;
    factors::set_credential(connection, factor.id, (&credential.stored(), credential.aaguid)).await?;
    Ok(())
}

/// The credential of a factor; none until it is verified.
fn credential(factor: &Factor) -> Option<Credential> {
    factor.web_authn_credential.as_ref().and_then(Credential::from_stored)
}

pub(super) fn read<T: serde::de::DeserializeOwned>(answer: &Value) -> Result<T, AuthError> {
    T::deserialize(answer).map_err(|error| AuthError::Invalid(format!("credential: {error}")))
}

/// People are told that the answer is wrong; the log says why.
pub(super) fn refused(error: WebauthnError, refusal: FactorRefusal) -> AuthError {
    tracing::info!(%error, "the answer of an authenticator was refused");
    refusal.into()
}

fn party(state: &Parts) -> Result<&RelyingParty, AuthError> {
    let party = state.relying_party.as_ref();
    party.ok_or_else(|| FactorRefusal::VerificationDisabled(FactorType::Webauthn).into())
}

/// Refuses a domain that is not ours: the configuration decides it, not the page that asks.
pub(crate) fn check_party(state: &Parts, asked_id: Option<&str>) -> Result<(), AuthError> {
    let own = party(state)?.id();
    match asked_id {
        Some(asked) if asked != own => Err(AuthError::Invalid(format!("rpId must be {own}"))),
        _ => Ok(()),
    }
}
