//! What all requests share.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::blobs::Blobs;
use super::flow::render::Renderer;
use super::flow::sweeper;
use super::image::TransformLimits;
use super::model::key::{Alphabet, InvalidName, ObjectKey};
use super::model::token::UrlKey;
use super::s3::Rules;
use super::s3::signature::Regions;
use super::store::caller::{Acting, CallerStore};
use crate::kernel::audit::AuditLog;
use crate::kernel::clock::Clock;
use crate::kernel::config::StorageConfig;
use crate::kernel::db::lanes::Lanes;
use crate::kernel::identity::{HeldKeys, Identity, Sessions};
use crate::kernel::jobs::JobBell;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::kernel::vault::Vault;

/// What the service needs of the server.
pub struct Parts {
    /// How much is taken, and how.
    pub config: StorageConfig,
    /// Where the bytes lie.
    pub blobs: Blobs,
    /// Connections of the login that owns the tables.
    pub pool: PgPool,
    /// The way to the database for callers.
    pub lanes: Lanes,
    /// The schemas that expressions of policies see.
    pub search_path: String,
    /// How long a statement of a caller may take, in milliseconds; 0 without limit.
    pub statement_timeout: u64,
    /// The longest time between two pieces of a body.
    pub body_pause: std::time::Duration,
    /// Recognises callers.
    pub identity: Arc<Identity>,
    /// Knows the keys of users and of other backends.
    pub held_keys: Arc<dyn HeldKeys>,
    /// Tells whether the session behind a token goes on.
    pub sessions: Arc<dyn Sessions>,
    /// The role of servers.
    pub service_role: &'static str,
    /// The path below which the service answers, as in `/storage/v1`.
    pub prefix: &'static str,
    /// Where clients reach the server, if that is configured.
    pub public_url: Option<String>,
    /// The key that signs URLs, and those before it whose URLs still count.
    pub url_keys: (Vec<u8>, Vec<Vec<u8>>),
    /// Seals secrets of access keys.
    pub vault: Vault,
    /// The project's public key, with which users sign requests of the S3 protocol. None: they cannot.
    pub anon_key: Option<Secret>,
    /// Where it is kept who did what to access keys.
    pub audit: Arc<dyn AuditLog>,
    /// Tells the worker that there is a job.
    pub bell: JobBell,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Owns the tasks.
    pub tracker: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
}

/// What the service needs; cheap to clone.
#[derive(Clone)]
pub struct StorageState(Arc<Shared>);

/// See [`StorageState`].
pub struct Shared {
    pub(super) config: StorageConfig,
    pub(super) blobs: Blobs,
    pub(super) pool: PgPool,
    pub(super) callers: CallerStore,
    pub(super) body_pause: std::time::Duration,
    pub(super) identity: Arc<Identity>,
    pub(super) held_keys: Arc<dyn HeldKeys>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) service_role: &'static str,
    pub(super) prefix: &'static str,
    pub(super) public_url: Option<String>,
    pub(super) url_key: UrlKey,
    pub(super) renderer: Renderer,
    pub(super) vault: Vault,
    pub(super) s3_rules: Rules,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) bell: JobBell,
    pub(super) clock: Clock,
    pub(super) random: Random,
    /// Rouses the sweeper when there is something to sweep.
    pub(super) litter: Arc<Notify>,
    /// Owns what goes on when a client hangs up.
    pub(super) tracker: TaskTracker,
}

impl std::ops::Deref for StorageState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl StorageState {
    /// Whether somebody has the role of servers, which passes all policies.
    pub(in crate::storage) fn is_server(&self, acting: &Acting) -> bool {
        *acting.caller.role == *self.service_role
    }

    /// Puts the parts together and starts sweeping.
    pub fn new(parts: Parts) -> Self {
        let litter = Arc::new(Notify::new());
        let sweeper = sweeper::Sweeper {
            pool: parts.pool.clone(),
            blobs: parts.blobs.clone(),
            grace: parts.config.upload_grace.get(),
            upload_lifetime: parts.config.s3_protocol.upload_lifetime.get(),
            litter: Arc::clone(&litter),
            clock: parts.clock.clone(),
            random: parts.random.clone(),
        };
        parts.tracker.spawn(sweeper.run(parts.stop));
        let protocol = &parts.config.s3_protocol;
        let regions = Regions { configured: protocol.region.clone(), strict: protocol.strict_region };
        let s3_rules = Rules {
            regions,
            tenant_id: protocol.tenant_id.clone(),
            anon_key: parts.anon_key.unwrap_or_default(),
        };
        Self(Arc::new(Shared {
            s3_rules,
            vault: parts.vault,
            callers: CallerStore::new(parts.lanes, parts.search_path, parts.statement_timeout),
            service_role: parts.service_role,
            prefix: parts.prefix,
            public_url: parts.public_url,
            url_key: UrlKey::new(&parts.url_keys.0, &parts.url_keys.1),
            renderer: renderer(&parts.config),
            config: parts.config,
            blobs: parts.blobs,
            pool: parts.pool,
            body_pause: parts.body_pause,
            identity: parts.identity,
            held_keys: parts.held_keys,
            sessions: parts.sessions,
            audit: parts.audit,
            bell: parts.bell,
            clock: parts.clock,
            random: parts.random,
            litter,
            tracker: parts.tracker,
        }))
    }

    /// A name for bytes that nobody has guessed.
    pub(super) fn new_version(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.bytes()).into_uuid()
    }

    /// Which characters names of objects may have.
    pub(super) fn alphabet(&self) -> Alphabet {
        if self.config.unicode_names { Alphabet::Unicode } else { Alphabet::Ascii }
    }

    /// Reads the name of an object.
    pub(super) fn key(&self, text: &str) -> Result<ObjectKey, InvalidName> {
        ObjectKey::parse(text, self.alphabet())
    }
}

fn renderer(config: &StorageConfig) -> Renderer {
    let images = &config.images;
    let limits = TransformLimits {
        max_side: images.max_side,
        max_source_bytes: images.max_source.as_usize(),
        max_pixels: images.max_pixels,
        ..TransformLimits::default()
    };
    Renderer::new(limits, images.cache.get(), images.at_once)
}
