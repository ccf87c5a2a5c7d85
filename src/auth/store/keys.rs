//! API keys: `goforward.auth_api_keys`.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::users::{account_columns, role_column};
use crate::auth::model::{HeldKey, KeyRecord};
use crate::auth::token::api_key::KeyKind;
use crate::kernel::identity::Scopes;

/// The columns of a key of `k`.
macro_rules! key_columns {
    () => {
        "k.id as key_id, k.kind as key_kind, k.user_id as key_user_id, k.session_id as key_session_id,
        k.name as key_name, k.prefix as key_prefix, k.scopes as key_scopes, k.ip_allowlist as key_ip_allowlist,
        k.expires_at as key_expires_at, k.created_at as key_created_at, k.last_used_at as key_last_used_at,
        k.rotated_from as key_rotated_from, k.overlap_until as key_overlap_until"
    };
}

/// A new key.
#[derive(Clone, Debug)]
pub(crate) struct NewKey<'a> {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whom it speaks for.
    pub(crate) kind: KeyKind,
    /// Whose it is.
    pub(crate) user_id: Option<Uuid>,
    /// The session that it ends with.
    pub(crate) session_id: Option<Uuid>,
    /// What its owner calls it.
    pub(crate) name: &'a str,
    /// The beginning of the key, for people.
    pub(crate) prefix: &'a str,
    /// What it is found by.
    pub(crate) digest: &'a [u8],
    /// What it is for.
    pub(crate) scopes: Option<&'a Scopes>,
    /// Where it may be used.
    pub(crate) ip_allowlist: &'a [IpNet],
    /// When it ends.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The key that it replaces.
    pub(crate) rotated_from: Option<Uuid>,
    /// When it is made.
    pub(crate) now: DateTime<Utc>,
}

/// Keeps a new key. One that is there already is a unique violation.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    new: &NewKey<'_>,
) -> Result<KeyRecord, sqlx::Error> {
    sqlx::query_as(concat!(
        "insert into goforward.auth_api_keys as k (id, kind, user_id, session_id, name, prefix, digest, scopes,
            ip_allowlist, expires_at, rotated_from, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9::inet[]::cidr[], $10, $11, $12)
         returning ",
        key_columns!()
    ))
    .bind(new.id)
    .bind(new.kind.as_str())
    .bind(new.user_id)
    .bind(new.session_id)
    .bind(new.name)
    .bind(new.prefix)
    .bind(new.digest)
    .bind(new.scopes.map(Json))
    .bind(new.ip_allowlist)
    .bind(new.expires_at)
    .bind(new.rotated_from)
    .bind(new.now)
    .fetch_one(connection)
    .await
}

/// Whether a key is there already under one of these digests.
pub(crate) async fn is_kept(connection: &mut PgConnection, digests: &[Vec<u8>]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from goforward.auth_api_keys where digest = any ($1))")
        .bind(digests)
        .fetch_one(connection)
        .await
}

/// Gives a key another digest, unless somebody else has.
pub(crate) async fn set_digest(
    connection: &mut PgConnection,
    id: Uuid,
    from: &[u8],
    to: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query("update goforward.auth_api_keys set digest = $3 where id = $1 and digest = $2")
        .bind(id)
        .bind(from)
        .bind(to)
        .execute(connection)
        .await
        .map(drop)
}

/// How many keys a user has, of a session or of none: those that nothing has replaced, and all.
pub(crate) async fn count(
    connection: &mut PgConnection,
    user: Uuid,
    session: Option<Uuid>,
) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "select count(*) filter (where overlap_until is null), count(*) from goforward.auth_api_keys
         where user_id = $1 and session_id is not distinct from $2",
    )
    .bind(user)
    .bind(session)
    .fetch_one(connection)
    .await
}

/// The keys of a user, or those of services; the newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    user: Option<Uuid>,
) -> Result<Vec<KeyRecord>, sqlx::Error> {
    sqlx::query_as(concat!(
        "select ",
        key_columns!(),
        " from goforward.auth_api_keys as k
         where k.revoked_at is null and (k.user_id = $1 or ($1 is null and k.user_id is null))
         order by k.created_at desc, k.id limit 1000"
    ))
    .bind(user)
    .fetch_all(connection)
    .await
}

/// Removes a key, of this user where one is named; whether there was one.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    id: Uuid,
    user: Option<Uuid>,
) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from goforward.auth_api_keys where id = $1 and ($2::uuid is null or user_id = $2)")
        .bind(id)
        .bind(user)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// A key, of this user where one is named, and nobody changes it until the transaction ends.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    id: Uuid,
    user: Option<Uuid>,
) -> Result<Option<KeyRecord>, sqlx::Error> {
    sqlx::query_as(concat!(
        "select ",
        key_columns!(),
        " from goforward.auth_api_keys as k
         where k.id = $1 and ($2::uuid is null or k.user_id = $2) and k.revoked_at is null for update of k"
    ))
    .bind(id)
    .bind(user)
    .fetch_optional(connection)
    .await
}

/// Lets a key that is replaced work until then.
pub(crate) async fn end_at(
    connection: &mut PgConnection,
    id: Uuid,
    overlap_until: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("update goforward.auth_api_keys set overlap_until = $2 where id = $1")
        .bind(id)
        .bind(overlap_until)
        .execute(connection)
        .await
        .map(drop)
}

/// The keys in force among these digests, each asked about for an address, in one statement. It also notes the use, at
/// most once a minute, and waits for nobody who is just doing so. A session's key of a user with a second factor is in
/// force once the session has given it.
pub(crate) async fn look_up(
    connection: &mut PgConnection,
    (digests, addresses): (&[Vec<u8>], &[IpAddr]),
    now: DateTime<Utc>,
) -> Result<Vec<HeldKey>, sqlx::Error> {
    sqlx::query_as(concat!(
        "with found as (
            select asked.place, k.id
            from unnest($1::bytea[], $2::inet[]) with ordinality as asked (digest, address, place)
            join goforward.auth_api_keys as k on k.digest = asked.digest
            left join auth.users as u on u.id = k.user_id
            left join auth.sessions as s on s.id = k.session_id
            where k.revoked_at is null and coalesce(k.expires_at > $3, true) and coalesce(k.overlap_until > $3, true)
                and (cardinality(k.ip_allowlist) = 0 or asked.address <<= any (k.ip_allowlist::inet[]))
                and (k.user_id is null or (u.deleted_at is null and coalesce(u.banned_until <= $3, true)))
                and (k.session_id is null or (
                    coalesce(s.not_after > $3, true) and (s.aal >= 'aal2' or not exists (
                        select from auth.mfa_factors as f where f.user_id = k.user_id and f.status = 'verified'))))
        ), used as (
            update goforward.auth_api_keys set last_used_at = $3 where id in (
                select k.id from found join goforward.auth_api_keys as k on k.id = found.id
                where coalesce(k.last_used_at <= $3 - interval '1 minute', true) for update of k skip locked)
        )
        select found.place, k.digest, ",
        role_column!(),
        ", ",
        key_columns!(),
        ", ",
        account_columns!(),
        " from found join goforward.auth_api_keys as k on k.id = found.id
         left join auth.users as u on u.id = k.user_id
         left join goforward.auth_usernames as n on n.user_id = u.id"
    ))
    .bind(digests)
    .bind(addresses)
    .bind(now)
    .fetch_all(connection)
    .await
}
