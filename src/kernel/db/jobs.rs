//! Puts jobs into `goforward.jobs`, in the transaction of whoever wants them done.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnection;

use crate::kernel::jobs::NewJob;

const INSERT: &str =
    "insert into goforward.jobs (kind, payload, run_at, created_at, max_attempts, dedupe_key)
values ($1, $2, $3, $4, $5, $6)
on conflict (dedupe_key) where dedupe_key is not null and state in ('queued', 'running') do nothing
returning id";

/// Enqueues a job; returns its number, or `None` where an unfinished job has its key. `now` is in milliseconds since the
/// Unix epoch.
pub async fn enqueue(
    connection: &mut PgConnection,
    job: &NewJob,
    now: i64,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(INSERT)
        .bind(job.kind)
        .bind(&job.payload)
        .bind(timestamp(job.run_at.unwrap_or(now)))
        .bind(timestamp(now))
        .bind(i32::from(job.max_attempts.max(1)))
        .bind(job.dedupe_key.as_deref())
        .fetch_optional(connection)
        .await
}

const HASTEN: &str = "update goforward.jobs set run_at = $2 where id = any (array(
    select id from goforward.jobs
    where kind = $1 and state = 'queued' and run_at > $2 and starts_with(last_error, $4)
    order by run_at
    limit $3
    for update skip locked
))";

/// Has at most so many waiting jobs of a kind done now that failed with an error which begins so: what they failed for is
/// over, or somebody must find out.
pub async fn hasten(
    pool: &PgPool,
    (kind, error): (&str, &str),
    most: u32,
    now: i64,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(HASTEN).bind(kind).bind(timestamp(now)).bind(i64::from(most)).bind(error);
    query.execute(pool).await.map(drop)
}

/// Milliseconds since the Unix epoch as PostgreSQL takes them; the epoch itself for what no calendar holds.
pub fn timestamp(unix_millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(unix_millis).unwrap_or_default()
}
