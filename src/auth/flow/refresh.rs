//! Refreshing a session (contract section 6): `token::rotation` decides, the session's row is the lock.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::auth::error::AuthError;
use crate::auth::event::{self, SecurityEvent};
use crate::auth::flow::session::{grant, redeem};
use crate::auth::model::{Chain, NewTokens, Session};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::sessions::ImportedStanding;
use crate::auth::store::{sessions, users};
use crate::auth::token::refresh::{Imported, Presented, Unverified};
use crate::auth::token::rotation::{Decision, IMPORTED_ACTIVE, IMPORTED_PARENT, Reuse, Rules, State, decide};

/// New tokens, and what became of the old one.
#[derive(Debug)]
pub(crate) struct Refreshed {
    /// The tokens.
    pub(crate) tokens: NewTokens,
    /// Why the active refresh token was given again; none where it is a new one.
    pub(crate) reuse: Option<Reuse>,
    /// The number of the refresh token in the answer.
    pub(crate) counter: u64,
}

/// Refreshes the session of a token. The end of a stolen session is committed although the answer is a refusal.
pub(crate) async fn refresh(state: &Parts, token: &str, origin: &Origin) -> Result<Refreshed, AuthError> {
    let presented =
        Presented::parse(token).map_err(|_| AuthError::Invalid("Refresh token is not valid".to_owned()))?;
    let mut transaction = state.begin().await?;
    sessions::wait_briefly(&mut transaction).await?;
    let (session, chain, counter) = match &presented {
        Presented::Current(token) => current(state, &mut transaction, token).await?,
        Presented::Imported(token) => imported(&mut transaction, token).await?,
    };
    let now = state.now();
    check_limits(state, &mut transaction, &session, now).await?;
    let account = users::by_id(&mut transaction, session.user_id).await?;
    let account = account.filter(|account| !account.is_deleted()).ok_or(Refusal::SessionGoneAtRefresh)?;
    if account.is_banned(now) {
        return Err(Refusal::UserBannedAtLogin.into());
    }
    let interval = state.settings.config.sessions.reuse_interval.get().as_secs();
    let rules = Rules { reuse_interval: i64::try_from(interval).unwrap_or(i64::MAX), revoke_on_theft: true };
    let decision =
        counter.map_or(Decision::Theft, |counter| decide(chain.state, counter, now.timestamp(), rules));
    let (chain, reuse) = match decision {
        Decision::Rotate(next) => {
            let chain = Chain { state: next, ..chain };
            let at = (now, origin.user_agent.as_deref(), origin.ip);
            sessions::advance(&mut transaction, session.id, chain, session.aal, at).await?;
            (chain, None)
        }
        Decision::ReturnActive(reuse) => {
            // A thief who keeps in step with the user shows here and nowhere else.
            let is_elsewhere = session.ip != Some(origin.ip) || session.user_agent != origin.user_agent;
            if reuse == Reuse::Parent && is_elsewhere {
                let event = SecurityEvent::RefreshTokenElsewhere { session: session.id };
                event::raise(&mut transaction, event, Some(session.user_id), origin).await?;
            }
            if session.chain().is_none() {
                // An imported session whose first token here is not its newest: from now on it has tokens of ours.
                let at = (now, origin.user_agent.as_deref(), origin.ip);
                sessions::advance(&mut transaction, session.id, chain, session.aal, at).await?;
            }
            (chain, Some(reuse))
        }
        Decision::Refuse => return Err(Refusal::RefreshTokenUsed.into()),
        Decision::Theft => {
            sessions::remove(&mut transaction, session.user_id, session.id).await?;
            let theft = SecurityEvent::RefreshTokenReused { session: session.id };
            event::raise(&mut transaction, theft, Some(session.user_id), origin).await?;
            transaction.commit().await?;
            state.revocations.tell(session.id);
            return Err(Refusal::RefreshTokenUsed.into());
        }
    };
    let grant = grant(&mut transaction, session.user_id, (session.id, chain)).await?;
    transaction.commit().await?;
    // Where this fails the client comes again with the old token, and gets the new one.
    let tokens = redeem(state, grant).await?;
    Ok(Refreshed { tokens, reuse, counter: chain.state.active })
}

/// The session of a token that we issued, locked, and the token's number.
async fn current(
    state: &Parts,
    connection: &mut Connection,
    token: &Unverified,
) -> Result<(Session, Chain, Option<u64>), AuthError> {
    let session = locked(connection, token.session()).await?;
    let Some(session) = session else { return Err(Refusal::RefreshTokenNotFound.into()) };
    let chain = session.chain().ok_or(Refusal::RefreshTokenNotFound)?;
    let counter = token.verify(&state.refresh, chain.generation).ok_or(Refusal::RefreshTokenNotFound)?;
    Ok((session, chain, Some(counter)))
}

/// The session of a token that another system issued. Its first use gives the session tokens of ours; the token then
/// counts as their ancestor, so that a second client that still has it is no thief.
async fn imported(
    connection: &mut Connection,
    token: &Imported,
) -> Result<(Session, Chain, Option<u64>), AuthError> {
    let found = sessions::imported_token(connection, &token.stored()).await?;
    let Some((session, standing)) = found else { return Err(Refusal::RefreshTokenNotFound.into()) };
    let session = locked(connection, session).await?.ok_or(Refusal::SessionGoneAtRefresh)?;
    let chain = session.chain().unwrap_or(Chain { state: State::imported(), ..Chain::first() });
    let counter = match standing {
        ImportedStanding::Active => Some(IMPORTED_ACTIVE),
        ImportedStanding::Parent => Some(IMPORTED_PARENT),
        ImportedStanding::Older => None,
    };
    Ok((session, chain, counter))
}

/// A session under its lock; one that others hold for too long is a conflict.
async fn locked(connection: &mut Connection, id: Uuid) -> Result<Option<Session>, AuthError> {
    sessions::lock(connection, id).await.map_err(|error| {
        let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        // lock_not_available
        if code.as_deref() == Some("55P03") { Refusal::Conflict.into() } else { error.into() }
    })
}

async fn check_limits(
    state: &Parts,
    connection: &mut Connection,
    session: &Session,
    now: DateTime<Utc>,
) -> Result<(), AuthError> {
    let (_, inactivity) = state.settings.session_limits();
    let ran_out = session.not_after.is_some_and(|end| end <= now)
        || inactivity.is_some_and(|limit| session.last_used_at() + limit <= now);
    let replaced =
        state.settings.config.sessions.single_per_user && !sessions::is_newest(connection, session).await?;
    if ran_out || replaced { Err(Refusal::SessionExpired.into()) } else { Ok(()) }
}
