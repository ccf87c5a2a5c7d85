//! Which blobs there are or may be: announced before the first byte, swept when nobody wants them.

use std::time::Duration;

use sqlx::PgPool;
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

/// One statement, and no transaction while the backend removes them. Whose writer has said nothing is dead from here on, so that
/// it cannot be told that its bytes are stored. Parts of uploads are wanted as long as their row is there.
const CLAIM: &str = "
update goforward.storage_blobs as blob
set state = 'dead', claimed_until = now() + make_interval(secs => $4)
from (
    select version from goforward.storage_blobs
    where (state = 'dead' or (state = 'writing' and touched_at < now() - make_interval(secs => $1)))
        and (claimed_until is null or claimed_until < now()) and version <> all ($2)
    order by touched_at
    limit $3
    for update skip locked
) as unwanted
where blob.version = unwanted.version
returning blob.version";

/// Blobs that nobody wants, at most so many: dead ones, and those whose writer has said nothing for `grace`. Those of `but` are
/// left out. They are the caller's to remove for `lease`; afterwards others may, which harms nobody.
pub(in crate::storage) async fn claim_unwanted(
    pool: &PgPool,
    (grace, but): (Duration, &[Uuid]),
    (most, lease): (i64, Duration),
) -> Result<Vec<Uuid>, sqlx::Error> {
    let found: Vec<String> = sqlx::query_scalar(CLAIM)
        .bind(grace.as_secs_f64())
        .bind(texts(but))
        .bind(most)
        .bind(lease.as_secs_f64())
        .fetch_all(pool)
        .await?;
    Ok(found.iter().filter_map(|version| Uuid::try_parse(version).ok()).collect())
}

/// Forgets claimed blobs whose bytes are gone, and leaves those that stay to whoever tries next.
pub(in crate::storage) async fn swept(
    pool: &PgPool,
    gone: &[Uuid],
    stay: &[Uuid],
) -> Result<(), sqlx::Error> {
    let sql = "
        with gone as (delete from goforward.storage_blobs where version = any ($1) and state = 'dead')
        update goforward.storage_blobs set claimed_until = null where version = any ($2)";
    sqlx::query(sql).bind(texts(gone)).bind(texts(stay)).execute(pool).await.map(drop)
}

fn texts(versions: &[Uuid]) -> Vec<String> {
    versions.iter().map(Uuid::to_string).collect()
}
