//! Codes for users who lost their second factor: `goforward.auth_recovery_codes`.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// Gives a user these codes in place of all that it had.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    user: Uuid,
    digests: &[[u8; 32]],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    remove_all(connection, user).await?;
    let digests: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
    sqlx::query(
        "insert into goforward.auth_recovery_codes (user_id, digest, created_at)
         select $1, digest, $3 from unnest($2::bytea[]) as made (digest)",
    )
    .bind(user)
    .bind(digests)
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Uses up a code, which is stored as one of these digests; `false` if the user has no such code left.
pub(crate) async fn take(
    connection: &mut PgConnection,
    user: Uuid,
    digests: &[[u8; 32]],
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let digests: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
    sqlx::query(
        "update goforward.auth_recovery_codes set used_at = $3
         where user_id = $1 and digest = any ($2) and used_at is null",
    )
    .bind(user)
    .bind(digests)
    .bind(now)
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Takes all codes of a user.
pub(crate) async fn remove_all(connection: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from goforward.auth_recovery_codes where user_id = $1")
        .bind(user)
        .execute(connection)
        .await
        .map(drop)
}
