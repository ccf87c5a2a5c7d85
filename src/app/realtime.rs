//! The realtime service put together.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::auth::service_login;
use crate::app::bus::SharedParts;
use crate::app::database::Database;
use crate::app::edge::{self, SERVICE_ROLE};
use crate::app::error::AppError;
use crate::catalog::reload::CatalogHandle;
use crate::gateway::{Authentication, Mount, ServiceLimits};
use crate::kernel::audit::AuditLog;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::pool;
use crate::kernel::identity::{HeldKeys, Identity, NoHeldKeys, ServersOnly, Sessions, Stateless};
use crate::kernel::random::Random;
use crate::kernel::sql::SqlBuf;
use crate::policy::access::AccessSettings;
use crate::policy::book::PolicyBook;
use crate::realtime::store::{capture, retention};
use crate::realtime::{Parts, RealtimeState, router};

/// Where the service is.
const PREFIX: &str = "/realtime/v1";

/// Connections of the service beside those of the feed and of capture: whoever keeps broadcasts may wait for a lock, and
/// joins and policies go on meanwhile.
const CONNECTIONS: u32 = 2;

/// The running service.
pub(super) struct Realtime {
    state: RealtimeState,
}

/// What starting the service needs of the server.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) database: &'a Database,
    pub(super) lanes: Lanes,
    pub(super) catalog: CatalogHandle,
    pub(super) policies: Arc<PolicyBook>,
    pub(super) access: Arc<ArcSwap<AccessSettings>>,
    pub(super) written: Arc<Notify>,
    pub(super) identity: Arc<Identity>,
    pub(super) held_keys: Option<Arc<dyn HeldKeys>>,
    pub(super) sessions: Option<Arc<dyn Sessions>>,
    pub(super) shared: &'a SharedParts,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) clock: &'a Clock,
    pub(super) random: &'a Random,
    /// Who owns the sockets' tasks, and what ends them: before the services, while the database is there.
    pub(super) tasks: (&'a TaskTracker, &'a CancellationToken),
}

impl Realtime {
    /// Starts the service, if this server has what it takes: a database that we prepared.
    pub(super) async fn start(around: Surroundings<'_>) -> Result<Option<Self>, AppError> {
        let Some(login) = service_login(around.database).await? else { return Ok(None) };
        let (tracker, stop) = around.tasks;
        let pool = pool::start(login, CONNECTIONS, (tracker, stop.clone()))
            .await
            .map_err(|error| AppError::Realtime(error.to_string()))?;
        let mut search_path = SqlBuf::new();
        search_path.join(", ", &around.config.rest.extra_search_path, |sql, schema| {
            sql.ident(schema);
        });
        if let Some(owner) = around.database.owner.clone() {
            tracker.spawn(capture::follow(owner, stop.clone()));
        }
        let config = &around.config.realtime;
        let keep = retention::Keep {
            changes: config.keep_changes.get(),
            bytes: config.keep_bytes.get(),
            messages: config.keep_messages.get(),
        };
        tracker.spawn(retention::run(pool.clone(), keep, stop.clone()));
        let state = RealtimeState::new(Parts {
            config: around.config.realtime.clone(),
            pool,
            lanes: around.lanes,
            search_path: search_path.into_parts().0,
            identity: around.identity,
            held_keys: around.held_keys.unwrap_or_else(|| Arc::new(NoHeldKeys)),
            sessions: around.sessions.unwrap_or_else(|| Arc::new(Stateless)),
            authority: Arc::new(ServersOnly { service_role: Arc::from(SERVICE_ROLE) }),
            audit: around.audit,
            owner: around.database.owner.clone(),
            limiter: Arc::clone(&around.shared.limiter),
            catalog: around.catalog,
            policies: around.policies,
            access: around.access,
            wake: around.written,
            bus: Arc::clone(&around.shared.bus),
            clock: around.clock.clone(),
            random: around.random.clone(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        });
        state.prepare().await;
        Ok(Some(Self { state }))
    }

    /// Where it answers. It finds out who calls by itself: a socket's key stands in its address.
    pub(super) fn mount(&self, config: &Config) -> Mount {
        let body_bytes =
            config.realtime.max_payload.as_usize().max(config.server.body_limits.default.as_usize());
        Mount::router("realtime", PREFIX, router(self.state.clone()))
            .limits(ServiceLimits { body_bytes, timeout: None })
            .cors(edge::rest_cors(config))
            .rate_limits(edge::rate_limits(&config.server))
            .authentication(Authentication::Service)
            .compress(false)
    }
}
