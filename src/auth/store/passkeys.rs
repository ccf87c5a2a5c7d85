//! Passkeys and the ceremonies that make and use them: `auth.webauthn_credentials`, `auth.webauthn_challenges`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::model::Passkey;

/// Rows of ceremonies that are over, taken with each new one: so there are never many.
const TAKEN_AT_ONCE: i64 = 100;

/// Passkeys by a condition.
macro_rules! passkey {
    ($condition:literal) => {
        concat!(
            "select id, user_id, credential_id, public_key, aaguid, sign_count, transports, backup_eligible, backed_up,
                friendly_name, created_at, last_used_at
            from auth.webauthn_credentials where ",
            $condition
        )
    };
}

/// The passkeys of a user, the oldest first.
pub(crate) async fn of_user(connection: &mut PgConnection, user: Uuid) -> Result<Vec<Passkey>, sqlx::Error> {
    sqlx::query_as(passkey!("user_id = $1 order by created_at, id")).bind(user).fetch_all(connection).await
}

/// The passkey that an authenticator calls so.
pub(crate) async fn by_credential(
    connection: &mut PgConnection,
    credential: &[u8],
) -> Result<Option<Passkey>, sqlx::Error> {
    sqlx::query_as(passkey!("credential_id = $1")).bind(credential).fetch_optional(connection).await
}

/// Adds a passkey.
pub(crate) async fn insert(connection: &mut PgConnection, new: &Passkey) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.webauthn_credentials (id, user_id, credential_id, public_key, attestation_type, aaguid,
            sign_count, transports, backup_eligible, backed_up, friendly_name, created_at, updated_at)
         values ($1, $2, $3, $4, 'none', $5, $6, $7, $8, $9, $10, $11, $11)",
    )
    .bind(new.id)
    .bind(new.user_id)
    .bind(&new.credential_id)
    .bind(&new.public_key)
    .bind(new.aaguid)
    .bind(new.sign_count)
    .bind(&new.transports)
    .bind(new.backup_eligible)
    .bind(new.backed_up)
    .bind(&new.friendly_name)
    .bind(new.created_at)
    .execute(connection)
    .await
    .map(drop)
}

/// Notes a use, unless another has moved the counter as far meanwhile (threat D15).
pub(crate) async fn mark_used(
    connection: &mut PgConnection,
    id: Uuid,
    (sign_count, backed_up): (i64, bool),
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "update auth.webauthn_credentials
         set sign_count = $2, backed_up = $3, last_used_at = $4, updated_at = $4
         where id = $1 and (sign_count < $2 or sign_count = 0 and $2 = 0)",
    )
    .bind(id)
    .bind(sign_count)
    .bind(backed_up)
    .bind(now)
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Gives a passkey of a user another name.
pub(crate) async fn rename(
    connection: &mut PgConnection,
    (user, id): (Uuid, Uuid),
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<Passkey>, sqlx::Error> {
    sqlx::query_as(
        "update auth.webauthn_credentials set friendly_name = $3, updated_at = $4 where user_id = $1 and id = $2
         returning id, user_id, credential_id, public_key, aaguid, sign_count, transports, backup_eligible, backed_up,
            friendly_name, created_at, last_used_at",
    )
    .bind(user)
    .bind(id)
    .bind(name)
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// Takes a passkey of a user.
pub(crate) async fn remove(connection: &mut PgConnection, user: Uuid, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from auth.webauthn_credentials where user_id = $1 and id = $2")
        .bind(user)
        .bind(id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// A ceremony that waits for its answer.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Ceremony {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whose passkey is to be made; none where one is to be used.
    pub(crate) user_id: Option<Uuid>,
    /// `registration` or `authentication`.
    pub(crate) challenge_type: String,
    /// What was asked.
    pub(crate) session_data: Value,
    /// When it began.
    pub(crate) created_at: DateTime<Utc>,
    /// Until when it may be answered.
    pub(crate) expires_at: DateTime<Utc>,
}

/// Begins a ceremony, and takes some that are over.
pub(crate) async fn begin(connection: &mut PgConnection, new: &Ceremony) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from auth.webauthn_challenges where id in (
            select id from auth.webauthn_challenges where expires_at < $1 limit $2 for update skip locked)",
    )
    .bind(new.created_at)
    .bind(TAKEN_AT_ONCE)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into auth.webauthn_challenges (id, user_id, challenge_type, session_data, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.id)
    .bind(new.user_id)
    .bind(&new.challenge_type)
    .bind(&new.session_data)
    .bind(new.created_at)
    .bind(new.expires_at)
    .execute(connection)
    .await
    .map(drop)
}

/// Takes a ceremony of this kind and user, whatever its answer will be: who gets the row has had it first.
pub(crate) async fn take(
    connection: &mut PgConnection,
    id: Uuid,
    (kind, user): (&str, Option<Uuid>),
) -> Result<Option<Ceremony>, sqlx::Error> {
    sqlx::query_as(
        "delete from auth.webauthn_challenges
         where id = $1 and challenge_type = $2 and user_id is not distinct from $3
         returning id, user_id, challenge_type, session_data, created_at, expires_at",
    )
    .bind(id)
    .bind(kind)
    .bind(user)
    .fetch_optional(connection)
    .await
}
