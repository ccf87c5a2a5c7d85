//! What this node shares with the others of its project: the bus, and the counters of rate limits.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::auth::{roots, service_login};
use crate::app::database::Database;
use crate::app::error::AppError;
use crate::kernel::bus::{Bus, LocalBus, Seal, Subject, Terms, postgres, redis};
use crate::kernel::clock::Clock;
use crate::kernel::config::{Config, RedisConfig};
use crate::kernel::db::login::Login;
use crate::kernel::db::project;
use crate::kernel::limits::{Limiter, MemoryLimiter, RedisLimiter};
use crate::kernel::random::Random;
use crate::kernel::redis::Redis;
use crate::kernel::secret::Secret;
use crate::kernel::vault::RootSecrets;

/// The bus, and who counts.
pub(super) struct SharedParts {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) limiter: Arc<dyn Limiter>,
    /// The counters in Redis, where that is configured.
    redis: Option<Arc<RedisLimiter>>,
}

impl SharedParts {
    /// Starts both: by Redis where it is configured, whether it answers or not; else the bus of the database, if this server
    /// has prepared it, and counters of its own. `hears_clients` says whether what clients tell each other is of interest.
    pub(super) async fn start(
        config: &Config,
        database: &Database,
        (clock, random): (&Clock, &Random),
        hears_clients: bool,
        tasks: (&TaskTracker, &CancellationToken),
    ) -> Result<Self, AppError> {
        let (tracker, stop) = tasks;
        let local = MemoryLimiter::new(config.server.rate_limits.max_tracked, clock.clone());
        let roots = common_roots(config, database);
        let redis = open(&config.redis, &Login::from(&database.authenticator), roots.as_ref()).await?;
        let terms = || Terms {
            seal: seal(roots.as_ref(), (clock, random)),
            silence: config.server.node_timeout.get(),
        };
        let bus: Arc<dyn Bus> = match &redis {
            // Without accounts and realtime there is nothing to tell.
            _ if database.owner.is_none() => Arc::new(LocalBus::alone(random)),
            Some(redis) => {
                let subjects = if hears_clients { &Subject::ALL[..] } else { &[Subject::Sessions] };
                redis::start(redis.clone(), terms(), subjects, random, (tracker, stop.clone()))
            }
            None => match service_login(database).await? {
                Some(login) if config.database.channel_enabled => {
                    postgres::start(login, terms(), random, (tracker, stop.clone()))
                }
                _ => Arc::new(LocalBus::alone(random)),
            },
        };
        let Some(redis) = redis else { return Ok(Self { bus, limiter: Arc::new(local), redis: None }) };
        let redis = Arc::new(RedisLimiter::start(redis, local, (tracker, stop.clone())));
        Ok(Self { bus, limiter: Arc::clone(&redis) as _, redis: Some(redis) })
    }

    /// How they are doing, for the operator.
    pub(super) fn status(&self) -> impl Fn() -> Value + Send + Sync + use<> {
        let (bus, redis) = (Arc::clone(&self.bus), self.redis.clone());
        move || {
            let status = bus.status();
            let limits = match &redis {
                None => "own",
                Some(redis) if redis.is_shared() => "shared",
                Some(_) => "own, as Redis does not answer",
            };
            json!({
                "bus": {"carrier": status.carrier, "connected": status.connected, "peers": status.peers},
                "rate_limits": limits,
            })
        }
    }
}

/// What all nodes of this project have: the configured secrets, or those beside the embedded database. None where there are
/// none: a secret that development made at this start is another on each node.
fn common_roots(config: &Config, database: &Database) -> Option<RootSecrets> {
    let is_given = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| !secret.is_empty());
    let auth = &config.auth;
    let is_common = is_given(&auth.root_secret) || is_given(&auth.jwt_secret) || database.embedded.is_some();
    let signing = database.secrets.jwt_secret.clone().unwrap_or_default();
    is_common.then(|| roots(auth, &signing))
}

/// Seals what nodes tell each other under what they all have.
fn seal(roots: Option<&RootSecrets>, (clock, random): (&Clock, &Random)) -> Option<Seal> {
    if roots.is_none() {
        tracing::warn!(
            "what nodes tell each other can be read and forged by whoever may use the database or the Redis: set \
             auth.jwt_secret or auth.root_secret, the same on all nodes"
        );
    }
    roots.map(|roots| Seal::new(roots, clock.clone(), random.clone()))
}

/// The configured Redis, and the names of this project in it.
pub(super) async fn open(
    config: &RedisConfig,
    database: &Login,
    roots: Option<&RootSecrets>,
) -> Result<Option<Redis>, AppError> {
    let Some(url) = &config.url else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| AppError::Redis(error.to_string());
    let project = match &config.prefix {
        Some(prefix) => prefix.clone(),
        None => project::name(database, roots).await.map_err(|error| wrong(&error))?,
    };
    let redis = Redis::new(url, &project, config.ssl_root_cert.as_deref());
    redis.map(Some).map_err(|error| wrong(&error))
}
