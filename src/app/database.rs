//! The database behind the services: our own PostgreSQL or somebody's, prepared, and the logins to use it by.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::edge::SERVICE_ROLE;
use crate::app::error::AppError;
use crate::app::reach::reach;
use crate::app::secrets::ProjectSecrets;
use crate::kernel::clock::Clock;
use crate::kernel::config::{Config, DatabaseConfig, Environment, SslMode};
use crate::kernel::db::bootstrap::{self, AUTHENTICATOR_LOGIN, BootstrapOptions, BypassRls, SERVICE_LOGIN};
use crate::kernel::db::embedded::{EmbeddedConfig, EmbeddedPostgres};
use crate::kernel::db::login::Login;
use crate::kernel::db::target::{Host, Target};
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

/// A database ready to serve.
pub(super) struct Database {
    /// The login of everything that is done for a caller.
    pub authenticator: Target,
    /// The secrets that go with it.
    pub secrets: ProjectSecrets,
    /// The embedded server, if it is ours to stop.
    pub embedded: Option<EmbeddedPostgres>,
    /// The database in words.
    pub description: String,
    /// The role of servers, where the bootstrap made it.
    pub service_role: Option<&'static str>,
    /// How its owner connects, where we prepared it and so keep its policies.
    pub owner: Option<Login>,
    /// Whether `service_role` sees rows only by policies that we must make for each table.
    pub needs_service_role_policies: bool,
    /// The logins that may know the key of the audit log, the better first; none where the database was not prepared.
    pub audit_logins: Vec<Login>,
    /// How its owner connects from outside, where that is ours to tell.
    pub owner_url: Option<Secret>,
}

/// What opening a database needs.
pub(super) struct Opening<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Whether our schemas and roles are to be prepared; without accounts REST serves a database as it is.
    pub prepares: bool,
    /// Randomness.
    pub random: &'a Random,
    /// Time.
    pub clock: &'a Clock,
    /// Who owns the background tasks.
    pub tracker: &'a TaskTracker,
    /// Stops the embedded server; cancelled last.
    pub stop: &'a CancellationToken,
}

impl Opening<'_> {
    /// Starts or reaches the database and prepares it. An external one that is down is waited for; `on_failure` hears
    /// of it.
    pub(super) async fn open(&self, on_failure: impl FnMut()) -> Result<Database, AppError> {
        if self.config.database.is_embedded() {
            self.embedded().await
        } else {
            self.external(on_failure).await
        }
    }

    async fn embedded(&self) -> Result<Database, AppError> {
        let options = embedded_options(self.config);
        let server = EmbeddedPostgres::start(&options, self.random, self.tracker, self.stop).await?;
        let directory = &self.config.embedded.data_dir;
        let secrets =
            ProjectSecrets::of_data_directory(directory, &self.config.auth, self.random, self.clock)?;
        let passwords = server.passwords().clone();
        bootstrap::run(
            &server.owner_options(),
            &BootstrapOptions {
                is_embedded: true,
                goforward_password: Some(passwords.goforward.clone()),
                authenticator_password: Some(passwords.authenticator.clone()),
            },
        )
        .await?;
        let mut authenticator = Target::new(
            Host::new(&server.socket_dir().to_string_lossy(), server.port()),
            AUTHENTICATOR_LOGIN,
            server.database(),
        );
        authenticator.password = Some(passwords.authenticator);
        Ok(Database {
            authenticator,
            secrets,
            description: server.describe().to_string(),
            owner_url: Some(server.owner_url()),
            service_role: Some(SERVICE_ROLE),
            owner: Some(Login::from(server.owner_options())),
            needs_service_role_policies: false,
            audit_logins: vec![server.login_options(SERVICE_LOGIN, &passwords.goforward).into()],
            embedded: Some(server),
        })
    }

    async fn external(&self, on_failure: impl FnMut()) -> Result<Database, AppError> {
        let database = &self.config.database;
        let target = external_target(database)?;
        let is_development = self.config.environment() == Environment::Development;
        let generate = self.prepares && is_development;
        let secrets = ProjectSecrets::from_config(&self.config.auth, generate, self.random);
        let description = describe(&target);
        let owner = if self.prepares { owner_login(database, &target)? } else { Login::from(&target) };
        let server = reach(&owner, &description, on_failure).await?;
        if !self.prepares {
            return Ok(Database {
                authenticator: target,
                secrets,
                description,
                embedded: None,
                owner_url: None,
                service_role: None,
                owner: None,
                needs_service_role_policies: false,
                audit_logins: Vec::new(),
            });
        }
        let (authenticator, password) = authenticator_target(database, &target, &secrets)?;
        let options = BootstrapOptions {
            is_embedded: false,
            goforward_password: secrets.login_password(SERVICE_LOGIN),
            authenticator_password: password,
        };
        let report = bootstrap::run(&server, &options).await?;
        for missing in &report.missing {
            if missing.is_blocking {
                return Err(AppError::Blocked {
                    what: missing.what.clone(),
                    consequence: missing.consequence.clone(),
                    sql_to_fix: missing.sql_to_fix.clone(),
                });
            }
            tracing::warn!(
                "{}: {} (`goforward doctor` has the SQL that helps)",
                missing.what,
                missing.consequence
            );
        }
        Ok(Database {
            authenticator,
            secrets,
            description,
            embedded: None,
            service_role: Some(SERVICE_ROLE),
            audit_logins: audit_logins(&owner, options.goforward_password.as_ref()),
            owner: Some(owner),
            needs_service_role_policies: report.capabilities.bypass_rls == BypassRls::Policies,
            owner_url: None,
        })
    }
}

/// Our own login, and the owner where somebody else keeps the password of that.
pub(super) fn audit_logins(owner: &Login, password: Option<&Secret>) -> Vec<Login> {
    let own = password.map(|password| owner.as_user(SERVICE_LOGIN, password));
    own.into_iter().chain([owner.clone()]).collect()
}

/// How the embedded server is asked for.
pub(super) fn embedded_options(config: &Config) -> EmbeddedConfig {
    let embedded = &config.embedded;
    let mut options = EmbeddedConfig::new(&embedded.data_dir);
    options.binaries.clone_from(&embedded.binaries);
    options.account.clone_from(&embedded.account);
    options.loopback_port = embedded.loopback_port;
    options.may_fetch = embedded.fetch_binaries;
    options.settings.clone_from(&embedded.settings);
    // Half for us (see the connection budget), the other half for tools beside us.
    let wanted = config.database.max_connections.saturating_mul(2).max(100);
    options.max_connections = u16::try_from(wanted).unwrap_or(u16::MAX);
    options
}

/// The configured database: the URL, with the single keys laid over it.
pub(super) fn external_target(database: &DatabaseConfig) -> Result<Target, AppError> {
    let mut target = match &database.url {
        Some(url) => Target::parse(url.expose())?,
        None => Target::new(Host::new("localhost", 5432), "postgres", "postgres"),
    };
    if let Some(host) = &database.host {
        let port = target.hosts.first().map_or(5432, |host| host.port);
        target.hosts = vec![Host::new(host, port)];
    }
    if let Some(port) = database.port {
        target.hosts.iter_mut().for_each(|host| host.port = port);
    }
    if let Some(name) = &database.name {
        target.dbname.clone_from(name);
    }
    if let Some(user) = &database.user {
        target.user.clone_from(user);
    }
    if let Some(password) = &database.password {
        target.password = Some(password.clone());
    }
    if let Some(mode) = database.ssl_mode {
        target.ssl_mode = ssl_mode(mode);
    }
    if let Some(file) = &database.ssl_root_cert {
        target.ssl_root_cert = Some(file.clone());
    }
    target.connect_timeout = database.connect_timeout.get();
    Ok(target)
}

fn ssl_mode(mode: SslMode) -> crate::kernel::db::target::SslMode {
    use crate::kernel::db::target::SslMode as Wire;
    match mode {
        SslMode::Disable => Wire::Disable,
        SslMode::Allow => Wire::Allow,
        SslMode::Prefer => Wire::Prefer,
        SslMode::Require => Wire::Require,
        SslMode::VerifyCa => Wire::VerifyCa,
        SslMode::VerifyFull => Wire::VerifyFull,
    }
}

/// How the owner connects: its own URL, or the database's.
pub(super) fn owner_login(database: &DatabaseConfig, target: &Target) -> Result<Login, AppError> {
    let Some(url) = &database.owner_url else { return Ok(Login::from(target)) };
    let mut owner = Target::parse(url.expose())?;
    owner.connect_timeout = target.connect_timeout;
    Ok(Login::from(&owner))
}

/// The login for callers, and the password that the bootstrap is to give it (none where the operator did).
fn authenticator_target(
    database: &DatabaseConfig,
    owner: &Target,
    secrets: &ProjectSecrets,
) -> Result<(Target, Option<Secret>), AppError> {
    let configured = &database.authenticator;
    if let Some(url) = &configured.url {
        return Ok((Target::parse(url.expose())?, None));
    }
    let mut target = owner.clone();
    target.user.clone_from(&configured.user);
    let password = configured.password.clone().or_else(|| secrets.login_password(&configured.user));
    target.password.clone_from(&password);
    Ok((target, password))
}

pub(super) fn describe(target: &Target) -> String {
    let hosts: Vec<String> = target.hosts.iter().map(ToString::to_string).collect();
    format!("PostgreSQL at {}, database {}", hosts.join(", "), target.dbname)
}
