//! Answering a challenge: the factor counts from then on, and the session is raised to `aal2`.

use serde_json::Value;
use uuid::Uuid;

use super::refusal::FactorRefusal;
use super::security_key;
use super::totp::TotpSecret;
use super::{TOTP_SECRET, check_verification, find, is_code, oldest_challenge, seal};
use crate::auth::error::AuthError;
use crate::auth::flow::session::{Grant, elevate};
use crate::auth::hook::MfaVerificationAttemptInput;
use crate::auth::model::{AssuranceLevel, Factor, FactorType, Session};
use crate::auth::outbox::{self, Notice};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::challenges::{self, Challenge};
use crate::auth::store::{factors, sessions, users};
use crate::kernel::secret::Secret;
use crate::kernel::vault::Vault;

/// An answer to a challenge.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The factor that was asked for.
    pub(crate) factor: Uuid,
    /// The challenge.
    pub(crate) challenge: Uuid,
    /// The proof.
    pub(crate) proof: Proof,
}

/// What stands in an answer.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// What the user typed.
    Code(Secret),
    /// What a security key signed.
    Credential(Value),
}

/// Takes an answer. Each is counted before it is looked at (threat B09); a challenge is answered once, and a code of an
/// authenticator app counts once whatever it is an answer to (threat B08). A right answer is used up before the hook is
/// asked: nobody waits for a hook with locks in hand.
pub(crate) async fn verify(
    state: &Parts,
    session: &Session,
    answer: &Answer,
    origin: &Origin,
) -> Result<Grant, AuthError> {
    let user = session.user_id;
    let (factor, challenge) = open_challenge(state, user, answer, origin).await?;
    match use_up(state, session, &challenge, answer).await {
        Ok(()) => ask_hook(state, &factor, true).await?,
        Err(wrong @ AuthError::Factor(FactorRefusal::VerificationFailed)) => {
            ask_hook(state, &factor, false).await?;
            return Err(wrong);
        }
        Err(other) => return Err(other),
    }
    let mut transaction = state.begin().await?;
    let (session, factor) = lock(state, &mut transaction, session, answer.factor).await?;
    if !factor.is_verified() {
        factors::mark_verified(&mut transaction, factor.id, state.now()).await?;
        let others = (factor.factor_type, None, Some(factor.id));
        factors::remove_unverified(&mut transaction, user, others).await?;
        let account = users::by_id(&mut transaction, user).await?.ok_or(Refusal::UserGone)?;
        let notice = Notice::FactorEnrolled(factor.factor_type);
        outbox::inform(state, &mut transaction, &account, &notice).await?;
    }
    let grant = elevate(state, &mut transaction, &session, factor.factor_type.method(), origin).await?;
    state.commit(transaction).await?;
    Ok(grant)
}

/// The factor, and the challenge if it waits for an answer from here and has not been tried too often.
async fn open_challenge(
    state: &Parts,
    user: Uuid,
    answer: &Answer,
    origin: &Origin,
) -> Result<(Factor, Challenge), AuthError> {
    let mut connection = state.connection().await?;
    let factor = find(state, &mut connection, user, answer.factor).await?;
    check_verification(&state.settings.config.mfa, factor.factor_type)?;
    let challenge = challenges::by_id(&mut connection, factor.id, answer.challenge).await?;
    let challenge = challenge.ok_or(FactorRefusal::ChallengeNotFound)?;
    if challenge.ip_address != origin.ip {
        return Err(FactorRefusal::IpMismatch.into());
    }
    if challenge.created_at <= oldest_challenge(state)
        || !challenges::count_attempt(&mut connection, challenge.id).await?
    {
        challenges::take(&mut connection, challenge.id).await?;
        return Err(FactorRefusal::ChallengeExpired.into());
    }
    Ok((factor, challenge))
}

/// Session and factor with the user's row locked, so that nothing is removed meanwhile.
async fn lock(
    state: &Parts,
    connection: &mut Connection,
    session: &Session,
    factor: Uuid,
) -> Result<(Session, Factor), AuthError> {
    let user = session.user_id;
    users::lock(connection, user).await?.ok_or(Refusal::UserGone)?;
    let session = sessions::lock(connection, session.id).await?.ok_or(Refusal::SessionNotFound)?;
    let factor = find(state, connection, user, factor).await?;
    if !factor.is_verified()
        && session.aal < AssuranceLevel::Aal2
        && factors::has_verified(connection, user).await?
    {
        // Enrolled before the factor that counts: whoever knows the password alone may have done that (threat B11).
        return Err(FactorRefusal::EnrolmentNeedsFactor.into());
    }
    Ok((session, factor))
}

/// Uses up the challenge, and the code, if the answer is right; neither if it is wrong.
async fn use_up(
    state: &Parts,
    session: &Session,
    challenge: &Challenge,
    answer: &Answer,
) -> Result<(), AuthError> {
    let mut transaction = state.begin().await?;
    let (_, factor) = lock(state, &mut transaction, session, answer.factor).await?;
    if !challenges::take(&mut transaction, challenge.id).await? {
        return Err(FactorRefusal::ChallengeNotFound.into());
    }
    check(state, &mut transaction, &factor, challenge, answer).await?;
    Ok(transaction.commit().await?)
}

/// Asks the hook that may refuse whoever has tried a factor, whether the answer was right or wrong.
async fn ask_hook(state: &Parts, factor: &Factor, valid: bool) -> Result<(), AuthError> {
    let input = MfaVerificationAttemptInput {
        user_id: factor.user_id.to_string(),
        factor_id: factor.id.to_string(),
        factor_type: factor.factor_type.word().to_owned(),
        valid,
    };
    match state.hooks.mfa_attempt(&input).await? {
        None => Ok(()),
        Some(rejection) => {
            let message =
                rejection.message.unwrap_or_else(|| Refusal::MfaRejected.parts().message.to_owned());
            Err(AuthError::Told(Refusal::MfaRejected, message))
        }
    }
}

async fn check(
    state: &Parts,
    connection: &mut Connection,
    factor: &Factor,
    challenge: &Challenge,
    answer: &Answer,
) -> Result<(), AuthError> {
    match (factor.factor_type, &answer.proof) {
        (FactorType::Totp, Proof::Code(code)) => check_totp(state, connection, factor, code).await,
        (FactorType::Phone, Proof::Code(code)) => check_phone(state, challenge, code),
        (FactorType::Webauthn, Proof::Credential(answer)) => {
            security_key::check(state, connection, (factor, challenge), answer).await
        }
        _ => Err(FactorRefusal::VerificationFailed.into()),
    }
}

async fn check_totp(
    state: &Parts,
    connection: &mut Connection,
    factor: &Factor,
    code: &Secret,
) -> Result<(), AuthError> {
    let stored = factor.secret.as_deref().unwrap_or_default();
    let secret = open(state, factor.id, stored)?;
    let wrong = || AuthError::from(FactorRefusal::VerificationFailed);
    let step = secret.matching_step(code.expose(), state.clock.unix_seconds()).ok_or_else(wrong)?;
    if !factors::use_step(connection, factor.id, step).await? {
        return Err(wrong());
    }
    if state.vault.needs_reseal(stored) {
        factors::set_secret(connection, factor.id, &seal(state, factor.id, &secret)?).await?;
    }
    Ok(())
}

/// The secret of an authenticator app. Those of another system may come in the clear; they are sealed at their first use.
fn open(state: &Parts, factor: Uuid, stored: &str) -> Result<TotpSecret, AuthError> {
    let unreadable = || AuthError::Internal(format!("the secret of factor {factor} cannot be read"));
    if Vault::key_id_of(stored).is_none() {
        return TotpSecret::parse(stored).ok_or_else(unreadable);
    }
    let opened = state.vault.open(TOTP_SECRET, &factor.to_string(), stored);
    let opened = opened.map_err(|error| AuthError::Internal(error.to_string()))?;
    std::str::from_utf8(&opened).ok().and_then(TotpSecret::parse).ok_or_else(unreadable)
}

fn check_phone(state: &Parts, challenge: &Challenge, code: &Secret) -> Result<(), AuthError> {
    let stored = challenge.otp_code.as_deref().unwrap_or_default();
    if is_code(state, challenge.id, code.expose().trim(), stored) {
        Ok(())
    } else {
        Err(FactorRefusal::VerificationFailed.into())
    }
}
