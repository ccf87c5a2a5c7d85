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

/// Says that nobody wants a blob that was being written. It may have been forgotten meanwhile, and its bytes come after that.
const GIVE_UP: &str = "
insert into goforward.storage_blobs as blob (version, state) values ($1, 'dead')
on conflict (version) do update set state = 'dead', touched_at = now() where blob.state = 'writing'";

/// Gives up a blob that was announced.
pub(in crate::storage) async fn give_up(pool: &PgPool, version: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(GIVE_UP).bind(version.to_string()).execute(pool).await.map(drop)
}

/// Locked against their writer and other sweepers. Parts of uploads are wanted as long as their row is there.
const UNWANTED: &str = "
select version from goforward.storage_blobs
where (state = 'dead' or (state = 'writing' and touched_at < now() - make_interval(secs => $1))) and version <> all ($2)
order by touched_at
limit $3
for update skip locked";

/// Blobs that nobody wants, at most so many, for as long as the transaction: dead ones, and those whose writer has said nothing
/// for `grace`. Those of `but` are left out.
pub(in crate::storage) async fn take_unwanted(
    transaction: &mut Transaction<'_, Postgres>,
    (grace, but): (Duration, &[Uuid]),
    most: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let found: Vec<String> = sqlx::query_scalar(UNWANTED)
        .bind(grace.as_secs_f64())
        .bind(texts(but))
        .bind(most)
        .fetch_all(&mut **transaction)
        .await?;
    Ok(found.iter().filter_map(|version| Uuid::try_parse(version).ok()).collect())
}

/// Forgets blobs whose bytes are gone.
pub(in crate::storage) async fn forget(
    transaction: &mut Transaction<'_, Postgres>,
    versions: &[Uuid],
) -> Result<(), sqlx::Error> {
    let sql = "delete from goforward.storage_blobs where version = any ($1)";
    sqlx::query(sql).bind(texts(versions)).execute(&mut **transaction).await.map(drop)
}

fn texts(versions: &[Uuid]) -> Vec<String> {
    versions.iter().map(Uuid::to_string).collect()
}
