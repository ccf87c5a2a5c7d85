//! What users chose: `goforward.auth_user_settings`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// What a user chose; empty for users without a row.
pub(crate) async fn of_user(connection: &mut PgConnection, user: Uuid) -> Result<Value, sqlx::Error> {
    sqlx::query_scalar(
        "select coalesce((select settings from goforward.auth_user_settings where user_id = $1), '{}')",
    )
    .bind(user)
    .fetch_one(connection)
    .await
}

/// Lays what is chosen now over what was, and forgets what is reset; gives all that is chosen then.
pub(crate) async fn change(
    connection: &mut PgConnection,
    user: Uuid,
    (chosen, reset): (&Value, &[String]),
    now: DateTime<Utc>,
) -> Result<Value, sqlx::Error> {
    sqlx::query_scalar(
        "insert into goforward.auth_user_settings as held (user_id, settings, created_at, updated_at)
         values ($1, $2, $4, $4)
         on conflict (user_id) do update
         set settings = (held.settings || excluded.settings) - $3::text[], updated_at = excluded.updated_at
         returning settings",
    )
    .bind(user)
    .bind(chosen)
    .bind(reset)
    .bind(now)
    .fetch_one(connection)
    .await
}
