//! The composition root: the only place that knows all services. [`Goforward`] puts a server together and starts it;
//! [`commands`] does what the command line asks.

mod address;
mod audit;
mod auth;
mod bus;
mod commands;
mod database;
mod edge;
mod error;
mod front;
mod key_rotation;
mod listeners;
mod policies;
mod policy_commands;
mod policy_lint;
mod probe;
mod reach;
mod realtime;
mod realtime_commands;
mod rest;
mod s3_key_commands;
mod secrets;
mod security;
mod services;
mod signals;
mod storage;
mod storage_commands;
mod unix_socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use commands::Commands;
pub use error::AppError;

use crate::cli::Service;
use crate::gateway::health::RenderMetrics;
use crate::gateway::server::Stop;
use crate::gateway::{Gateway, Middleware, Mount};
use crate::kernel::clock::Clock;
use crate::kernel::config::{Config, Loaded};
use crate::kernel::db::embedded::EmbeddedPostgres;
use crate::kernel::db::login::Login;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::kernel::telemetry::{LogSink, Metrics};
use address::AddressFile;
use database::Opening;
use front::{Front, Readiness};
use listeners::{Listeners, Place};
use rest::Rest;
use secrets::ProjectSecrets;
use services::Services;

/// A server under construction. Programs that embed goforward add services and middleware of their own.
pub struct Goforward {
    loaded: Loaded,
    only: Vec<Service>,
    mounts: Vec<Mount>,
    middleware: Vec<Arc<dyn Middleware>>,
    clock: Clock,
    random: Random,
    log_sink: Option<LogSink>,
}

impl Goforward {
    /// A server with this configuration and all services.
    pub fn new(loaded: Loaded) -> Self {
        Self {
            loaded,
            only: Vec::new(),
            mounts: Vec::new(),
            middleware: Vec::new(),
            clock: Clock::system(),
            random: Random::system(),
            log_sink: None,
        }
    }

    /// Runs only these services; all if empty. REST without accounts changes nothing in the database.
    #[must_use]
    pub fn only(mut self, services: Vec<Service>) -> Self {
        self.only = services;
        self
    }

    /// Adds a service below a prefix, with the identity and the limits that its mount asks for.
    #[must_use]
    pub fn service(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Adds middleware around every service, goforward's own included. The first one added is the outermost.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware + 'static) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Counts the log lines that were dropped in the metrics.
    #[must_use]
    pub fn log_sink(mut self, sink: LogSink) -> Self {
        self.log_sink = Some(sink);
        self
    }

    /// Starts the database and the services, and answers from when this returns. An external database that cannot be
    /// reached is waited for; requests get 503 meanwhile.
    pub async fn start(self) -> Result<Running, AppError> {
        let stop = Stopping::default();
        // Boxed: the whole start is a large future, and callers hold this one.
        match Box::pin(self.start_with(&stop)).await {
            Ok(running) => Ok(running),
            Err(error) => {
                stop.requests.hard.cancel();
                stop.listeners.close();
                stop.listeners.wait().await;
                stop.services.cancel();
                stop.database.cancel();
                stop.tracker.close();
                stop.tracker.wait().await;
                Err(error)
            }
        }
    }

    async fn start_with(self, stop: &Stopping) -> Result<Running, AppError> {
        let config = &self.loaded.config;
        // A secret that cannot sign is told of before a database is made with it.
        let configured = ProjectSecrets::from_config(&config.auth, false, &self.random);
        edge::credentials(config, &configured, &self.clock)?;
        // Taking the addresses first tells of a server that runs already before anything is touched.
        let listeners = Listeners::bind(&config.server).await?;
        let (place, admin_address) = (listeners.place.clone(), listeners.admin_address);
        // Before anything counts: instruments belong to the recorder that is there when they are made.
        let metrics = self.metrics(config, stop);
        let opening = Opening {
            config,
            prepares: [Service::Auth, Service::Realtime, Service::Storage].iter().any(|&it| self.runs(it)),
            random: &self.random,
            clock: &self.clock,
            tracker: &stop.tracker,
            stop: &stop.database,
        };
        let readiness = Readiness::default();
        let health = readiness.health(stop.requests.soft.clone());
        let front = Front::new(&health);
        // At the first failure to reach the database, else when everything is there.
        let mut unserved = Some(listeners);
        let mut serve = || {
            if let Some(listeners) = unserved.take() {
                listeners.serve(&config.server, front.clone(), &health, metrics.clone(), stop);
            }
        };
        let mut database = opening.open(&mut serve).await?;
        let merged = rest::with_database_settings(&self.loaded, &Login::from(&database.authenticator)).await;
        if let Some(secret) = merged.config.auth.jwt_secret.clone().filter(|secret| !secret.is_empty()) {
            database.secrets.jwt_secret = Some(secret);
        }
        let services = Services::start(&self, &merged, &database, (&place, stop)).await?;
        readiness.follow(&services.rest, &database, services.shared.status());
        let mounts = services.mounts(&self, &merged.config, &database, (&health, metrics.clone()));
        front.open(self.gateway(&merged.config, &services, mounts));
        let url = place.url(&merged.config);
        serve();
        wait_until_ready(&services.rest).await;
        let directory = &merged.config.embedded.data_dir;
        let address_file = database.embedded.as_ref().map(|_| AddressFile::write(directory, &url));
        Ok(Running {
            address_file,
            config: merged.config,
            place,
            admin_address,
            secrets: database.secrets,
            owner_url: database.owner_url,
            database: database.description,
            embedded: database.embedded,
            stop: stop.clone(),
        })
    }

    fn runs(&self, service: Service) -> bool {
        self.only.is_empty() || self.only.contains(&service)
    }

    fn metrics(&self, config: &Config, stop: &Stopping) -> Option<RenderMetrics> {
        if !config.metrics.enabled {
            return None;
        }
        let metrics = Metrics::install()?;
        metrics.spawn_upkeep(&stop.tracker, stop.services.clone());
        let sink = self.log_sink.clone();
        Some(Arc::new(move || metrics.render(sink.as_ref())))
    }

    fn gateway(&self, config: &Config, services: &Services, own: Vec<Mount>) -> Gateway {
        let (identity, limiter) = (Arc::clone(&services.identity), Arc::clone(&services.shared.limiter));
        let mut gateway = Gateway::new(edge::gateway_options(config), identity, limiter, &self.random);
        if let Some(auth) = &services.auth {
            gateway = gateway.held_keys(auth.held_keys());
            if let Some(sessions) = auth.sessions.clone() {
                gateway = gateway.sessions(sessions);
            }
        }
        for mount in own.into_iter().chain(self.mounts.clone()) {
            let mount =
                self.middleware.iter().rev().fold(mount, |mount, outer| mount.through(Arc::clone(outer)));
            gateway = gateway.mount(mount);
        }
        gateway
    }
}

/// How everything is stopped: requests first, then services, then the database.
#[derive(Clone, Default)]
struct Stopping {
    requests: Stop,
    services: CancellationToken,
    database: CancellationToken,
    tracker: TaskTracker,
    listeners: TaskTracker,
}

/// A running server.
pub struct Running {
    address_file: Option<AddressFile>,
    config: Config,
    place: Place,
    admin_address: Option<SocketAddr>,
    secrets: ProjectSecrets,
    owner_url: Option<Secret>,
    database: String,
    embedded: Option<EmbeddedPostgres>,
    stop: Stopping,
}

impl Running {
    /// Where it answers; nothing where it listens on a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.place.address()
    }

    /// The URL for clients.
    pub fn api_url(&self) -> String {
        self.place.url(&self.config)
    }

    /// The API key of anonymous callers, where there is one.
    pub fn anon_key(&self) -> Option<&Secret> {
        self.secrets.keys.as_ref().map(|keys| &keys.anon_key)
    }

    /// The API key of servers that may do everything, where there is one.
    pub fn service_role_key(&self) -> Option<&Secret> {
        self.secrets.keys.as_ref().map(|keys| &keys.service_role_key)
    }

    /// Stops in order: requests in flight are finished, then services and database end.
    pub async fn stop(self) {
        drop(self.address_file);
        self.stop.requests.soft.cancel();
        self.stop.listeners.close();
        self.stop.listeners.wait().await;
        self.stop.services.cancel();
        if let Some(server) = self.embedded {
            server.stop().await;
        }
        self.stop.database.cancel();
        self.stop.tracker.close();
        if tokio::time::timeout(LAST_WAIT, self.stop.tracker.wait()).await.is_err() {
            // A connection whose other end says nothing must not keep the process.
            tracing::warn!(tasks = self.stop.tracker.len(), "ending with tasks that have not stopped");
        }
    }

    /// Cuts what is in flight; [`Running::stop`] then ends soon.
    pub fn stop_hard(&self) -> CancellationToken {
        self.stop.requests.hard.clone()
    }
}

/// How long a stop waits for the tasks that still talk to the database once every request is answered.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// How long a start waits for the database to answer; without it requests get 503 until it does.
const READY_WAIT: Duration = Duration::from_secs(5);

async fn wait_until_ready(rest: &Rest) {
    let mut up = rest.lanes.is_up();
    let ready = async {
        rest.catalog.ready().await;
        // An error says that the lanes have ended, which the health check tells too.
        let _ = up.wait_for(|up| *up).await;
    };
    if tokio::time::timeout(READY_WAIT, ready).await.is_err() {
        tracing::warn!("the database does not answer yet; requests get 503 until it does");
    }
}
