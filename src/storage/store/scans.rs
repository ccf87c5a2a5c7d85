//! What a scanner said of versions: asked for with each upload, written once, and looked at before anybody reads.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::thumbnails;
use crate::kernel::db::jobs::enqueue;
use crate::kernel::db::pool;
use crate::kernel::jobs::NewJob;
use crate::storage::model::scan::{Hold, SCAN_JOB};

/// Wants a version scanned, in the transaction that makes it an object.
pub(in crate::storage) async fn ask(
    connection: &mut PgConnection,
    version: Uuid,
    now: i64,
) -> Result<(), sqlx::Error> {
    let job = NewJob {
        dedupe_key: Some(format!("{SCAN_JOB} {version}")),
        // A scanner may be away for days, and what it has not seen stays closed for as long.
        max_attempts: u16::MAX,
        ..NewJob::new(SCAN_JOB, json!({ "version": version }))
    };
    enqueue(connection, &job, now).await.map(drop)
}

/// Why a version may not be read, if so.
pub(in crate::storage) async fn hold(pool: &PgPool, version: &str) -> Result<Option<Hold>, sqlx::Error> {
    let sql =
        "select scan from goforward.storage_blobs where version = $1 and scan in ('pending', 'quarantined')";
    sqlx::query_scalar(sql).bind(version).fetch_optional(pool).await
}

/// What was found in a version.
pub(in crate::storage) async fn found(pool: &PgPool, version: &str) -> Result<Option<String>, sqlx::Error> {
    let sql = "select scan_found from goforward.storage_blobs where version = $1";
    sqlx::query_scalar(sql).bind(version).fetch_optional(pool).await.map(Option::flatten)
}

/// An object that is to be scanned.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::storage) struct Subject {
    pub(in crate::storage) bucket_id: String,
    pub(in crate::storage) name: String,
    /// What the bytes are.
    pub(in crate::storage) metadata: Option<Value>,
}

const SUBJECT: &str = "
select object.bucket_id, object.name, object.metadata
from goforward.storage_blobs as blob
join storage.objects as object on object.version = blob.version
where blob.version = $1 and blob.scan = 'pending'";

/// The object with a version that waits for its scan. None: it was replaced, removed or released.
pub(in crate::storage) async fn subject(
    pool: &PgPool,
    version: Uuid,
) -> Result<Option<Subject>, sqlx::Error> {
    sqlx::query_as(SUBJECT).bind(version.to_string()).fetch_optional(pool).await
}

/// How a scan is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Mark<'a> {
    /// It may be read.
    Clean,
    /// It may be read, though nobody looked.
    Skipped,
    /// It may not be read, for this reason.
    Quarantined(&'a str),
}

/// Says it of a version that still waits; whether it did. With a time pictures of it are wanted, now that it can be read.
pub(in crate::storage) async fn settle(
    pool: &PgPool,
    version: Uuid,
    mark: Mark<'_>,
    thumbnails_at: Option<i64>,
) -> Result<bool, sqlx::Error> {
    let (scan, found) = match mark {
        Mark::Clean => ("clean", None),
        Mark::Skipped => ("skipped", None),
        Mark::Quarantined(found) => ("quarantined", Some(found)),
    };
    let sql = "update goforward.storage_blobs set scan = $2, scan_found = $3, scanned_at = now()
        where version = $1 and scan = 'pending'";
    let mut transaction = pool::begin(pool).await?;
    let done = sqlx::query(sql).bind(version.to_string()).bind(scan).bind(found);
    let is_marked = done.execute(&mut *transaction).await?.rows_affected() == 1;
    if let Some(now) = thumbnails_at.filter(|_| is_marked && found.is_none()) {
        thumbnails::ask(&mut transaction, version, now).await?;
    }
    transaction.commit().await?;
    Ok(is_marked)
}

/// Versions that wait for a scan which nobody is going to make.
const FORGOTTEN: &str = "
select blob.version
from goforward.storage_blobs as blob
where blob.scan = 'pending' and blob.state = 'stored' and blob.touched_at < now() - interval '1 minute'
    and not exists (
        select from goforward.jobs as job
        where job.dedupe_key = $1 || ' ' || blob.version and job.state in ('queued', 'running')
    )
    and exists (select from storage.objects as object where object.version = blob.version)
order by blob.touched_at
limit 100";

/// Asks anew for scans that were lost, as by a restored backup; a hundred at a time.
pub(in crate::storage) async fn ask_again(pool: &PgPool, now: i64) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let found: Vec<String> = sqlx::query_scalar(FORGOTTEN).bind(SCAN_JOB).fetch_all(&mut *connection).await?;
    for version in found.iter().filter_map(|version| Uuid::try_parse(version).ok()) {
        ask(&mut connection, version, now).await?;
    }
    Ok(())
}

/// An object that nobody can read.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(in crate::storage) struct Quarantined {
    bucket_id: String,
    name: String,
    owner_id: Option<String>,
    version: String,
    scan: String,
    found: Option<String>,
    scanned_at: Option<DateTime<Utc>>,
    created_at: Option<DateTime<Utc>>,
}

/// Both reasons are named so that the index on what is held serves.
const QUARANTINE: &str = "
select object.bucket_id, object.name, object.owner_id, blob.version, blob.scan, blob.scan_found as found, blob.scanned_at,
    object.created_at
from goforward.storage_blobs as blob
join storage.objects as object on object.version = blob.version
where blob.scan in ('pending', 'quarantined') and blob.scan = $1
order by blob.touched_at, blob.version
limit $2";

/// The objects that are held for one reason, those first that have been for longest.
pub(in crate::storage) async fn held(
    pool: &PgPool,
    hold: Hold,
    most: i64,
) -> Result<Vec<Quarantined>, sqlx::Error> {
    sqlx::query_as(QUARANTINE).bind(hold.name()).bind(most).fetch_all(pool).await
}

/// Opens a version that is held, whatever was found; whether there was one.
pub(in crate::storage) async fn release(pool: &PgPool, version: Uuid) -> Result<bool, sqlx::Error> {
    let sql = "update goforward.storage_blobs set scan = 'released'
        where version = $1 and scan in ('pending', 'quarantined') and state = 'stored'";
    sqlx::query(sql).bind(version.to_string()).execute(pool).await.map(|done| done.rows_affected() == 1)
}
