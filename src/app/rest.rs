//! The REST service put together: catalog, lanes and settings, and what happens when the configuration in the database
//! changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sqlx::Connection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::database::Database;
use crate::app::edge;
use crate::app::error::AppError;
use crate::app::secrets::ProjectSecrets;
use crate::app::security::access_settings;
use crate::catalog::load::{LoadOptions, in_database_settings};
use crate::catalog::model::QualifiedName;
use crate::catalog::reload::{CatalogHandle, ReloadOptions};
use crate::kernel::clock::Clock;
use crate::kernel::config::{Config, DatabaseConfig, Loaded};
use crate::kernel::db::lanes::{LaneConfig, Lanes};
use crate::kernel::db::login::Login;
use crate::kernel::identity::{Identity, Signer};
use crate::kernel::limits::Limiter;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::policy::access::AccessSettings;
use crate::policy::book::PolicyBook;
use crate::policy::store::RuleStore;
use crate::rest::{FileUrls, RestAudit, RestService, RestSettings, Surroundings};

/// Connections beside the lanes and those of accounts: the catalog's two (one listens, one loads), the audit log's, and two
/// for what is done now and then: by the owner (rules and policies of tables), by the login of callers (settings read again,
/// access explained).
const CONNECTIONS_NOW_AND_THEN: u32 = 5;

/// The reader of changes, capture, and two for everything else; those who catch up have one now and then.
const CONNECTIONS_OF_REALTIME: u32 = 4;

/// That of the bus.
const CONNECTIONS_OF_THE_BUS: u32 = 1;

/// With fewer connections in all, storage uses those of accounts.
const LEAST_FOR_STORAGE: u32 = 12;

/// How the connections that we may have are divided.
#[derive(Clone, Copy)]
struct Budget {
    /// Of the lanes.
    lanes: u32,
    /// Of accounts and jobs.
    accounts: u32,
    /// Of storage, beside what it does for callers.
    storage: u32,
}

impl Budget {
    /// Never more than half of what the server allows.
    fn new(database: &DatabaseConfig, server_limit: Option<u32>) -> Self {
        let least = CONNECTIONS_NOW_AND_THEN + 3;
        let half = server_limit.map_or(u32::MAX, |limit| (limit / 2).max(least));
        let all = database.max_connections.min(half);
        if all < database.max_connections {
            tracing::warn!(
                "database.max_connections is {}, but the server allows {} in all: using {all}",
                database.max_connections,
                server_limit.unwrap_or_default()
            );
        }
        let accounts = (all / 5).clamp(1, 5);
        let storage = if all < LEAST_FOR_STORAGE { 0 } else { (all / 8).clamp(1, 4) };
        let services = CONNECTIONS_OF_REALTIME + CONNECTIONS_OF_THE_BUS + accounts + storage;
        let beside = CONNECTIONS_NOW_AND_THEN + services;
        Self { lanes: all.saturating_sub(beside).max(1), accounts, storage }
    }
}

/// The REST service and the parts that others look at.
pub(super) struct Rest {
    /// The service.
    pub service: RestService,
    /// The catalog.
    pub catalog: CatalogHandle,
    /// The lanes.
    pub lanes: Lanes,
    /// The rules of tables and what callers see of the catalog.
    pub policies: Arc<PolicyBook>,
    /// The stored rules, where the database is one that we prepared.
    pub rules: Option<RuleStore>,
    /// What callers are held to beside the rules, for those who explain it.
    pub access: Arc<ArcSwap<AccessSettings>>,
    /// Is notified of everything that callers write.
    pub written: Arc<Notify>,
    /// How many connections accounts and jobs may have.
    pub connections_of_accounts: u32,
    /// How many connections storage may have beside those of callers; with none it uses those of accounts.
    pub connections_of_storage: u32,
    settings: Arc<ArcSwap<RestSettings>>,
    port: u16,
}

/// The configuration with what the database says on top. Where it cannot be asked the rest counts.
pub(super) async fn with_database_settings(loaded: &Loaded, authenticator: &Login) -> Loaded {
    let rest = &loaded.config.rest;
    if !rest.in_database_config {
        return loaded.clone();
    }
    let found = async {
        let mut connection = authenticator.connect().await?;
        let pre_config = rest.pre_config.as_deref().map(qualified);
        let settings = in_database_settings(&mut connection, None, pre_config.as_ref()).await;
        let _ = connection.close().await;
        settings
    };
    let settings = match found.await {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!("cannot read the settings in the database, going on with the others: {error}");
            return loaded.clone();
        }
    };
    let pairs = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    match loaded.with_database_settings(pairs) {
        Ok(merged) => merged,
        Err(error) => {
            tracing::error!("a setting in the database is wrong, going on without them: {error}");
            loaded.clone()
        }
    }
}

fn qualified(name: &str) -> QualifiedName {
    match name.split_once('.') {
        Some((schema, name)) => QualifiedName::new(schema, name),
        None => QualifiedName::new("", name),
    }
}

impl Rest {
    /// Starts the catalog and the lanes.
    pub(super) async fn start(
        loaded: &Loaded,
        database: &Database,
        port: u16,
        ((audit, limiter), files): ((RestAudit, Arc<dyn Limiter>), Option<FileUrls>),
        random: &Random,
        tasks: (&TaskTracker, &CancellationToken),
    ) -> Result<Self, AppError> {
        let (tracker, stop) = tasks;
        let config = &loaded.config;
        let connect = Login::from(&database.authenticator);
        let mut reload = ReloadOptions::new(connect.clone(), load_options(config), random);
        reload.channel = config.database.channel_enabled.then(|| config.database.channel.clone());
        let interval = config.database.schema_poll_interval.get();
        if !interval.is_zero() {
            reload.poll = interval;
        }
        let catalog = CatalogHandle::start(reload, tracker, stop.clone());
        let budget = Budget::new(&config.database, server_limit(&connect).await);
        let lane_config = lane_config(config, budget);
        let lanes = Lanes::start(database.authenticator.clone(), lane_config, tracker, stop.clone())
            .map_err(|error| AppError::Lanes(error.to_string()))?;
        let access = Arc::new(access_settings(config, database.service_role));
        let settings = Arc::new(ArcSwap::from_pointee(resolve(config, port, Arc::clone(&access))));
        let access = Arc::new(ArcSwap::new(access));
        let policies = Arc::new(PolicyBook::default());
        let written = Arc::new(Notify::new());
        let service = RestService::new(
            catalog.clone(),
            lanes.clone(),
            Arc::clone(&settings),
            (Arc::clone(&policies), audit, limiter, Arc::clone(&written)),
            files,
        );
        let column_grants = config.security.column_grants;
        let rules = database.owner.clone().map(|owner| RuleStore::new(owner, column_grants));
        Ok(Self {
            service,
            catalog,
            lanes,
            policies,
            rules,
            access,
            written,
            connections_of_accounts: budget.accounts,
            connections_of_storage: budget.storage,
            settings,
            port,
        })
    }

    /// Follows requests to read the configuration again, until `stop`.
    pub(super) fn follow_configuration(
        &self,
        loaded: Loaded,
        database: &Database,
        (identity, signer): (Arc<Identity>, Option<Arc<ArcSwap<Signer>>>),
        clock: Clock,
        tasks: (&TaskTracker, CancellationToken),
    ) {
        let (tracker, stop) = tasks;
        let (port, service_role) = (self.port, database.service_role);
        let connect = Login::from(&database.authenticator);
        let mut requests = self.catalog.config_requests();
        let (catalog, secrets) = (self.catalog.clone(), database.secrets.clone());
        let (settings, access) = (Arc::clone(&self.settings), Arc::clone(&self.access));
        tracker.spawn(async move {
            loop {
                let asked = tokio::select! {
                    () = stop.cancelled() => return,
                    asked = requests.changed() => asked,
                };
                if asked.is_err() {
                    return;
                }
                let merged = with_database_settings(&loaded, &connect).await;
                let mut secrets = secrets.clone();
                if let Some(secret) = merged.config.auth.jwt_secret.clone().filter(|s: &Secret| !s.is_empty())
                {
                    secrets.jwt_secret = Some(secret);
                }
                match edge::credentials(&merged.config, &secrets, &clock) {
                    Ok((verifier, keys)) => {
                        identity.replace(verifier, keys);
                        replace_signer(signer.as_deref(), &merged.config, &secrets);
                    }
                    Err(error) => tracing::error!("the new keys cannot be used, the old ones stay: {error}"),
                }
                let newer = Arc::new(access_settings(&merged.config, service_role));
                settings.store(Arc::new(resolve(&merged.config, port, Arc::clone(&newer))));
                access.store(newer);
                catalog.set_load_options(load_options(&merged.config)).await;
                tracing::info!("the configuration was read again");
            }
        });
    }
}

/// Issues tokens with the new key, where it can sign.
fn replace_signer(signer: Option<&ArcSwap<Signer>>, config: &Config, secrets: &ProjectSecrets) {
    let (Some(signer), Some(secret)) = (signer, &secrets.jwt_secret) else { return };
    match Signer::new(secret, config.auth.jwt_secret_is_base64) {
        Ok(new) => signer.store(Arc::new(new)),
        Err(error) => tracing::error!("the new key cannot sign, tokens are issued with the old one: {error}"),
    }
}

fn resolve(config: &Config, port: u16, access: Arc<AccessSettings>) -> RestSettings {
    let timeout = config.database.statement_timeout.get();
    let around = Surroundings {
        host: config.server.host.clone(),
        port,
        public_url: config.server.public_url.clone(),
        access,
        log_queries: config.log.queries,
        slow_query: Some(config.log.slow_query.get()).filter(|limit| !limit.is_zero()),
        statement_timeout: (!timeout.is_zero())
            .then(|| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
    };
    RestSettings::new(&config.rest, &around)
}

pub(super) fn load_options(config: &Config) -> LoadOptions {
    LoadOptions {
        schemas: config.rest.schemas.clone(),
        extra_search_path: config.rest.extra_search_path.clone(),
        authenticator: None,
    }
}

/// How many connections the server allows, if it can be asked.
async fn server_limit(connect: &Login) -> Option<u32> {
    let mut connection = connect.connect().await.ok()?;
    let limit: Result<String, _> =
        sqlx::query_scalar("show max_connections").fetch_one(&mut connection).await;
    let _ = connection.close().await;
    limit.ok()?.parse().ok()
}

fn lane_config(config: &Config, budget: Budget) -> LaneConfig {
    let database = &config.database;
    LaneConfig {
        max_connections: usize::try_from(budget.lanes).unwrap_or(1),
        queue_limit: database.queue_limit,
        acquire_timeout: database.acquire_timeout.get(),
        reader_timeout: config.server.write_timeout.get(),
        max_lifetime: database.max_lifetime.get(),
        idle_timeout: database.max_idle_time.get(),
        prepared_statements: config.rest.prepared_statements,
        ..LaneConfig::default()
    }
}
