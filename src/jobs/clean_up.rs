//! The service's own job: removes finished jobs, in batches that no lock and no transaction lasts for long.

use std::time::Duration;

use sqlx::PgPool;

use super::store::{self, End};
use crate::kernel::clock::Clock;
use crate::kernel::jobs::{Job, JobHandler, JobOutcome, RunningJob, Schedule};

/// Most jobs that one statement removes.
const BATCH: u32 = 1000;
/// Most statements of one run; what they leave is the next run's.
const MOST_BATCHES: u32 = 1000;
/// The longest that a run may take. Cut off, it is made again; what it removed stays removed.
const TIME_LIMIT: Duration = Duration::from_mins(5);

pub(super) const SCHEDULE: Schedule =
    Schedule { name: "jobs.clean_up", kind: CleanUp::KIND, every: Duration::from_mins(10) };

pub(super) struct CleanUp {
    pub(super) pool: PgPool,
    pub(super) clock: Clock,
    /// How long jobs are kept that are done.
    pub(super) keep_done: Duration,
    /// How long dead ones are.
    pub(super) keep_dead: Duration,
}

impl CleanUp {
    const KIND: &str = "jobs.clean_up";

    async fn forget(&self, end: End, keep: Duration) -> Result<(), sqlx::Error> {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let before = self.clock.unix_millis().saturating_sub(keep);
        for _ in 0..MOST_BATCHES {
            if store::forget(&self.pool, end, before, BATCH).await? < u64::from(BATCH) {
                break;
            }
        }
        Ok(())
    }

    async fn forget_all(&self) -> Result<(), sqlx::Error> {
        self.forget(End::Done, self.keep_done).await?;
        self.forget(End::Dead, self.keep_dead).await
    }
}

impl JobHandler for CleanUp {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }

    fn run<'a>(&'a self, _job: &'a Job) -> RunningJob<'a> {
        Box::pin(async {
            match self.forget_all().await {
                Ok(()) => JobOutcome::Done,
                Err(error) => JobOutcome::Retry(error.to_string()),
            }
        })
    }
}
