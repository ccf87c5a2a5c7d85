//! Resumable uploads and their parts. Every change of one that is written to is its holder's: whoever has the lease.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::kernel::db::pool;
use crate::storage::model::begun_by::{Beginner, BegunBy};
use crate::storage::model::options::UploadOptions;

/// How long after its end an upload is still known to have been one.
const REMEMBERED: Duration = Duration::from_hours(24);

/// An upload that begins.
pub(in crate::storage) struct NewUpload<'a> {
    pub(in crate::storage) version: Uuid,
    pub(in crate::storage) bucket: &'a str,
    pub(in crate::storage) name: &'a str,
    pub(in crate::storage) owner: Option<&'a str>,
    pub(in crate::storage) begun_by: &'a BegunBy,
    pub(in crate::storage) is_signed: bool,
    pub(in crate::storage) upsert: bool,
    pub(in crate::storage) options: &'a UploadOptions,
    /// `Upload-Metadata` as it was sent.
    pub(in crate::storage) said: &'a str,
    /// None where it is said later.
    pub(in crate::storage) length: Option<u64>,
}

/// An upload as its row has it.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Upload {
    pub(in crate::storage) bucket: String,
    pub(in crate::storage) name: String,
    pub(in crate::storage) owner: Option<String>,
    pub(in crate::storage) begun_by: Option<String>,
    pub(in crate::storage) is_signed: bool,
    pub(in crate::storage) upsert: bool,
    pub(in crate::storage) options: UploadOptions,
    pub(in crate::storage) said: String,
    pub(in crate::storage) length: Option<u64>,
    pub(in crate::storage) received: u64,
    pub(in crate::storage) expires_at: DateTime<Utc>,
    pub(in crate::storage) phase: Phase,
}

impl Upload {
    /// Who may go on with it.
    pub(in crate::storage) fn beginner(&self) -> Beginner<'_> {
        Beginner { begun_by: self.begun_by.as_deref(), owner: self.owner.as_deref() }
    }
}

/// What can be done with an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(in crate::storage) enum Phase {
    /// It goes on.
    Open,
    /// Its object was made.
    Finished,
    /// Nothing any more.
    Expired,
}

/// Whoever writes to an upload, until the lease ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Hold {
    /// The upload.
    pub(in crate::storage) version: Uuid,
    /// Who has it.
    pub(in crate::storage) holder: Uuid,
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Standing {
    pub(in crate::storage) received: u64,
    pub(in crate::storage) length: Option<u64>,
}

/// Bytes of an upload that are a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Part {
    pub(in crate::storage) starts: u64,
    pub(in crate::storage) size: u64,
    pub(in crate::storage) blob: Uuid,
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Begins an upload; when it expires.
pub(in crate::storage) async fn create(
    pool: &PgPool,
    new: &NewUpload<'_>,
    lifetime: Duration,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let sql = "
        insert into goforward.tus_uploads (version, bucket_id, name, owner_id, is_signed, upsert, content_type,
            cache_control, user_metadata, said, length, begun_by, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now() + make_interval(secs => $13))
        returning expires_at";
    sqlx::query_scalar(sql)
        .bind(new.version)
        .bind(new.bucket)
        .bind(new.name)
        .bind(new.owner)
        .bind(new.is_signed)
        .bind(new.upsert)
        .bind(new.options.content_type.as_deref())
        .bind(new.options.cache_control.as_deref())
        .bind(new.options.user_metadata.as_ref().map(Json))
        .bind(new.said)
        .bind(new.length.map(signed))
        .bind(new.begun_by.as_str())
        .bind(lifetime.as_secs_f64())
        .fetch_one(pool)
        .await
}

#[derive(sqlx::FromRow)]
struct Row {
    bucket_id: String,
    name: String,
    owner_id: Option<String>,
    begun_by: Option<String>,
    is_signed: bool,
    upsert: bool,
    content_type: Option<String>,
    cache_control: Option<String>,
    user_metadata: Option<Json<Map<String, Value>>>,
    said: String,
    length: Option<i64>,
    received: i64,
    expires_at: DateTime<Utc>,
    phase: Phase,
}

/// An upload, whoever asks.
pub(in crate::storage) async fn find(pool: &PgPool, version: Uuid) -> Result<Option<Upload>, sqlx::Error> {
    let sql = "
        select bucket_id, name, owner_id, begun_by, is_signed, upsert, content_type, cache_control, user_metadata, said, length,
            received, expires_at, case when expires_at <= now() then 'expired' when finished_at is not null then 'finished'
                else 'open' end as phase
        from goforward.tus_uploads where version = $1";
    let row: Option<Row> = sqlx::query_as(sql).bind(version).fetch_optional(pool).await?;
    Ok(row.map(|row| Upload {
        bucket: row.bucket_id,
        name: row.name,
        owner: row.owner_id,
        begun_by: row.begun_by,
        is_signed: row.is_signed,
        upsert: row.upsert,
        options: UploadOptions {
            content_type: row.content_type,
            cache_control: row.cache_control,
            user_metadata: row.user_metadata.map(|json| json.0),
            robots: None,
            content_encoding: None,
        },
        said: row.said,
        length: row.length.map(unsigned),
        received: unsigned(row.received),
        expires_at: row.expires_at,
        phase: row.phase,
    }))
}

/// Takes the lease of an upload that goes on and that nobody holds. None if that is not so.
pub(in crate::storage) async fn hold(
    pool: &PgPool,
    hold: Hold,
    lease: Duration,
) -> Result<Option<Standing>, sqlx::Error> {
    let sql = "
        update goforward.tus_uploads
        set holder = $2, held_until = now() + make_interval(secs => $3), is_wanted = false
        where version = $1 and finished_at is null and expires_at > now() and (holder is null or held_until < now())
        returning received, length";
    let found: Option<(i64, Option<i64>)> = sqlx::query_as(sql)
        .bind(hold.version)
        .bind(hold.holder)
        .bind(lease.as_secs_f64())
        .fetch_optional(pool)
        .await?;
    Ok(found
        .map(|(received, length)| Standing { received: unsigned(received), length: length.map(unsigned) }))
}

/// Holds on; whether somebody else wants to. None if the upload is not this holder's any more.
pub(in crate::storage) async fn renew(
    pool: &PgPool,
    hold: Hold,
    lease: Duration,
) -> Result<Option<bool>, sqlx::Error> {
    let sql = "
        update goforward.tus_uploads set held_until = now() + make_interval(secs => $3)
        where version = $1 and holder = $2
        returning is_wanted";
    let query = sqlx::query_scalar(sql).bind(hold.version).bind(hold.holder).bind(lease.as_secs_f64());
    query.fetch_optional(pool).await
}

/// Tells the holder of an upload that somebody else wants to go on with it.
pub(in crate::storage) async fn want(pool: &PgPool, version: Uuid) -> Result<(), sqlx::Error> {
    let sql = "
        update goforward.tus_uploads set is_wanted = true
        where version = $1 and holder is not null and not is_wanted";
    sqlx::query(sql).bind(version).execute(pool).await.map(drop)
}

/// Lets go.
pub(in crate::storage) async fn release(pool: &PgPool, hold: Hold) -> Result<(), sqlx::Error> {
    let sql = "update goforward.tus_uploads set holder = null, held_until = null where version = $1 and holder = $2";
    sqlx::query(sql).bind(hold.version).bind(hold.holder).execute(pool).await.map(drop)
}

/// Says how long an upload is to be that did not say so.
pub(in crate::storage) async fn set_length(
    pool: &PgPool,
    hold: Hold,
    length: u64,
) -> Result<(), sqlx::Error> {
    let sql =
        "update goforward.tus_uploads set length = $3 where version = $1 and holder = $2 and length is null";
    sqlx::query(sql).bind(hold.version).bind(hold.holder).bind(signed(length)).execute(pool).await.map(drop)
}

/// Adds a part that was announced and is written, where the upload stands; whether it stood there. Of two that add at one
/// place, one wins.
pub(in crate::storage) async fn add_part(pool: &PgPool, hold: Hold, part: Part) -> Result<bool, sqlx::Error> {
    let sql = "
        with moved as (
            update goforward.tus_uploads set received = received + $4
            where version = $1 and holder = $2 and received = $3 and finished_at is null
            returning version, bucket_id, owner_id
        ), kept as (
            update goforward.storage_blobs set state = 'part', touched_at = now()
            where version = $5 and state = 'writing' and exists (select from moved)
            returning version
        )
        insert into goforward.tus_parts (upload, starts, size, blob, bucket_id, owner_id)
        select moved.version, $3, $4, kept.version, moved.bucket_id, moved.owner_id from moved, kept";
    let mut transaction = pool::begin(pool).await?;
    let done = sqlx::query(sql)
        .bind(hold.version)
        .bind(hold.holder)
        .bind(signed(part.starts))
        .bind(signed(part.size))
        .bind(part.blob.to_string())
        .execute(&mut *transaction)
        .await?;
    // Otherwise it is rolled back as it is dropped: without its blob, no part has moved anything.
    let is_added = done.rows_affected() > 0;
    if is_added {
        transaction.commit().await?;
    }
    Ok(is_added)
}

/// Parts of an upload in order, from `starts` on, at most so many.
pub(in crate::storage) async fn parts(
    pool: &PgPool,
    version: Uuid,
    starts: u64,
    most: i64,
) -> Result<Vec<Part>, sqlx::Error> {
    let sql = "
        select starts, size, blob::uuid from goforward.tus_parts where upload = $1 and starts >= $2
        order by starts limit $3";
    let rows: Vec<(i64, i64, Uuid)> =
        sqlx::query_as(sql).bind(version).bind(signed(starts)).bind(most).fetch_all(pool).await?;
    let part = |(starts, size, blob)| Part { starts: unsigned(starts), size: unsigned(size), blob };
    Ok(rows.into_iter().map(part).collect())
}

/// Finishes an upload of this size in the transaction that makes its object, which gives up its parts; `last` of its bytes are
/// in none. Whether it was this holder's.
pub(in crate::storage) async fn finish(
    transaction: &mut Transaction<'_, Postgres>,
    hold: Hold,
    size: u64,
    last: u64,
) -> Result<bool, sqlx::Error> {
    let sql = "
        update goforward.tus_uploads
        set received = $3, length = $3, finished_at = now(), holder = null, held_until = null
        where version = $1 and holder = $2 and finished_at is null and received = $3 - $4 and coalesce(length, $3) = $3";
    let done = sqlx::query(sql)
        .bind(hold.version)
        .bind(hold.holder)
        .bind(signed(size))
        .bind(signed(last))
        .execute(&mut **transaction)
        .await?;
    let sql = "delete from goforward.tus_parts where upload = $1";
    sqlx::query(sql).bind(hold.version).execute(&mut **transaction).await?;
    Ok(done.rows_affected() > 0)
}

/// Ends an upload as if it had never been; its parts are given up with it.
pub(in crate::storage) async fn remove(pool: &PgPool, hold: Hold) -> Result<bool, sqlx::Error> {
    let sql = "delete from goforward.tus_uploads where version = $1 and holder = $2 and finished_at is null";
    let done = sqlx::query(sql).bind(hold.version).bind(hold.holder).execute(pool).await?;
    Ok(done.rows_affected() > 0)
}

/// Gives up the parts of an upload that has expired and that nobody holds; whether there was one. One at a time, since each
/// takes the quotas of its bucket and owner, and whoever holds some must not wait for more.
pub(in crate::storage) async fn expire(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let sql = "
        delete from goforward.tus_parts as part using (
            select version from goforward.tus_uploads as ended
            where expires_at <= now() and (holder is null or held_until < now())
                and exists (select from goforward.tus_parts as left_part where left_part.upload = ended.version)
            order by expires_at limit 1
            for update skip locked
        ) as expired
        where part.upload = expired.version";
    sqlx::query(sql).execute(pool).await.map(|done| done.rows_affected() > 0)
}

/// Forgets uploads that expired long ago, at most so many; whether there may be more.
pub(in crate::storage) async fn forget(pool: &PgPool, most: i64) -> Result<bool, sqlx::Error> {
    let sql = "
        delete from goforward.tus_uploads where version in (
            select version from goforward.tus_uploads as ended
            where expires_at < now() - make_interval(secs => $2) and (holder is null or held_until < now())
                and not exists (select from goforward.tus_parts as left_part where left_part.upload = ended.version)
            order by expires_at limit $1
            for update skip locked)";
    let forgotten =
        sqlx::query(sql).bind(most).bind(REMEMBERED.as_secs_f64()).execute(pool).await?.rows_affected();
    Ok(forgotten >= most.unsigned_abs())
}
