//! Why goforward cannot start: each is one line that says what to do.

use std::path::PathBuf;

use crate::kernel::config::ConfigError;
use crate::kernel::db::bootstrap::BootstrapError;
use crate::kernel::db::embedded::EmbeddedError;
use crate::kernel::db::target::TargetError;
use crate::kernel::identity::{RolePathError, SecretError};

/// Why goforward cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded PostgreSQL cannot run.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The database cannot be prepared.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The connection string is wrong.
    #[error("database.url: {0}")]
    Target(#[from] TargetError),
    /// The signing secret is wrong.
    #[error("auth.jwt_secret: {0}")]
    Secret(#[from] SecretError),
    /// The path of the role claim is wrong.
    #[error("auth.jwt_role_claim_path: {0}")]
    RolePath(#[from] RolePathError),
    /// The audit log is not ours to write.
    #[error("cannot read the key of the audit log (goforward.audit_key): {0}")]
    Audit(sqlx::Error),
    /// Accounts cannot be served as configured.
    #[error("auth: {0}")]
    Auth(String),
    /// Storage cannot be served as configured.
    #[error("{0}")]
    Storage(String),
    /// Realtime cannot be served as configured.
    #[error("realtime: {0}")]
    Realtime(String),
    /// Redis cannot be used as configured.
    #[error("redis: {0}")]
    Redis(String),
    /// The lanes cannot be set up.
    #[error("database: {0}")]
    Lanes(String),
    /// The database is there, but not for us; no waiting helps.
    #[error("the {place} refuses us: {cause}; {advice}")]
    Refused {
        /// Which database.
        place: String,
        /// What it says.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
    /// The database does not answer.
    #[error("cannot reach the {place}: {cause}; start it, or correct database.url")]
    Unreachable {
        /// Which database.
        place: String,
        /// What happened.
        cause: String,
    },
    /// The address is taken or not ours.
    #[error(
        "cannot listen on {address}: {cause}; set server.host and server.port (--host, --port) to a free address"
    )]
    Listen {
        /// The address.
        address: String,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// There is no address to ask whether the server is ready.
    #[error("no probe can be asked: {0}; set server.admin_port")]
    NoProbe(&'static str),
    /// Nobody answers where the server should.
    #[error("no server answers at {address}: {cause}")]
    NoAnswer {
        /// The address.
        address: String,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// The server cannot serve.
    #[error("the server at {address} is not ready: {reason}")]
    NotReady {
        /// The address.
        address: String,
        /// What it says.
        reason: String,
    },
    /// The Unix socket cannot be made.
    #[error("cannot listen on {path}: {cause}; set server.unix_socket to a path in a folder of this user")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// A file of the data directory cannot be used.
    #[error("cannot use {path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// The file with the project's secrets is damaged.
    #[error(
        "{0} is damaged; restore it from a backup, or remove it to make new keys (clients then need the new ones)"
    )]
    SecretsFile(PathBuf),
    /// The database lacks something that nothing works without.
    #[error("{what}: {consequence}{}", sql_hint(.sql_to_fix))]
    Blocked {
        /// What is missing.
        what: String,
        /// What that means.
        consequence: String,
        /// The SQL that helps.
        sql_to_fix: String,
    },
    /// `keys` before the first start.
    #[error("{0} holds no keys yet; run `goforward serve` first")]
    NoKeys(PathBuf),
}

fn sql_hint(sql: &str) -> String {
    if sql.is_empty() { String::new() } else { format!("; run: {}", sql.replace('\n', " ")) }
}
