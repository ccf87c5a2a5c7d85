//! Which blobs there are or may be: announced before the first byte, swept when nobody wants them.

use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

/// Announces a blob that is going to be written.
pub(in crate::storage) async fn announce(pool: &PgPool, version: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("insert into goforward.storage_blobs (version) values ($1)")
        .bind(version.to_string())
        .execute(pool)
        .await
        .map(drop)
}

/// Says that a blob is still being written; whether anybody still waits for it.
pub(in crate::storage) async fn touch(pool: &PgPool, version: Uuid) -> Result<bool, sqlx::Error> {
    let sql =
        "update goforward.storage_blobs set touched_at = now() where version = $1 and state = 'writing'";
    sqlx::query(sql).bind(version.to_string()).execute(pool).await.map(|done| done.rows_affected() > 0)
}

/// Says that nobody wants a blob that was being written.
pub(in crate::storage) async fn give_up(pool: &PgPool, version: Uuid) -> Result<(), sqlx::Error> {
    let sql = "update goforward.storage_blobs set state = 'dead', touched_at = now() where version = $1 and state = 'writing'";
    sqlx::query(sql).bind(version.to_string()).execute(pool).await.map(drop)
}

/// Blobs that nobody wants, at most so many: dead ones, and those whose writer has said nothing for `grace`. Parts of uploads
/// are wanted as long as the row is there that names them. They are
/// forgotten with the transaction, which locks them meanwhile against their writer and other sweepers.
pub(in crate::storage) async fn take_unwanted(
    transaction: &mut Transaction<'_, Postgres>,
    grace: Duration,
    most: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let sql = "
        delete from goforward.storage_blobs where version in (
            select version from goforward.storage_blobs
            where state = 'dead' or (state = 'writing' and touched_at < now() - make_interval(secs => $1))
            order by touched_at
            limit $2
            for update skip locked)
        returning version";
    let found: Vec<String> =
        sqlx::query_scalar(sql).bind(grace.as_secs_f64()).bind(most).fetch_all(&mut **transaction).await?;
    Ok(found.iter().filter_map(|version| Uuid::try_parse(version).ok()).collect())
}
