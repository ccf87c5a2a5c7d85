//! What an existing database brought along in the clear: values of `auth.refresh_tokens` and `auth.mfa_factors`.
//!
//! Rows are locked in the order of their ids. Whoever waited for a row that somebody else has converted meanwhile does not
//! get it, and gets a later one in its place: no row means that none is left.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// The tokens of a row.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct PlainToken {
    /// The row.
    pub(crate) id: i64,
    /// The token.
    pub(crate) token: Option<String>,
    /// The token that it replaced.
    pub(crate) parent: Option<String>,
}

/// Rows after `last` that hold a token in the clear.
pub(crate) async fn lock_plain_tokens(
    connection: &mut PgConnection,
    last: i64,
    most: i64,
) -> Result<Vec<PlainToken>, sqlx::Error> {
    sqlx::query_as(
        "select id, token, parent from auth.refresh_tokens
         where id > $1 and (token not like 'sha256:%' and token <> '' or parent not like 'sha256:%' and parent <> '')
         order by id limit $2 for update",
    )
    .bind(last)
    .bind(most)
    .fetch_all(connection)
    .await
}

/// Puts tokens in the place of those that are there.
pub(crate) async fn put_tokens(
    connection: &mut PgConnection,
    rows: &[PlainToken],
) -> Result<(), sqlx::Error> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let tokens: Vec<Option<&str>> = rows.iter().map(|row| row.token.as_deref()).collect();
    let parents: Vec<Option<&str>> = rows.iter().map(|row| row.parent.as_deref()).collect();
    sqlx::query(
        "update auth.refresh_tokens as held set token = put.token, parent = put.parent
         from unnest($1::bigint[], $2::text[], $3::text[]) as put (id, token, parent) where held.id = put.id",
    )
    .bind(ids)
    .bind(tokens)
    .bind(parents)
    .execute(connection)
    .await
    .map(drop)
}

/// Factors after `last` whose secret stands there in base 32. Those that another system encrypted are none of them.
pub(crate) async fn lock_plain_secrets(
    connection: &mut PgConnection,
    last: Uuid,
    most: i64,
) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
    sqlx::query_as(
        "select id, secret from auth.mfa_factors where id > $1 and secret ~* '^[a-z2-7]{16,}=*$'
         order by id limit $2 for update",
    )
    .bind(last)
    .bind(most)
    .fetch_all(connection)
    .await
}
