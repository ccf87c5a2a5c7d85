//! What nobody can sign up with: `goforward.auth_blocklist`.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;

/// Whether a domain (or one above it), a name or a word in one of these texts is blocked; all of them normalised.
pub(crate) async fn blocks(
    connection: &mut PgConnection,
    domain: Option<&str>,
    username: Option<&str>,
    texts: &[String],
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
            select from goforward.auth_blocklist
            where (kind = 'email_domains' and ($1 = value or right($1, length(value) + 1) = '.' || value))
                or (kind = 'usernames' and $2 = value)
                or (kind = 'words' and exists (
                    select from unnest($3::text[]) as held (content)
                    where position(lower(value) in held.content) > 0)))",
    )
    .bind(domain)
    .bind(username)
    .bind(texts)
    .fetch_one(connection)
    .await
}

/// What is blocked of a kind, in the order of the texts.
pub(crate) async fn list(
    connection: &mut PgConnection,
    kind: &str,
) -> Result<Vec<(String, DateTime<Utc>)>, sqlx::Error> {
    sqlx::query_as("select value, created_at from goforward.auth_blocklist where kind = $1 order by value")
        .bind(kind)
        .fetch_all(connection)
        .await
}

/// Blocks something, if it is not blocked already.
pub(crate) async fn add(
    connection: &mut PgConnection,
    (kind, value): (&str, &str),
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into goforward.auth_blocklist (kind, value, created_at) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(kind)
    .bind(value)
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Blocks something no more; whether it was blocked.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    (kind, value): (&str, &str),
) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from goforward.auth_blocklist where kind = $1 and value = $2")
        .bind(kind)
        .bind(value)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}
