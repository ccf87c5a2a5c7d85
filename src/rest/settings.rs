//! The settings of the service, resolved from the configuration once per (re)load so that requests only read them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::kernel::config::{ErrorVerbosity, OpenApiMode, Permission, RestConfig, TransactionEnd};
use crate::kernel::sql::SqlBuf;
use crate::policy::access::AccessSettings;

use crate::rest::core::parse::ParseConfig;
use crate::rest::core::plan::PlanOptions;
use crate::rest::core::protect::ProtectOptions;

/// The resolved settings.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct RestSettings {
    /// What parsing depends on.
    pub parse: ParseConfig,
    /// What planning depends on.
    pub plan: PlanOptions,
    /// What is refused to roles without BYPASSRLS.
    pub protect: ProtectOptions,
    /// How a transaction ends unless the request says otherwise.
    pub tx_end: TransactionEnd,
    /// The call that comes before every query.
    pub pre_request: Option<Arc<str>>,
    /// The `search_path` of requests on each exposed schema.
    search_paths: Vec<(String, Bytes)>,
    /// `app.settings.*` with their names in full.
    pub app_settings: Vec<(Arc<str>, Bytes)>,
    /// Function settings that hold for the whole request.
    pub hoisted_settings: Vec<String>,
    /// The statement timeout of roles that set none, in milliseconds.
    pub statement_timeout: Option<Bytes>,
    /// Whether statements stay prepared.
    pub prepared: bool,
    /// Whether the SQL of every request is logged, without its values.
    pub log_queries: bool,
    /// Requests whose transaction takes longer are logged with their SQL.
    pub slow_query: Option<Duration>,
    /// Whether answers carry `Server-Timing`.
    pub server_timing: bool,
    /// Whether errors have code and message only.
    pub minimal_errors: bool,
    /// Whether errors may quote rows, and names that were not asked for.
    pub verbose_errors: bool,
    /// Whether the anonymous role may ask for estimated counts.
    pub anon_count_estimates: bool,
    /// What callers are held to beside the rules of tables.
    pub access: Arc<AccessSettings>,
    /// The largest body built in one piece, in bytes.
    pub max_result_bytes: u64,
    /// The description at the root.
    pub openapi: OpenApiSettings,
}

/// What the description at the root shows.
#[derive(Clone, Debug)]
pub struct OpenApiSettings {
    /// Which objects.
    pub mode: OpenApiMode,
    /// Whether it says that a token is needed.
    pub security_active: bool,
    /// The address of the service.
    pub proxy_uri: Option<String>,
    /// The listener's address, where there is no proxy.
    pub host: String,
    /// The listener's port.
    pub port: u16,
    /// The path that the service is mounted at.
    pub base_path: String,
    /// `extra_search_path`, whose types are shown without their schema.
    pub search_path: Vec<String>,
}

/// What the settings need to know of the rest of the configuration.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The listener's address.
    pub host: String,
    /// The listener's port.
    pub port: u16,
    /// `server.public_url`.
    pub public_url: Option<String>,
    /// `database.statement_timeout` in milliseconds, if any.
    pub statement_timeout: Option<u64>,
    /// What callers are held to beside the rules of tables.
    pub access: Arc<AccessSettings>,
    /// `log.queries`.
    pub log_queries: bool,
    /// `log.slow_query`, if any.
    pub slow_query: Option<Duration>,
}

impl RestSettings {
    /// Resolves the configuration.
    pub fn new(config: &RestConfig, around: &Surroundings) -> Self {
        let transaction = config.tx_end;
        Self {
            parse: ParseConfig {
                schemas: config.schemas.clone(),
                root_function: config.root_spec.as_deref().map(|name| split_name(name).1.to_owned()),
                root_enabled: config.openapi.mode != OpenApiMode::Disabled,
                allow_transaction_end: transaction.allows_override(),
            },
            plan: PlanOptions {
                max_rows: config.max_rows,
                aggregates: config.aggregates_enabled,
                plans: config.plan_enabled,
                target_names: config.legacy_target_names,
            },
            protect: ProtectOptions {
                relations: around.access.closed_by_default,
                unfiltered_writes: !config.allow_unfiltered_writes,
                definer_functions: config.definer_functions == Permission::Deny,
            },
            tx_end: transaction,
            pre_request: config.pre_request.as_deref().map(call_without_arguments),
            search_paths: search_paths(&config.schemas, &config.extra_search_path),
            app_settings: config
                .app_settings
                .iter()
                .map(|(name, value)| {
                    let name: Arc<str> = Arc::from(format!("app.settings.{name}"));
                    (name, Bytes::copy_from_slice(value.expose().as_bytes()))
                })
                .collect(),
            hoisted_settings: config.hoisted_tx_settings.clone(),
            statement_timeout: around.statement_timeout.map(|millis| Bytes::from(millis.to_string())),
            prepared: config.prepared_statements,
            log_queries: around.log_queries,
            slow_query: around.slow_query,
            server_timing: config.server_timing,
            minimal_errors: config.client_error_verbosity == ErrorVerbosity::Minimal,
            verbose_errors: config.verbose_errors,
            anon_count_estimates: config.anon_count_estimates,
            access: Arc::clone(&around.access),
            max_result_bytes: config.max_result_bytes.get(),
            openapi: OpenApiSettings {
                mode: config.openapi.mode,
                security_active: config.openapi.security_active,
                proxy_uri: config.openapi.server_proxy_uri.clone().or_else(|| {
                    around
                        .public_url
                        .as_ref()
                        .map(|url| format!("{}{}", url.trim_end_matches('/'), config.prefix))
                }),
                host: around.host.clone(),
                port: around.port,
                base_path: config.prefix.clone(),
                search_path: config.extra_search_path.clone(),
            },
        }
    }

    /// The `search_path` of a request on an exposed schema; nothing for any other.
    pub fn search_path(&self, schema: &str) -> Bytes {
        let found = self.search_paths.iter().find(|(name, _)| name == schema);
        found.map(|(_, path)| path.clone()).unwrap_or_default()
    }
}

/// Each schema in front of the extra ones, no name twice: PostgreSQL looks all of them up in every transaction.
fn search_paths(schemas: &[String], extra: &[String]) -> Vec<(String, Bytes)> {
    let path_of = |schema: &String| {
        let others = extra.iter().filter(|other| *other != schema);
        let mut path = SqlBuf::new();
        path.join(", ", std::iter::once(schema).chain(others), |path, name| {
            path.ident(name);
        });
        (schema.clone(), Bytes::from(path.into_parts().0))
    };
    schemas.iter().map(path_of).collect()
}

/// `schema.function`, or a bare function; only the first dot separates.
fn split_name(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("", name))
}

fn call_without_arguments(name: &str) -> Arc<str> {
    let (schema, function) = split_name(name);
    let mut sql = SqlBuf::new();
    sql.lit("select ").name(schema, function).lit("()");
    Arc::from(sql.text())
}
