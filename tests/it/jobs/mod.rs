//! The job service against a real database: every job is done, whatever dies on the way.

mod death;
mod queue;
mod times;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use goforward::jobs::{JobSettings, Jobs};
use goforward::kernel::clock::Clock;
use goforward::kernel::db::jobs::enqueue;
use goforward::kernel::jobs::{Job, JobBell, JobHandler, JobOutcome, NewJob, RunningJob};
use goforward::kernel::random::Random;
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Database, eventually};

/// 2026-01-01, where the clocks of these tests stand until they are moved.
pub const START: i64 = 1_767_225_600;

/// A database, the time, and what workers share.
pub struct Board {
    pub database: Database,
    pub pool: PgPool,
    pub clock: Clock,
    pub bell: JobBell,
}

impl Board {
    pub async fn new() -> Self {
        let database = Database::create().await;
        // The server that made the template has left its schedule; these tests count from nothing.
        database.run_as_superuser("delete from goforward.jobs; delete from goforward.job_schedules").await;
        let url = database.url_as("postgres");
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await.unwrap();
        Self { database, pool, clock: Clock::manual(START), bell: JobBell::default() }
    }

    pub fn jobs(&self, settings: JobSettings) -> Jobs {
        let (pool, clock, bell) = (self.pool.clone(), self.clock.clone(), self.bell.clone());
        Jobs::new(pool, clock, Random::seeded(1), bell, settings)
    }

    /// A worker with this handler.
    pub fn start(&self, handler: impl JobHandler + 'static) -> Worker {
        Worker::start(self.jobs(JobSettings::default()).handler(handler))
    }

    /// A worker that waits for no running job when it is stopped.
    pub fn start_impatient(&self, handler: impl JobHandler + 'static) -> Worker {
        let settings = JobSettings { patience: Duration::ZERO, ..JobSettings::default() };
        Worker::start(self.jobs(settings).handler(handler))
    }

    /// Waits until a worker has made this schedule known.
    pub async fn knows(&self, schedule: &str) {
        let sql = format!("select count(*) from goforward.job_schedules where name = '{schedule}'");
        eventually("the schedule is known", async || self.database.value(&sql).await == "1").await;
    }

    /// Enqueues a job and rings.
    pub async fn enqueue(&self, job: &NewJob) -> Option<i64> {
        let mut connection = self.pool.acquire().await.unwrap();
        let id = enqueue(&mut connection, job, self.clock.unix_millis()).await.unwrap();
        self.bell.ring();
        id
    }

    /// `state attempts last_error` of a job; empty where it is gone.
    pub async fn state(&self, id: i64) -> String {
        let sql =
            format!("select concat_ws(' ', state, attempts, last_error) from goforward.jobs where id = {id}");
        self.database.value(&sql).await
    }

    pub async fn becomes(&self, id: i64, state: &str) {
        let what = format!("job {id} becomes `{state}`");
        eventually(&what, async || {
            self.bell.ring();
            self.state(id).await == state
        })
        .await;
    }

    /// Jobs in this state.
    pub async fn count(&self, state: &str) -> String {
        self.database.value(&format!("select count(*) from goforward.jobs where state = '{state}'")).await
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.bell.ring();
    }
}

/// A worker under way.
pub struct Worker {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Worker {
    pub fn start(jobs: Jobs) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(jobs.run(stop.clone())), stop }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Ends it where it stands, as a power cut does: nothing is finished, written or given back. What it had asked the database
    /// for is answered when this returns.
    pub async fn kill(self, board: &Board) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        let pool = &board.pool;
        eventually("all connections are back", async || pool.num_idle() == pool.size() as usize).await;
    }
}

pub const KIND: &str = "test.work";

/// A job for [`Handler`].
pub fn job() -> NewJob {
    NewJob::new(KIND, json!({"for": "Ada"}))
}

/// Remembers what it did, and does with a job whatever a test wants.
#[derive(Clone)]
pub struct Handler {
    /// Number and attempt of every job that was begun, in order.
    pub begun: Arc<Mutex<Vec<(i64, u16)>>>,
    work: Arc<dyn Fn(Job) -> RunningJob<'static> + Send + Sync>,
    limit: Duration,
}

impl Handler {
    pub fn new(work: impl Fn(Job) -> RunningJob<'static> + Send + Sync + 'static) -> Self {
        Self { begun: Arc::default(), work: Arc::new(work), limit: Duration::from_mins(1) }
    }

    /// Always ends like this.
    pub fn that(outcome: JobOutcome) -> Self {
        Self::new(move |_| Box::pin(std::future::ready(outcome.clone())))
    }

    /// Never ends.
    pub fn stuck() -> Self {
        Self::new(|_| Box::pin(std::future::pending()))
    }

    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    pub fn begun(&self) -> Vec<(i64, u16)> {
        self.begun.lock().unwrap().clone()
    }

    pub async fn has_begun(&self, what: &[(i64, u16)]) {
        eventually(&format!("{what:?} have begun"), async || self.begun() == what).await;
    }
}

impl JobHandler for Handler {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn time_limit(&self) -> Duration {
        self.limit
    }

    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a> {
        self.begun.lock().unwrap().push((job.id, job.attempt));
        (self.work)(job.clone())
    }
}
