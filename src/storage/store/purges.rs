//! What caches in front of the server are told. Changes of objects are noted by triggers, in the transaction of the change.

use serde_json::json;
use sqlx::PgPool;

use crate::kernel::db::jobs::enqueue;
use crate::kernel::jobs::NewJob;

/// The kind of the jobs that tell.
pub(in crate::storage) const PURGE_JOB: &str = "storage.purge";

/// Says to all nodes whether there is anybody to tell; whether that is another answer than before.
pub async fn switch(pool: &PgPool, tells: bool) -> Result<bool, sqlx::Error> {
    let sql = "update goforward.storage_settings set tells_caches = $1 where tells_caches <> $1";
    sqlx::query(sql).bind(tells).execute(pool).await.map(|done| done.rows_affected() > 0)
}

/// Has caches forget an object, all of a bucket, or everything.
pub(in crate::storage) async fn ask(
    pool: &PgPool,
    bucket: Option<&str>,
    name: Option<&str>,
    now: i64,
) -> Result<(), sqlx::Error> {
    let names = name.map(|name| vec![name]);
    let job = NewJob::new(PURGE_JOB, json!({ "bucket": bucket, "names": names }));
    enqueue(&mut *pool.acquire().await?, &job, now).await.map(drop)
}
