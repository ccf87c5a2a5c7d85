//! goforward's own services: started in the order in which they need each other, and where each answers.

use std::sync::Arc;

use crate::app::auth::{self, Auth};
use crate::app::bus::SharedParts;
use crate::app::database::Database;
use crate::app::error::AppError;
use crate::app::listeners::Place;
use crate::app::policies::PolicyKeeper;
use crate::app::realtime::{self, Realtime};
use crate::app::rest::Rest;
use crate::app::storage::{self, Storage};
use crate::app::{Goforward, Stopping, audit, edge, security, signals};
use crate::cli::Service;
use crate::gateway::health::RenderMetrics;
use crate::gateway::{Health, Mount};
use crate::kernel::audit::AuditLog;
use crate::kernel::config::{Config, Environment, Loaded, RestProfile};
use crate::kernel::identity::Identity;
use crate::rest::FileUrls;

/// What runs.
pub(super) struct Services {
    pub(super) shared: SharedParts,
    pub(super) rest: Rest,
    pub(super) identity: Arc<Identity>,
    pub(super) auth: Option<Auth>,
    pub(super) realtime: Option<Realtime>,
    pub(super) storage: Option<Storage>,
}

impl Services {
    /// Starts those that the server runs, with the configuration as the database has it.
    pub(super) async fn start(
        server: &Goforward,
        merged: &Loaded,
        database: &Database,
        (place, stop): (&Place, &Stopping),
    ) -> Result<Self, AppError> {
        let (config, tasks) = (&merged.config, (&stop.tracker, &stop.services));
        let drawn = (&server.clock, &server.random);
        let hears_clients = server.runs(Service::Realtime);
        let shared = SharedParts::start(config, database, drawn, hears_clients, tasks).await?;
        let (audit, audit_log) = audit::start(database, &server.clock, &server.random, stop).await?;
        let port = place.address().map_or(config.server.port, |address| address.port());
        let audited = (audit, Arc::clone(&shared.limiter));
        let own_url = place.link_base(config);
        let links = storage::object_links(config, database, &own_url, &server.clock);
        let files = links.map(|links| FileUrls::new(links, server.random.clone()));
        let rest = Rest::start(merged, database, port, (audited, files), &server.random, tasks).await?;
        let identity = Arc::new(edge::identity(config, &database.secrets, &rest.catalog, &server.clock)?);
        let auth = Auth::start(auth::Surroundings {
            config,
            database,
            public_url: &own_url,
            identity: Arc::clone(&identity),
            limiter: Arc::clone(&shared.limiter),
            audit: Arc::clone(&audit_log),
            bus: Arc::clone(&shared.bus),
            clock: &server.clock,
            random: &server.random,
            connections: rest.connections_of_accounts,
            tasks,
        })
        .await?;
        let mut services = Self { shared, rest, identity, auth, realtime: None, storage: None };
        if hears_clients {
            services.realtime =
                services.start_realtime(server, config, database, (Arc::clone(&audit_log), stop)).await?;
        }
        if server.runs(Service::Storage) {
            services.storage = services.start_storage(server, config, database, (audit_log, stop)).await?;
        }
        services.follow(server, config, database, stop);
        Ok(services)
    }

    async fn start_realtime(
        &self,
        server: &Goforward,
        config: &Config,
        database: &Database,
        (audit, stop): (Arc<dyn AuditLog>, &Stopping),
    ) -> Result<Option<Realtime>, AppError> {
        let (rest, auth) = (&self.rest, self.auth.as_ref());
        Realtime::start(realtime::Surroundings {
            config,
            database,
            lanes: rest.lanes.clone(),
            catalog: rest.catalog.clone(),
            policies: Arc::clone(&rest.policies),
            access: Arc::clone(&rest.access),
            written: Arc::clone(&rest.written),
            identity: Arc::clone(&self.identity),
            held_keys: auth.map(Auth::held_keys),
            sessions: auth.and_then(|auth| auth.sessions.clone()),
            shared: &self.shared,
            audit,
            clock: &server.clock,
            random: &server.random,
            tasks: (&stop.tracker, &stop.services),
        })
        .await
    }

    async fn start_storage(
        &self,
        server: &Goforward,
        config: &Config,
        database: &Database,
        (audit, stop): (Arc<dyn AuditLog>, &Stopping),
    ) -> Result<Option<Storage>, AppError> {
        let auth = self.auth.as_ref();
        Storage::start(storage::Surroundings {
            config,
            database,
            lanes: self.rest.lanes.clone(),
            identity: Arc::clone(&self.identity),
            held_keys: auth.map(Auth::held_keys),
            sessions: auth.and_then(|auth| auth.sessions.clone()),
            audit,
            clock: &server.clock,
            random: &server.random,
            connections: self.rest.connections_of_storage,
            shared: auth.map(Auth::pool),
            tasks: (&stop.tracker, &stop.services),
        })
        .await
    }

    /// Has the services follow what changes: the configuration, the rules of tables, and signals.
    fn follow(&self, server: &Goforward, config: &Config, database: &Database, stop: &Stopping) {
        let (rest, tasks) = (&self.rest, (&stop.tracker, stop.services.clone()));
        let keys = (Arc::clone(&self.identity), self.auth.as_ref().map(|auth| Arc::clone(&auth.signer)));
        rest.follow_configuration(server.loaded.clone(), database, keys, server.clock.clone(), tasks);
        // Where the database is ours to prepare.
        if let (Some(owner), Some(rules)) = (&database.owner, &rest.rules) {
            let with_storage = self.storage.is_some().then(|| storage::SCHEMA.to_owned());
            let with_policies = config.rest.schemas.iter().cloned().chain(with_storage).collect();
            let schemas = database.needs_service_role_policies.then_some(with_policies);
            let (rules, owner, catalog) = (rules.clone(), owner.clone(), rest.catalog.clone());
            PolicyKeeper::new(rules, owner, catalog, schemas, &server.random)
                .start(&stop.tracker, stop.services.clone());
        }
        signals::reload_on_signal(rest.catalog.clone(), &stop.tracker, stop.services.clone());
    }

    /// Where they answer, and what clients of a whole project expect beside them.
    pub(super) fn mounts(
        &self,
        server: &Goforward,
        config: &Config,
        database: &Database,
        (health, metrics): (&Health, Option<RenderMetrics>),
    ) -> Vec<Mount> {
        let Self { rest, auth, realtime, storage, .. } = self;
        let service = rest.service.clone();
        let rest_mount = Mount::handler(
            "rest",
            &config.rest.prefix,
            Arc::new(move |request| service.clone().handle(request)),
        )
        .limits(edge::rest_limits(&config.server))
        .cors(edge::rest_cors(config))
        .errors(edge::rest_errors(config))
        .rate_limits(edge::rate_limits(&config.server))
        .key_in_query(true)
        .compress(config.server.compression)
        .vary(config.rest.profile != RestProfile::Postgrest);
        let mut mounts = Vec::new();
        if server.runs(Service::Rest) {
            mounts.push(rest_mount);
        }
        if server.only.is_empty() {
            mounts.extend(Self::project_mounts(config, rest));
            mounts.extend(security::mount(config, database, rest));
        }
        if server.runs(Service::Auth) {
            mounts.extend(auth.iter().flat_map(|auth| auth.mounts(config)));
        }
        mounts.extend(realtime.as_ref().map(|realtime| realtime.mount(config)));
        mounts.extend(storage.as_ref().map(|storage| storage.mount(config)));
        if !config.rest.prefix.is_empty() {
            mounts.extend(Self::probe_mounts(config, health, metrics));
        }
        mounts
    }

    /// What clients of a whole project expect beside REST.
    fn project_mounts(config: &Config, rest: &Rest) -> Vec<Mount> {
        let service = rest.service.clone();
        let graphql = Mount::handler(
            "graphql",
            "/graphql/v1",
            Arc::new(move |request| service.clone().handle_graphql(request)),
        )
        .limits(edge::rest_limits(&config.server))
        .cors(edge::rest_cors(config))
        .errors(edge::rest_errors(config))
        .rate_limits(edge::rate_limits(&config.server))
        .compress(config.server.compression);
        let functions = Mount::absent("functions", "/functions/v1").cors(edge::rest_cors(config));
        vec![graphql, functions]
    }

    /// Health for everybody; metrics too where nobody else can reach the listener or the operator says so.
    fn probe_mounts(config: &Config, health: &Health, metrics: Option<RenderMetrics>) -> Vec<Mount> {
        let is_development = config.environment() == Environment::Development;
        let shows_metrics =
            config.metrics.public.unwrap_or(config.server.admin_port.is_none() && is_development);
        let routes = match metrics.filter(|_| shows_metrics) {
            Some(render) => health.admin_routes(render),
            None => health.public_routes(),
        };
        vec![Mount::open("health", "/health", routes.clone()), Mount::open("metrics", "/metrics", routes)]
    }
}
