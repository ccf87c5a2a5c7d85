//! Sessions and what they rest on: `auth.sessions`, `auth.mfa_amr_claims`, and refresh tokens of other systems.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::model::{Amr, AssuranceLevel, Chain, Method, Session};
use crate::kernel::identity::Caller;
use crate::kernel::identity::scope::KEY_ID;

/// A session by a condition on `s`.
macro_rules! session {
    ($condition:literal) => {
        concat!(
            "select s.id, s.user_id, coalesce(s.created_at, 'epoch') as created_at,
                s.refreshed_at at time zone 'UTC' as refreshed_at, coalesce(s.aal, 'aal1') as aal, s.not_after,
                s.user_agent, s.ip, s.refresh_token_hmac_key as chain_mark, s.refresh_token_counter,
                coalesce(s.tag = 'recovery', false) as is_recovery
            from auth.sessions as s where ",
            $condition
        )
    };
}

/// A new session.
#[derive(Clone, Debug)]
pub(crate) struct NewSession<'a> {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// The client's program.
    pub(crate) user_agent: Option<&'a str>,
    /// Where the client is.
    pub(crate) ip: IpAddr,
    /// Its refresh tokens.
    pub(crate) chain: Chain,
    /// When it begins.
    pub(crate) now: DateTime<Utc>,
    /// When it ends, whatever happens.
    pub(crate) not_after: Option<DateTime<Utc>>,
    /// How sure the server is of the user.
    pub(crate) aal: AssuranceLevel,
}

/// Begins a session, with the proof that it rests on.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    new: &NewSession<'_>,
    method: Method,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with begun as (
            insert into auth.sessions (id, user_id, created_at, updated_at, aal, not_after, user_agent, ip,
                refresh_token_hmac_key, refresh_token_counter)
            values ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9)
         )
         insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
         values (gen_random_uuid(), $1, $3, $3, $10)",
    )
    .bind(new.id)
    .bind(new.user_id)
    .bind(new.now)
    .bind(new.aal)
    .bind(new.not_after)
    .bind(new.user_agent)
    .bind(new.ip)
    .bind(new.chain.mark())
    .bind(new.chain.counter())
    .bind(method.word())
    .execute(connection)
    .await
    .map(drop)
}

/// A session.
pub(crate) async fn by_id(connection: &mut PgConnection, id: Uuid) -> Result<Option<Session>, sqlx::Error> {
    sqlx::query_as(session!("s.id = $1")).bind(id).fetch_optional(connection).await
}

/// Lets locks be waited for at most 5 seconds in this transaction.
pub(crate) async fn wait_briefly(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("set local lock_timeout = '5s'").execute(connection).await.map(drop)
}

/// The same, and nobody changes it until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Session>, sqlx::Error> {
    sqlx::query_as(session!("s.id = $1 for update of s")).bind(id).fetch_optional(connection).await
}

/// The sessions of a user, the latest used first.
pub(crate) async fn of_user(connection: &mut PgConnection, user: Uuid) -> Result<Vec<Session>, sqlx::Error> {
    sqlx::query_as(session!(
        "s.user_id = $1 and (s.not_after is null or s.not_after > now())
        order by s.refreshed_at desc nulls last, s.id limit 1000"
    ))
    .bind(user)
    .fetch_all(connection)
    .await
}

/// Moves a session on to another refresh token.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    session: Uuid,
    chain: Chain,
    aal: AssuranceLevel,
    (now, user_agent, ip): (DateTime<Utc>, Option<&str>, IpAddr),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.sessions set refresh_token_hmac_key = $2, refresh_token_counter = $3, aal = $4,
            refreshed_at = $5 at time zone 'UTC', updated_at = $5, user_agent = $6, ip = $7
         where id = $1",
    )
    .bind(session)
    .bind(chain.mark())
    .bind(chain.counter())
    .bind(aal)
    .bind(now)
    .bind(user_agent)
    .bind(ip)
    .execute(connection)
    .await
    .map(drop)
}

/// Remembers that a session began with a link to recover the account: its user need not know the password.
pub(crate) async fn mark_recovery(connection: &mut PgConnection, session: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.sessions set tag = 'recovery' where id = $1")
        .bind(session)
        .execute(connection)
        .await
        .map(drop)
}

/// Ends a session.
pub(crate) async fn remove(connection: &mut PgConnection, user: Uuid, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from auth.sessions where id = $1 and user_id = $2")
        .bind(id)
        .bind(user)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// Ends all sessions of a user, but for one where one is named.
pub(crate) async fn remove_all(
    connection: &mut PgConnection,
    user: Uuid,
    except: Option<Uuid>,
) -> Result<u64, sqlx::Error> {
    sqlx::query("delete from auth.sessions where user_id = $1 and id is distinct from $2")
        .bind(user)
        .bind(except)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}

/// Ends the sessions of a user that are less sure than this.
pub(crate) async fn remove_below(
    connection: &mut PgConnection,
    user: Uuid,
    level: AssuranceLevel,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.sessions where user_id = $1 and coalesce(aal, 'aal1') < $2")
        .bind(user)
        .bind(level)
        .execute(connection)
        .await
        .map(drop)
}

/// Takes proofs away from the sessions of a user; those that rest on no second factor any more fall back to `aal1`.
pub(crate) async fn withdraw_proofs(
    connection: &mut PgConnection,
    user: Uuid,
    methods: &[Method],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let words: Vec<&str> = methods.iter().map(|method| method.word()).collect();
    sqlx::query(
        "delete from auth.mfa_amr_claims as proof using auth.sessions as s
         where s.id = proof.session_id and s.user_id = $1 and proof.authentication_method = any ($2)",
    )
    .bind(user)
    .bind(words)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update auth.sessions as s set aal = 'aal1', updated_at = $2
         where s.user_id = $1 and s.aal > 'aal1' and not exists (
            select from auth.mfa_amr_claims as proof where proof.session_id = s.id
                and (proof.authentication_method = 'totp' or proof.authentication_method like 'mfa/%'))",
    )
    .bind(user)
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Puts a proof behind a session.
pub(crate) async fn add_proof(
    connection: &mut PgConnection,
    session: Uuid,
    (method, now): (Method, DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
         values (gen_random_uuid(), $1, $3, $3, $2)
         on conflict (session_id, authentication_method) do update set updated_at = $3",
    )
    .bind(session)
    .bind(method.word())
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// What a session rests on, the newest first.
pub(crate) async fn proofs(connection: &mut PgConnection, session: Uuid) -> Result<Vec<Amr>, sqlx::Error> {
    sqlx::query_as(
        "select authentication_method, updated_at from auth.mfa_amr_claims where session_id = $1
         order by updated_at desc, authentication_method",
    )
    .bind(session)
    .fetch_all(connection)
    .await
}

/// Where a refresh token of another system stands among those of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportedStanding {
    /// It is the one that counts.
    Active,
    /// The active one came from it.
    Parent,
    /// An older one.
    Older,
}

/// The session of a refresh token that another system issued. Rows stay when a session goes on with tokens of ours, so
/// that the theft of an old one still shows.
pub(crate) async fn imported_token(
    connection: &mut PgConnection,
    stored: &str,
) -> Result<Option<(Uuid, ImportedStanding)>, sqlx::Error> {
    let found: Option<(Uuid, bool, bool)> = sqlx::query_as(
        "select held.session_id, not coalesce(held.revoked, false),
            exists (
                select from auth.refresh_tokens as child
                where child.session_id = held.session_id and child.parent = held.token
                    and not coalesce(child.revoked, false))
         from auth.refresh_tokens as held
         where held.token = $1 and held.session_id is not null",
    )
    .bind(stored)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(session, is_active, is_parent)| {
        let standing = match (is_active, is_parent) {
            (true, _) => ImportedStanding::Active,
            (false, true) => ImportedStanding::Parent,
            (false, false) => ImportedStanding::Older,
        };
        (session, standing)
    }))
}

/// The newest session of a user but this one, if there is any: where a user may have one only.
pub(crate) async fn is_newest(connection: &mut PgConnection, session: &Session) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select not exists (select from auth.sessions where user_id = $1 and created_at > $2 and id <> $3)",
    )
    .bind(session.user_id)
    .bind(session.created_at)
    .bind(session.id)
    .fetch_one(connection)
    .await
}

/// What services ask about: whatever of a token's user, its session and the API key that it was exchanged for it names. The
/// key of a service has no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// The user.
    pub(crate) user: Option<Uuid>,
    /// The session.
    pub(crate) session: Option<Uuid>,
    /// The key.
    pub(crate) key: Option<Uuid>,
    /// Whether the token says `aal2`: an answer from before the second factor was given stands in no token's way that was
    /// issued for it.
    pub(crate) says_aal2: bool,
}

impl Question {
    /// What the token of a caller says that we can ask about. `issuer` tells tokens of ours that have no session from those
    /// of others.
    pub(crate) fn of(caller: &Caller, issuer: &str) -> Option<Self> {
        let id = |claim: &str| Uuid::parse_str(caller.claims.get(claim)?.as_str()?).ok();
        let user = match caller.subject.as_deref() {
            Some(subject) => Some(Uuid::parse_str(subject).ok()?),
            None => None,
        };
        let session = id("session_id");
        let is_ours = caller.claims.get("iss").and_then(serde_json::Value::as_str) == Some(issuer);
        let says_aal2 = caller.assurance_level() == Some("aal2");
        let key = id(KEY_ID).filter(|_| is_ours);
        let names_somebody = if user.is_some() { session.is_some() || is_ours } else { key.is_some() };
        names_somebody.then_some(Self { user, session, key, says_aal2 })
    }
}

/// What becomes of a question: whether all that it names goes on, and what stands behind it.
#[expect(clippy::struct_excessive_bools, reason = "each is a column of the answer")]
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Standing {
    /// The place of the question.
    pub(crate) place: i64,
    /// Whether session and key are there and have not run out; true for tokens without them.
    pub(crate) live: bool,
    /// Whether the account is banned.
    pub(crate) banned: bool,
    /// Whether an address or number of the user is confirmed; none without a user.
    pub(crate) verified: Option<bool>,
    /// Whether a second factor stands behind the session.
    pub(crate) second_factor: bool,
    /// Whether the user has a second factor that the session asks for and lacks.
    pub(crate) owes_factor: bool,
}

/// Answers many questions at once; users that are gone or deleted have no answer. `requires_factor`: whether sessions ask
/// for the second factor of users who have one.
pub(crate) async fn standings(
    connection: &mut PgConnection,
    questions: &[Question],
    (now, requires_factor): (DateTime<Utc>, bool),
) -> Result<Vec<Standing>, sqlx::Error> {
    let users: Vec<Option<Uuid>> = questions.iter().map(|asked| asked.user).collect();
    let sessions: Vec<Option<Uuid>> = questions.iter().map(|asked| asked.session).collect();
    let keys: Vec<Option<Uuid>> = questions.iter().map(|asked| asked.key).collect();
    sqlx::query_as(
        "select asked.place,
            (asked.session is null or s.id is not null) and (asked.key is null or k.id is not null) as live,
            coalesce(u.banned_until > $3, false) as banned,
            case when u.id is not null then coalesce(u.email_confirmed_at, u.phone_confirmed_at) is not null end
                as verified,
            coalesce(s.aal >= 'aal2', false) as second_factor,
            $5 and s.id is not null and coalesce(s.aal, 'aal1') < 'aal2' and exists (
                select from auth.mfa_factors as f where f.user_id = u.id and f.status = 'verified') as owes_factor
         from unnest($1::uuid[], $2::uuid[], $4::uuid[]) with ordinality
            as asked (holder, session, key, place)
         left join auth.users as u on u.id = asked.holder and u.deleted_at is null
         left join auth.sessions as s on s.id = asked.session and s.user_id = u.id
            and (s.not_after is null or s.not_after > $3)
         left join goforward.auth_api_keys as k on k.id = asked.key and k.user_id is not distinct from u.id
            and k.revoked_at is null and coalesce(k.expires_at > $3, true) and coalesce(k.overlap_until > $3, true)
            and (k.session_id is null or exists (select from auth.sessions as own
                where own.id = k.session_id and coalesce(own.not_after > $3, true)))
         where asked.holder is null or u.id is not null",
    )
    .bind(users)
    .bind(sessions)
    .bind(now)
    .bind(keys)
    .bind(requires_factor)
    .fetch_all(connection)
    .await
}
