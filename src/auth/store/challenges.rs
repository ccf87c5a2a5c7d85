//! Challenges of second factors: `auth.mfa_challenges`, and the answers tried to each,
//! `goforward.auth_challenge_attempts`. A challenge is answered by deleting it: who gets the row has had it first.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// Wrong answers to a challenge after which it counts no more.
const MAX_ATTEMPTS: i32 = 5;

/// A row of `auth.mfa_challenges`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Challenge {
    /// Its id.
    pub(crate) id: Uuid,
    /// The factor that is asked for.
    pub(crate) factor_id: Uuid,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// Who asked.
    pub(crate) ip_address: IpAddr,
    /// A digest of the code that was sent.
    pub(crate) otp_code: Option<String>,
    /// What a security key was asked to sign.
    pub(crate) web_authn_session_data: Option<Value>,
}

/// Adds a challenge, and takes those of the factor that are over.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    new: &Challenge,
    oldest: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.mfa_challenges where factor_id = $1 and created_at < $2")
        .bind(new.factor_id)
        .bind(oldest)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into auth.mfa_challenges (id, factor_id, created_at, ip_address, otp_code, web_authn_session_data)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.id)
    .bind(new.factor_id)
    .bind(new.created_at)
    .bind(new.ip_address)
    .bind(&new.otp_code)
    .bind(&new.web_authn_session_data)
    .execute(connection)
    .await
    .map(drop)
}

/// A challenge of a factor that waits for its answer. Rows of other systems that were answered stay, and count no more.
pub(crate) async fn by_id(
    connection: &mut PgConnection,
    factor: Uuid,
    id: Uuid,
) -> Result<Option<Challenge>, sqlx::Error> {
    sqlx::query_as(
        "select id, factor_id, created_at, ip_address, otp_code, web_authn_session_data from auth.mfa_challenges
         where id = $1 and factor_id = $2 and verified_at is null",
    )
    .bind(id)
    .bind(factor)
    .fetch_optional(connection)
    .await
}

/// Counts an answer before it is compared, so that however many come at once no more than the allowed ones are; `false` if
/// there were as many before.
pub(crate) async fn count_attempt(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "insert into goforward.auth_challenge_attempts as tried (challenge_id, attempts)
         select id, 1 from auth.mfa_challenges where id = $1
         on conflict (challenge_id) do update set attempts = tried.attempts + 1 where tried.attempts < $2",
    )
    .bind(id)
    .bind(MAX_ATTEMPTS)
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Answers a challenge; `false` if somebody was faster.
pub(crate) async fn take(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from auth.mfa_challenges where id = $1")
        .bind(id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}
