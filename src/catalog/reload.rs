//! Keeps the catalog fresh: one background task that reloads it when the database says that it changed, or when a
//! look at the database's own books shows it, and that never lets go of the last good snapshot. While the catalog cannot
//! be read, tables whose rules are known to have changed are named in the snapshot ([`Catalog::changed_rules`]), for
//! `policy` to close.
//!
//! Uses two connections: one that listens, one that loads. Knows nothing of requests; services hold a
//! [`CatalogHandle`]. SQL is in `super::load`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::load::LoadOptions;
use super::model::{Catalog, QualifiedName};
use super::reload_task::ReloadTask;
use crate::kernel::db::login::Login;
use crate::kernel::random::Random;

/// How the catalog is kept fresh.
#[derive(Clone, Debug)]
pub struct ReloadOptions {
    /// Where to connect, as whom. Any login can read what is needed.
    pub connect: Login,
    /// What to load.
    pub load: LoadOptions,
    /// The NOTIFY channel to listen on; `None` listens on none and relies on the poll.
    pub channel: Option<String>,
    /// How often to look for changes that nobody announced, where no event trigger announces them.
    pub poll: Duration,
    /// How often to look where an event trigger does (changes of roles fire none).
    pub slow_poll: Duration,
    /// Randomness of pauses.
    pub random: Random,
}

impl ReloadOptions {
    /// The usual: channel `pgrst`, 500 ms, 5 s.
    pub fn new(connect: impl Into<Login>, load: LoadOptions, random: &Random) -> Self {
        Self {
            connect: connect.into(),
            load,
            channel: Some("pgrst".to_owned()),
            poll: Duration::from_millis(500),
            slow_poll: Duration::from_secs(5),
            random: random.clone(),
        }
    }
}

/// How many requests to the task may wait. Reloads coalesce, so a full queue means that one is due anyhow.
const QUEUE: usize = 64;

/// How long [`CatalogHandle::recheck`] waits for the database.
const RECHECK_WAIT: Duration = Duration::from_secs(2);

/// What services ask of the task.
pub(super) enum Command {
    /// Load again, whether or not anything changed. The rules of a table may be known to have changed.
    Reload { rules_of: Option<QualifiedName>, done: Option<oneshot::Sender<()>> },
    /// Look whether something changed, and if so load again.
    Recheck { done: oneshot::Sender<()> },
    /// Load something else from now on.
    Options(LoadOptions),
}

/// What the task and the handles share.
pub(super) struct Shared {
    pub(super) current: ArcSwap<Catalog>,
    /// Version of the current snapshot; 0 before the first.
    pub(super) version: watch::Sender<u64>,
    /// Counts messages that ask for the configuration to be read again.
    pub(super) config_requests: watch::Sender<u64>,
    /// Whether the last attempt to load failed, so that the snapshot may be old.
    pub(super) stale: AtomicBool,
}

/// The current catalog and the way to have it reloaded. Cheap to clone.
#[derive(Clone)]
pub struct CatalogHandle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl CatalogHandle {
    /// Starts the task and returns at once; until the first snapshot is there the catalog is empty with version 0.
    ///
    /// The task ends when `stop` is cancelled.
    pub fn start(options: ReloadOptions, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let shared = Arc::new(Shared {
            current: ArcSwap::from_pointee(Catalog::default()),
            version: watch::Sender::new(0),
            config_requests: watch::Sender::new(0),
            stale: AtomicBool::new(false),
        });
        let (commands, receiver) = mpsc::channel(QUEUE);
        let task = ReloadTask::new(options, shared.clone(), receiver);
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run() => {}
            }
        });
        Self { shared, commands }
    }

    /// The current snapshot for a short look; not to be held across an await.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.shared.current.load()
    }

    /// The current snapshot to keep for a request.
    pub fn current(&self) -> Arc<Catalog> {
        self.shared.current.load_full()
    }

    /// Whether there is a snapshot at all.
    pub fn is_ready(&self) -> bool {
        *self.shared.version.borrow() > 0
    }

    /// Whether the last attempt to load failed.
    pub fn is_stale(&self) -> bool {
        self.shared.stale.load(Ordering::Relaxed)
    }

    /// Waits for the first snapshot. Ends without one only if the task was stopped.
    pub async fn ready(&self) {
        let _ = self.shared.version.subscribe().wait_for(|version| *version > 0).await;
    }

    /// Changes whenever a new snapshot is published; the value is its version.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// Changes whenever a `reload config` (or an empty message) asks for the configuration to be read again.
    pub fn config_requests(&self) -> watch::Receiver<u64> {
        self.shared.config_requests.subscribe()
    }

    /// Asks for a reload (a signal, say) and does not wait for it.
    pub fn request_reload(&self) {
        let _ = self.commands.try_send(Command::Reload { rules_of: None, done: None });
    }

    /// Reloads and waits until the attempt is over; [`CatalogHandle::is_stale`] says whether it failed.
    pub async fn reload(&self) {
        self.reload_and_wait(None).await;
    }

    /// The same after the rules of a table were changed: where they cannot be read, the table is closed until they can.
    pub async fn reload_rules(&self, table: &QualifiedName) {
        self.reload_and_wait(Some(table.clone())).await;
    }

    async fn reload_and_wait(&self, rules_of: Option<QualifiedName>) {
        let (done, finished) = oneshot::channel();
        if self.commands.send(Command::Reload { rules_of, done: Some(done) }).await.is_ok() {
            let _ = finished.await;
        }
    }

    /// Exposes other schemas from now on, and reloads.
    pub async fn set_load_options(&self, options: LoadOptions) {
        let _ = self.commands.send(Command::Options(options)).await;
        self.reload().await;
    }

    /// To be called before an answer says that a relation or function is unknown.
    ///
    /// Looks whether the schema changed and waits for the reload that follows, two seconds at most. Where the last look
    /// is less than a second old, where the database is down, and where too many ask, it returns at once.
    pub async fn recheck(&self) {
        let (done, finished) = oneshot::channel();
        if self.commands.try_send(Command::Recheck { done }).is_ok() {
            let _ = tokio::time::timeout(RECHECK_WAIT, finished).await;
        }
    }
}
