//! How much may lie in a bucket or be one owner's. Counting is the database's (trigger `storage_counted`): exact, with the
//! object's own transaction.

use sqlx::PgPool;
use uuid::Uuid;

use crate::storage::error::StorageError;

use crate::kernel::db::pool;

/// What a quota is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum QuotaOf {
    /// All objects of a bucket.
    Bucket,
    /// All objects of an owner.
    Owner,
}

impl QuotaOf {
    fn name(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Owner => "owner",
        }
    }
}

/// What there is now is counted while nobody writes: one lock, one look, and whoever waited is counted by the trigger.
const SET_OF_BUCKET: &str = "
insert into goforward.storage_quotas as quota (kind, id, quota_bytes, used_bytes)
select 'bucket', $1, $2, coalesce(sum((metadata ->> 'size')::bigint), 0) from storage.objects where bucket_id = $1
on conflict (kind, id) do update set quota_bytes = excluded.quota_bytes, used_bytes = excluded.used_bytes";

/// The same of an owner.
const SET_OF_OWNER: &str = "
insert into goforward.storage_quotas as quota (kind, id, quota_bytes, used_bytes)
select 'owner', $1, $2, coalesce(sum((metadata ->> 'size')::bigint), 0) from storage.objects where owner_id = $1
on conflict (kind, id) do update set quota_bytes = excluded.quota_bytes, used_bytes = excluded.used_bytes";

/// Sets a quota, or takes it away.
pub(in crate::storage) async fn set(
    pool: &PgPool,
    (of, id): (QuotaOf, &str),
    bytes: Option<i64>,
) -> Result<(), sqlx::Error> {
    let Some(bytes) = bytes else {
        let sql = "delete from goforward.storage_quotas where kind = $1 and id = $2";
        return sqlx::query(sql).bind(of.name()).bind(id).execute(pool).await.map(drop);
    };
    let mut transaction = pool::begin(pool).await?;
    // Whoever waits behind this lock waits no longer than for it.
    sqlx::query("set local lock_timeout = '2s'").execute(&mut *transaction).await?;
    sqlx::query("lock table storage.objects in share row exclusive mode").execute(&mut *transaction).await?;
    let set = match of {
        QuotaOf::Bucket => SET_OF_BUCKET,
        QuotaOf::Owner => SET_OF_OWNER,
    };
    sqlx::query(set).bind(id).bind(bytes).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Whether so many bytes more fit, the parts of unfinished uploads counted, and an object that is replaced not.
const ROOM: &str = "
select quota.kind from goforward.storage_quotas as quota
where ((quota.kind = 'bucket' and quota.id = $1) or (quota.kind = 'owner' and quota.id = $3))
    and quota.quota_bytes < quota.used_bytes + $4
        + coalesce((select sum(received) from goforward.tus_uploads
            where finished_at is null and expires_at > now() and version <> $6
                and case quota.kind when 'bucket' then bucket_id = quota.id else owner_id = quota.id end), 0)
        - coalesce((select (metadata ->> 'size')::bigint from storage.objects
            where $5 and bucket_id = $1 and name = $2
                and (quota.kind = 'bucket' or owner_id = quota.id)), 0)
limit 1";

/// Bytes that are going to be an object.
pub(in crate::storage) struct Wanted<'a> {
    pub(in crate::storage) bucket: &'a str,
    pub(in crate::storage) name: &'a str,
    pub(in crate::storage) owner: Option<&'a str>,
    pub(in crate::storage) upsert: bool,
    /// How many.
    pub(in crate::storage) size: u64,
    /// The upload that brings them.
    pub(in crate::storage) upload: Uuid,
}

/// Refuses bytes for which there is no room now. That there is some is no promise: it is counted when the object is made.
pub(in crate::storage) async fn check(pool: &PgPool, wanted: &Wanted<'_>) -> Result<(), StorageError> {
    let full: Option<String> = sqlx::query_scalar(ROOM)
        .bind(wanted.bucket)
        .bind(wanted.name)
        .bind(wanted.owner)
        .bind(i64::try_from(wanted.size).unwrap_or(i64::MAX))
        .bind(wanted.upsert)
        .bind(wanted.upload)
        .fetch_optional(pool)
        .await?;
    match full {
        Some(kind) => Err(StorageError::QuotaExceeded(format!("The quota of this {kind} is exceeded"))),
        None => Ok(()),
    }
}
