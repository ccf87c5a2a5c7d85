//! What the sockets and actions share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::TopicAccess;
use super::caller_query::CallerQueries;
use super::changes::{Changes, ChangesParts};
use super::definitions::{ChannelRules, DefinitionBook, Forbidden};
use super::hub::{Hub, PresenceLimits};
use super::nodes::{Announcer, Follower};
use super::presence::Amount;
use super::request::Topic;
use crate::catalog::reload::CatalogHandle;
use crate::kernel::audit::AuditLog;
use crate::kernel::bus::Bus;
use crate::kernel::clock::Clock;
use crate::kernel::config::RealtimeConfig;
use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::login::Login;
use crate::kernel::identity::{Authority, Caller, Capability, HeldKeys, Identity, Sessions};
use crate::kernel::limits::Limiter;
use crate::kernel::random::Random;
use crate::policy::access::AccessSettings;
use crate::policy::book::PolicyBook;

/// What the service needs of the server.
pub struct Parts {
    /// What sockets may do.
    pub config: RealtimeConfig,
    /// Connections of the login that owns our tables.
    pub pool: PgPool,
    /// The way to the database for callers.
    pub lanes: Lanes,
    /// The schemas that the expressions of policies see.
    pub search_path: String,
    /// Recognises callers.
    pub identity: Arc<Identity>,
    /// Knows the keys of users and of other backends.
    pub held_keys: Arc<dyn HeldKeys>,
    /// Tells whether the session behind a token goes on.
    pub sessions: Arc<dyn Sessions>,
    /// Tells who may see and change what holds for others.
    pub authority: Arc<dyn Authority>,
    /// Where it is put on record who did what.
    pub audit: Arc<dyn AuditLog>,
    /// How the owner of the database connects, where it is ours to prepare.
    pub owner: Option<Login>,
    /// Counts what is limited.
    pub limiter: Arc<dyn Limiter>,
    /// The schema of the database.
    pub catalog: CatalogHandle,
    /// The rules of tables.
    pub policies: Arc<PolicyBook>,
    /// What callers are held to beside the rules.
    pub access: Arc<ArcSwap<AccessSettings>>,
    /// Rouses the reader of changes when this server has written something.
    pub wake: Arc<Notify>,
    /// The way to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Owns the tasks of the sockets.
    pub tracker: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
}

/// What the service needs; cheap to clone.
#[derive(Clone)]
pub struct RealtimeState(Arc<Shared>);

/// See [`RealtimeState`].
pub struct Shared {
    pub(super) config: RealtimeConfig,
    pub(super) hub: Arc<Hub>,
    pub(super) changes: Changes,
    pub(super) access: TopicAccess,
    pub(super) definitions: Arc<DefinitionBook>,
    pub(super) pool: PgPool,
    pub(super) identity: Arc<Identity>,
    pub(super) held_keys: Arc<dyn HeldKeys>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) authority: Arc<dyn Authority>,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) owner: Option<Login>,
    pub(super) limiter: Arc<dyn Limiter>,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
    /// The turn of whoever keeps a broadcast.
    pub(super) keeping: Semaphore,
    sockets: AtomicUsize,
}

impl std::ops::Deref for RealtimeState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// A socket's share of [`RealtimeConfig::max_sockets`]; given back when it is dropped.
pub(super) struct SocketPermit(RealtimeState);

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let open = self.0.sockets.fetch_sub(1, Ordering::Relaxed) - 1;
        super::metrics::sockets(open);
    }
}

impl RealtimeState {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let node = parts.random.uuid();
        let limits = presence_limits(&parts.config);
        let hub = Arc::new(Hub::new(Announcer::new(Arc::clone(&parts.bus)), limits));
        let follower = Follower::new(Arc::clone(&hub), parts.bus, limits.total);
        parts.tracker.spawn(follower.run(parts.stop.clone()));
        let queries = CallerQueries::new(parts.lanes, parts.search_path);
        let changes = ChangesParts {
            pool: parts.pool.clone(),
            queries: queries.clone(),
            hub: Arc::clone(&hub),
            clock: parts.clock.clone(),
            catalog: parts.catalog,
            book: parts.policies,
            access: parts.access,
            node,
            wake: parts.wake,
            random: parts.random.clone(),
            largest_message: parts.config.max_payload.as_usize(),
            tells_leaving: parts.config.tells_leaving,
        };
        let definitions = Arc::new(DefinitionBook::new(parts.pool.clone(), &parts.config));
        parts.tracker.spawn(Arc::clone(&definitions).follow(parts.stop.clone()));
        Self(Arc::new(Shared {
            definitions,
            changes: Changes::start(changes, (&parts.tracker, parts.stop.clone())),
            access: TopicAccess::new(parts.pool.clone(), queries),
            hub,
            config: parts.config,
            pool: parts.pool,
            identity: parts.identity,
            held_keys: parts.held_keys,
            sessions: parts.sessions,
            authority: parts.authority,
            audit: parts.audit,
            owner: parts.owner,
            limiter: parts.limiter,
            clock: parts.clock,
            random: parts.random,
            tracker: parts.tracker,
            stop: parts.stop,
            keeping: Semaphore::new(1),
            sockets: AtomicUsize::new(0),
        }))
    }

    /// Reads what is to be known before the first join. Where that fails it is tried again, and nobody joins before.
    pub async fn prepare(&self) {
        if let Err(error) = self.definitions.read().await {
            tracing::warn!(
                "definitions of channels cannot be read yet; nobody joins until they can: {error}"
            );
        }
    }

    /// Whether a caller may join a topic and send to it, as far as definitions and the configuration say.
    pub(super) fn admit(
        &self,
        rules: &ChannelRules,
        caller: &Caller,
        topic: &Topic,
    ) -> Result<(), Forbidden> {
        let is_operator = self.authority.allows(caller, Capability::ManageRealtime);
        rules.admit(topic, (&caller.role, is_operator))
    }

    /// How many sockets are open.
    pub(super) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Room for one more socket, if there is.
    pub(super) fn admit_socket(&self) -> Option<SocketPermit> {
        let most = self.config.max_sockets;
        let admitted = self
            .sockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        let before = admitted.ok()?;
        super::metrics::sockets(before + 1);
        Some(SocketPermit(self.clone()))
    }
}

fn presence_limits(config: &RealtimeConfig) -> PresenceLimits {
    PresenceLimits {
        topic: Amount {
            members: config.max_topic_presences,
            bytes: config.max_topic_presence_bytes.as_usize(),
        },
        total: Amount { members: config.max_presences, bytes: config.max_presence_bytes.as_usize() },
    }
}
