//! The statements on `goforward.cron_schedules`.

use sqlx::PgPool;

use crate::kernel::db::jobs::timestamp;
use crate::kernel::jobs::NewJob;

/// Schedules that one look takes on; more are the next one's.
const MOST: i64 = 100;

const DUE: &str = "select name, expression, (extract(epoch from next_run_at) * 1000)::bigint as due
from goforward.cron_schedules
where enabled and last_error is null and coalesce(next_run_at <= $1, true)
order by next_run_at nulls first, name
limit $2";

/// Whoever changes the row enqueues the job, in the same statement. A time that is not the one that was seen, or an
/// expression that was changed since, is somebody else's doing.
const FIRE: &str = "with fired as (
    update goforward.cron_schedules set next_run_at = $4, last_run_at = $5
    where name = $1 and expression = $2 and enabled and (extract(epoch from next_run_at) * 1000)::bigint = $3
    returning name, kind, payload
)
insert into goforward.jobs (kind, payload, run_at, created_at, max_attempts, dedupe_key)
select kind, payload, $5, $5, $6, 'cron ' || name from fired
on conflict (dedupe_key) where dedupe_key is not null and state in ('queued', 'running') do nothing";

const BEGIN: &str = "update goforward.cron_schedules set next_run_at = $3
where name = $1 and expression = $2 and enabled and next_run_at is null";

const GIVE_UP: &str =
    "update goforward.cron_schedules set last_error = $3 where name = $1 and expression = $2";

/// A schedule that is due, or that has no time yet.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(in crate::jobs) struct DueSchedule {
    pub(in crate::jobs) name: String,
    pub(in crate::jobs) expression: String,
    /// In milliseconds since the Unix epoch; none for one that is new or was changed.
    pub(in crate::jobs) due: Option<i64>,
}

/// What is due.
pub(in crate::jobs) async fn due(pool: &PgPool, now: i64) -> Result<Vec<DueSchedule>, sqlx::Error> {
    sqlx::query_as(DUE).bind(timestamp(now)).bind(MOST).fetch_all(pool).await
}

/// Moves a schedule that is due on to `next` and enqueues its job, unless the one before is unfinished; whether a job was
/// enqueued by this.
pub(in crate::jobs) async fn fire(
    pool: &PgPool,
    schedule: &DueSchedule,
    now: i64,
    next: i64,
) -> Result<bool, sqlx::Error> {
    let enqueued = sqlx::query(FIRE)
        .bind(&schedule.name)
        .bind(&schedule.expression)
        .bind(schedule.due)
        .bind(timestamp(next))
        .bind(timestamp(now))
        .bind(i32::from(NewJob::DEFAULT_ATTEMPTS))
        .execute(pool)
        .await?;
    Ok(enqueued.rows_affected() == 1)
}

/// Gives a schedule its first time.
pub(in crate::jobs) async fn begin(
    pool: &PgPool,
    schedule: &DueSchedule,
    next: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(BEGIN)
        .bind(&schedule.name)
        .bind(&schedule.expression)
        .bind(timestamp(next))
        .execute(pool)
        .await
        .map(drop)
}

/// Notes why a schedule has no next time; nobody looks at it again until somebody changes it.
pub(in crate::jobs) async fn give_up(
    pool: &PgPool,
    schedule: &DueSchedule,
    why: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(GIVE_UP)
        .bind(&schedule.name)
        .bind(&schedule.expression)
        .bind(why)
        .execute(pool)
        .await
        .map(drop)
}
