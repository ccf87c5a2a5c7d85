//! The task behind [`super::reload::CatalogHandle`]: when to look, when to load, and what to do when that fails.
//!
//! A load starts after the news that asked for it and sees at least that state; news during a load start another. So
//! the last snapshot is always that of the last change. Everything here runs in one task, nothing is locked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::load::{self, Fingerprint, LoadError};
use super::model::{Catalog, QualifiedName, TableSecurityRows};
use super::reload::{Command, ReloadOptions, Shared};
use crate::kernel::pauses::Pauses;

/// How long to gather further news before a load, so that a script of many statements causes few.
const GATHER: Duration = Duration::from_millis(20);
/// The longest pause between loads that follow each other, however long one takes.
const LONGEST_GATHER: Duration = Duration::from_millis(500);
/// A look at the database is good for this long when an unknown relation asks for one.
const RECHECK_EVERY: Duration = Duration::from_secs(1);
/// Pauses after failures grow from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How long the connection that listens may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// A load that takes longer has lost its server.
const LOAD_LIMIT: Duration = Duration::from_secs(90);
/// A look that takes longer has lost its server.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// How long to look at the rules alone where the catalog cannot be read.
const RULES_LIMIT: Duration = Duration::from_secs(2);
/// How often a load is tried at once when DDL got in its way.
const RACES: usize = 5;
/// Polling may take this part of the time of one connection: 1/20.
const POLL_SHARE: u32 = 20;

/// Why to act.
enum News {
    /// A message, a command or a reconnect: the schema may have changed.
    Schema,
    /// The poll is due.
    Poll,
    /// Something may be unknown only to us.
    Recheck(oneshot::Sender<()>),
    /// Nothing to do.
    None,
    /// All handles are gone.
    Over,
}

pub(super) struct ReloadTask {
    options: ReloadOptions,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    /// The connection that loads; none while the database is down.
    loader: Option<PgConnection>,
    listener: Option<PgListener>,
    /// Whom to tell that the next load is over.
    waiting: Vec<oneshot::Sender<()>>,
    /// Tables whose rules were changed here and have not been read since.
    changed_rules: BTreeSet<QualifiedName>,
    /// A load is due.
    due: bool,
    pauses: Pauses,
    retry_at: Option<Instant>,
    /// State of the schema at the last load, and the transactions ended by then.
    known: Option<(Fingerprint, String)>,
    announced: bool,
    poll_at: Instant,
    looked_at: Option<Instant>,
    loaded_at: Option<Instant>,
    last_load_took: Duration,
    /// The server takes no LISTEN (a standby): the poll alone has to do.
    deaf: bool,
}

impl ReloadTask {
    pub(super) fn new(
        options: ReloadOptions,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let pauses = Pauses::new(BACK_OFF.0, BACK_OFF.1, &options.random);
        Self {
            options,
            shared,
            commands,
            loader: None,
            listener: None,
            waiting: Vec::new(),
            changed_rules: BTreeSet::new(),
            due: true,
            pauses,
            retry_at: None,
            known: None,
            announced: false,
            poll_at: Instant::now(),
            looked_at: None,
            loaded_at: None,
            last_load_took: Duration::ZERO,
            deaf: false,
        }
    }

    /// Runs until it is dropped or all handles are gone.
    pub(super) async fn run(mut self) {
        loop {
            if self.due && self.retry_at.is_none_or(|at| at <= Instant::now()) {
                self.gather().await;
                self.attempt().await;
            }
            match self.news().await {
                News::Schema => self.due = true,
                News::Poll => self.look().await,
                News::Recheck(done) => self.recheck(done).await,
                News::None => {}
                News::Over => return,
            }
        }
    }

    /// Waits for the next reason to act.
    async fn news(&mut self) -> News {
        let retry_at = self.retry_at.filter(|_| self.due);
        let listening = self.listener.is_some();
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(Command::Reload { rules_of, done }) => {
                    self.waiting.extend(done);
                    self.changed_rules.extend(rules_of);
                    // Who asks by hand does not wait for the back-off.
                    self.retry_at = None;
                    News::Schema
                }
                Some(Command::Recheck { done }) => News::Recheck(done),
                Some(Command::Options(load)) => {
                    self.options.load = load;
                    News::Schema
                }
                None => News::Over,
            },
            message = receive(&mut self.listener), if listening => self.message(message),
            () = tokio::time::sleep_until(self.poll_at), if !self.due => News::Poll,
            () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if self.due => {
                self.retry_at = None;
                News::None
            }
        }
    }

    fn message(&mut self, message: Result<Option<String>, sqlx::Error>) -> News {
        if let Ok(Some(payload)) = message {
            return self.payload(&payload);
        }
        // The connection broke: what was announced meanwhile is lost, so load after listening again.
        tracing::warn!(kind = "app", "the connection that listens for schema changes broke; reconnecting");
        self.listener = None;
        self.loader = None;
        News::Schema
    }

    /// `reload schema`, `reload config`, or nothing for both; others are not for us.
    fn payload(&self, payload: &str) -> News {
        let (schema, config) = match payload.trim() {
            "reload schema" => (true, false),
            "reload config" => (false, true),
            "" => (true, true),
            _ => (false, false),
        };
        if config {
            self.shared.config_requests.send_modify(|count| *count += 1);
        }
        if schema { News::Schema } else { News::None }
    }

    /// Lets a burst of news pass before loading; where loads follow each other, the longer the longer one takes.
    async fn gather(&mut self) {
        if *self.shared.version.borrow() == 0 {
            return;
        }
        let busy = self.loaded_at.is_some_and(|at| at.elapsed() < self.last_load_took);
        let pause = if busy { self.last_load_took.clamp(GATHER, LONGEST_GATHER) } else { GATHER };
        let until = Instant::now() + pause;
        loop {
            let listening = self.listener.is_some();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                message = receive(&mut self.listener), if listening => {
                    self.message(message);
                }
                command = self.commands.recv() => match command {
                    Some(Command::Reload { rules_of, done }) => {
                        self.waiting.extend(done);
                        self.changed_rules.extend(rules_of);
                    }
                    Some(Command::Recheck { done }) => self.waiting.push(done),
                    Some(Command::Options(load)) => self.options.load = load,
                    None => return,
                },
            }
        }
    }

    /// Loads once, and says how it went.
    async fn attempt(&mut self) {
        let started = Instant::now();
        let outcome = tokio::time::timeout(LOAD_LIMIT, self.load())
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()));
        match outcome {
            Ok(()) => {
                self.last_load_took = started.elapsed();
                metrics::counter!("goforward_catalog_reloads_total", "result" => "ok").increment(1);
                metrics::histogram!("goforward_catalog_load_seconds")
                    .record(self.last_load_took.as_secs_f64());
                self.shared.stale.store(false, Ordering::Relaxed);
                self.loaded_at = Some(Instant::now());
                self.due = false;
                self.changed_rules.clear();
                self.pauses.end();
                self.retry_at = None;
            }
            Err(error) => {
                metrics::counter!("goforward_catalog_reloads_total", "result" => "error").increment(1);
                let kept = *self.shared.version.borrow();
                self.shared.stale.store(true, Ordering::Relaxed);
                self.failed();
                tracing::warn!(kind = "app", %error, version = kept, "cannot reload the catalog; the last one stays in use");
                self.name_changed_rules().await;
            }
        }
        metrics::gauge!("goforward_catalog_stale").set(if self.due { 1.0 } else { 0.0 });
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Has the snapshot in use name the tables whose rules changed since it was made: those that were changed here, and as
    /// the rules alone may be readable where the catalog is not, those that were changed elsewhere.
    async fn name_changed_rules(&mut self) {
        let current = self.shared.current.load_full();
        if current.version == 0 {
            return;
        }
        let mut changed = self.changed_rules.clone();
        if let Ok(Ok(stored)) = tokio::time::timeout(RULES_LIMIT, self.stored_rules()).await {
            changed.extend(changes(&current.table_security, &stored));
        }
        changed.extend(current.changed_rules.iter().cloned());
        if changed == *current.changed_rules {
            return;
        }
        for table in changed.difference(&current.changed_rules) {
            tracing::error!(kind = "app", %table, "the rules of a table changed and cannot be read again; it is closed until they can");
        }
        let version = current.version + 1;
        let changed_rules = Arc::new(changed);
        self.publish(Catalog { changed_rules, version, ..Catalog::clone(&current) });
    }

    async fn stored_rules(&self) -> Result<TableSecurityRows, sqlx::Error> {
        let mut connection = self.options.connect.connect().await?;
        let rows = load::stored_rules(&mut connection).await;
        let _ = connection.close().await;
        rows
    }

    fn publish(&self, catalog: Catalog) {
        let version = catalog.version;
        self.shared.current.store(Arc::new(catalog));
        self.shared.version.send_replace(version);
    }

    /// Forgets the connections and sets the time of the next try.
    fn failed(&mut self) {
        self.loader = None;
        self.deaf = false;
        self.due = true;
        self.retry_at = Some(Instant::now() + self.pauses.take());
    }

    async fn load(&mut self) -> Result<(), LoadError> {
        self.listen().await?;
        let mut connection = match self.loader.take() {
            Some(connection) => connection,
            None => self.options.connect.connect().await?,
        };
        // Before the load, so that what changes meanwhile is noticed by the next look.
        let ended = load::snapshot_text(&mut connection).await?;
        let fingerprint = load::fingerprint(&mut connection).await?;
        let mut catalog = self.read(&mut connection).await?;
        self.announced = match &self.options.channel {
            Some(channel) => load::event_trigger_present(&mut connection, channel).await?,
            None => false,
        };
        self.known = Some((fingerprint, ended));
        self.loader = Some(connection);
        self.looked_at = Some(Instant::now());
        self.schedule_poll(Duration::ZERO);
        catalog.version = *self.shared.version.borrow() + 1;
        publish_metrics(&catalog);
        tracing::info!(
            kind = "app",
            version = catalog.version,
            relations = catalog.relations.len(),
            functions = catalog.functions.len(),
            "catalog loaded"
        );
        self.publish(catalog);
        Ok(())
    }

    /// Reads the catalog, again where DDL got in the way.
    async fn read(&self, connection: &mut PgConnection) -> Result<Catalog, LoadError> {
        let previous = self.shared.current.load_full();
        for _ in 1..RACES {
            match load::load(connection, &self.options.load, Some(&previous)).await {
                Err(error) if error.is_race() => {
                    tracing::debug!(kind = "app", %error, "the schema changed while it was read");
                }
                done => return done,
            }
        }
        load::load(connection, &self.options.load, Some(&previous)).await
    }

    /// Listens before anything is read, so that no change falls between.
    async fn listen(&mut self) -> Result<(), sqlx::Error> {
        if self.listener.is_some() || self.deaf {
            return Ok(());
        }
        let Some(channel) = &self.options.channel else { return Ok(()) };
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT)
            .connect_lazy_with(self.options.connect.choose().await?);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        match listener.listen(channel).await {
            Ok(()) => self.listener = Some(listener),
            Err(sqlx::Error::Database(error)) => {
                tracing::warn!(kind = "app", %error, "cannot LISTEN here; schema changes are noticed by polling only");
                self.deaf = true;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Compares the schema with the last loaded one.
    async fn look(&mut self) {
        let started = Instant::now();
        let outcome =
            tokio::time::timeout(LOOK_LIMIT, self.changed()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        match outcome {
            Ok(changed) => self.due = changed,
            Err(error) => {
                tracing::warn!(kind = "app", %error, "cannot look for schema changes");
                self.failed();
            }
        }
        self.looked_at = Some(Instant::now());
        self.schedule_poll(started.elapsed());
    }

    async fn changed(&mut self) -> Result<bool, sqlx::Error> {
        let (Some(connection), Some((fingerprint, ended))) = (&mut self.loader, &mut self.known) else {
            return Ok(true);
        };
        let ended_now = load::snapshot_text(connection).await?;
        if ended_now == *ended {
            return Ok(false);
        }
        let now = load::fingerprint(connection).await?;
        *ended = ended_now;
        Ok(now != *fingerprint)
    }

    fn schedule_poll(&mut self, last_took: Duration) {
        let every = if self.announced { self.options.slow_poll } else { self.options.poll };
        self.poll_at = Instant::now() + every.max(last_took * POLL_SHARE);
    }

    async fn recheck(&mut self, done: oneshot::Sender<()>) {
        let recent = self.looked_at.is_some_and(|at| at.elapsed() < RECHECK_EVERY);
        let down = self.retry_at.is_some();
        if !self.due && !recent && !down {
            self.look().await;
        }
        if self.due && self.retry_at.is_none() {
            self.waiting.push(done);
        }
    }
}

/// The tables whose rules differ. Rules that cannot be read differ from none: whoever reads them next will see.
fn changes(before: &TableSecurityRows, now: &TableSecurityRows) -> BTreeSet<QualifiedName> {
    let TableSecurityRows::Read(now) = now else { return BTreeSet::new() };
    let nothing = HashMap::new();
    let before = if let TableSecurityRows::Read(before) = before { before } else { &nothing };
    let names = before.keys().chain(now.keys());
    names.filter(|table| before.get(*table) != now.get(*table)).cloned().collect()
}

/// The next message. Only called with a listener.
async fn receive(listener: &mut Option<PgListener>) -> Result<Option<String>, sqlx::Error> {
    match listener {
        Some(listener) => Ok(listener.try_recv().await?.map(|message| message.payload().to_owned())),
        None => std::future::pending().await,
    }
}

fn publish_metrics(catalog: &Catalog) {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    metrics::gauge!("goforward_catalog_relations").set(count(catalog.relations.len()));
    metrics::gauge!("goforward_catalog_functions").set(count(catalog.functions.len()));
    metrics::gauge!("goforward_catalog_relationships")
        .set(count(catalog.relationships.values().map(|found| found.len()).sum()));
    metrics::gauge!("goforward_catalog_version")
        .set(f64::from(u32::try_from(catalog.version).unwrap_or(u32::MAX)));
}
