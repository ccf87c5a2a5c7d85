//! Making, replacing, recognising and exchanging API keys.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::session::account_claims;
use crate::auth::error::AuthError;
use crate::auth::hook::HookError;
use crate::auth::model::{AccountWithRoles, HeldKey, KeyRecord};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::keys::NewKey;
use crate::auth::store::{broken_constraint, keys, users};
use crate::auth::token::api_key::{ApiKey, KeyKind};
use crate::kernel::identity::scope::{KEY_ID, SCOPES, Service, Verb};
use crate::kernel::identity::{Caller, IdentityError, NETWORKS, Scopes};
use crate::kernel::secret::Secret;

/// What the scopes of a service key must cover so that it may check keys and tokens of others.
const CHECKING: &str = "keys";
/// How somebody proves who they are by a key; the word of the claim `amr`.
const METHOD: &str = "api_key";
/// What a session's key is called that a client asked for as it signed in.
const BY_SIGN_IN: &str = "sign-in";

/// What a key is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Whom it speaks for.
    pub(crate) kind: KeyKind,
    /// Whose it is.
    pub(crate) user: Option<Uuid>,
    /// The session that it ends with.
    pub(crate) session: Option<Uuid>,
    /// What its owner calls it.
    pub(crate) name: String,
    /// What it is for; none for everything.
    pub(crate) scopes: Option<Scopes>,
    /// Where it may be used.
    pub(crate) ip_allowlist: Vec<IpNet>,
    /// When it ends.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The key that it replaces.
    pub(crate) rotated_from: Option<Uuid>,
}

/// Makes a key, or keeps one that another system has made.
pub(crate) async fn make(
    state: &Parts,
    connection: &mut Connection,
    wish: &Wish,
    imported: Option<ApiKey>,
) -> Result<(KeyRecord, ApiKey), AuthError> {
    if let Some(user) = wish.user {
        check_number(state, connection, user, wish).await?;
    }
    if let Some(imported) = &imported
        && keys::is_kept(connection, &state.api_keys.digests(imported)).await?
    {
        return Err(Refusal::KeyExists.into());
    }
    let key = imported.unwrap_or_else(|| ApiKey::mint(wish.kind, state.random.bytes()));
    let new = NewKey {
        id: state.new_id(),
        kind: wish.kind,
        user_id: wish.user,
        session_id: wish.session,
        name: &wish.name,
        prefix: key.visible_prefix(),
        digest: &state.api_keys.digest(&key),
        scopes: wish.scopes.as_ref(),
        ip_allowlist: &wish.ip_allowlist,
        expires_at: wish.expires_at,
        rotated_from: wish.rotated_from,
        now: state.now(),
    };
    let kept = keys::insert(connection, &new).await.map_err(|error| {
        let is_known = broken_constraint(&error) == Some("auth_api_keys_digest_key");
        if is_known { Refusal::KeyExists.into() } else { AuthError::from(error) }
    })?;
    Ok((kept, key))
}

/// Whether a user may have one more. Replaced keys count for the replacing of further ones alone.
async fn check_number(
    state: &Parts,
    connection: &mut Connection,
    user: Uuid,
    wish: &Wish,
) -> Result<(), AuthError> {
    let is_replacing = wish.rotated_from.is_some();
    if !is_replacing {
        // The row is the lock under which keys are counted. Whoever replaces one holds that one's instead.
        users::lock(connection, user).await?.ok_or(Refusal::UserNotFound)?;
    }
    let (current, all) = keys::count(connection, user, wish.session).await?;
    let most = i64::from(state.settings.config.api_keys.per_user);
    // A session may always have one: it is asked for as the session begins.
    let most = if wish.session.is_some() { most.max(1) } else { most };
    let is_full = if is_replacing { all >= 2 * most } else { current >= most };
    if is_full { Err(Refusal::TooManyKeys.into()) } else { Ok(()) }
}

/// A key that ends with a session which begins or rises, if its client wants one.
pub(crate) async fn of_session(
    state: &Parts,
    connection: &mut Connection,
    (user, session): (Uuid, Uuid),
    origin: &Origin,
) -> Result<Option<Secret>, AuthError> {
    if !origin.wants_api_key {
        return Ok(None);
    }
    let wish = Wish {
        kind: KeyKind::Session,
        user: Some(user),
        session: Some(session),
        name: BY_SIGN_IN.to_owned(),
        scopes: None,
        ip_allowlist: Vec::new(),
        expires_at: None,
        rotated_from: None,
    };
    let (_, key) = make(state, connection, &wish, None).await?;
    Ok(Some(Secret::new(key.expose())))
}

/// Replaces a key (of this user, where one is named) by one that may do the same for as long as it could. Both work for
/// the configured time.
pub(crate) async fn rotate(
    state: &Parts,
    connection: &mut Connection,
    id: Uuid,
    owner: Option<Uuid>,
) -> Result<(KeyRecord, ApiKey), AuthError> {
    let now = state.now();
    let old = keys::lock(connection, id, owner).await?.ok_or(Refusal::KeyNotFound)?;
    if old.overlap_until.is_some() {
        return Err(Refusal::KeyReplaced.into());
    }
    if old.expires_at.is_some_and(|end| end <= now) {
        return Err(Refusal::KeyNotFound.into());
    }
    if old.kind == KeyKind::Session {
        return Err(AuthError::Invalid("A session's key ends with it: sign in for another".to_owned()));
    }
    let wish = Wish {
        kind: old.kind,
        user: old.user_id,
        session: None,
        name: old.name,
        scopes: old.scopes.map(|scopes| scopes.0),
        ip_allowlist: old.ip_allowlist,
        expires_at: old.expires_at.map(|end| now + (end - old.created_at)),
        rotated_from: Some(old.id),
    };
    let overlap = state.settings.config.api_keys.rotation_overlap.get().as_secs();
    let overlap = chrono::Duration::seconds(i64::try_from(overlap).unwrap_or_default());
    keys::end_at(connection, old.id, now + overlap).await?;
    make(state, connection, &wish, None).await
}

/// The keys that are in force among these, each asked about for the address that it is used from.
pub(crate) async fn look_up(
    state: &Parts,
    asked: &[(&ApiKey, IpAddr)],
) -> Result<Vec<Option<HeldKey>>, AuthError> {
    // A key may be stored under the digest of an earlier root secret: it is asked for under each.
    let (mut places, mut digests, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (key, address)) in asked.iter().enumerate() {
        for digest in state.api_keys.digests(key) {
            places.push(place);
            digests.push(digest);
            addresses.push(address.to_canonical());
        }
    }
    let mut connection = state.connection().await?;
    let found = keys::look_up(&mut connection, (&digests, &addresses), state.now()).await?;
    let mut held: Vec<Option<HeldKey>> = asked.iter().map(|_| None).collect();
    for key in found {
        let place = usize::try_from(key.place - 1).ok().and_then(|number| places.get(number).copied());
        let Some((place, (presented, _))) = place.and_then(|place| Some((place, asked.get(place)?))) else {
            continue;
        };
        // An index has compared them, which need not take as long for every pair.
        if !state.api_keys.matches(presented, &key.digest) {
            continue;
        }
        if state.api_keys.is_outdated(presented, &key.digest) {
            let digest = state.api_keys.digest(presented);
            keys::set_digest(&mut connection, key.record.id, &key.digest, &digest).await?;
        }
        held[place] = Some(key);
    }
    Ok(held)
}

/// Whether a key lets its holder check keys and tokens of others.
pub(crate) fn may_check(key: &HeldKey) -> bool {
    let scopes = key.record.scopes.as_ref();
    key.record.kind == KeyKind::Service
        && scopes.is_none_or(|scopes| scopes.0.allows(Service::Auth, CHECKING, Verb::Execute))
}

/// What a key is exchanged for.
#[derive(Debug)]
pub(crate) struct KeyToken {
    access_token: String,
    issued_at: i64,
    expires_at: i64,
}

impl KeyToken {
    /// The body of the answer.
    pub(crate) fn shown(&self, key: &KeyRecord) -> Value {
        json!({
            "access_token": self.access_token, "token_type": "bearer",
            "expires_in": self.expires_at - self.issued_at, "expires_at": self.expires_at,
            "user_id": key.user_id, "scopes": key.scopes.as_ref().map(|scopes| &scopes.0),
        })
    }
}

/// A short access token for the user of a key, or for a service. It names no session, so that it opens nothing that needs
/// one, and names the key, whose end every service sees. Where the key is bound to networks, so is the token; to `backend`
/// too, which exchanges the key of somebody who has shown it from one of them.
pub(crate) async fn exchange(
    state: &Parts,
    HeldKey { record, holder, .. }: &HeldKey,
    backend: Option<IpAddr>,
) -> Result<KeyToken, AuthError> {
    let now = state.clock.unix_seconds();
    let lifetime = state.settings.config.api_keys.token_lifetime.get().as_secs();
    let expires_at = now + i64::try_from(lifetime).unwrap_or_default();
    let expires_at = record.ends_at().map_or(expires_at, |end| expires_at.min(end.timestamp()));
    let mut claims = match holder {
        Some(holder) => user_claims(state, record.id, holder, (now, expires_at)).await?,
        None => service_claims(state, (now, expires_at)),
    };
    // A hook says nothing about these.
    for name in ["session_id", SCOPES, NETWORKS] {
        claims.remove(name);
    }
    claims.insert(KEY_ID.to_owned(), json!(record.id));
    if let Some(scopes) = &record.scopes {
        claims.insert(SCOPES.to_owned(), json!(scopes.0));
    }
    if !record.ip_allowlist.is_empty() {
        let networks = record.ip_allowlist.iter().copied();
        let networks: Vec<IpNet> = networks.chain(backend.map(|ip| IpNet::from(ip.to_canonical()))).collect();
        claims.insert(NETWORKS.to_owned(), json!(networks));
    }
    let expires_at = claims.get("exp").and_then(Value::as_i64).unwrap_or(expires_at);
    let signed = state.signer.load().sign(&claims);
    let access_token = signed.map_err(|error| AuthError::Internal(error.to_string()))?;
    Ok(KeyToken { access_token, issued_at: now, expires_at })
}

async fn user_claims(
    state: &Parts,
    key: Uuid,
    holder: &AccountWithRoles,
    times: (i64, i64),
) -> Result<Map<String, Value>, AuthError> {
    let mut claims = account_claims(state, holder, times);
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    // Nobody has proved anything but to have the key.
    claim("aal", "aal1".into());
    claim("amr", json!([{"method": METHOD, "timestamp": times.0}]));
    // Hooks count on a session; they are told the key's id in its place.
    claim("session_id", json!(key));
    let user = holder.account.id.to_string();
    Ok(state.hooks.access_token(user, claims, METHOD.to_owned()).await?)
}

/// The claims of a service: nobody's but its role. Hooks are about users.
fn service_claims(state: &Parts, (issued_at, expires_at): (i64, i64)) -> Map<String, Value> {
    let claims = json!({
        "iss": state.settings.issuer, "aud": state.settings.audience, "role": state.settings.service_role,
        "iat": issued_at, "exp": expires_at,
    });
    claims.as_object().cloned().unwrap_or_default()
}

/// Whom a key speaks for that comes in place of a token: whoever its token would.
pub(crate) async fn caller(
    state: &Parts,
    key: &ApiKey,
    address: IpAddr,
) -> Result<Arc<Caller>, IdentityError> {
    let unavailable = |error: AuthError| {
        if let AuthError::Hook(HookError::Rejected { .. }) = error {
            return IdentityError::KeyNotAccepted;
        }
        tracing::warn!(%error, "an API key cannot be checked");
        IdentityError::KeysUnavailable
    };
    let held = look_up(state, &[(key, address)]).await.map_err(unavailable)?.pop().flatten();
    let held = held.ok_or(IdentityError::KeyNotAccepted)?;
    let token = exchange(state, &held, None).await.map_err(unavailable)?;
    let caller = state.identity.verify(&token.access_token)?;
    Ok(Arc::new(caller.known_by_key(key.expose())))
}
