//! Subscriptions of channels: what may be asked for, being live before it is said, and catching up after an absence.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::delivery::Delivery;
use super::history::{Backlog, History, Missed};
use super::known::Known;
use super::payload::Event;
use super::registry::{Audience, Registry, Subscriber, Viewer, Wanted};
use super::view::{MOST_FILTERS, View};
use super::visibility::{Eyes, try_filter};
use super::{ChangeFeed, Cursor, CursorError, FeedError, OutboxFeed, Position, StepLimit};
use crate::catalog::model::QualifiedName;
use crate::catalog::reload::CatalogHandle;
use crate::kernel::clock::Clock;
use crate::kernel::random::Random;
use crate::policy::access::AccessSettings;
use crate::policy::book::PolicyBook;
use crate::realtime::caller_query::{CallerQueries, is_outage, said};
use crate::realtime::hub::{Hub, Seat};
use crate::realtime::pauses::pauses;
use crate::realtime::protocol::Frame;
use crate::realtime::request::ChangeRequest;
use crate::realtime::store::outbox;
use crate::realtime::store::tables::{self, Capture, Captured};

/// How long a join waits for the feed, and for capture of a table that was just published, and for the catalog to know it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at a table that is about to be captured.
const PAUSE: Duration = Duration::from_millis(50);
/// What is delivered at a time: less than what may wait for one socket.
const STEP: StepLimit = StepLimit { rows: 200, bytes: 128 * 1024 };
/// How often what was missed is asked for again where the database failed: for about three seconds.
const MOST_RETRIES: u32 = 6;
/// Connections of those who catch up.
const READERS: u32 = 1;

/// What delivering changes needs of the server.
pub(in crate::realtime) struct ChangesParts {
    pub(in crate::realtime) pool: PgPool,
    pub(in crate::realtime) queries: CallerQueries,
    pub(in crate::realtime) hub: Arc<Hub>,
    pub(in crate::realtime) clock: Clock,
    pub(in crate::realtime) random: Random,
    pub(in crate::realtime) catalog: CatalogHandle,
    pub(in crate::realtime) book: Arc<PolicyBook>,
    pub(in crate::realtime) access: Arc<ArcSwap<AccessSettings>>,
    pub(in crate::realtime) node: Uuid,
    /// Rouses the feed when this server has written something.
    pub(in crate::realtime) wake: Arc<Notify>,
    pub(in crate::realtime) largest_message: usize,
    pub(in crate::realtime) tells_leaving: bool,
}

/// Changes of tables on this node.
pub(in crate::realtime) struct Changes {
    registry: Arc<Registry>,
    delivery: Arc<Delivery>,
    history: History,
    position: watch::Receiver<Option<Position>>,
    /// What was delivered.
    delivered: watch::Receiver<Option<Position>>,
}

/// Why a channel gets no changes; said to its client.
#[derive(Debug, thiserror::Error)]
pub(in crate::realtime) enum SubscribeError {
    /// Not published, not there, or not for this caller.
    #[error(
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: {0}"
    )]
    Unavailable(String),
    /// The filter or the columns make no sense for the table.
    #[error("{0}")]
    Wrong(String),
    /// The table is published, but its changes are not written down yet.
    #[error("Changes of this table are not captured yet, as it is in use: {0}")]
    Pending(QualifiedName),
    /// The catalog does not know the table yet, or does not know that it has row-level security.
    #[error("This table was made or changed a moment ago, and is not known yet: {0}")]
    Unknown(QualifiedName),
    /// The database cannot be asked.
    #[error("Changes cannot be followed at the moment: the database does not answer")]
    Outage,
}

impl SubscribeError {
    /// Whether it is worth asking again soon.
    pub(in crate::realtime) fn is_temporary(&self) -> bool {
        matches!(self, Self::Pending(_) | Self::Unknown(_) | Self::Outage)
    }
}

/// A channel's subscriptions, in force until they are ended.
#[derive(Debug)]
pub(in crate::realtime) struct Subscription {
    viewer: Viewer,
    subscriber: Arc<Subscriber>,
}

/// What a channel that was away has missed.
pub(in crate::realtime) enum CatchingUp {
    /// It is not known: the client has to read anew.
    Resync(Frame),
    /// It is read a step at a time.
    Steps(Missed),
}

impl Changes {
    /// Starts to follow the feed. `stop` ends it.
    pub(in crate::realtime) fn start(
        parts: ChangesParts,
        (tracker, stop): (&TaskTracker, CancellationToken),
    ) -> Self {
        let feed = OutboxFeed::new(&parts.pool, (parts.node, parts.wake), READERS, &parts.random);
        let feed = feed.with_limit(STEP);
        let (history, position, delivered) = (feed.history(), feed.position(), feed.given());
        let registry = Arc::new(Registry::new(feed.position()));
        let delivery = Arc::new(Delivery {
            registry: Arc::clone(&registry),
            hub: parts.hub,
            known: Known::new(parts.pool),
            eyes: Eyes::new(parts.queries, parts.random.clone()),
            random: parts.random,
            clock: parts.clock,
            catalog: parts.catalog,
            book: parts.book,
            access: parts.access,
            largest_message: parts.largest_message,
            tells_leaving: parts.tells_leaving,
        });
        tracker.spawn(follow(feed, Arc::clone(&delivery), stop));
        Self { registry, delivery, history, position, delivered }
    }

    /// Subscribes a channel to what it asks for, in place of its former subscriptions where there are some. When this returns, everything that is committed from now on comes to its
    /// seat.
    pub(in crate::realtime) async fn subscribe(
        &self,
        (viewer, seat): (Viewer, &Arc<Seat>),
        requests: &[(u64, ChangeRequest)],
        former: Option<&Subscription>,
    ) -> Result<Subscription, SubscribeError> {
        self.reached(None).await?;
        let mut wanted = Vec::with_capacity(requests.len());
        for (id, request) in requests {
            wanted.push(self.wanted(&viewer, *id, request).await?);
        }
        let mut places = requests.iter().filter_map(|(_, request)| request.since.as_ref());
        if let Some(first) = places.next() {
            if places.any(|place| place != first) {
                return Err(SubscribeError::Wrong("a channel goes on from one cursor".to_owned()));
            }
            if let Ok(since) = first {
                // Otherwise the place to go on from could lie ahead of what this node has read.
                self.reached(Some(since)).await?;
            }
        }
        let filters = wanted.iter().filter(|wanted| wanted.filter.is_some()).count();
        if filters > MOST_FILTERS {
            return Err(SubscribeError::Wrong(format!("a channel has at most {MOST_FILTERS} filters")));
        }
        let subscriber =
            Arc::new(Subscriber { seat: Arc::clone(seat), wanted, since: std::sync::OnceLock::new() });
        match former {
            Some(former) => {
                self.registry.replace((&viewer, &subscriber), (&former.viewer, &former.subscriber));
            }
            None => self.registry.add(&viewer, &subscriber),
        }
        Ok(Subscription { viewer, subscriber })
    }

    /// Tells a client that what it missed cannot be told.
    pub(in crate::realtime) fn tell_lost(subscription: &Subscription) {
        let cursor = subscription.subscriber.cursor();
        subscription.subscriber.resync(&[("reason", json!("lost"))], cursor.as_deref());
    }

    /// The cursor of a client that has heard of its subscription and of no change yet.
    pub(in crate::realtime) fn cursor(
        subscription: &Subscription,
        requests: &[(u64, ChangeRequest)],
    ) -> Option<String> {
        match since(requests) {
            // What it has missed is still to come.
            Some(Ok(since)) => since.text(),
            _ => subscription.subscriber.cursor(),
        }
    }

    /// Ends subscriptions.
    pub(in crate::realtime) fn unsubscribe(&self, subscription: &Subscription) {
        self.registry.remove(&subscription.viewer, &subscription.subscriber);
    }

    /// What was missed since the cursor of the first request that has one.
    pub(in crate::realtime) async fn missed(
        &self,
        subscription: &Subscription,
        requests: &[(u64, ChangeRequest)],
    ) -> Option<CatchingUp> {
        let since = since(requests)?;
        let resync = |reason| {
            let (subscriber, about) = (&subscription.subscriber, [("reason", json!(reason))]);
            Some(CatchingUp::Resync(subscriber.resync_frame(&about, subscriber.cursor().as_deref())))
        };
        let Ok(since) = since else { return resync("cursor") };
        let Some(until) = subscription.subscriber.since.get() else { return resync("lost") };
        if until.epoch != since.epoch || !until.seen.covers(&since.after) {
            return resync("epoch");
        }
        let mut pauses = pauses(&self.delivery.random);
        let backlog = loop {
            match self.history.backlog(since, until.seen.clone()).await {
                Err(FeedError::Database(_)) if pauses.taken() < MOST_RETRIES => pauses.sit_out().await,
                backlog => break backlog,
            }
        };
        match backlog {
            Ok(Backlog::Missed(missed)) => Some(CatchingUp::Steps(missed)),
            Ok(Backlog::Resync) => resync("retention"),
            Err(error) => {
                tracing::warn!(kind = "app", "a client that was away cannot be told what it missed: {error}");
                resync("lost")
            }
        }
    }

    /// The next messages of what was missed; none at the end.
    pub(in crate::realtime) async fn step(
        &self,
        subscription: &Subscription,
        missed: &mut Missed,
    ) -> Option<Vec<Frame>> {
        let (viewer, subscriber) = (&subscription.viewer, &subscription.subscriber);
        let mut pauses = pauses(&self.delivery.random);
        let step = loop {
            match missed.next().await {
                // A connection that breaks is no reason to read everything anew.
                Err(FeedError::Database(_)) if pauses.taken() < MOST_RETRIES => pauses.sit_out().await,
                step => break step,
            }
        };
        match step {
            Ok(Some(batch)) => Some(self.delivery.catch_up(&batch, (viewer, subscriber)).await),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(kind = "app", "a client that was away cannot be told what it missed: {error}");
                Self::tell_lost(subscription);
                None
            }
        }
    }

    /// Waits for the feed, and until it has what a cursor has.
    async fn reached(&self, since: Option<&Cursor>) -> Result<(), SubscribeError> {
        let mut position = self.position.clone();
        let is_there = |position: &Option<Position>| {
            let Some(position) = position else { return false };
            since.is_none_or(|since| position.epoch != since.epoch || position.seen.covers(&since.after))
        };
        match timeout(PATIENCE, position.wait_for(is_there)).await {
            Ok(Ok(_)) => Ok(()),
            // A cursor that lies ahead for so long is of another life of the database.
            Err(_) if since.is_some() => Ok(()),
            _ => Err(SubscribeError::Outage),
        }
    }

    async fn wanted(
        &self,
        viewer: &Viewer,
        id: u64,
        request: &ChangeRequest,
    ) -> Result<Wanted, SubscribeError> {
        let wanted = Wanted {
            id,
            event: request.event,
            schema: request.schema.as_deref().map(Arc::from),
            table: request.table.as_deref().map(Arc::from),
            filter: request.filter.as_deref().map(Arc::from),
            select: Some(&request.select)
                .filter(|select| !select.is_empty())
                .map(|select| select.clone().into()),
        };
        match (&wanted.schema, &wanted.table) {
            (Some(schema), Some(table)) => {
                let name = QualifiedName { schema: Arc::clone(schema), name: Arc::clone(table) };
                self.check(viewer, &wanted, request, &name).await?;
            }
            _ if wanted.filter.is_some() || wanted.select.is_some() => {
                return Err(SubscribeError::Wrong("filter and select need a schema and a table".to_owned()));
            }
            _ => {}
        }
        Ok(wanted)
    }

    /// Whether a table can be followed as it is asked for.
    async fn check(
        &self,
        viewer: &Viewer,
        wanted: &Wanted,
        request: &ChangeRequest,
        name: &QualifiedName,
    ) -> Result<(), SubscribeError> {
        let unavailable = || SubscribeError::Unavailable(described(request));
        let captured = self.captured(name).await?.ok_or_else(unavailable)?;
        let is_known = self.known_to_the_catalog(name, captured).await?;
        let known = &self.delivery.known;
        let table = known.table(captured.oid).await.map_err(outage)?.ok_or_else(unavailable)?;
        let role = &viewer.caller.role;
        let sight = known.sight(captured.oid, &table, role).await.map_err(outage)?;
        let audience = Audience::apart(viewer.clone(), Vec::new());
        let view = View { delivery: &self.delivery, audience: &audience, table: &table, sight: &sight };
        let view = view.open().ok_or_else(|| {
            // Without a grant there is nothing to wait for, and nothing to tell.
            if is_known || sight.role.selectable.is_empty() {
                return unavailable();
            }
            SubscribeError::Unknown(name.clone())
        })?;
        if let Some(select) = &wanted.select
            && let Some(unknown) = select.iter().find(|name| !view.shows(name) && !view.shows_masked(name))
        {
            return Err(SubscribeError::Wrong(format!("invalid column for select {unknown}")));
        }
        let Some(text) = &wanted.filter else { return Ok(()) };
        let filter = table.filter(text).map_err(|error| SubscribeError::Wrong(error.to_string()))?;
        let mut columns = filter.conditions.iter().map(|condition| condition.column.name.as_str());
        if let Some(hidden) = columns.find(|column| !view.shows(column)) {
            return Err(SubscribeError::Wrong(format!("invalid column for filter {hidden}")));
        }
        if filter.is_decided_here() {
            return Ok(());
        }
        let tried = try_filter(&self.delivery.eyes, viewer, &table.table, &filter).await;
        tried.map_err(|error| {
            if error.sql().is_some() && !is_outage(&error) {
                return SubscribeError::Wrong(format!("Error parsing `filter` params: {text}"));
            }
            tracing::warn!(kind = "app", "a filter cannot be tried: {}", said(&error));
            SubscribeError::Outage
        })
    }

    /// Waits for the catalog to know a table that was just made, perhaps in the place of another, and its row-level security; tells
    /// whether there is nothing more to learn. One in a schema that is not exposed is never in it.
    async fn known_to_the_catalog(
        &self,
        name: &QualifiedName,
        captured: Captured,
    ) -> Result<bool, SubscribeError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (handle, is_late) = (&self.delivery.catalog, Instant::now() >= deadline);
            let catalog = handle.current();
            let relation = catalog.relations.get(name).filter(|found| found.oid == captured.oid);
            let is_known = !catalog.schemas.contains(&name.schema)
                || relation
                    .is_some_and(|found| !captured.has_row_security || found.protection.is_protected());
            match handle.is_ready() {
                false if is_late => return Err(SubscribeError::Outage),
                true if is_known || is_late => return Ok(is_known),
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// Waits until everything that is committed now is delivered, for a moment at most.
    pub(in crate::realtime) async fn caught_up(&self) -> Result<(), sqlx::Error> {
        let now = outbox::now(&mut *self.delivery.known.pool().acquire().await?).await?;
        let mut delivered = self.delivered.clone();
        let is_there = |position: &Option<Position>| {
            position.as_ref().is_some_and(|position| position.seen.covers(&now))
        };
        // What is late comes as it is read.
        let _ = timeout(PATIENCE, delivered.wait_for(is_there)).await;
        Ok(())
    }

    /// A captured table; none if it is not published. One that was just published is waited for.
    async fn captured(&self, name: &QualifiedName) -> Result<Option<Captured>, SubscribeError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match tables::capture(self.delivery.known.pool(), name).await.map_err(outage)? {
                Capture::On(captured) => return Ok(Some(captured)),
                Capture::Absent => return Ok(None),
                Capture::Pending if Instant::now() < deadline => sleep(PAUSE).await,
                Capture::Pending => return Err(SubscribeError::Pending(name.clone())),
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where a function of an error is asked for")]
fn outage(error: sqlx::Error) -> SubscribeError {
    tracing::warn!(kind = "app", "a table cannot be looked at: {error}");
    SubscribeError::Outage
}

/// Where a channel goes on from: the cursor of its first request that has one.
fn since(requests: &[(u64, ChangeRequest)]) -> Option<&Result<Cursor, CursorError>> {
    requests.iter().find_map(|(_, request)| request.since.as_ref())
}

/// What was asked for, in the contract's words.
fn described(request: &ChangeRequest) -> String {
    let or_all = |text: &Option<String>| text.clone().unwrap_or_else(|| "*".to_owned());
    let select = if request.select.is_empty() { "*".to_owned() } else { request.select.join(", ") };
    format!(
        "[event: {}, schema: {}, table: {}, filters: [{}], select: {select}]",
        request.event.map_or("*", Event::name),
        or_all(&request.schema),
        or_all(&request.table),
        request.filter.as_deref().unwrap_or_default(),
    )
}

/// Delivers until the server stops.
async fn follow(mut feed: OutboxFeed, delivery: Arc<Delivery>, stop: CancellationToken) {
    loop {
        let Some(next) = stop.run_until_cancelled(feed.next()).await else { break };
        match next {
            Ok(batch) => {
                if stop.run_until_cancelled(delivery.deliver(&batch)).await.is_none() {
                    break;
                }
            }
            Err(FeedError::Resync) => {
                tracing::warn!("changes are lost: everybody is told to read anew");
                delivery.resync_all();
            }
            Err(FeedError::Closed) => break,
            Err(FeedError::Database(error)) => tracing::warn!("changes cannot be read: {error}"),
        }
    }
    feed.close().await;
}
