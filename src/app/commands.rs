//! What the command line asks for: serve, health, keys, doctor.

use std::time::Instant;

use sqlx::Connection;

use crate::app::address;
use crate::app::bus::open;
use crate::app::error::AppError;
use crate::app::key_rotation;
use crate::app::policy_commands::{carry_out, owner_of};
use crate::app::probe;
use crate::app::reach;
use crate::app::realtime_commands;
use crate::app::s3_key_commands;
use crate::app::secrets::ProjectSecrets;
use crate::app::signals::{StopSignals, follow_log_levels};
use crate::app::storage_commands;
use crate::app::{Goforward, Running};
use crate::auth::system_admins_without_factor;
use crate::cli::{
    ActionError, Actions, Finding, KeyRotation, Keys, PolicyReport, PolicyTask, RealtimeTask, S3KeyTask,
    ServeOptions, Severity, StartReport, StorageReport, StorageTask,
};
use crate::kernel::config::{Config, Environment, Loaded};
use crate::kernel::db::bootstrap::{BypassRls, Capabilities, Missing, inspect};
use crate::kernel::db::embedded;
use crate::kernel::db::login::Login;
use crate::kernel::random::Random;

/// The commands of the goforward executable.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commands;

impl Actions for Commands {
    async fn serve(&self, loaded: Loaded, options: ServeOptions) -> Result<(), ActionError> {
        let started = Instant::now();
        let mut signals = StopSignals::take();
        let starting = Goforward::new(loaded).only(options.only).log_sink(options.log_sink).start();
        let running = tokio::select! {
            running = starting => running?,
            () = signals.received() => return Ok(()),
        };
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        (options.on_ready)(running.report(millis));
        tokio::select! {
            () = signals.received() => {}
            () = follow_log_levels(&options.logs, &options.reload) => {}
        }
        tracing::info!("stopping; a second signal stops at once");
        let hard = running.stop_hard();
        tokio::select! {
            () = running.stop() => {}
            () = async {
                signals.received().await;
                hard.cancel();
                signals.received().await;
            } => {}
        }
        Ok(())
    }

    async fn keys(&self, loaded: Loaded) -> Result<Keys, ActionError> {
        let config = &loaded.config;
        let random = Random::system();
        let directory = &config.embedded.data_dir;
        let is_embedded = config.database.is_embedded();
        let running = address::of_running(directory).filter(|_| is_embedded);
        let secrets = existing_secrets(config, &random)?;
        let loopback_port = config.embedded.loopback_port;
        let owner_url = embedded::owner_url_of(directory, loopback_port).filter(|_| is_embedded);
        Ok(keys_of(config, running.unwrap_or_else(|| default_url(config)), &secrets, owner_url))
    }

    async fn rotate_keys(&self, loaded: Loaded) -> Result<KeyRotation, ActionError> {
        key_rotation::rotate(&loaded.config).await
    }

    async fn health(&self, loaded: Loaded) -> Result<(), ActionError> {
        Ok(probe::ready(&loaded.config).await?)
    }

    async fn doctor(&self, loaded: Loaded) -> Result<Vec<Finding>, ActionError> {
        let (place, owner) = owner_of(&loaded.config)?;
        let mut connection = reach::connect(&owner, &place).await?;
        let inspected = inspect(&mut connection).await;
        let unsafe_admins = match loaded.config.environment() {
            Environment::Production => system_admins_without_factor(&mut connection).await,
            _ => Ok(0),
        };
        let _ = connection.close().await;
        let (capabilities, missing) = inspected?;
        let mut findings = strengths(&capabilities);
        findings.extend(missing.into_iter().map(finding));
        findings.extend(without_factor(unsafe_admins));
        findings.extend(redis(&loaded.config, &owner).await);
        Ok(findings)
    }

    async fn policy(&self, loaded: Loaded, task: PolicyTask) -> Result<PolicyReport, ActionError> {
        carry_out(loaded, task).await
    }

    async fn realtime(&self, loaded: Loaded, task: RealtimeTask) -> Result<String, ActionError> {
        realtime_commands::carry_out(&loaded, task).await
    }

    async fn s3_keys(&self, loaded: Loaded, task: S3KeyTask) -> Result<String, ActionError> {
        s3_key_commands::carry_out(&loaded, task).await
    }

    async fn storage(&self, loaded: Loaded, task: StorageTask) -> Result<StorageReport, ActionError> {
        storage_commands::carry_out(&loaded, task).await
    }
}

impl Running {
    /// What the operator should know.
    fn report(&self, started_in_millis: u64) -> StartReport {
        let is_embedded = self.embedded.is_some();
        StartReport {
            environment: self.config.environment(),
            keys: keys_of(&self.config, self.api_url(), &self.secrets, self.owner_url.clone()),
            admin_url: self.admin_address.map(|address| format!("http://{address}")),
            data_dir: is_embedded.then(|| self.config.embedded.data_dir.clone()),
            database: self.database.clone(),
            started_in_millis,
        }
    }
}

/// The secrets of this installation, of which none are made.
pub(super) fn existing_secrets(config: &Config, random: &Random) -> Result<ProjectSecrets, AppError> {
    if config.database.is_embedded() {
        ProjectSecrets::existing_in(&config.embedded.data_dir, &config.auth, random)
    } else {
        Ok(ProjectSecrets::from_config(&config.auth, false, random))
    }
}

fn keys_of(
    config: &Config,
    api_url: String,
    secrets: &ProjectSecrets,
    database_url: Option<crate::kernel::secret::Secret>,
) -> Keys {
    let keys = secrets.keys.as_ref();
    Keys {
        api_url,
        anon_key: config.auth.anon_key.clone().or_else(|| keys.map(|keys| keys.anon_key.clone())),
        service_role_key: keys.map(|keys| keys.service_role_key.clone()),
        jwt_secret: secrets.jwt_secret.clone(),
        database_url,
    }
}

fn default_url(config: &Config) -> String {
    let server = &config.server;
    match (&server.public_url, &server.unix_socket) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Some(path)) => format!("unix:{}", path.display()),
        (None, None) => format!("http://{}", address::on_this_machine(&server.host, server.port)),
    }
}

fn strengths(capabilities: &Capabilities) -> Vec<Finding> {
    let version = capabilities.server_version;
    let good = |title: String, meaning: &str| Finding {
        severity: Severity::Good,
        title,
        meaning: meaning.to_owned(),
        sql: None,
    };
    let mut findings =
        vec![good(format!("PostgreSQL {}.{}", version / 10_000, version % 10_000), "a supported version")];
    if capabilities.event_triggers {
        findings.push(good("schema changes announce themselves".to_owned(), "new tables are served at once"));
    }
    if capabilities.bypass_rls == BypassRls::Attribute {
        findings.push(good("service_role has BYPASSRLS".to_owned(), "the service key sees all rows"));
    }
    findings
}

/// Whether the configured Redis answers.
async fn redis(config: &Config, database: &Login) -> Option<Finding> {
    let redis = match open(&config.redis, database, None).await.transpose()? {
        Ok(redis) => redis,
        Err(error) => return Some(unusable("Redis can be used".to_owned(), error.to_string())),
    };
    let place = redis.description();
    Some(match redis.version().await {
        Ok(version) => Finding {
            severity: Severity::Good,
            title: format!("Redis {version} at {place}"),
            meaning: "nodes share messages and rate limits".to_owned(),
            sql: None,
        },
        Err(error) => unusable(
            format!("Redis at {place} answers"),
            format!("{error}; until it does, each node is for itself"),
        ),
    })
}

fn unusable(title: String, meaning: String) -> Finding {
    Finding { severity: Severity::Problem, title, meaning, sql: None }
}

/// In production whoever may do everything needs more than a password.
fn without_factor(counted: Result<i64, sqlx::Error>) -> Option<Finding> {
    let meaning = match counted {
        Ok(0) => return None,
        Ok(number) => format!("{number} of them can be taken over with a password: have them enrol one"),
        Err(error) => format!("it cannot be checked: {error}"),
    };
    let title = "a second factor of every system_admin".to_owned();
    Some(Finding { severity: Severity::Problem, title, meaning, sql: None })
}

fn finding(missing: Missing) -> Finding {
    Finding {
        severity: if missing.is_blocking { Severity::Problem } else { Severity::Note },
        title: missing.what,
        meaning: missing.consequence,
        sql: (!missing.sql_to_fix.is_empty()).then_some(missing.sql_to_fix),
    }
}
