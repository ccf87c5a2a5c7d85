//! The request lanes: spreads statement groups over a bounded number of connections.
//!
//! Shared lane: few connections, several groups in flight on each, for reads whose shape has proved fast and small.
//! Exclusive lane: one group in flight per connection, for everything else. Tasks own the connections (`pump`), callers
//! own a [`Reply`]; a caller who leaves costs no connection. Start reading at [`Lanes::run`].

mod config;
mod keeper;
mod lane;
mod measure;
mod pump;
mod shapes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::LaneConfig;
pub use lane::LaneState;

use self::keeper::Health;
use self::lane::{Job, Kind, Lane, Submitted};
use self::measure::Measures;
use self::shapes::Shapes;
use super::target::Target;
use super::tls::TlsError;
use super::wire::connect::{ConnectError, Connector};
use super::wire::{Access, DbError, Group, Reply};

/// A group whose frames are larger does not go to the shared lane, where it would hold up others.
const SHARED_GROUP_BYTES: usize = 16 * 1024;

/// The dispatcher; cheap to clone.
#[derive(Clone)]
pub struct Lanes {
    hub: Arc<Hub>,
}

/// What the dispatcher, the keeper and the connections' tasks share.
struct Hub {
    config: LaneConfig,
    connector: Connector,
    /// By [`Kind::index`].
    lanes: [Lane; 2],
    shapes: Shapes,
    /// Raised when all prepared statements are to be forgotten.
    generation: AtomicU64,
    last_job: AtomicU64,
    health: Health,
    measures: Measures,
    tracker: TaskTracker,
}

impl Lanes {
    /// Starts the lanes; connections are opened in the background and as they are needed.
    ///
    /// When `cancel` fires, what waits and runs is finished, new groups are refused, and all connections are closed;
    /// `tracker` knows when that is done. Fails only where the TLS settings of `target` cannot work.
    pub fn start(
        target: Target,
        config: LaneConfig,
        tracker: &TaskTracker,
        cancel: CancellationToken,
    ) -> Result<Self, TlsError> {
        let (shared, exclusive) = config.split();
        let hub = Arc::new(Hub {
            lanes: [
                Lane::new(shared, config.shared_depth, config.queue_limit),
                Lane::new(exclusive, 1, config.queue_limit),
            ],
            connector: Connector::new(target)?,
            shapes: Shapes::new(),
            generation: AtomicU64::new(0),
            last_job: AtomicU64::new(0),
            health: Health::new(),
            measures: Measures::new(),
            tracker: tracker.clone(),
            config,
        });
        tracker.spawn(keeper::keep(Arc::clone(&hub), cancel));
        Ok(Self { hub })
    }

    /// Runs a group and gives the first part of its answer.
    ///
    /// An error that is known by then is returned here: of any statement of the group, or of the way to it. A small
    /// answer is complete, its transaction ended; a large one goes on in the [`Reply`]. Dropping the future or the
    /// reply cancels the query.
    pub async fn run(&self, group: Group) -> Result<Reply, DbError> {
        self.hub.health.admit()?;
        let acquire = group.acquire_timeout.unwrap_or(self.hub.config.acquire_timeout);
        let total = group.answer_timeout.unwrap_or(self.hub.config.answer_timeout);
        let acquire = acquire.min(total);
        let (reply, mut answer) = oneshot::channel();
        let id = self.hub.last_job.fetch_add(1, Ordering::Relaxed);
        self.hub.submit(Box::new(Job { id, group, reply: Some(reply), attempts: 0 }));
        let first = match tokio::time::timeout(acquire, &mut answer).await {
            Ok(first) => first,
            Err(_) if self.hub.lanes.iter().any(|lane| lane.withdraw(id)) => {
                self.hub.measures.pool_timeouts.increment(1);
                return Err(DbError::PoolTimeout);
            }
            Err(_) => tokio::time::timeout(total.saturating_sub(acquire), answer).await.map_err(|_| {
                self.hub.measures.answer_timeouts.increment(1);
                DbError::Timeout
            })?,
        };
        first.map_err(|_| DbError::Internal("a database connection's task ended early"))?.map(Reply::new)
    }

    /// Lets every connection prepare its statements anew, after the catalog changed.
    pub fn forget_statements(&self) {
        self.hub.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the database answers; for readiness.
    pub fn is_up(&self) -> watch::Receiver<bool> {
        self.hub.health.watch()
    }

    /// Numbers of the shared and of the exclusive lane.
    pub fn state(&self) -> (LaneState, LaneState) {
        let [shared, exclusive] = &self.hub.lanes;
        (shared.numbers(), exclusive.numbers())
    }
}

impl Hub {
    fn lane(&self, kind: Kind) -> &Lane {
        &self.lanes[kind.index()]
    }

    /// The lane that a job belongs to now.
    fn kind(&self, job: &Job) -> Kind {
        match job.group.access {
            Access::Read { shape }
                if self.shapes.is_proven(shape)
                    && !job.group.is_explicit()
                    && !job.group.resets_session
                    && job.attempts < 2
                    && self.lane(Kind::Shared).exists()
                    && job.group.size() <= SHARED_GROUP_BYTES =>
            {
                Kind::Shared
            }
            _ => Kind::Exclusive,
        }
    }

    fn submit(self: &Arc<Self>, job: Box<Job>) {
        let kind = self.kind(&job);
        self.submit_to(kind, job);
    }

    fn submit_to(self: &Arc<Self>, kind: Kind, job: Box<Job>) {
        let again = job.attempts > 0;
        match self.lane(kind).submit(job, again) {
            Submitted::Taken => {}
            Submitted::Grow => self.open(kind),
            // Only the shared lane blocks.
            Submitted::Blocked(job) => self.submit_to(Kind::Exclusive, job),
            Submitted::Full(mut job) => {
                self.measures.queue_full.increment(1);
                job.answer(Err(DbError::QueueFull));
            }
        }
    }

    /// Sends a job again that had no effect or may be repeated.
    fn resubmit(self: &Arc<Self>, mut job: Box<Job>) {
        if job.is_orphan() {
            return;
        }
        if let Err(error) = self.health.admit() {
            return job.answer(Err(error));
        }
        job.attempts = job.attempts.saturating_add(1);
        self.submit(job);
    }

    /// Opens a connection that the lane has counted, and runs it to its end.
    fn open(self: &Arc<Self>, kind: Kind) {
        let hub = Arc::clone(self);
        self.tracker.spawn(async move {
            match hub.connector.connect().await {
                Ok(wire) => {
                    hub.health.connected();
                    pump::run(hub, kind, wire).await;
                }
                Err(error) => {
                    hub.connect_failed(kind, &error);
                }
            }
        });
    }

    /// Fails whoever waits, if no connection is left to serve them.
    fn connect_failed(&self, kind: Kind, error: &ConnectError) {
        self.measures.connect_errors.increment(1);
        let is_down = self.lanes.iter().all(Lane::is_empty);
        let pause = self.health.failed(error, is_down);
        self.lane(kind).give_up(pause.min(keeper::ASKED));
        let retry_after = pause.max(RETRY_AFTER);
        if is_down {
            for mut job in self.lanes.iter().flat_map(Lane::drain) {
                job.answer(Err(DbError::unavailable("it cannot be reached", retry_after)));
            }
        }
    }
}

/// The shortest wait that is worth telling a client.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
