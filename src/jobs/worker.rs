//! The worker of one process: takes due jobs, runs a bounded number of them at once, and waits for more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, after};
use super::clean_up::{self, CleanUp};
use super::cron::CronTable;
use super::schedule::Timetable;
use super::store;
use crate::kernel::clock::Clock;
use crate::kernel::jobs::{JobBell, JobHandler, Schedule};
use crate::kernel::random::Random;

/// The wait for the next look after work, and the longest one without.
const WAITS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];
/// How often jobs are looked for whose worker died.
const TAKE_BACK_EVERY: Duration = Duration::from_secs(1);

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct JobSettings {
    /// Most jobs at once; at least 1.
    pub concurrency: usize,
    /// After this time without a renewal a job may be taken by another worker. More than clocks of nodes differ by.
    pub lease: Duration,
    /// The longest wait for running jobs when the program stops.
    pub patience: Duration,
    /// How long jobs are kept that are done.
    pub keep_done: Duration,
    /// How long dead ones are.
    pub keep_dead: Duration,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            concurrency: 8,
            lease: Duration::from_mins(1),
            patience: Duration::from_secs(10),
            keep_done: Duration::from_hours(24),
            keep_dead: Duration::from_hours(30 * 24),
        }
    }
}

/// The job service of one process.
pub struct Jobs {
    pool: PgPool,
    clock: Clock,
    random: Random,
    bell: JobBell,
    settings: JobSettings,
    handlers: HashMap<&'static str, Arc<dyn JobHandler>>,
    schedules: Vec<Schedule>,
}

impl Jobs {
    /// A service that does nothing yet but clean up behind itself. `pool` logs in as the owner of `goforward.jobs`; running
    /// jobs hold none of its connections.
    pub fn new(pool: PgPool, clock: Clock, random: Random, bell: JobBell, settings: JobSettings) -> Self {
        let clean_up = CleanUp {
            pool: pool.clone(),
            clock: clock.clone(),
            keep_done: settings.keep_done,
            keep_dead: settings.keep_dead,
        };
        Self { pool, clock, random, bell, settings, handlers: HashMap::new(), schedules: Vec::new() }
            .handler(clean_up)
            .schedule(clean_up::SCHEDULE)
    }

    /// Does jobs of one more kind. Jobs of kinds without a handler are left to other nodes.
    #[must_use]
    pub fn handler(mut self, handler: impl JobHandler + 'static) -> Self {
        self.handlers.insert(handler.kind(), Arc::new(handler));
        self
    }

    /// Enqueues one more job at regular times.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Works until `stop` fires, then finishes what runs within the patience and gives back the rest.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut round = Round {
            kinds: self.handlers.keys().copied().collect(),
            timetable: Timetable::new(std::mem::take(&mut self.schedules)),
            cron: CronTable::new(),
            running: Running::default(),
            taken_back: None,
        };
        let [shortest, longest] = WAITS;
        let mut wait = shortest;
        let mut was_reachable = true;
        while !stop.is_cancelled() {
            let found = tokio::select! {
                found = self.look(&mut round) => found,
                // What a look that hangs may have taken comes back when its lease runs out.
                () = overdue(&stop, self.settings.patience) => break,
            };
            if let (Err(error), true) = (&found, was_reachable) {
                tracing::warn!(%error, "jobs wait: the database cannot be asked for them");
            }
            was_reachable = found.is_ok();
            wait = if found.unwrap_or(false) { shortest } else { (wait * 2).min(longest) };
            tokio::select! {
                () = stop.cancelled() => {}
                () = round.running.freed() => wait = shortest,
                () = self.bell.rung() => wait = shortest,
                () = sleep(wait) => {}
            }
        }
        self.end(round.running).await;
    }

    /// Enqueues what is due by schedule and takes what is due; whether there was anything.
    async fn look(&self, round: &mut Round) -> Result<bool, sqlx::Error> {
        let now = self.clock.unix_millis();
        if round.taken_back.is_none_or(|last| last.elapsed() >= TAKE_BACK_EVERY) {
            let count = store::take_back(&self.pool, now).await?;
            metrics::counter!("goforward_jobs_taken_back_total").increment(count);
            round.taken_back = Some(Instant::now());
        }
        let mut any = round.timetable.enqueue_due(&self.pool, now).await?;
        any |= round.cron.enqueue_due(&self.pool, now).await?;
        let room = self.settings.concurrency.max(1).saturating_sub(round.running.len());
        if room > 0 {
            let lease_end = after(&self.clock, self.settings.lease);
            for taken in store::take(&self.pool, &round.kinds, room, now, lease_end).await? {
                any = true;
                self.begin(taken, &mut round.running);
            }
        }
        Ok(any)
    }

    fn begin(&self, taken: store::Taken, running: &mut Running) {
        // Only kinds with a handler are taken.
        let Some(handler) = self.handlers.get(taken.kind.as_str()) else { return };
        running.begin(Attempt {
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            handler: Arc::clone(handler),
            job: taken.job,
            lease: self.settings.lease,
            random: u32::from_le_bytes(self.random.bytes()),
        });
    }

    async fn end(&self, mut running: Running) {
        let finished = timeout(self.settings.patience, async {
            while running.len() > 0 {
                running.freed().await;
            }
        });
        if finished.await.is_ok() {
            return;
        }
        let left = running.abort().await;
        tracing::warn!(count = left.len(), "jobs were not finished in time: they are done again");
        if let Err(error) = store::release(&self.pool, &left, self.clock.unix_millis()).await {
            tracing::warn!(%error, "unfinished jobs could not be given back: they wait for their leases to run out");
        }
    }
}

/// Returns when `stop` fired that long ago.
async fn overdue(stop: &CancellationToken, patience: Duration) {
    stop.cancelled().await;
    sleep(patience).await;
}

/// What a worker remembers from one look to the next.
struct Round {
    kinds: Vec<&'static str>,
    timetable: Timetable,
    cron: CronTable,
    running: Running,
    taken_back: Option<Instant>,
}

/// The attempts under way. Dropped, they stop where they stand.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    /// Number and attempt of each one's job.
    jobs: HashMap<Id, (i64, u16)>,
}

impl Running {
    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn begin(&mut self, attempt: Attempt) {
        let job = (attempt.job.id, attempt.job.attempt);
        let task = self.tasks.spawn(attempt.run());
        self.jobs.insert(task.id(), job);
        // Counted up and down: a process may have more than one worker.
        metrics::gauge!("goforward_jobs_running").increment(1.0);
    }

    /// Waits until at least one has ended; for ever where none runs.
    async fn freed(&mut self) {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(ended) => self.forget(ended),
        }
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.remove(id);
    }

    fn remove(&mut self, id: Id) {
        if self.jobs.remove(&id).is_some() {
            metrics::gauge!("goforward_jobs_running").decrement(1.0);
        }
    }

    /// Stops all; returns the jobs that had not ended.
    async fn abort(&mut self) -> Vec<(i64, u16)> {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Ok((id, ())) = ended {
                self.remove(id);
            }
        }
        let running = metrics::gauge!("goforward_jobs_running");
        self.jobs.drain().inspect(|_| running.decrement(1.0)).map(|(_, job)| job).collect()
    }
}
