//! How much may lie in a bucket or be one owner's. Counting is the database's: exact, of objects (trigger
//! `storage_objects_counted`) and of the parts of unfinished uploads (`storage_parts_counted`), each with the transaction that
//! keeps it or lets it go.

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

/// What there is now is counted while nobody writes: one lock, one look, and whoever waited is counted by the triggers. In the
/// order in which a finished upload gives up its parts for an object.
const LOCK: &str = "lock table goforward.tus_parts, storage.s3_multipart_uploads_parts, storage.objects
    in share row exclusive mode";
const SET: &str = "
insert into goforward.storage_quotas as quota (kind, id, quota_bytes, used_bytes)
values ($1, $2, $3, goforward.storage_used($1, $2))
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
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    sqlx::query(SET).bind(of.name()).bind(id).bind(bytes).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Whether an upload of so many bytes fits, whose first bytes have been counted already. An object that it replaces is there until
/// it is whole.
const ROOM: &str = "
select quota.kind from goforward.storage_quotas as quota
where ((quota.kind = 'bucket' and quota.id = $1) or (quota.kind = 'owner' and quota.id = $2))
    and quota.quota_bytes < quota.used_bytes + $3
        - coalesce((select received from goforward.tus_uploads where version = $4 and finished_at is null), 0)
limit 1";

/// Bytes that are going to be an object.
pub(in crate::storage) struct Wanted<'a> {
    pub(in crate::storage) bucket: &'a str,
    pub(in crate::storage) owner: Option<&'a str>,
    /// How many.
    pub(in crate::storage) size: u64,
    /// The resumable upload that brings them, of which some may be there.
    pub(in crate::storage) upload: Option<Uuid>,
}

/// Refuses bytes for which there is no room now. That there is some is no promise: it is counted when the object is made.
pub(in crate::storage) async fn check(pool: &PgPool, wanted: &Wanted<'_>) -> Result<(), StorageError> {
    let full: Option<String> = sqlx::query_scalar(ROOM)
        .bind(wanted.bucket)
        .bind(wanted.owner)
        .bind(i64::try_from(wanted.size).unwrap_or(i64::MAX))
        .bind(wanted.upload)
        .fetch_optional(pool)
        .await?;
    match full {
        Some(kind) => Err(StorageError::QuotaExceeded(format!("The quota of this {kind} is exceeded"))),
        None => Ok(()),
    }
}
