//! Removes what has ended, in batches that no lock outlives.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// Rows of one statement.
const BATCH: i64 = 1000;

/// What is to be removed, with the time before which it has ended as `$1` and the size of a batch as `$2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Sessions whose last day was before.
    Sessions,
    /// Sessions that were not used since.
    IdleSessions,
    /// One-time tokens made before.
    OneTimeTokens,
    /// Flows that began before.
    Flows,
    /// Users without any identifier who have not signed in since.
    AnonymousUsers,
    /// Factors that were never verified, made before.
    UnverifiedFactors,
    /// Challenges of factors made before.
    Challenges,
    /// Counts of failures whose window began before, and locks that have ended.
    Lockouts,
    /// Devices not seen since.
    Devices,
    /// API keys that ran out or were replaced before.
    ApiKeys,
    /// Security events that happened before.
    SecurityEvents,
}

impl Ended {
    pub(crate) const ALL: [Self; 11] = [
        Self::Sessions,
        Self::IdleSessions,
        Self::OneTimeTokens,
        Self::Flows,
        Self::AnonymousUsers,
        Self::UnverifiedFactors,
        Self::Challenges,
        Self::Lockouts,
        Self::Devices,
        Self::ApiKeys,
        Self::SecurityEvents,
    ];

    fn statement(self) -> &'static str {
        match self {
            Self::Sessions => {
                "delete from auth.sessions where id in (
                    select id from auth.sessions where not_after < $1 limit $2 for update skip locked)"
            }
            Self::IdleSessions => {
                "delete from auth.sessions where id in (
                    select id from auth.sessions
                    where coalesce(refreshed_at at time zone 'UTC', created_at) < $1 limit $2 for update skip locked)"
            }
            Self::OneTimeTokens => {
                "delete from auth.one_time_tokens where id in (
                    select id from auth.one_time_tokens where created_at < $1 at time zone 'UTC' limit $2
                    for update skip locked)"
            }
            Self::Flows => {
                "delete from auth.flow_state where id in (
                    select id from auth.flow_state where coalesce(auth_code_issued_at, created_at) < $1 limit $2
                    for update skip locked)"
            }
            Self::AnonymousUsers => {
                "delete from auth.users where id in (
                    select id from auth.users where is_anonymous and coalesce(last_sign_in_at, created_at) < $1
                        and not exists (
                            select from auth.sessions as held
                            where held.user_id = users.id and coalesce(held.refreshed_at at time zone 'UTC', $1) > $1)
                    limit $2 for update skip locked)"
            }
            Self::UnverifiedFactors => {
                "delete from auth.mfa_factors where id in (
                    select id from auth.mfa_factors where status = 'unverified' and created_at < $1 limit $2
                    for update skip locked)"
            }
            Self::Challenges => {
                "delete from auth.mfa_challenges where id in (
                    select id from auth.mfa_challenges where created_at < $1 limit $2 for update skip locked)"
            }
            Self::Lockouts => {
                "delete from goforward.auth_lockouts where (kind, digest) in (
                    select kind, digest from goforward.auth_lockouts
                    where window_started_at < $1 and coalesce(locked_until < $1, true) limit $2
                    for update skip locked)"
            }
            Self::ApiKeys => {
                "delete from goforward.auth_api_keys where id in (
                    select id from goforward.auth_api_keys where least(expires_at, overlap_until, revoked_at) < $1
                    limit $2 for update skip locked)"
            }
            Self::SecurityEvents => {
                "delete from goforward.security_events where id in (
                    select id from goforward.security_events where occurred_at < $1 limit $2 for update skip locked)"
            }
            Self::Devices => {
                "delete from goforward.auth_known_devices where (user_id, digest) in (
                    select user_id, digest from goforward.auth_known_devices where last_seen_at < $1 limit $2
                    for update skip locked)"
            }
        }
    }
}

/// Removes one batch; whether there may be more.
pub(crate) async fn remove_batch(
    pool: &PgPool,
    ended: Ended,
    before: DateTime<Utc>,
) -> Result<(u64, bool), sqlx::Error> {
    match sqlx::query(ended.statement()).bind(before).bind(BATCH).execute(pool).await {
        Ok(done) => Ok((done.rows_affected(), done.rows_affected() == BATCH.unsigned_abs())),
        Err(error) if ended == Ended::AnonymousUsers && is_held(&error) => {
            Ok((remove_anonymous_one_by_one(pool, before).await?, false))
        }
        Err(error) => Err(error),
    }
}

/// Tables of the application may hold on to users (foreign keys without a cascade): those stay.
async fn remove_anonymous_one_by_one(pool: &PgPool, before: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let candidates: Vec<Uuid> = sqlx::query_scalar(
        "select id from auth.users where is_anonymous and coalesce(last_sign_in_at, created_at) < $1
         order by created_at limit $2",
    )
    .bind(before)
    .bind(BATCH)
    .fetch_all(pool)
    .await?;
    let mut removed = 0;
    for id in candidates {
        let done = sqlx::query(
            "delete from auth.users as gone where id = $1 and is_anonymous
                and not exists (
                    select from auth.sessions as held
                    where held.user_id = gone.id and coalesce(held.refreshed_at at time zone 'UTC', $2) > $2)",
        )
        .bind(id)
        .bind(before)
        .execute(pool)
        .await;
        match done {
            Ok(done) => removed += done.rows_affected(),
            Err(error) if is_held(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn is_held(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}
