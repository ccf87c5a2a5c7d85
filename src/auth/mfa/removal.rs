//! Removing a second factor, by its user or an administrator. What the user's sessions had of it they lose: tokens that
//! say `aal2` are refused within a second (threat B12).

use uuid::Uuid;

use super::refusal::FactorRefusal;
use crate::auth::error::AuthError;
use crate::auth::model::{Account, AssuranceLevel, Factor, Method, Session};
use crate::auth::outbox::{self, Notice};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Parts};
use crate::auth::store::{factors, recovery_codes, sessions, users};

/// Removes a factor of the user of this session; one that counts only where a factor was given.
pub(crate) async fn remove_own(state: &Parts, session: &Session, factor: Uuid) -> Result<Factor, AuthError> {
    let mut transaction = state.begin().await?;
    let user = session.user_id;
    let account = users::lock(&mut transaction, user).await?.ok_or(Refusal::UserGone)?;
    let session = sessions::by_id(&mut transaction, session.id).await?.ok_or(Refusal::SessionNotFound)?;
    let found = factors::by_id(&mut transaction, user, factor).await?;
    let found = found.ok_or(FactorRefusal::FactorNotFound)?;
    if found.is_verified() && session.aal < AssuranceLevel::Aal2 {
        return Err(FactorRefusal::RemovalNeedsFactor.into());
    }
    let removed = remove(state, &mut transaction, &account, factor).await?;
    state.commit(transaction).await?;
    state.revocations.tell(user);
    Ok(removed)
}

/// Removes a factor of a user, whoever asks. To be called with the user's row locked.
///
/// Sessions lose every proof of the factor's type, also where the user has another factor of it: which of them was given
/// is not recorded. With the last factor go the recovery codes, and the proofs by them.
pub(crate) async fn remove(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    factor: Uuid,
) -> Result<Factor, AuthError> {
    let user = account.id;
    let found = factors::by_id(connection, user, factor).await?.ok_or(FactorRefusal::FactorNotFound)?;
    factors::remove(connection, user, factor).await?;
    if !found.is_verified() {
        return Ok(found);
    }
    let mut withdrawn = vec![found.factor_type.method()];
    if !factors::has_verified(connection, user).await? {
        withdrawn.push(Method::RecoveryCode);
        recovery_codes::remove_all(connection, user).await?;
    }
    sessions::withdraw_proofs(connection, user, &withdrawn, state.now()).await?;
    outbox::inform(state, connection, account, &Notice::FactorUnenrolled(found.factor_type)).await?;
    Ok(found)
}
