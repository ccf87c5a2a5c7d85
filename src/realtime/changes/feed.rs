//! The live feed: reads the outbox again and again, never waits for the database longer than it must, and survives its
//! outages.
//!
//! While there is something to read it looks every few milliseconds. After a while without, it marks itself as idle, looks
//! once more, and sleeps only if that look finds nothing: from then on writers wake it (`realtime.hint()`), the server wakes
//! it for its own writes, and it looks four times a second for what both of them missed.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::window::{StepLimit, Window};
use super::{Batch, ChangeFeed, Epoch, FeedError, History, Position};
use crate::kernel::pauses::Pauses;
use crate::kernel::random::Random;
use crate::realtime::pauses::{self, pauses};
use crate::realtime::store::outbox;

/// Between two looks while there is something to read.
const ACTIVE_PAUSE: Duration = Duration::from_millis(5);
/// Between two looks while asleep, unless told otherwise.
const IDLE_PAUSE: Duration = Duration::from_millis(250);
/// How long nothing must have come before it sleeps, unless told otherwise.
const LINGER: Duration = Duration::from_millis(500);
/// How often the mark is renewed; it holds for five seconds.
const REMARK: Duration = Duration::from_secs(2);
/// The longest that a look may take; then the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Reads `realtime.changes`.
#[derive(Debug)]
pub struct OutboxFeed {
    /// The service's pool: where the database is.
    service: PgPool,
    /// The connections of histories.
    readers: PgPool,
    node: Uuid,
    wake: Arc<Notify>,
    limit: StepLimit,
    idle_pause: Duration,
    linger: Duration,
    position: watch::Sender<Option<Position>>,
    given: watch::Sender<Option<Position>>,
    link: Option<Link>,
    window: Option<Window>,
    /// After failures in a row.
    pauses: Pauses,
}

/// A connection that listens, and what was said through it.
#[derive(Debug)]
struct Link {
    listener: PgListener,
    /// The epoch as it is written down, to notice when somebody changes it.
    written_epoch: Uuid,
    /// When the idle mark was set; `None` while awake.
    idle_since: Option<Instant>,
    /// When something came last.
    last_change: Instant,
}

impl OutboxFeed {
    /// A feed of what is committed from the first call of [`ChangeFeed::next`] on, for this node. It goes to where `service`
    /// goes, under the same login, on a connection of its own; its histories share `readers` more. `wake` rouses it at once
    /// when this server has written something.
    pub fn new(service: &PgPool, (node, wake): (Uuid, Arc<Notify>), readers: u32, random: &Random) -> Self {
        Self {
            service: service.clone(),
            readers: pool(service, readers),
            node,
            wake,
            limit: StepLimit::default(),
            idle_pause: IDLE_PAUSE,
            linger: LINGER,
            position: watch::Sender::new(None),
            given: watch::Sender::new(None),
            link: None,
            window: None,
            pauses: pauses(random),
        }
    }

    /// The same with other steps.
    #[must_use]
    pub fn with_limit(self, limit: StepLimit) -> Self {
        Self { limit, ..self }
    }

    /// The same with another time between two looks while asleep. Its mark holds for five seconds: who sleeps longer is woken
    /// by this server alone after that.
    #[must_use]
    pub fn with_idle_pause(self, idle_pause: Duration) -> Self {
        Self { idle_pause, ..self }
    }

    /// The same that sleeps once nothing has come for so long.
    #[must_use]
    pub fn with_linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// What was given, for those who come back.
    pub fn history(&self) -> History {
        History::new(self.readers.clone(), self.limit)
    }

    /// How far it is: `None` before the first connection. What it shows has been given to whoever calls `next`, or is
    /// about to be.
    pub fn position(&self) -> watch::Receiver<Option<Position>> {
        self.position.subscribe()
    }

    /// What whoever calls `next` is done with, as it has come back for more.
    pub fn given(&self) -> watch::Receiver<Option<Position>> {
        self.given.subscribe()
    }

    /// Ends it: nobody will wake it any more.
    pub async fn close(mut self) {
        if let Some(mut link) = self.link.take() {
            // A mark that stays runs out by itself.
            let _ = timeout(pauses::LONGEST, outbox::forget(&mut link.listener, self.node)).await;
        }
        self.readers.close().await;
    }

    /// One look; `None` if there was nothing.
    async fn look(&mut self) -> Result<Option<Batch>, FeedError> {
        if self.service.is_closed() {
            return Err(FeedError::Closed);
        }
        if self.link.is_none() {
            self.connect().await?;
        }
        let (Some(link), Some(position)) = (&mut self.link, self.position.borrow().clone()) else {
            return Ok(None);
        };
        if self.window.is_none() {
            let plan = Window::plan(&mut link.listener, &position.seen).await?;
            if plan.epoch != link.written_epoch {
                self.link = None;
                return Ok(None);
            }
            if plan.horizon.hides_from(&position.seen) {
                self.position.send_replace(Some(Position { seen: plan.now, ..position }));
                return Err(FeedError::Resync);
            }
            let (epoch, now) = (position.epoch, plan.now.clone());
            if plan.transactions.is_empty() {
                self.given.send_replace(Some(Position { epoch, seen: now.clone() }));
            } else {
                link.last_change = Instant::now();
                link.rouse(self.node).await?;
                self.window = Some(Window::live(epoch, position.seen, plan));
            }
            self.position.send_replace(Some(Position { epoch, seen: now }));
        }
        let Some(window) = &mut self.window else { return Ok(None) };
        match window.step(&mut link.listener, self.limit).await {
            Ok(None) => {
                self.window = None;
                self.given.send_replace(self.position.borrow().clone());
                Ok(None)
            }
            Err(FeedError::Resync) => {
                self.window = None;
                Err(FeedError::Resync)
            }
            other => other,
        }
    }

    /// Connects, and finds out whether this is the database that it was.
    async fn connect(&mut self) -> Result<(), FeedError> {
        self.readers.set_connect_options((*self.service.connect_options()).clone());
        // A pool for each: a connection that hangs is given back late or never, and must not be in anybody's way.
        let mut listener = PgListener::connect_with(&pool(&self.service, 1)).await?;
        listener.eager_reconnect(false);
        listener.listen(outbox::CHANNEL).await?;
        let (identity, written_epoch) = outbox::identity(&mut listener).await?;
        let epoch = Epoch::of(&identity);
        let known = self.position.borrow().clone();
        let is_same = known.as_ref().is_some_and(|known| known.epoch == epoch);
        if !is_same {
            let seen = outbox::now(&mut listener).await?;
            self.position.send_replace(Some(Position { epoch, seen }));
            self.window = None;
        }
        self.link = Some(Link { listener, written_epoch, idle_since: None, last_change: Instant::now() });
        if is_same || known.is_none() { Ok(()) } else { Err(FeedError::Resync) }
    }

    /// Waits until it is worth looking again.
    async fn pause(&mut self) -> Result<(), FeedError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match link.idle_since {
            None if link.last_change.elapsed() < self.linger => sleep(ACTIVE_PAUSE).await,
            // Look once more before sleeping: what was written before the mark told nobody.
            None => link.doze(self.node).await?,
            Some(since) => {
                if since.elapsed() > REMARK {
                    link.doze(self.node).await?;
                }
                tokio::select! {
                    heard = timeout(self.idle_pause, link.listener.try_recv()) => {
                        if let Ok(heard) = heard && heard?.is_none() {
                            return Err(lost(ErrorKind::ConnectionReset).into());
                        }
                    }
                    () = self.wake.notified() => {}
                }
            }
        }
        Ok(())
    }

    /// Sits out a failure.
    async fn recover(&mut self, error: sqlx::Error) {
        self.link = None;
        if self.pauses.taken() == 1 {
            tracing::warn!("changes of the database cannot be read; trying again until they can: {error}");
        }
        self.pauses.sit_out().await;
    }
}

/// Connections with the settings that the statements need, to where `service` connects now.
fn pool(service: &PgPool, most: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::raw_sql(outbox::SETTINGS).execute(connection).await.map(drop) })
        })
        .connect_lazy_with((*service.connect_options()).clone())
}

fn lost(how: ErrorKind) -> sqlx::Error {
    sqlx::Error::Io(how.into())
}

impl ChangeFeed for OutboxFeed {
    async fn next(&mut self) -> Result<Batch, FeedError> {
        loop {
            let looked = timeout(PATIENCE, self.look()).await;
            match looked {
                Ok(Ok(Some(batch))) => {
                    self.pauses.end();
                    return Ok(batch);
                }
                Ok(Ok(None)) => {
                    self.pauses.end();
                    match self.pause().await {
                        Err(FeedError::Database(error)) => self.recover(error).await,
                        other => other?,
                    }
                }
                Ok(Err(FeedError::Database(sqlx::Error::PoolClosed))) => return Err(FeedError::Closed),
                Ok(Err(FeedError::Database(error))) => self.recover(error).await,
                Ok(Err(other)) => return Err(other),
                Err(_) => self.recover(lost(ErrorKind::TimedOut)).await,
            }
        }
    }
}

impl Link {
    /// Tells writers to wake us.
    async fn doze(&mut self, node: Uuid) -> Result<(), FeedError> {
        outbox::mark(&mut self.listener, node, true).await?;
        self.idle_since = Some(Instant::now());
        Ok(())
    }

    /// Tells them not to, if they do.
    async fn rouse(&mut self, node: Uuid) -> Result<(), FeedError> {
        if self.idle_since.take().is_some() {
            outbox::mark(&mut self.listener, node, false).await?;
            while self.listener.next_buffered().is_some() {}
        }
        Ok(())
    }
}
