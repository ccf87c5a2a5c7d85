//! Keeps the lanes healthy: back-off and return after an outage, idle and old connections, the gauges, the end.
//!
//! [`Health`] is what callers see of it: during an outage they are refused at once instead of queueing.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::lane::{Kind, Lane};
use super::{Hub, Lanes, RETRY_AFTER};
use crate::kernel::db::wire::connect::ConnectError;
use crate::kernel::db::wire::{Access, DbError, Group, Query};

/// How often the keeper looks round.
const ROUND: Duration = Duration::from_secs(1);
/// The first attempt after a failed one.
const QUICK: Duration = Duration::from_millis(50);
/// The longest pause between attempts while nobody asks.
const LONGEST: Duration = Duration::from_secs(32);
/// The pause between attempts while somebody asks.
pub(super) const ASKED: Duration = Duration::from_millis(500);
/// A database that said nothing for so long is asked whether it is alive, and has as long to answer.
const SILENCE: Duration = Duration::from_secs(5);

/// Whether the database can be used, and when to try again.
pub(super) struct Health {
    up: watch::Sender<bool>,
    is_down: AtomicBool,
    is_ending: AtomicBool,
    /// Failed attempts since the last success.
    failures: AtomicU32,
    next_attempt: Mutex<Attempts>,
    nudge: Notify,
    started: Instant,
    /// Milliseconds from `started` to the last answer.
    heard: AtomicU64,
}

struct Attempts {
    last: Instant,
    next: Instant,
}

impl Health {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            up: watch::Sender::new(false),
            is_down: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            next_attempt: Mutex::new(Attempts { last: now, next: now }),
            nudge: Notify::new(),
            started: now,
            heard: AtomicU64::new(0),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// Refuses new groups while the database is down or the lanes end.
    pub(super) fn admit(&self) -> Result<(), DbError> {
        if self.is_ending.load(Ordering::Relaxed) {
            return Err(DbError::unavailable("the server is stopping", RETRY_AFTER));
        }
        if !self.is_down.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut attempts = self.next_attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = attempts.last + ASKED;
        if wanted < attempts.next {
            attempts.next = wanted;
            self.nudge.notify_one();
        }
        Err(DbError::unavailable("it cannot be reached", RETRY_AFTER))
    }

    /// A connection came about.
    pub(super) fn connected(&self) {
        let failures = self.failures.swap(0, Ordering::Relaxed);
        self.heard_now();
        if self.is_down.swap(false, Ordering::Relaxed) || failures > 0 {
            tracing::info!(failures, "connected to the database again");
        }
        self.up.send_if_modified(|up| !std::mem::replace(up, true));
    }

    /// Something was read from the database.
    pub(super) fn heard_now(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Plain loads first: every connection writes here.
        if millis.saturating_sub(self.heard.load(Ordering::Relaxed)) > 100 {
            self.heard.store(millis, Ordering::Relaxed);
        }
    }

    fn silence(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }

    /// A connection could not be opened; says when the next attempt is.
    pub(super) fn failed(&self, error: &ConnectError, is_down: bool) -> Duration {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        let pause = if failures == 0 { QUICK } else { (ROUND * (1 << (failures - 1).min(5))).min(LONGEST) };
        let now = Instant::now();
        *self.next_attempt.lock().unwrap_or_else(PoisonError::into_inner) =
            Attempts { last: now, next: now + pause };
        explain(error, failures);
        if is_down {
            self.is_down.store(true, Ordering::Relaxed);
            self.up.send_if_modified(|up| std::mem::replace(up, false));
        }
        self.nudge.notify_one();
        pause
    }

    fn next_attempt(&self) -> Instant {
        self.next_attempt.lock().unwrap_or_else(PoisonError::into_inner).next
    }
}

/// One log line that says what is wrong; repeated failures at powers of two only.
fn explain(error: &ConnectError, failures: u32) {
    if failures > 0 && !(failures + 1).is_power_of_two() {
        return;
    }
    let advice = match error.code() {
        "28P01" => "the password of the database login is wrong",
        "28000" => "the server's access rules (pg_hba.conf) or the login role forbid this login",
        "3D000" => "the database does not exist",
        "53300" => {
            "the server has no connection left: lower database.max_connections or raise its max_connections"
        }
        "57P03" => "the server is starting up or shutting down",
        _ => "is the server running, and are host, port and ssl_mode right?",
    };
    tracing::error!(%error, attempts = failures + 1, "cannot connect to the database: {advice}");
}

/// Runs until `cancel` fires, then lets the lanes end.
pub(super) async fn keep(hub: Arc<Hub>, cancel: CancellationToken) {
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asked = Instant::now();
    loop {
        let next = hub.health.next_attempt();
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = round.tick() => {}
            () = hub.health.nudge.notified() => {}
            () = tokio::time::sleep_until(next.into()), if next > Instant::now() => {}
        }
        if next <= Instant::now() {
            refill(&hub);
        }
        for (kind, keep) in [(Kind::Shared, 0), (Kind::Exclusive, 1)] {
            hub.lane(kind).retire(hub.config.idle_timeout, hub.config.max_lifetime, keep);
        }
        publish(&hub);
        // Where no connection is left, those that cannot be opened tell of it.
        if hub.health.silence() > SILENCE
            && asked.elapsed() > SILENCE
            && !hub.lanes.iter().all(Lane::is_empty)
        {
            asked = Instant::now();
            hub.tracker.spawn(ask(Arc::clone(&hub)));
        }
    }
    hub.health.is_ending.store(true, Ordering::Relaxed);
    for lane in &hub.lanes {
        lane.end();
    }
}

/// Opens a connection where some wait and none comes, and keeps one open always.
fn refill(hub: &Arc<Hub>) {
    for kind in [Kind::Shared, Kind::Exclusive] {
        let lane = hub.lane(kind);
        let wanted = kind == Kind::Exclusive && lane.is_empty() && !lane.is_connecting();
        if lane.reserve(wanted) {
            hub.open(kind);
        }
    }
}

/// Finds out whether a database that says nothing is alive: a stopped process still accepts connections.
async fn ask(hub: Arc<Hub>) {
    let query = Query { sql: "select 1".into(), params: Vec::new(), columns: 0, prepared: true };
    let mut group = Group::new(query, Access::Read { shape: 0 });
    group.acquire_timeout = Some(SILENCE);
    group.answer_timeout = Some(SILENCE);
    let lanes = Lanes { hub: Arc::clone(&hub) };
    match lanes.run(group).await {
        Ok(_) => {
            hub.health.up.send_if_modified(|up| !std::mem::replace(up, true));
        }
        // All connections are busy, or the outage is known already.
        Err(error) if !matches!(error, DbError::Timeout) && !hub.lane(Kind::Exclusive).is_empty() => {}
        // What is left is shared, serves nobody at the moment, and would not be missed.
        Err(_) => {
            if hub.health.up.send_if_modified(|up| std::mem::replace(up, false)) {
                tracing::error!("the database does not answer");
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of connections and requests")]
fn publish(hub: &Hub) {
    for kind in [Kind::Shared, Kind::Exclusive] {
        let numbers = hub.lane(kind).numbers();
        let at = kind.index();
        hub.measures.busy[at].set((numbers.connections - numbers.idle) as f64);
        hub.measures.idle[at].set(numbers.idle as f64);
        hub.measures.in_flight[at].set(numbers.in_flight as f64);
        hub.measures.waiting[at].set(numbers.waiting as f64);
    }
}
