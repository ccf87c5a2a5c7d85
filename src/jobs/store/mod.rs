//! The statements on `goforward.jobs` and `goforward.job_schedules`. Times are the caller's, in milliseconds since the Unix
//! epoch.
//!
//! Whoever writes about a running job names the attempt it means: a worker whose lease ran out and whose job was taken by
//! another changes nothing any more.

pub(super) mod cron;

use sqlx::PgPool;
use sqlx::types::Json;

use crate::kernel::db::jobs::{enqueue, timestamp};
use crate::kernel::db::pool;
use crate::kernel::jobs::{Job, NewJob};

const TAKE: &str = "with due as (
    select id from goforward.jobs
    where state = 'queued' and run_at <= $1 and kind = any ($2)
    order by run_at, id
    limit $3
    for update skip locked
)
update goforward.jobs set state = 'running', attempts = attempts + 1, locked_until = $4
where id in (select id from due)
returning id, kind, payload, attempts, max_attempts";

const TAKE_BACK: &str = "with lapsed as (
    select id from goforward.jobs
    where state = 'running' and locked_until <= $1
    order by locked_until
    limit 100
    for update skip locked
)
update goforward.jobs set
    state = case when attempts < max_attempts then 'queued' else 'dead' end,
    finished_at = case when attempts < max_attempts then null else $1 end,
    locked_until = null,
    last_error = 'the worker stopped without a word'
where id in (select id from lapsed)";

const RENEW: &str = "update goforward.jobs set locked_until = $3
where id = $1 and attempts = $2 and state = 'running'";

/// A job that is done keeps no payload: nobody needs the personal data in it any more.
const FINISH: &str = "update goforward.jobs
set state = 'done', finished_at = $3, locked_until = null, last_error = null, payload = '{}'
where id = $1 and attempts = $2 and state = 'running'";

const RETRY: &str =
    "update goforward.jobs set state = 'queued', run_at = $3, locked_until = null, last_error = $4
where id = $1 and attempts = $2 and state = 'running'";

const BURY: &str =
    "update goforward.jobs set state = 'dead', finished_at = $3, locked_until = null, last_error = $4
where id = $1 and attempts = $2 and state = 'running'";

const RELEASE: &str = "update goforward.jobs as job set
    state = case when job.attempts < job.max_attempts then 'queued' else 'dead' end,
    finished_at = case when job.attempts < job.max_attempts then null else $3 end,
    locked_until = null,
    last_error = 'the server was stopped'
from unnest($1::bigint[], $2::integer[]) as mine (id, attempt)
where job.id = mine.id and job.attempts = mine.attempt and job.state = 'running'";

/// An array, or the planner reads the whole table for what might be many rows.
const FORGET: &str = "delete from goforward.jobs where id = any (array(
    select id from goforward.jobs
    where state in ('done', 'dead') and state = $1 and finished_at < $2
    order by finished_at
    limit $3
    for update skip locked
))";

const ANNOUNCE: &str = "insert into goforward.job_schedules (name, next_run_at) values ($1, $2)
on conflict (name) do nothing";

const ADVANCE: &str = "update goforward.job_schedules set next_run_at = $3, last_run_at = $2
where name = $1 and next_run_at <= $2";

/// A job that was taken, and its kind.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) kind: String,
    pub(super) job: Job,
}

/// How a job goes on after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Done,
    /// Again at this time.
    Retry {
        at: i64,
        error: String,
    },
    Dead {
        error: String,
    },
}

/// Takes up to `limit` due jobs of these kinds, until `lease_end`.
pub(super) async fn take(
    pool: &PgPool,
    kinds: &[&'static str],
    limit: usize,
    now: i64,
    lease_end: i64,
) -> Result<Vec<Taken>, sqlx::Error> {
    type Row = (i64, String, Json<serde_json::Value>, i32, i32);
    let rows: Vec<Row> = sqlx::query_as(TAKE)
        .bind(timestamp(now))
        .bind(kinds)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(timestamp(lease_end))
        .fetch_all(pool)
        .await?;
    let taken = |(id, kind, Json(payload), attempt, max_attempts): Row| Taken {
        kind,
        job: Job { id, payload, attempt: count(attempt), max_attempts: count(max_attempts) },
    };
    Ok(rows.into_iter().map(taken).collect())
}

fn count(number: i32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Frees jobs whose lease has run out, those without attempts left as dead; returns how many.
pub(super) async fn take_back(pool: &PgPool, now: i64) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(TAKE_BACK).bind(timestamp(now)).execute(pool).await?.rows_affected())
}

/// Holds a job for longer; `false` if it is somebody else's by now.
pub(super) async fn renew(pool: &PgPool, job: &Job, lease_end: i64) -> Result<bool, sqlx::Error> {
    let renewed = sqlx::query(RENEW)
        .bind(job.id)
        .bind(i32::from(job.attempt))
        .bind(timestamp(lease_end))
        .execute(pool)
        .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Writes how a job goes on; `false` if it is somebody else's by now.
pub(super) async fn settle(pool: &PgPool, job: &Job, next: &Next, now: i64) -> Result<bool, sqlx::Error> {
    let (statement, at, error) = match next {
        Next::Done => (FINISH, now, None),
        Next::Retry { at, error } => (RETRY, *at, Some(error)),
        Next::Dead { error } => (BURY, now, Some(error)),
    };
    let mut query = sqlx::query(statement).bind(job.id).bind(i32::from(job.attempt)).bind(timestamp(at));
    if let Some(error) = error {
        query = query.bind(error);
    }
    Ok(query.execute(pool).await?.rows_affected() == 1)
}

/// Gives back jobs that were not finished, each named by its number and attempt.
pub(super) async fn release(pool: &PgPool, jobs: &[(i64, u16)], now: i64) -> Result<(), sqlx::Error> {
    let ids: Vec<i64> = jobs.iter().map(|(id, _)| *id).collect();
    let attempts: Vec<i32> = jobs.iter().map(|(_, attempt)| i32::from(*attempt)).collect();
    sqlx::query(RELEASE).bind(ids).bind(attempts).bind(timestamp(now)).execute(pool).await.map(drop)
}

/// How a job ended for good.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Done,
    Dead,
}

/// Removes at most `limit` jobs that ended so before that time; returns how many.
pub(super) async fn forget(pool: &PgPool, end: End, before: i64, limit: u32) -> Result<u64, sqlx::Error> {
    let state = match end {
        End::Done => "done",
        End::Dead => "dead",
    };
    let query = sqlx::query(FORGET).bind(state).bind(timestamp(before)).bind(i64::from(limit));
    Ok(query.execute(pool).await?.rows_affected())
}

/// Makes a schedule known, if it is not, with its first time.
pub(super) async fn announce(pool: &PgPool, name: &str, first: i64) -> Result<(), sqlx::Error> {
    sqlx::query(ANNOUNCE).bind(name).bind(timestamp(first)).execute(pool).await.map(drop)
}

/// Moves a schedule that is due on to `next` and enqueues its job; `false` if it is not due, or another node was faster.
pub(super) async fn advance(
    pool: &PgPool,
    name: &str,
    job: &NewJob,
    now: i64,
    next: i64,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool::begin(pool).await?;
    let advanced = sqlx::query(ADVANCE)
        .bind(name)
        .bind(timestamp(now))
        .bind(timestamp(next))
        .execute(&mut *transaction)
        .await?;
    if advanced.rows_affected() == 0 {
        return Ok(false);
    }
    enqueue(&mut transaction, job, now).await?;
    transaction.commit().await?;
    Ok(true)
}
