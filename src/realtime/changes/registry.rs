//! Who wants which changes on this node: subscribers by table, and in groups of those who see the same.
//!
//! A group is callers whom PostgreSQL and the rules of tables cannot tell apart, so that what they see is decided once. Where a
//! policy compares a column with a claim, groups are found by that value: those it does not concern cost nothing.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::Position;
use super::payload::Event;
use super::predicate::{Claims, EqualityKey, KeyValue, Reach};
use crate::catalog::model::QualifiedName;
use crate::kernel::identity::{Account, Caller};
use crate::realtime::hub::Seat;

/// One subscription of a channel.
#[derive(Clone, Debug)]
pub(in crate::realtime) struct Wanted {
    /// What the client knows it by.
    pub(in crate::realtime) id: u64,
    /// The event; none is all.
    pub(in crate::realtime) event: Option<Event>,
    /// The schema; none is all.
    pub(in crate::realtime) schema: Option<Arc<str>>,
    /// The table; none is all.
    pub(in crate::realtime) table: Option<Arc<str>>,
    /// The filter, as the client wrote it.
    pub(in crate::realtime) filter: Option<Arc<str>>,
    /// The columns beside the key; none is all.
    pub(in crate::realtime) select: Option<Arc<[String]>>,
}

impl Wanted {
    /// Whether it is about a table at all.
    pub(in crate::realtime) fn is_about(&self, table: &QualifiedName) -> bool {
        self.schema.as_ref().is_none_or(|schema| *schema == table.schema)
            && self.table.as_ref().is_none_or(|name| *name == table.name)
    }
}

/// One channel with subscriptions.
#[derive(Debug)]
pub(in crate::realtime) struct Subscriber {
    /// Where its messages go.
    pub(in crate::realtime) seat: Arc<Seat>,
    /// Its subscriptions.
    pub(in crate::realtime) wanted: Vec<Wanted>,
    /// Where the feed was when it was added: what came up to there it has otherwise, or does not want.
    pub(in crate::realtime) since: OnceLock<Position>,
}

impl Subscriber {
    /// The cursor of a client that has heard nothing yet.
    pub(in crate::realtime) fn cursor(&self) -> Option<String> {
        self.since.get().and_then(|since| since.cursor().text())
    }

    /// Whether a batch that leads up to a position is for it.
    pub(in crate::realtime) fn awaits(&self, position: &Position) -> bool {
        self.since
            .get()
            .is_none_or(|since| since.epoch != position.epoch || !since.seen.covers(&position.seen))
    }
}

/// Who somebody is, as far as it decides what is seen.
#[derive(Clone, Debug)]
pub(in crate::realtime) struct Viewer {
    /// Role and claims.
    pub(in crate::realtime) caller: Arc<Caller>,
    /// The account behind a token of ours.
    pub(in crate::realtime) account: Option<Account>,
    /// Where the socket comes from.
    pub(in crate::realtime) address: IpAddr,
}

/// What tells groups apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    role: Arc<str>,
    claims: Bytes,
    is_verified: Option<bool>,
    address: IpAddr,
}

impl GroupKey {
    fn of(viewer: &Viewer) -> Self {
        Self {
            role: Arc::clone(&viewer.caller.role),
            claims: viewer.caller.claims_json.clone(),
            is_verified: viewer.account.map(|account| account.verified),
            address: viewer.address,
        }
    }
}

/// Callers who see the same.
#[derive(Debug)]
pub(in crate::realtime) struct Group {
    /// Unique among all groups that ever were.
    pub(in crate::realtime) id: u64,
    /// One of them.
    pub(in crate::realtime) viewer: Viewer,
    /// Their claims, ready to be compared.
    pub(in crate::realtime) claims: Claims,
    members: Mutex<HashMap<u64, Arc<Subscriber>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    fn new(id: u64, viewer: Viewer) -> Self {
        let claims = Claims::new(Arc::clone(&viewer.caller.claims));
        Self { id, claims, viewer, members: Mutex::default() }
    }

    /// Its members at this moment.
    fn members(&self) -> Vec<Arc<Subscriber>> {
        lock(&self.members).values().cloned().collect()
    }
}

/// A group as it is when a batch is delivered: who leaves or changes meanwhile still gets this batch as who it was.
#[derive(Debug)]
pub(in crate::realtime) struct Audience {
    /// The group.
    pub(in crate::realtime) group: Arc<Group>,
    /// Its members.
    pub(in crate::realtime) members: Vec<Arc<Subscriber>>,
}

impl Audience {
    fn of(group: &Arc<Group>) -> Arc<Self> {
        Arc::new(Self { members: group.members(), group: Arc::clone(group) })
    }

    /// Some that are in no registry.
    pub(in crate::realtime) fn apart(viewer: Viewer, members: Vec<Arc<Subscriber>>) -> Arc<Self> {
        Arc::new(Self { group: Arc::new(Group::new(0, viewer)), members })
    }
}

/// The schema and table that subscriptions name; none is all.
type Scope = (Option<Arc<str>>, Option<Arc<str>>);

/// The groups of one scope.
#[derive(Debug, Default)]
struct Shelf {
    groups: HashMap<GroupKey, Arc<Group>>,
    /// By role and comparison.
    indexes: HashMap<(Arc<str>, EqualityKey), Index>,
}

/// Groups by which rows they can see. One that can see none is nowhere.
type Index = HashMap<Reach, Vec<Arc<Group>>>;

#[derive(Debug, Default)]
struct Inner {
    shelves: HashMap<Scope, Shelf>,
    last_group: u64,
}

/// All subscribers of this node.
#[derive(Debug)]
pub(in crate::realtime) struct Registry {
    inner: Mutex<Inner>,
    /// Where the feed is: what it shows was delivered, or is about to be.
    position: watch::Receiver<Option<Position>>,
}

/// The groups that a table's changes may concern.
pub(in crate::realtime) struct Candidates<'a> {
    inner: MutexGuard<'a, Inner>,
}

fn scopes(subscriber: &Subscriber) -> HashSet<Scope> {
    subscriber.wanted.iter().map(|wanted| (wanted.schema.clone(), wanted.table.clone())).collect()
}

/// The scopes that a table is in.
fn scopes_of(table: &QualifiedName) -> [Scope; 4] {
    let (schema, name) = (Some(Arc::clone(&table.schema)), Some(Arc::clone(&table.name)));
    [(schema.clone(), name.clone()), (schema, None), (None, name), (None, None)]
}

impl Registry {
    /// Nobody yet. `position` is where the feed is.
    pub(super) fn new(position: watch::Receiver<Option<Position>>) -> Self {
        Self { inner: Mutex::default(), position }
    }

    /// Adds a subscriber. It gets everything that becomes visible after [`Subscriber::since`], and everything where that is
    /// not known.
    pub(in crate::realtime) fn add(&self, viewer: &Viewer, subscriber: &Arc<Subscriber>) {
        let mut inner = lock(&self.inner);
        if let Some(position) = self.position.borrow().clone() {
            // Set once: nobody else has the subscriber yet.
            let _ = subscriber.since.set(position);
        }
        inner.add(viewer, subscriber);
    }

    /// Takes a subscriber away.
    pub(in crate::realtime) fn remove(&self, viewer: &Viewer, subscriber: &Subscriber) {
        lock(&self.inner).remove(viewer, subscriber);
    }

    /// Puts a subscriber in the place of another of the same seat: no change is lost in between, and none comes twice.
    pub(in crate::realtime) fn replace(
        &self,
        (viewer, subscriber): (&Viewer, &Arc<Subscriber>),
        (former_viewer, former): (&Viewer, &Subscriber),
    ) {
        let mut inner = lock(&self.inner);
        inner.remove(former_viewer, former);
        if let Some(since) = former.since.get() {
            let _ = subscriber.since.set(since.clone());
        }
        inner.add(viewer, subscriber);
    }

    /// Stands still while it is found out who gets a batch: who is added later was told that the feed is further.
    pub(in crate::realtime) fn candidates(&self) -> Candidates<'_> {
        Candidates { inner: lock(&self.inner) }
    }

    /// Where the feed is.
    pub(in crate::realtime) fn position(&self) -> Option<Position> {
        self.position.borrow().clone()
    }

    /// The roles of those who want changes of a table.
    pub(in crate::realtime) fn roles(&self, table: &QualifiedName) -> HashSet<Arc<str>> {
        lock(&self.inner).roles(table)
    }

    /// Everybody.
    pub(in crate::realtime) fn everybody(&self) -> Vec<Arc<Subscriber>> {
        let inner = lock(&self.inner);
        let groups = inner.shelves.values().flat_map(|shelf| shelf.groups.values());
        let mut seen = HashSet::new();
        groups.flat_map(|group| group.members()).filter(|member| seen.insert(member.seat.id())).collect()
    }
}

impl Inner {
    fn roles(&self, table: &QualifiedName) -> HashSet<Arc<str>> {
        let shelves = scopes_of(table).into_iter().filter_map(|scope| self.shelves.get(&scope));
        shelves.flat_map(|shelf| shelf.groups.keys().map(|key| Arc::clone(&key.role))).collect()
    }

    fn add(&mut self, viewer: &Viewer, subscriber: &Arc<Subscriber>) {
        for scope in scopes(subscriber) {
            self.last_group += 1;
            let id = self.last_group;
            self.shelves.entry(scope).or_default().add(id, viewer, subscriber);
        }
    }

    fn remove(&mut self, viewer: &Viewer, subscriber: &Subscriber) {
        for scope in scopes(subscriber) {
            if let Some(shelf) = self.shelves.get_mut(&scope) {
                shelf.remove(viewer, subscriber.seat.id());
                if shelf.groups.is_empty() {
                    self.shelves.remove(&scope);
                }
            }
        }
    }
}

impl Candidates<'_> {
    /// The roles of those who want changes of a table.
    pub(in crate::realtime) fn roles(&self, table: &QualifiedName) -> HashSet<Arc<str>> {
        self.inner.roles(table)
    }

    /// The groups of a role that want changes of a table.
    pub(in crate::realtime) fn all(&self, table: &QualifiedName, role: &str) -> Vec<Arc<Audience>> {
        let found = scopes_of(table).into_iter().filter_map(|scope| self.inner.shelves.get(&scope));
        let groups = found.flat_map(|shelf| shelf.groups.iter().filter(|(key, _)| &*key.role == role));
        groups.map(|(_, group)| Audience::of(group)).collect()
    }

    /// The groups of a role whose claims compare equal to one of the values, and those that can see any row.
    pub(in crate::realtime) fn of_values(
        &mut self,
        table: &QualifiedName,
        (role, key): (&Arc<str>, &EqualityKey),
        values: &HashSet<KeyValue>,
    ) -> Vec<Arc<Audience>> {
        let mut found = Vec::new();
        for scope in scopes_of(table) {
            let Some(found_in) = self.inner.shelves.get_mut(&scope) else { continue };
            let index = found_in.index(role, key);
            let reaches = values.iter().cloned().map(Reach::Value).chain([Reach::Every]);
            found.extend(reaches.filter_map(|reach| index.get(&reach)).flatten().map(Audience::of));
        }
        found
    }
}

impl Shelf {
    fn add(&mut self, id: u64, viewer: &Viewer, subscriber: &Arc<Subscriber>) {
        let key = GroupKey::of(viewer);
        let indexes = &mut self.indexes;
        let group = self.groups.entry(key).or_insert_with(|| {
            let group = Arc::new(Group::new(id, viewer.clone()));
            for ((role, key), index) in indexes.iter_mut() {
                if *role == viewer.caller.role
                    && let Some(reach) = key.reach(&group.claims)
                {
                    index.entry(reach).or_default().push(Arc::clone(&group));
                }
            }
            group
        });
        lock(&group.members).insert(subscriber.seat.id(), Arc::clone(subscriber));
    }

    fn remove(&mut self, viewer: &Viewer, seat: u64) {
        let key = GroupKey::of(viewer);
        let Some(group) = self.groups.get(&key) else { return };
        let is_empty = {
            let mut members = lock(&group.members);
            members.remove(&seat);
            members.is_empty()
        };
        if !is_empty {
            return;
        }
        let (id, claims) = (group.id, group.claims.clone());
        for ((_, key), index) in &mut self.indexes {
            let Some(reach) = key.reach(&claims) else { continue };
            if let Some(groups) = index.get_mut(&reach) {
                groups.retain(|group| group.id != id);
                if groups.is_empty() {
                    index.remove(&reach);
                }
            }
        }
        self.groups.remove(&key);
    }

    /// The index of a role by a comparison, made when it is first asked for.
    fn index(&mut self, role: &Arc<str>, key: &EqualityKey) -> &Index {
        let groups = &self.groups;
        self.indexes.entry((Arc::clone(role), key.clone())).or_insert_with(|| {
            let mut index = Index::new();
            for group in groups.values().filter(|group| group.viewer.caller.role == *role) {
                if let Some(reach) = key.reach(&group.claims) {
                    index.entry(reach).or_default().push(Arc::clone(group));
                }
            }
            index
        })
    }
}
