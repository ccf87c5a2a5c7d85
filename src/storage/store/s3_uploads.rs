//! Uploads in parts (S3). Their rows are the service's own: who may write where they lead is asked of the policies on objects.
//! Only lists of uploads are in a caller's name.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::PgPool;
use sqlx::postgres::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use super::caller::{Acting, CallerStore, Kind};
use super::objects::{At, after};
use crate::kernel::sql::SqlBuf;
use crate::storage::blobs::Written;
use crate::storage::error::StorageError;
use crate::storage::model::begun_by::{Beginner, BegunBy};
use crate::storage::s3::S3Error;

/// An upload that is to be begun.
pub(in crate::storage) struct NewUpload<'a> {
    pub(in crate::storage) id: &'a str,
    pub(in crate::storage) at: At<'a>,
    pub(in crate::storage) version: Uuid,
    pub(in crate::storage) owner: Option<&'a str>,
    pub(in crate::storage) begun_by: &'a BegunBy,
    pub(in crate::storage) metadata: &'a Value,
    pub(in crate::storage) user_metadata: Option<&'a Map<String, Value>>,
}

/// An upload that goes on.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(in crate::storage) struct Upload {
    pub(in crate::storage) bucket_id: String,
    pub(in crate::storage) key: String,
    pub(in crate::storage) owner_id: Option<String>,
    pub(in crate::storage) begun_by: Option<String>,
    pub(in crate::storage) metadata: Option<Value>,
    pub(in crate::storage) user_metadata: Option<Json<Map<String, Value>>>,
}

impl Upload {
    /// Who may go on with it.
    pub(in crate::storage) fn beginner(&self) -> Beginner<'_> {
        Beginner { begun_by: self.begun_by.as_deref(), owner: self.owner_id.as_deref() }
    }
}

/// A part that is there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(in crate::storage) struct Part {
    /// 1 to 10,000.
    pub(in crate::storage) number: i32,
    /// In bytes.
    pub(in crate::storage) size: i64,
    /// The MD5 of its bytes, in hexadecimal.
    pub(in crate::storage) etag: String,
    /// Names its bytes.
    pub(in crate::storage) version: String,
    pub(in crate::storage) created_at: DateTime<Utc>,
}

/// An upload in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::storage) struct Listed {
    pub(in crate::storage) key: String,
    pub(in crate::storage) id: String,
    pub(in crate::storage) created_at: DateTime<Utc>,
}

/// Begins an upload.
pub(in crate::storage) async fn begin(pool: &PgPool, upload: &NewUpload<'_>) -> Result<(), StorageError> {
    let sql = "insert into storage.s3_multipart_uploads (id, bucket_id, key, version, owner_id, metadata, user_metadata, begun_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    sqlx::query(sql)
        .bind(upload.id)
        .bind(upload.at.bucket)
        .bind(upload.at.name)
        .bind(upload.version.to_string())
        .bind(upload.owner)
        .bind(upload.metadata)
        .bind(upload.user_metadata.map(Json))
        .bind(upload.begun_by.as_str())
        .execute(pool)
        .await?;
    Ok(())
}

/// An upload that goes on, and not longer than `lifetime`.
pub(in crate::storage) async fn find(
    pool: &PgPool,
    id: &str,
    lifetime: Duration,
) -> Result<Upload, StorageError> {
    let sql = "select bucket_id, key, owner_id, begun_by, metadata, user_metadata
        from storage.s3_multipart_uploads where id = $1 and created_at > now() - make_interval(secs => $2)";
    let found = sqlx::query_as(sql).bind(id).bind(lifetime.as_secs_f64()).fetch_optional(pool).await?;
    found.ok_or_else(|| S3Error::NoSuchUpload.into())
}

/// Gives stored bytes to an upload as one of its parts, in place of the one with the same number. With it the upload has at
/// most `limit` bytes.
pub(in crate::storage) async fn add_part(
    pool: &PgPool,
    (upload, number): (&str, u16),
    (version, written): (Uuid, &Written),
    limit: u64,
) -> Result<(), StorageError> {
    let size = i64::try_from(written.size).map_err(|_| StorageError::EntityTooLarge)?;
    let mut transaction = crate::kernel::db::pool::begin(pool).await?;
    // One part at a time, and none once it is complete or given up.
    let lock = "select in_progress_size, bucket_id, key, owner_id from storage.s3_multipart_uploads where id = $1 for update";
    let found: Option<(i64, String, String, Option<String>)> =
        sqlx::query_as(lock).bind(upload).fetch_optional(&mut *transaction).await?;
    let (so_far, bucket, key, owner) = found.ok_or(S3Error::NoSuchUpload)?;
    let replace = "with gone as (
            delete from storage.s3_multipart_uploads_parts where upload_id = $1 and part_number = $2 returning size)
        select coalesce(sum(size), 0)::bigint from gone";
    let replaced: i64 =
        sqlx::query_scalar(replace).bind(upload).bind(i32::from(number)).fetch_one(&mut *transaction).await?;
    let total = so_far.saturating_sub(replaced).saturating_add(size);
    if u64::try_from(total).is_ok_and(|total| total > limit) {
        return Err(StorageError::EntityTooLarge);
    }
    let take = "update goforward.storage_blobs set state = 'part', touched_at = now()
        where version = $1 and state = 'writing'";
    let taken = sqlx::query(take).bind(version.to_string()).execute(&mut *transaction).await?;
    if taken.rows_affected() == 0 {
        return Err(StorageError::GivenUp);
    }
    let add = "insert into storage.s3_multipart_uploads_parts
        (upload_id, size, part_number, bucket_id, key, etag, owner_id, version) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    sqlx::query(add)
        .bind(upload)
        .bind(size)
        .bind(i32::from(number))
        .bind(bucket)
        .bind(key)
        .bind(&written.md5)
        .bind(owner)
        .bind(version.to_string())
        .execute(&mut *transaction)
        .await?;
    let count = "update storage.s3_multipart_uploads set in_progress_size = $2 where id = $1";
    sqlx::query(count).bind(upload).bind(total).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Parts behind a number, at most so many, in ascending order.
pub(in crate::storage) async fn parts(
    pool: &PgPool,
    upload: &str,
    behind: u16,
    most: i64,
) -> Result<Vec<Part>, sqlx::Error> {
    let sql = "select part_number as number, size, etag, version, created_at from storage.s3_multipart_uploads_parts
        where upload_id = $1 and part_number > $2 order by part_number limit $3";
    sqlx::query_as(sql).bind(upload).bind(i32::from(behind)).bind(most).fetch_all(pool).await
}

/// Forgets an upload; its parts are unwanted with that. Whether there was one.
pub(in crate::storage) async fn remove(
    connection: impl PgExecutor<'_>,
    upload: &str,
) -> Result<bool, sqlx::Error> {
    let sql = "delete from storage.s3_multipart_uploads where id = $1";
    sqlx::query(sql).bind(upload).execute(connection).await.map(|done| done.rows_affected() > 0)
}

/// Forgets an upload that has taken longer than `lifetime`; whether there was one. One at a time, as its parts take the quotas
/// of a bucket and an owner.
pub(in crate::storage) async fn remove_expired(
    pool: &PgPool,
    lifetime: Duration,
) -> Result<bool, sqlx::Error> {
    let sql = "delete from storage.s3_multipart_uploads where id in (
        select id from storage.s3_multipart_uploads where created_at <= now() - make_interval(secs => $1)
        order by created_at limit 1 for update skip locked)";
    sqlx::query(sql).bind(lifetime.as_secs_f64()).execute(pool).await.map(|done| done.rows_affected() > 0)
}

/// Uploads that the caller sees, whose keys begin with the prefix, behind a key and an id of the same key.
pub(in crate::storage) async fn list(
    store: &CallerStore,
    acting: &Acting,
    at: At<'_>,
    (key, id): (&str, Option<&str>),
    most: i64,
) -> Result<Vec<Listed>, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("select coalesce(json_agg(found), '[]')::text from (select upload.key, upload.id, upload.created_at from storage.s3_multipart_uploads as upload where upload.bucket_id = ");
    sql.bind_text(at.bucket).lit(" and upload.key >= ").bind_text(at.name).lit("::text");
    if let Some(end) = after(at.name) {
        sql.lit(" and upload.key < ").bind_text(&end).lit("::text");
    }
    sql.lit(" and (upload.key > ").bind_text(key).lit("::text");
    if let Some(id) = id {
        sql.lit(" or (upload.key = ").bind_text(key).lit("::text and upload.id > ").bind_text(id);
        sql.lit("::text)");
    }
    sql.lit(") order by upload.key, upload.id limit ").number(most).lit(") as found");
    store.run(acting, sql, Kind::Read).await.map(Option::unwrap_or_default)
}
