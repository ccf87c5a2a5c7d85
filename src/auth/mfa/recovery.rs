//! Recovery codes: made in a set, each taken once, by users who lost their other factors.

use super::refusal::FactorRefusal;
use super::refuse_anonymous;
use crate::auth::error::AuthError;
use crate::auth::flow::session::{Grant, elevate};
use crate::auth::model::{Account, AssuranceLevel, Method, Session};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Origin, Parts};
use crate::auth::store::{factors, recovery_codes, sessions, users};
use crate::auth::token::recovery_code::{COUNT, RecoveryCode, RecoveryCodeMac};
use crate::kernel::secret::Secret;

/// Makes a set of codes in place of the user's old one, where a second factor was given.
pub(crate) async fn renew(
    state: &Parts,
    account: &Account,
    session: &Session,
) -> Result<[RecoveryCode; COUNT], AuthError> {
    refuse_anonymous(account)?;
    let codes = RecoveryCode::generate_set(std::array::from_fn(|_| state.random.bytes()));
    let mac = RecoveryCodeMac::new(&state.roots);
    let digests: Vec<_> = codes.iter().map(|code| mac.digest(account.id, code)).collect();
    let mut transaction = state.begin().await?;
    users::lock(&mut transaction, account.id).await?.ok_or(Refusal::UserGone)?;
    let session = sessions::by_id(&mut transaction, session.id).await?.ok_or(Refusal::SessionNotFound)?;
    // Codes stand in for a factor: without one there is nothing to recover.
    if session.aal < AssuranceLevel::Aal2 || !factors::has_verified(&mut transaction, account.id).await? {
        return Err(Refusal::InsufficientAal.into());
    }
    recovery_codes::replace(&mut transaction, account.id, &digests, state.now()).await?;
    transaction.commit().await?;
    Ok(codes)
}

/// Takes a code and raises the session by it.
pub(crate) async fn verify(
    state: &Parts,
    session: &Session,
    typed: &Secret,
    origin: &Origin,
) -> Result<Grant, AuthError> {
    let user = session.user_id;
    let code = RecoveryCode::parse(typed.expose()).ok_or(FactorRefusal::VerificationFailed)?;
    let digests = RecoveryCodeMac::new(&state.roots).digests(user, &code);
    let mut transaction = state.begin().await?;
    users::lock(&mut transaction, user).await?.ok_or(Refusal::UserGone)?;
    let session = sessions::lock(&mut transaction, session.id).await?.ok_or(Refusal::SessionNotFound)?;
    if !recovery_codes::take(&mut transaction, user, &digests, state.now()).await? {
        return Err(FactorRefusal::VerificationFailed.into());
    }
    let grant = elevate(state, &mut transaction, &session, Method::RecoveryCode, origin).await?;
    transaction.commit().await?;
    Ok(grant)
}
