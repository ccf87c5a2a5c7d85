//! One-time tokens: `auth.one_time_tokens`, and the wrong values tried for each, `goforward.auth_token_attempts`.
//!
//! A user has at most one token in each slot. A token is consumed by deleting it: who gets the row has had it first.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::token::one_time::{MAX_ATTEMPTS, Slot};

/// A stored token.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct StoredToken {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// The stored form.
    pub(crate) token_hash: String,
    /// The address or number that it went to.
    pub(crate) relates_to: String,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
}

/// Puts a token in its slot, in place of the one that may be there.
pub(crate) async fn put(
    connection: &mut PgConnection,
    token: &StoredToken,
    slot: Slot,
) -> Result<(), sqlx::Error> {
    // By delete and insert: wrong values were tried for the old token, not for this one.
    sqlx::query(
        "delete from auth.one_time_tokens where user_id = $1 and token_type = $2::auth.one_time_token_type",
    )
    .bind(token.user_id)
    .bind(slot.as_str())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at, updated_at)
         values ($1, $2, $3::auth.one_time_token_type, $4, $5, $6 at time zone 'UTC', $6 at time zone 'UTC')",
    )
    .bind(token.id)
    .bind(token.user_id)
    .bind(slot.as_str())
    .bind(&token.token_hash)
    .bind(&token.relates_to)
    .bind(token.created_at)
    .execute(connection)
    .await
    .map(drop)
}

/// Whose the token with one of these stored forms is.
pub(crate) async fn holder(
    connection: &mut PgConnection,
    stored: &[String],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar("select user_id from auth.one_time_tokens where token_hash = any ($1)")
        .bind(stored)
        .fetch_optional(connection)
        .await
}

/// Takes the token with one of these stored forms, if it was made after `oldest`.
pub(crate) async fn take(
    connection: &mut PgConnection,
    stored: &[String],
    oldest: DateTime<Utc>,
) -> Result<Option<StoredToken>, sqlx::Error> {
    sqlx::query_as(
        "delete from auth.one_time_tokens as token
         where token.token_hash = any ($1) and token.created_at > $2 at time zone 'UTC'
            and not exists (
                select from goforward.auth_token_attempts as tried
                where tried.token_id = token.id and tried.wrong_attempts >= $3)
         returning id, user_id, token_hash, relates_to, created_at at time zone 'UTC' as created_at",
    )
    .bind(stored)
    .bind(oldest)
    .bind(i32::try_from(MAX_ATTEMPTS).unwrap_or(i32::MAX))
    .fetch_optional(connection)
    .await
}

/// The tokens of a user in these slots that may still be tried; nobody else tries them until the transaction ends.
pub(crate) async fn lock_open(
    connection: &mut PgConnection,
    user: Uuid,
    slots: &[&str],
    oldest: DateTime<Utc>,
) -> Result<Vec<StoredToken>, sqlx::Error> {
    sqlx::query_as(
        "select id, user_id, token_hash, relates_to, created_at at time zone 'UTC' as created_at
         from auth.one_time_tokens as token
         where user_id = $1 and token_type::text = any ($2) and created_at > $3 at time zone 'UTC'
         for update",
    )
    .bind(user)
    .bind(slots)
    .bind(oldest)
    .fetch_all(connection)
    .await
}

/// Counts a value that is tried for these tokens; returns those that it may be compared with. To be called with the tokens
/// locked, and before the comparison.
pub(crate) async fn count_attempt(
    connection: &mut PgConnection,
    tokens: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "insert into goforward.auth_token_attempts as tried (token_id, wrong_attempts)
         select id, 1 from unnest($1::uuid[]) as asked (id)
         on conflict (token_id) do update set wrong_attempts = tried.wrong_attempts + 1
         where tried.wrong_attempts < $2
         returning token_id",
    )
    .bind(tokens)
    .bind(i32::try_from(MAX_ATTEMPTS).unwrap_or(i32::MAX))
    .fetch_all(connection)
    .await
}

/// Takes one token by id; `false` if somebody was faster.
pub(crate) async fn remove(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from auth.one_time_tokens where id = $1")
        .bind(id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// Takes all tokens of a user: one of them was used, or what they are about has changed.
pub(crate) async fn remove_all(connection: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.one_time_tokens where user_id = $1")
        .bind(user)
        .execute(connection)
        .await
        .map(drop)
}
