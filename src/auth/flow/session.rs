//! Beginning a session, and the tokens of one.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::api_key;
use crate::auth::error::AuthError;
use crate::auth::model::{Account, Amr, AssuranceLevel, Chain, Factor, Identity, Method, NewTokens, Session};
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::{factors, identities, sessions, users};
use crate::kernel::secret::Secret;

/// Everything that the tokens of a session say, read in the transaction that decided about them. [`redeem`] signs it when
/// that is committed: a hook that takes its time must not hold locks.
#[derive(Debug)]
pub(crate) struct Grant {
    account: Account,
    session: Uuid,
    chain: Chain,
    proofs: Vec<Amr>,
    roles: Vec<String>,
    identities: Vec<Identity>,
    factors: Vec<Factor>,
    api_key: Option<Secret>,
    /// Whether other sessions of the user have ended for this one.
    ends_others: bool,
}

impl Grant {
    /// The session that the tokens are of.
    pub(crate) fn session(&self) -> Uuid {
        self.session
    }
}

/// Begins a session for a user who has just proved who they are.
pub(crate) async fn begin(
    state: &Parts,
    connection: &mut Connection,
    user: Uuid,
    method: Method,
    origin: &Origin,
) -> Result<Grant, AuthError> {
    let now = state.now();
    let (lifetime, _) = state.settings.session_limits();
    let new = sessions::NewSession {
        id: state.new_id(),
        user_id: user,
        user_agent: origin.user_agent.as_deref(),
        ip: origin.ip,
        chain: Chain::first(),
        not_after: lifetime.map(|lifetime| now + lifetime),
        aal: AssuranceLevel::Aal1,
        now,
    };
    sessions::insert(connection, &new).await?;
    sessions::add_proof(connection, new.id, (method, now)).await?;
    if state.settings.config.sessions.single_per_user {
        // So that of two sign-ins at once the later sees the session of the earlier.
        users::lock(connection, user).await?;
        sessions::remove_all(connection, user, Some(new.id)).await?;
    }
    users::signed_in(connection, user, now).await?;
    let api_key = api_key::of_session(state, connection, (user, new.id), origin).await?;
    let ends_others = state.settings.config.sessions.single_per_user;
    Ok(Grant { api_key, ends_others, ..grant(connection, user, (new.id, new.chain)).await? })
}

/// What the tokens of a session are to say now.
pub(crate) async fn grant(
    connection: &mut Connection,
    user: Uuid,
    (session, chain): (Uuid, Chain),
) -> Result<Grant, AuthError> {
    let account = users::by_id(connection, user).await?;
    Ok(Grant {
        account: account.ok_or_else(|| AuthError::Internal("the account is gone".to_owned()))?,
        session,
        chain,
        proofs: sessions::proofs(connection, session).await?,
        roles: users::app_roles(connection, user).await?,
        identities: identities::of_user(connection, user).await?,
        factors: factors::of_user(connection, user).await?,
        api_key: None,
        ends_others: false,
    })
}

/// Signs the tokens, once what was granted is committed.
pub(crate) async fn redeem(state: &Parts, grant: Grant) -> Result<NewTokens, AuthError> {
    if grant.ends_others {
        state.revocations.tell(grant.account.id);
    }
    let issued_at = state.clock.unix_seconds();
    let expires_in = state.settings.access_token_lifetime.num_seconds();
    let expires_at = issued_at + expires_in;
    let claims = claims(state, &grant, (issued_at, expires_at));
    let method = grant.proofs.first().map_or_else(String::new, |proof| proof.authentication_method.clone());
    let claims = state.hooks.access_token(grant.account.id.to_string(), claims, method).await?;
    let access_token =
        state.signer.load().sign(&claims).map_err(|error| AuthError::Internal(error.to_string()))?;
    let Grant { account, session, chain, identities, factors, api_key, .. } = grant;
    Ok(NewTokens {
        access_token: Secret::new(access_token),
        refresh_token: state.refresh.issue(session, chain.generation, chain.state.active),
        expires_in,
        expires_at,
        session_id: session,
        user_id: account.id,
        user: account.shown(&identities, &factors),
        provider_token: None,
        provider_refresh_token: None,
        api_key,
    })
}

/// The claims of an access token (contract section 3).
fn claims(state: &Parts, grant: &Grant, times: (i64, i64)) -> Map<String, Value> {
    let mut claims = account_claims(state, (&grant.account, &grant.roles), times);
    claims.insert("aal".to_owned(), AssuranceLevel::of(&grant.proofs).word().into());
    claims.insert("amr".to_owned(), grant.proofs.iter().map(Amr::shown).collect());
    claims.insert("session_id".to_owned(), json!(grant.session));
    claims
}

/// What every token says of its user, whatever it was issued for.
pub(crate) fn account_claims(
    state: &Parts,
    (account, roles): (&Account, &[String]),
    (issued_at, expires_at): (i64, i64),
) -> Map<String, Value> {
    let claims = json!({
        "iss": state.settings.issuer,
        "sub": account.id,
        "aud": state.settings.audience_of(&account.aud),
        "exp": expires_at,
        "iat": issued_at,
        "email": account.email.as_deref().unwrap_or_default(),
        "phone": account.phone.as_deref().unwrap_or_default(),
        "app_metadata": account.raw_app_meta_data,
        "user_metadata": account.raw_user_meta_data,
        "role": account.role,
        "is_anonymous": account.is_anonymous,
        "app_roles": roles,
    });
    match claims {
        Value::Object(claims) => claims,
        _ => Map::new(),
    }
}

/// Raises a session after a second factor, and ends what the user has below it.
pub(crate) async fn elevate(
    state: &Parts,
    connection: &mut Connection,
    session: &Session,
    method: Method,
    origin: &Origin,
) -> Result<Grant, AuthError> {
    let now = state.now();
    let chain = session.chain().unwrap_or_else(Chain::first);
    let chain = Chain { state: chain.state.elevated(now.timestamp()), ..chain };
    sessions::add_proof(connection, session.id, (method, now)).await?;
    let at = (now, origin.user_agent.as_deref(), origin.ip);
    sessions::advance(connection, session.id, chain, AssuranceLevel::Aal2, at).await?;
    sessions::remove_below(connection, session.user_id, AssuranceLevel::Aal2).await?;
    let api_key = api_key::of_session(state, connection, (session.user_id, session.id), origin).await?;
    let ends_others = true;
    Ok(Grant { api_key, ends_others, ..grant(connection, session.user_id, (session.id, chain)).await? })
}
