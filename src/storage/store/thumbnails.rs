//! Pictures that were made ahead, each under the version of the bytes that it was made of.

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::kernel::db::jobs::enqueue;
use crate::kernel::db::pool;
use crate::kernel::jobs::NewJob;
use crate::storage::error::StorageError;
use crate::storage::model::object::Object;

/// The kind of the jobs that make them.
pub(in crate::storage) const THUMBNAILS_JOB: &str = "storage.thumbnails";
/// What could not be made by then is made for whoever asks for it.
const ATTEMPTS: u16 = 3;

/// Wants those of a version, in the transaction that lets it be seen.
pub(in crate::storage) async fn ask(
    connection: &mut PgConnection,
    version: Uuid,
    now: i64,
) -> Result<(), sqlx::Error> {
    let job = NewJob { max_attempts: ATTEMPTS, ..NewJob::new(THUMBNAILS_JOB, json!({ "version": version })) };
    enqueue(connection, &job, now).await.map(drop)
}

/// The object with a version.
pub(in crate::storage) async fn object(pool: &PgPool, version: Uuid) -> Result<Option<Object>, sqlx::Error> {
    let sql = "select row_to_json(object) from storage.objects as object where object.version = $1";
    let found: Option<sqlx::types::Json<Object>> =
        sqlx::query_scalar(sql).bind(version.to_string()).fetch_optional(pool).await?;
    Ok(found.map(|json| json.0))
}

/// A picture that was kept.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::storage) struct Thumbnail {
    pub(in crate::storage) blob: String,
    /// In bytes.
    pub(in crate::storage) size: i64,
    pub(in crate::storage) content_type: String,
}

/// The one of this name, if it was made.
pub(in crate::storage) async fn find(
    pool: &PgPool,
    source: &str,
    key: &str,
) -> Result<Option<Thumbnail>, sqlx::Error> {
    let sql =
        "select blob, size, content_type from goforward.storage_thumbnails where source = $1 and key = $2";
    sqlx::query_as(sql).bind(source).bind(key).fetch_optional(pool).await
}

/// Gives stored bytes their name. Not where somebody else did, or the source is gone: false.
pub(in crate::storage) async fn keep(
    pool: &PgPool,
    (source, key): (Uuid, &str),
    (blob, size): (Uuid, u64),
    content_type: &str,
) -> Result<bool, StorageError> {
    let mut transaction = pool::begin(pool).await?;
    let take = "update goforward.storage_blobs set state = 'part', touched_at = now()
        where version = $1 and state = 'writing'";
    if sqlx::query(take).bind(blob.to_string()).execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let add = "insert into goforward.storage_thumbnails (source, key, blob, size, content_type)
        select version, $2, $3, $4, $5 from goforward.storage_blobs where version = $1 and state = 'stored' for share
        on conflict do nothing";
    let added = sqlx::query(add)
        .bind(source.to_string())
        .bind(key)
        .bind(blob.to_string())
        .bind(i64::try_from(size).map_err(|_| StorageError::EntityTooLarge)?)
        .bind(content_type)
        .execute(&mut *transaction)
        .await?;
    if added.rows_affected() == 0 {
        // Rolled back as it is dropped: the blob is still only written.
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}
