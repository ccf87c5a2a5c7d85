//! One attempt at one job: runs the handler within its time, holds the lease meanwhile, writes how the job goes on.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};

use super::backoff;
use super::store::{self, Next};
use crate::kernel::clock::Clock;
use crate::kernel::jobs::{Job, JobHandler, JobOutcome};

/// The longest text about a failure that is kept, in characters.
const LONGEST_ERROR: usize = 1000;
/// The waits between tries to write the outcome. After the last one the lease runs out, and the job is done again.
const TRIES: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];

/// A job in hand.
pub(super) struct Attempt {
    pub(super) pool: PgPool,
    pub(super) clock: Clock,
    pub(super) handler: Arc<dyn JobHandler>,
    pub(super) job: Job,
    /// How long the job is ours without a renewal.
    pub(super) lease: Duration,
    /// Spreads the next attempt.
    pub(super) random: u32,
}

impl Attempt {
    /// Runs to the end, or until the job is somebody else's.
    pub(super) async fn run(self) {
        let started = Instant::now();
        let outcome = tokio::select! {
            biased;
            outcome = self.outcome() => Some(outcome),
            () = self.hold() => None,
        };
        let kind = self.handler.kind();
        metrics::histogram!("goforward_job_seconds", "kind" => kind).record(started.elapsed());
        let result = match outcome {
            None => "lost",
            Some(outcome) => {
                let now = self.clock.unix_millis();
                let next = next(outcome, &self.job, now, self.random);
                if self.settle(&next).await { self.report(&next) } else { "lost" }
            }
        };
        if result == "lost" {
            tracing::warn!(kind, id = self.job.id, "a job was lost on the way: it is done again");
        }
        metrics::counter!("goforward_jobs_total", "kind" => kind, "result" => result).increment(1);
    }

    async fn outcome(&self) -> JobOutcome {
        // In a block of its own, so that a panic before the first await is caught too.
        let run = AssertUnwindSafe(async { self.handler.run(&self.job).await }).catch_unwind();
        match timeout(self.handler.time_limit(), run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => JobOutcome::Retry("the handler panicked".to_owned()),
            Err(_) => JobOutcome::Retry(format!("not done within {:?}", self.handler.time_limit())),
        }
    }

    /// Renews the lease; returns when it is lost.
    async fn hold(&self) {
        let mut renewed = Instant::now();
        loop {
            sleep(self.lease / 3).await;
            let asked = Instant::now();
            match store::renew(&self.pool, &self.job, after(&self.clock, self.lease)).await {
                Ok(true) => renewed = asked,
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, id = self.job.id, "the lease of a job could not be renewed");
                    if renewed.elapsed() >= self.lease {
                        return;
                    }
                }
            }
        }
    }

    /// Writes how the job goes on; `false` if it is not ours any more, or the database was away for too long.
    async fn settle(&self, next: &Next) -> bool {
        for pause in TRIES {
            match store::settle(&self.pool, &self.job, next, self.clock.unix_millis()).await {
                Ok(is_ours) => return is_ours,
                Err(error) => {
                    tracing::debug!(%error, id = self.job.id, "the outcome of a job could not be written");
                }
            }
            sleep(pause).await;
        }
        false
    }

    fn report(&self, next: &Next) -> &'static str {
        let (kind, id, attempt) = (self.handler.kind(), self.job.id, self.job.attempt);
        match next {
            Next::Done => "done",
            Next::Retry { error, .. } => {
                tracing::info!(kind, id, attempt, error, "a job failed and will be tried again");
                "retry"
            }
            Next::Dead { error } => {
                tracing::error!(kind, id, attempt, error, "a job failed for good");
                "dead"
            }
        }
    }
}

/// The end of a lease that begins now.
pub(super) fn after(clock: &Clock, lease: Duration) -> i64 {
    clock.unix_millis().saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
}

fn next(outcome: JobOutcome, job: &Job, now: i64, random: u32) -> Next {
    match outcome {
        JobOutcome::Done => Next::Done,
        JobOutcome::Retry(error) if job.attempt < job.max_attempts => {
            let wait = backoff::wait(job.attempt, random).as_millis();
            Next::Retry {
                at: now.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX)),
                error: storable(&error),
            }
        }
        JobOutcome::Retry(error) | JobOutcome::Dead(error) => Next::Dead { error: storable(&error) },
    }
}

/// PostgreSQL keeps no NUL, and nobody reads more than this.
fn storable(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(LONGEST_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn job(attempt: u16) -> Job {
        Job { id: 1, payload: Value::Null, attempt, max_attempts: 3 }
    }

    #[test]
    fn a_failed_job_waits_until_its_attempts_are_used_up() {
        let failed = || JobOutcome::Retry("no answer".to_owned());
        let error = || "no answer".to_owned();

        assert_eq!(next(failed(), &job(1), 1000, u32::MAX), Next::Retry { at: 6000, error: error() });
        assert_eq!(next(failed(), &job(2), 1000, 0), Next::Retry { at: 6000, error: error() });
        assert_eq!(next(failed(), &job(3), 1000, 0), Next::Dead { error: error() });
        assert_eq!(next(JobOutcome::Dead(error()), &job(1), 1000, 0), Next::Dead { error: error() });
        assert_eq!(next(JobOutcome::Done, &job(3), 1000, 0), Next::Done);
    }

    #[test]
    fn what_is_kept_of_an_error_is_short_and_has_no_nul() {
        assert_eq!(storable("a\0b"), "ab");
        assert_eq!(storable(&"ä".repeat(5000)).chars().count(), LONGEST_ERROR);
    }
}
