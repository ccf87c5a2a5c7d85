//! From the feed to the sockets: a batch at a time, in order, to those who may see each change.
//!
//! For each table it is found out who may be concerned, then what they see, for all of the batch at once; then everything is
//! sent in the order of the feed. A database that cannot be asked is waited for, so nothing is lost and nothing overtakes.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::known::{Known, KnownTable, Sight};
use super::payload;
use super::registry::{Audience, Registry, Subscriber, Viewer};
use super::view::{Seen, TableView, View};
use super::visibility::Eyes;
use super::{Batch, Change, ChangeKind, Position, Transaction};
use crate::catalog::reload::CatalogHandle;
use crate::kernel::clock::Clock;
use crate::kernel::pauses::Pauses;
use crate::kernel::random::Random;
use crate::policy::access::AccessSettings;
use crate::policy::book::PolicyBook;
use crate::realtime::hub::{Hub, Outbox};
use crate::realtime::metrics;
use crate::realtime::pauses::pauses;
use crate::realtime::protocol;
use crate::realtime::request::Topic;
use crate::realtime::store::messages::StoredMessage;

/// Groups that are asked about at a time.
const AT_ONCE: usize = 16;

/// What delivering needs.
pub(super) struct Delivery {
    pub(super) registry: Arc<Registry>,
    pub(super) hub: Arc<Hub>,
    pub(super) known: Known,
    pub(super) eyes: Eyes,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) catalog: CatalogHandle,
    pub(super) book: Arc<PolicyBook>,
    pub(super) access: Arc<ArcSwap<AccessSettings>>,
    /// The largest broadcast, in bytes.
    pub(super) largest_message: usize,
    /// Whether a row that goes out of sight is told of as deleted.
    pub(super) tells_leaving: bool,
}

/// The longest wait for those who were sent much.
const DRAINING: Duration = Duration::from_millis(50);

/// A table with changes in a batch.
struct Concerned {
    oid: u32,
    table: Arc<KnownTable>,
    /// By role.
    sights: HashMap<Arc<str>, Arc<Sight>>,
    /// Where its changes are in the batch.
    places: Vec<usize>,
}

/// A group that a table's changes may concern.
type Candidate<'a> = (Arc<Audience>, &'a Concerned, &'a Arc<Sight>);

/// A change in its batch.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) transaction: &'a Transaction,
    pub(super) change: &'a Change,
}

/// What one group sees of one change, to be sent.
struct Outcome {
    audience: Arc<Audience>,
    view: Arc<TableView>,
    seen: Seen,
}

impl Delivery {
    /// Delivers a batch to everybody on this node.
    pub(super) async fn deliver(&self, batch: &Batch) {
        let position = Position { epoch: batch.epoch, seen: batch.after.clone() };
        let placed = placed(batch);
        let by_table = by_table(&placed);
        let mut tables = Vec::new();
        for (oid, places) in by_table {
            if let Some(table) = self.table(oid).await {
                tables.push(Concerned { oid, table, sights: HashMap::new(), places });
            }
        }
        let concerned = loop {
            for concerned in &mut tables {
                let roles = self.registry.roles(&concerned.table.table.name);
                concerned.sights = self.sights(concerned.oid, &concerned.table, roles).await;
            }
            if let Some(found) = self.concerned(&tables, &placed) {
                break found;
            }
        };
        let mut looking: Vec<Looking<'_>> = Vec::with_capacity(concerned.len());
        for (audience, Concerned { table, places, .. }, sight) in concerned {
            let changes: Vec<Placed<'_>> = places.iter().map(|place| placed[*place]).collect();
            looking.push(Box::pin(async move {
                let (view, seen) = self.look(&audience, (table, sight), &changes).await?;
                Some((audience, places.as_slice(), view, seen))
            }));
        }
        let found: Vec<_> = stream::iter(looking).buffer_unordered(AT_ONCE).collect().await;
        let mut outcomes: Vec<Vec<Outcome>> = placed.iter().map(|_| Vec::new()).collect();
        for (audience, places, view, seen) in found.into_iter().flatten() {
            for (place, seen) in places.iter().zip(seen) {
                if let Some(seen) = seen {
                    let outcome = Outcome { audience: Arc::clone(&audience), view: Arc::clone(&view), seen };
                    outcomes[*place].push(outcome);
                }
            }
        }
        let mut sent = HashMap::new();
        for (placed, outcomes) in placed.iter().zip(outcomes) {
            self.send(batch, &position, *placed, &outcomes, &mut sent);
        }
        self.let_drain(sent).await;
    }

    /// Who may be concerned by changes of tables; none if somebody of another role came meanwhile: then it is to be asked again.
    fn concerned<'a>(&self, tables: &'a [Concerned], placed: &[Placed<'_>]) -> Option<Vec<Candidate<'a>>> {
        let mut candidates = self.registry.candidates();
        let mut found = Vec::new();
        for concerned in tables {
            let name = &concerned.table.table.name;
            if candidates.roles(name).iter().any(|role| !concerned.sights.contains_key(role)) {
                return None;
            }
            for (role, sight) in &concerned.sights {
                let changes = concerned.places.iter().map(|place| placed[*place].change);
                let audiences = match key_values(sight, changes) {
                    Some((key, values)) => candidates.of_values(name, (role, key), &values),
                    None => candidates.all(name, role),
                };
                found.extend(audiences.into_iter().map(|audience| (audience, concerned, sight)));
            }
        }
        Some(found)
    }

    /// Waits for those who were sent much, so that nobody is taken for slow who was only sent all at once.
    async fn let_drain(&self, sent: HashMap<u64, Arc<Outbox>>) {
        let waited_for: Vec<&Arc<Outbox>> = sent.values().filter(|outbox| !outbox.is_strained()).collect();
        let drained = async {
            for outbox in &waited_for {
                outbox.drained().await;
            }
        };
        if tokio::time::timeout(DRAINING, drained).await.is_err() {
            // Who takes longer is slow, and not waited for again until it has read.
            for outbox in waited_for {
                outbox.strain();
            }
        }
    }

    /// Gives one subscriber what it missed.
    pub(super) async fn catch_up(
        &self,
        batch: &Batch,
        (viewer, subscriber): (&Viewer, &Arc<Subscriber>),
    ) -> Vec<protocol::Frame> {
        let audience = Audience::apart(viewer.clone(), vec![Arc::clone(subscriber)]);
        let placed = placed(batch);
        let mut frames: Vec<(usize, protocol::Frame)> = Vec::new();
        for (oid, places) in by_table(&placed) {
            let Some(table) = self.table(oid).await else { continue };
            let sights = self.sights(oid, &table, [Arc::clone(&viewer.caller.role)].into()).await;
            let changes: Vec<Placed<'_>> = places.iter().map(|place| placed[*place]).collect();
            for (_, sight) in sights {
                let Some((view, seen)) = self.look(&audience, (&table, &sight), &changes).await else {
                    continue;
                };
                for (place, seen) in places.iter().zip(seen) {
                    let Some(seen) = seen else { continue };
                    let placed = placed[*place];
                    let outcome = Outcome { audience: Arc::clone(&audience), view: Arc::clone(&view), seen };
                    let cursor = batch.cursor(placed.transaction, placed.change).text().unwrap_or_default();
                    let made = messages((placed, &cursor), &outcome, subscriber, &mut HashMap::new());
                    frames.extend(made.into_iter().map(|frame| (*place, frame)));
                }
            }
        }
        frames.sort_by_key(|(place, _)| *place);
        frames.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Asks for a table until there is an answer.
    async fn table(&self, oid: u32) -> Option<Arc<KnownTable>> {
        let mut pauses = pauses(&self.random);
        loop {
            match self.known.table(oid).await {
                Ok(table) => return table,
                Err(error) => wait(&mut pauses, &error).await,
            }
        }
    }

    async fn sights(
        &self,
        oid: u32,
        table: &KnownTable,
        roles: HashSet<Arc<str>>,
    ) -> HashMap<Arc<str>, Arc<Sight>> {
        let mut sights = HashMap::with_capacity(roles.len());
        for role in roles {
            let mut pauses = pauses(&self.random);
            let sight = loop {
                match self.known.sight(oid, table, &role).await {
                    Ok(sight) => break sight,
                    Err(error) => wait(&mut pauses, &error).await,
                }
            };
            sights.insert(role, sight);
        }
        sights
    }

    /// What a group sees of changes of a table, in their order; none if it may not use the table at all.
    async fn look(
        &self,
        audience: &Audience,
        (table, sight): (&Arc<KnownTable>, &Arc<Sight>),
        changes: &[Placed<'_>],
    ) -> Option<(Arc<TableView>, Vec<Option<Seen>>)> {
        let view = View { delivery: self, audience, table, sight };
        let opened = Arc::new(view.open()?);
        let seen = view.look(&opened, changes).await;
        Some((opened, seen))
    }

    fn send(
        &self,
        batch: &Batch,
        position: &Position,
        placed: Placed<'_>,
        outcomes: &[Outcome],
        addressed: &mut HashMap<u64, Arc<Outbox>>,
    ) {
        if placed.change.kind == ChangeKind::Message {
            self.send_message(placed.change);
            return;
        }
        let (mut sent, mut data) = (HashSet::new(), HashMap::new());
        let cursor =
            LazyCell::new(|| batch.cursor(placed.transaction, placed.change).text().unwrap_or_default());
        for outcome in outcomes {
            for subscriber in &outcome.audience.members {
                // A channel may be in several groups, by several subscriptions.
                if !subscriber.awaits(position) || !sent.insert(subscriber.seat.id()) {
                    continue;
                }
                for frame in messages((placed, &cursor), outcome, subscriber, &mut data) {
                    subscriber.seat.send(frame, None);
                    let outbox = subscriber.seat.outbox();
                    addressed.entry(subscriber.seat.id()).or_insert_with(|| Arc::clone(outbox));
                }
            }
        }
        let lag = self.clock.unix_millis() - placed.change.written_at.timestamp_millis();
        metrics::delivered(sent.len(), lag);
    }

    /// A row of `realtime.messages`: a broadcast of the database.
    fn send_message(&self, change: &Change) {
        let Some(message) = change.new.as_ref().and_then(|row| StoredMessage::read(row.raw().get())) else {
            return;
        };
        let Ok(topic) = Topic::named(&message.topic, message.private) else { return };
        if let Some(broadcast) = message.into_broadcast(false) {
            if broadcast.size() > self.largest_message {
                metrics::refused("payload");
                return;
            }
            self.hub.deliver(&topic, broadcast);
        }
    }

    /// Tells everybody that changes are lost.
    pub(super) fn resync_all(&self) {
        let cursor = self.registry.position().and_then(|position| position.cursor().text());
        for subscriber in self.registry.everybody() {
            subscriber.resync(&[("reason", json!("lost"))], cursor.as_deref());
        }
        metrics::resync();
    }
}

/// What a group sees of a table's changes, being found out; with the changes' places.
type Looking<'a> = Pin<
    Box<
        dyn Future<Output = Option<(Arc<Audience>, &'a [usize], Arc<TableView>, Vec<Option<Seen>>)>>
            + Send
            + 'a,
    >,
>;

/// Sits out a failure of the database.
async fn wait(pauses: &mut Pauses, error: &sqlx::Error) {
    tracing::warn!(kind = "app", "changes wait, as captured tables cannot be looked at: {error}");
    pauses.sit_out().await;
}

fn placed(batch: &Batch) -> Vec<Placed<'_>> {
    let changes = batch
        .transactions
        .iter()
        .flat_map(|transaction| transaction.changes.iter().map(move |change| Placed { transaction, change }));
    changes.collect()
}

/// The places of changes by table, messages aside.
fn by_table(placed: &[Placed<'_>]) -> Vec<(u32, Vec<usize>)> {
    let mut tables: Vec<(u32, Vec<usize>)> = Vec::new();
    for (place, Placed { change, .. }) in placed.iter().enumerate() {
        if change.kind == ChangeKind::Message {
            continue;
        }
        match tables.iter_mut().find(|(oid, _)| *oid == change.relation) {
            Some((_, known)) => known.push(place),
            None => tables.push((change.relation, vec![place])),
        }
    }
    tables
}

/// The values by which the viewers of all changes are found; none where everybody has to be looked at.
fn key_values<'a>(
    sight: &'a Sight,
    changes: impl Iterator<Item = &'a Change>,
) -> Option<(&'a super::predicate::EqualityKey, HashSet<super::predicate::KeyValue>)> {
    let key = sight.key.as_ref()?;
    let mut values = HashSet::new();
    for change in changes {
        if change.kind == ChangeKind::Truncate {
            return None;
        }
        for image in [&change.old, &change.new].into_iter().flatten() {
            // A row without a value is seen by nobody.
            values.extend(key.of_image(image.values()?).ok()?);
        }
    }
    Some((key, values))
}

/// The columns that a subscription wants beside the key; none is all.
type Select = Option<Arc<[String]>>;

/// Payloads that were made already, by what they depend on.
type Made = HashMap<(usize, payload::Event, bool, Select), String>;

/// The messages of one change for one subscriber: as a rule one; several where its subscriptions select other columns.
fn messages(
    (placed, cursor): (Placed<'_>, &str),
    outcome: &Outcome,
    subscriber: &Subscriber,
    made: &mut Made,
) -> Vec<protocol::Frame> {
    let Outcome { view, seen, .. } = outcome;
    let Seen::Row(seen) = seen else {
        let name = &view.table.table.name;
        let about =
            [("reason", json!("truncate")), ("schema", json!(name.schema)), ("table", json!(name.name))];
        let is_wanted = subscriber.wanted.iter().any(|wanted| wanted.is_about(&view.table.table.name));
        return is_wanted.then(|| subscriber.resync_frame(&about, Some(cursor))).into_iter().collect();
    };
    let mut by_select: Vec<(Select, Vec<u64>)> = Vec::new();
    for wanted in subscriber.wanted.iter().filter(|wanted| view.matches(wanted, seen, placed.change)) {
        match by_select.iter_mut().find(|(select, _)| *select == wanted.select) {
            Some((_, ids)) => ids.push(wanted.id),
            None => by_select.push((wanted.select.clone(), vec![wanted.id])),
        }
    }
    let frames = by_select.into_iter().map(|(select, ids)| {
        let looked = seen.looked();
        // Masked values are the same for the same columns of the same row.
        let key = (view.columns_id(), seen.event, looked.saw_old, select.clone());
        let data = made.entry(key).or_insert_with(|| {
            let shown = view.shown(select.as_deref());
            payload::data(seen.event, &view.table.table, &shown, placed.change, looked)
        });
        let payload = payload::payload(&ids, data, cursor);
        protocol::push(
            subscriber.seat.version(),
            subscriber.seat.topic().wire(),
            None,
            "postgres_changes",
            &payload,
        )
    });
    frames.collect()
}

impl Subscriber {
    /// The event `system` that says that changes are not known one by one, and why.
    pub(super) fn resync_frame(&self, about: &[(&str, Value)], cursor: Option<&str>) -> protocol::Frame {
        let more = [&[("cursor", json!(cursor))], about].concat();
        let (to, about) = ((self.seat.topic().wire(), None), ("postgres_changes", protocol::Status::Ok));
        protocol::system(self.seat.version(), to, about, "resync", &more)
    }

    /// Tells the client to read anew.
    pub(super) fn resync(&self, about: &[(&str, Value)], cursor: Option<&str>) {
        self.seat.send(self.resync_frame(about, cursor), None);
    }
}
