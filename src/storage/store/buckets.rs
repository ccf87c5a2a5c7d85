//! Buckets: made, changed and removed in a caller's name; looked up by the service where something is done in one.

use serde_json::Value;
use sqlx::PgPool;

use super::caller::{Acting, CallerStore, Kind};
use crate::kernel::sql::{Param, SqlBuf};
use crate::storage::error::StorageError;
use crate::storage::model::bucket::{Bucket, Field};

/// What a bucket is made with.
pub(in crate::storage) struct NewBucket<'a> {
    pub(in crate::storage) id: &'a str,
    pub(in crate::storage) name: &'a str,
    pub(in crate::storage) owner: Option<&'a str>,
    pub(in crate::storage) public: bool,
    pub(in crate::storage) file_size_limit: Option<i64>,
    pub(in crate::storage) allowed_mime_types: Option<&'a [String]>,
}

/// What is changed of one.
pub(in crate::storage) struct BucketChange<'a> {
    pub(in crate::storage) public: Option<bool>,
    pub(in crate::storage) file_size_limit: Field<i64>,
    pub(in crate::storage) allowed_mime_types: &'a Field<Vec<String>>,
}

/// In which order buckets are listed, and which.
pub(in crate::storage) struct BucketList<'a> {
    pub(in crate::storage) search: Option<&'a str>,
    pub(in crate::storage) column: BucketColumn,
    pub(in crate::storage) descending: bool,
    pub(in crate::storage) limit: i64,
    pub(in crate::storage) offset: i64,
}

/// What buckets can be ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::storage) enum BucketColumn {
    Id,
    #[default]
    Name,
    CreatedAt,
    UpdatedAt,
}

/// What clients are shown.
const SHOWN: &str = "bucket.id, bucket.name, coalesce(bucket.owner::text, bucket.owner_id, '') as owner, bucket.public, \
     bucket.file_size_limit, bucket.allowed_mime_types, bucket.created_at, bucket.updated_at";

const LOOKED_UP: &str = "select id, coalesce(public, false) as public, file_size_limit, allowed_mime_types \
     from storage.buckets where id = $1";

/// A bucket by its id, whoever asks.
pub(in crate::storage) async fn find(pool: &PgPool, id: &str) -> Result<Bucket, StorageError> {
    let found: Option<Bucket> = sqlx::query_as(LOOKED_UP).bind(id).fetch_optional(pool).await?;
    found.ok_or(StorageError::NoSuchBucket)
}

/// Makes one.
pub(in crate::storage) async fn create(
    store: &CallerStore,
    acting: &Acting,
    bucket: &NewBucket<'_>,
) -> Result<(), StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("with made as (insert into storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types) values (");
    sql.bind_text(bucket.id).lit(", ").bind_text(bucket.name).lit(", ");
    super::objects::bind_owner(&mut sql, bucket.owner);
    sql.lit(", ").bind(boolean(bucket.public)).lit(", ");
    sql.bind(number(bucket.file_size_limit)).lit("::bigint, ").bind(types(bucket.allowed_mime_types));
    sql.lit("::text[])) select 'true'::text");
    store.execute(acting, sql, Kind::Write).await.map(drop)
}

/// One, as clients are shown it.
pub(in crate::storage) async fn show(
    store: &CallerStore,
    acting: &Acting,
    id: &str,
) -> Result<Value, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("select row_to_json(shown)::text from (select ")
        .lit(SHOWN)
        .lit(" from storage.buckets as bucket where bucket.id = ");
    sql.bind_text(id).lit(") as shown");
    store.run(acting, sql, Kind::Read).await?.ok_or(StorageError::NoSuchBucket)
}

/// All that the caller sees, with their types where `typed`.
pub(in crate::storage) async fn list(
    store: &CallerStore,
    acting: &Acting,
    wanted: &BucketList<'_>,
    typed: bool,
) -> Result<Value, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("select coalesce(json_agg(shown), '[]')::text from (select ").lit(SHOWN);
    sql.lit(if typed { ", bucket.type" } else { "" }).lit(" from storage.buckets as bucket");
    if let Some(search) = wanted.search.filter(|search| !search.is_empty()) {
        sql.lit(" where position(lower(").bind_text(search).lit("::text) in lower(bucket.name)) > 0");
    }
    sql.lit(" order by ").lit(match wanted.column {
        BucketColumn::Id => "bucket.id collate \"C\"",
        BucketColumn::Name => "bucket.name collate \"C\"",
        BucketColumn::CreatedAt => "bucket.created_at",
        BucketColumn::UpdatedAt => "bucket.updated_at",
    });
    sql.lit(if wanted.descending { " desc" } else { "" }).lit(", bucket.id limit ");
    sql.number(wanted.limit).lit(" offset ").number(wanted.offset).lit(") as shown");
    store.run(acting, sql, Kind::Read).await?.ok_or(StorageError::Internal)
}

/// Changes one that the caller sees and may change.
pub(in crate::storage) async fn update(
    store: &CallerStore,
    acting: &Acting,
    id: &str,
    change: &BucketChange<'_>,
) -> Result<(), StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("with changed as (update storage.buckets as bucket set updated_at = now()");
    if let Some(public) = change.public {
        sql.lit(", public = ").bind(boolean(public));
    }
    if !change.file_size_limit.is_missing() {
        let limit = number(change.file_size_limit.value().copied());
        sql.lit(", file_size_limit = ").bind(limit).lit("::bigint");
    }
    if !change.allowed_mime_types.is_missing() {
        let allowed = types(change.allowed_mime_types.value().map(Vec::as_slice));
        sql.lit(", allowed_mime_types = ").bind(allowed).lit("::text[]");
    }
    sql.lit(" where bucket.id = ").bind_text(id).lit(" returning 1) select 'true'::text from changed");
    if store.execute(acting, sql, Kind::Write).await? { Ok(()) } else { Err(StorageError::NoSuchBucket) }
}

/// Removes an empty one that the caller sees and may remove.
pub(in crate::storage) async fn remove(
    store: &CallerStore,
    acting: &Acting,
    id: &str,
) -> Result<(), StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("with gone as (delete from storage.buckets where id = ").bind_text(id);
    sql.lit(" returning 1) select 'true'::text from gone");
    match store.execute(acting, sql, Kind::Write).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(StorageError::NoSuchBucket),
        Err(StorageError::Referenced(_)) => Err(StorageError::BucketNotEmpty),
        Err(error) => Err(error),
    }
}

fn boolean(value: bool) -> Param {
    Param::text(if value { "true" } else { "false" })
}

fn number(value: Option<i64>) -> Param {
    value.map_or_else(Param::null, |value| Param::text(value.to_string()))
}

/// An array as PostgreSQL reads it from text.
fn types(list: Option<&[String]>) -> Param {
    list.map_or_else(Param::null, |list| super::objects::text_array(list.iter().map(String::as_str)))
}
