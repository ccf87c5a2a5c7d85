//! Work that is done after a request, as services know it: what is to be done ([`NewJob`]), who does it ([`JobHandler`]),
//! and what is done at regular times ([`Schedule`]).
//!
//! A job is a row in the database, written by [`enqueue`](crate::kernel::db::jobs::enqueue) in the transaction that wants
//! it: both happen or none. Every job is done at least once. One whose process died is done again by another, so what a
//! handler does twice must do no harm.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

/// A job that is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Says which handler does it.
    pub kind: &'static str,
    /// What the handler needs to know. Kept in the database until the job is done: secrets are encrypted, or left out.
    pub payload: Value,
    /// The earliest time, in milliseconds since the Unix epoch; `None` is at once.
    pub run_at: Option<i64>,
    /// While an unfinished job has this key, no other with it is made.
    pub dedupe_key: Option<String>,
    /// How often the job is tried before it counts as dead; at least 1.
    pub max_attempts: u16,
}

impl NewJob {
    /// With the waits between them, these take about five hours: a mail server may be away for a night's maintenance.
    pub const DEFAULT_ATTEMPTS: u16 = 15;

    /// A job to be done at once, with the usual number of attempts.
    pub fn new(kind: &'static str, payload: Value) -> Self {
        Self { kind, payload, run_at: None, dedupe_key: None, max_attempts: Self::DEFAULT_ATTEMPTS }
    }
}

/// A job in the hands of its handler.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number, the same at every attempt: what a handler can tell others by, so that they do nothing twice.
    pub id: i64,
    /// See [`NewJob::payload`].
    pub payload: Value,
    /// Which attempt this is, from 1.
    pub attempt: u16,
    /// The last attempt there will be.
    pub max_attempts: u16,
}

/// How an attempt ended. Texts are for operators and are kept in the database: no secrets, no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// The job is done.
    Done,
    /// It may work later. After the last attempt this is the same as `Dead`.
    Retry(String),
    /// It will never work.
    Dead(String),
}

/// What [`JobHandler::run`] returns.
pub type RunningJob<'a> = Pin<Box<dyn Future<Output = JobOutcome> + Send + 'a>>;

/// Does the jobs of one kind.
pub trait JobHandler: Send + Sync {
    /// Which kind: `service.what`.
    fn kind(&self) -> &'static str;

    /// The longest that one attempt may take; then it is dropped and counts as failed.
    fn time_limit(&self) -> Duration {
        Duration::from_mins(1)
    }

    /// Makes one attempt. Dropped where it stands when the program ends before it does.
    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a>;
}

/// A job that is enqueued at every full multiple of an interval since the Unix epoch: once for all nodes, and not while
/// the one before is unfinished. Times that pass while no node runs are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name among the schedules.
    pub name: &'static str,
    /// The kind of the job; its payload is empty.
    pub kind: &'static str,
    /// From one time to the next.
    pub every: Duration,
}

/// Tells the worker of this process that there is something to do, so that it does not wait for its next look. To be rung
/// after the commit; missing it costs a moment and nothing else. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct JobBell(Arc<Notify>);

impl JobBell {
    /// There is something to do.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until it is rung; returns at once where that happened since the last wait.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}
