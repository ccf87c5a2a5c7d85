//! Jobs at the times of cron expressions (`goforward.cron_schedules`): which are due, and when they are due again.
//!
//! Times are in UTC and full minutes. What was missed while no node ran is made up for once, however many times it was.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use sqlx::PgPool;
use tokio::time::Instant;

use super::store::cron::{self as store, DueSchedule};

/// How often the database is asked: times are full minutes.
const PAUSE: Duration = Duration::from_secs(1);

/// Why an expression has no next time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoNextTime {
    /// It cannot be read.
    #[error("not a cron expression: {0}")]
    Unreadable(String),
    /// No day is like that, the 31st of February for one.
    #[error("the expression is never due")]
    Never,
}

/// The schedules of the database, as this node looks at them.
#[derive(Debug)]
pub(super) struct CronTable {
    looked: Option<Instant>,
}

impl CronTable {
    pub(super) fn new() -> Self {
        Self { looked: None }
    }

    /// Enqueues the jobs of schedules that are due and that no other node has enqueued; whether there were any.
    pub(super) async fn enqueue_due(&mut self, pool: &PgPool, now: i64) -> Result<bool, sqlx::Error> {
        if self.looked.is_some_and(|last| last.elapsed() < PAUSE) {
            return Ok(false);
        }
        self.looked = Some(Instant::now());
        let mut any = false;
        for schedule in store::due(pool, now).await? {
            any |= enqueue(pool, &schedule, now).await?;
        }
        Ok(any)
    }
}

async fn enqueue(pool: &PgPool, schedule: &DueSchedule, now: i64) -> Result<bool, sqlx::Error> {
    // The clock that set the time may be ahead of this one.
    match next_after(&schedule.expression, schedule.due.map_or(now, |due| due.max(now))) {
        Ok(next) if schedule.due.is_some() => store::fire(pool, schedule, now, next).await,
        Ok(next) => store::begin(pool, schedule, next).await.map(|()| false),
        Err(error) => {
            tracing::warn!(schedule = schedule.name, %error, "a cron schedule is given up until it is changed");
            store::give_up(pool, schedule, &error.to_string()).await.map(|()| false)
        }
    }
}

/// The first time of an expression after `now`, both in milliseconds since the Unix epoch.
fn next_after(expression: &str, now: i64) -> Result<i64, NoNextTime> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(expression).map_err(|error| NoNextTime::Unreadable(error.to_string()))?;
    let now: DateTime<Utc> = DateTime::from_timestamp_millis(now).ok_or(NoNextTime::Never)?;
    match cron.find_next_occurrence(&now, false) {
        Ok(next) => Ok(next.timestamp_millis()),
        Err(CronError::TimeSearchLimitExceeded) => Err(NoNextTime::Never),
        Err(error) => Err(NoNextTime::Unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, now: &str) -> Result<String, NoNextTime> {
        let now = DateTime::parse_from_rfc3339(now).unwrap().timestamp_millis();
        let next = next_after(expression, now)?;
        Ok(DateTime::<Utc>::from_timestamp_millis(next).unwrap().to_rfc3339())
    }

    #[test]
    fn the_next_time_is_after_now_in_utc() {
        for (expression, now, expected) in [
            ("*/5 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:05:00+00:00"),
            ("*/5 * * * *", "2026-01-01T00:04:59.999Z", "2026-01-01T00:05:00+00:00"),
            ("30 3 * * *", "2026-01-01T03:30:00Z", "2026-01-02T03:30:00+00:00"),
            ("0 0 * * MON", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00+00:00"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00+00:00"),
            ("0 2 * * *", "2026-03-29T00:30:00+01:00", "2026-03-29T02:00:00+00:00"),
            ("@daily", "2026-12-31T12:00:00Z", "2027-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(next(expression, now).as_deref(), Ok(expected), "{expression} after {now}");
        }
    }

    #[test]
    fn what_is_no_expression_or_never_due_is_told() {
        for expression in [
            "",
            "61 * * * *",
            "* * * *",
            "* * * * * *",
            "0 0 1 1 * 2027",
            "*/0 * * * *",
            "@reboot",
            "a b c d e",
        ] {
            let told = next(expression, "2026-01-01T00:00:00Z");
            assert!(matches!(told, Err(NoNextTime::Unreadable(_))), "{expression}: {told:?}");
        }
        assert_eq!(next("0 0 31 2 *", "2026-01-01T00:00:00Z"), Err(NoNextTime::Never));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(expression: String) {
            let _ = next_after(&expression, 1_767_225_600_000);
        }

        #[test]
        fn the_next_time_is_later_and_a_full_minute(minute in 0..60_u8, hour in 0..24_u8, now in 0..4_000_000_000_000_i64) {
            let next = next_after(&format!("{minute} {hour} * * *"), now).unwrap();
            proptest::prop_assert!(next > now && next - now <= 86_400_000 && next % 60_000 == 0);
        }
    }
}
