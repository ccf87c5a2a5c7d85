//! The storage service put together.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::auth::{outbound, roots, service_login};
use crate::app::database::Database;
use crate::app::edge::{self, SERVICE_ROLE};
use crate::app::error::AppError;
use crate::gateway::{Authentication, Mount, ServiceLimits};
use crate::jobs::{JobSettings, Jobs};
use crate::kernel::audit::AuditLog;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::pool;
use crate::kernel::identity::{HeldKeys, Identity, NoHeldKeys, Sessions, Stateless};
use crate::kernel::jobs::JobBell;
use crate::kernel::object_links::ObjectLinks;
use crate::kernel::random::Random;
use crate::kernel::sql::SqlBuf;
use crate::storage::blobs::BlobKeys;
use crate::storage::jobs::{LOOK_AGAIN, LookAgain, MakeThumbnails, ScanObject, Scanner, TellCaches};
use crate::storage::{Links, Parts, StorageState, blobs, router, set_telling_caches};

/// Where the service is.
const PREFIX: &str = "/storage/v1";
/// What the key of signed URLs is derived for: another than that of access tokens, so that neither is ever the other.
const URL_KEY: &str = "storage signed urls";
/// Its tables. Beside the configured schemas, expressions of policies see it.
pub(super) const SCHEMA: &str = "storage";

/// The running service.
pub(super) struct Storage {
    state: StorageState,
}

/// The addresses of objects, for services that show them: below `base`, the server's own URL. None where nothing signs.
pub(super) fn object_links(
    config: &Config,
    database: &Database,
    base: &str,
    clock: &Clock,
) -> Option<Arc<dyn ObjectLinks>> {
    let keys = roots(&config.auth, database.secrets.jwt_secret.as_ref()?).derive(URL_KEY);
    let storage = &config.storage;
    let lifetime = storage.reference_url_lifetime.get().min(storage.max_signed_url.get());
    Some(Arc::new(Links::new(format!("{base}{PREFIX}"), &keys, lifetime, clock.clone())))
}

/// What starting the service needs of the server.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) database: &'a Database,
    pub(super) lanes: Lanes,
    pub(super) identity: Arc<Identity>,
    pub(super) held_keys: Option<Arc<dyn HeldKeys>>,
    pub(super) sessions: Option<Arc<dyn Sessions>>,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) clock: &'a Clock,
    pub(super) random: &'a Random,
    /// How many connections it may have beside those of callers.
    pub(super) connections: u32,
    /// Those of accounts, which it uses where it may have none.
    pub(super) shared: Option<PgPool>,
    pub(super) tasks: (&'a TaskTracker, &'a CancellationToken),
}

impl Storage {
    /// Starts the service, if this server has what it takes: a database that we prepared, and a key that signs.
    pub(super) async fn start(around: Surroundings<'_>) -> Result<Option<Self>, AppError> {
        let Some(login) = service_login(around.database).await? else { return Ok(None) };
        let Some(secret) = &around.database.secrets.jwt_secret else { return Ok(None) };
        let config = around.config;
        let (tracker, stop) = around.tasks;
        let wrong = |error: &dyn std::fmt::Display| AppError::Storage(error.to_string());
        let bytes = blobs::open(&config.storage, &config.embedded.data_dir, config.server.read_timeout.get());
        let bytes = bytes.map_err(|error| wrong(&error))?;
        let keys = BlobKeys::new(&roots(&config.auth, secret));
        let bytes = bytes.encrypted(config.storage.encryption, keys);
        let pool = match around.shared.clone().filter(|_| around.connections == 0) {
            Some(shared) => shared,
            None => pool::start(login, around.connections.max(1), (tracker, stop.clone()))
                .await
                .map_err(|error| wrong(&error))?,
        };
        let bell = JobBell::default();
        let mut search_path = SqlBuf::new();
        search_path.join(
            ", ",
            config.rest.extra_search_path.iter().map(String::as_str).chain([SCHEMA]),
            |sql, schema| {
                sql.ident(schema);
            },
        );
        let state = StorageState::new(Parts {
            config: config.storage.clone(),
            blobs: bytes,
            pool: pool.clone(),
            bell: bell.clone(),
            lanes: around.lanes.clone(),
            search_path: search_path.into_parts().0,
            statement_timeout: u64::try_from(config.database.statement_timeout.get().as_millis())
                .unwrap_or(u64::MAX),
            body_pause: config.server.read_timeout.get(),
            identity: Arc::clone(&around.identity),
            held_keys: around.held_keys.clone().unwrap_or_else(|| Arc::new(NoHeldKeys)),
            sessions: around.sessions.clone().unwrap_or_else(|| Arc::new(Stateless)),
            service_role: SERVICE_ROLE,
            prefix: PREFIX,
            public_url: config.server.public_url.clone(),
            url_keys: roots(&config.auth, secret).derive(URL_KEY),
            vault: roots(&config.auth, secret).vault().map_err(|error| wrong(&error))?,
            anon_key: around.database.secrets.keys.as_ref().map(|keys| keys.anon_key.clone()),
            audit: Arc::clone(&around.audit),
            clock: around.clock.clone(),
            random: around.random.clone(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        });
        start_jobs(&around, &state, (pool, bell)).await?;
        Ok(Some(Self { state }))
    }

    /// Where it answers. Bodies are streams, whose limits are the buckets'.
    pub(super) fn mount(&self, config: &Config) -> Mount {
        Mount::router("storage", PREFIX, router(self.state.clone()))
            .limits(ServiceLimits { body_bytes: usize::MAX, timeout: None })
            .cors(edge::storage_cors(config))
            .rate_limits(edge::rate_limits(&config.server))
            .authentication(Authentication::Service)
            .compress(false)
    }
}

/// How many objects are scanned at once: each scan is a stream of its own.
const SCANS_AT_ONCE: usize = 4;
/// How many calls to caches are made at once.
const PURGES_AT_ONCE: usize = 4;
/// How many objects pictures are made of at once: requests for pictures must not wait long for those.
const THUMBNAILS_AT_ONCE: usize = 1;

/// How long the end of the server waits for them. A scan may take minutes, and is made again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Has done what is to be done after requests, if anything is. Each kind has a worker of its own, as mails and messages have:
/// where one hangs, as scans do whose scanner is slow, the others go on.
async fn start_jobs(
    around: &Surroundings<'_>,
    state: &StorageState,
    (pool, bell): (PgPool, JobBell),
) -> Result<(), AppError> {
    let wrong = |error: &dyn std::fmt::Display| AppError::Storage(error.to_string());
    let config = &around.config.storage;
    let client = outbound(around.config)?;
    let scanner = Scanner::new(&config.scan, client.clone()).map_err(|error| wrong(&error))?;
    let caches = TellCaches::new(&config.purge_webhook, client, around.clock.clone());
    let caches = caches.map_err(|error| wrong(&error))?;
    if set_telling_caches(&pool, caches.is_some()).await.map_err(|error| wrong(&error))? {
        let tells = caches.is_some();
        tracing::warn!(tells, "whether caches are told of changes is another setting now, for all nodes");
    }
    let thumbnails = MakeThumbnails::new(state.clone()).map_err(|error| wrong(&error))?;
    let worker = |concurrency, bell| {
        let settings = JobSettings { concurrency, patience: PATIENCE, ..JobSettings::default() };
        Jobs::new(pool.clone(), around.clock.clone(), around.random.clone(), bell, settings)
    };
    // An upload is followed by a scan or else by pictures. Whoever is not rung for looks every other second.
    let mut bell = Some(bell);
    let mut workers = Vec::new();
    if let Some(scanner) = scanner {
        workers.push(
            worker(SCANS_AT_ONCE, bell.take().unwrap_or_default())
                .handler(ScanObject::new(state.clone(), scanner))
                .handler(LookAgain::new(state.clone()))
                .schedule(LOOK_AGAIN),
        );
    }
    if let Some(thumbnails) = thumbnails {
        workers.push(worker(THUMBNAILS_AT_ONCE, bell.take().unwrap_or_default()).handler(thumbnails));
    }
    if let Some(caches) = caches {
        // Its jobs are made by triggers, which ring for nobody.
        workers.push(worker(PURGES_AT_ONCE, JobBell::default()).handler(caches));
    }
    let (tracker, stop) = around.tasks;
    for jobs in workers {
        tracker.spawn(jobs.run(stop.clone()));
    }
    Ok(())
}
