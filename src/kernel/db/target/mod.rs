//! Where a database is and how to log in: parsed from a libpq URL or a `key=value` connection string.
//!
//! Owns the meaning of the connection parameters. Does no I/O and never shows the password: not in `Debug`, not in an
//! error. Syntax follows <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>.

mod parse;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::kernel::secret::Secret;

/// The address of one PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address.
    Tcp(String),
    /// The directory that holds the server's socket file `.s.PGSQL.<port>`.
    Unix(PathBuf),
}

/// One of the hosts to try, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Where it listens.
    pub address: Address,
    /// Its port; names the socket file of a Unix address.
    pub port: u16,
}

impl Host {
    /// A host from libpq's `host` value: a leading slash means a socket directory.
    pub fn new(host: &str, port: u16) -> Self {
        let address = if host.starts_with('/') {
            Address::Unix(PathBuf::from(host))
        } else {
            Address::Tcp(host.to_owned())
        };
        Self { address, port }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Address::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Address::Tcp(name) => write!(f, "{name}:{}", self.port),
            Address::Unix(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
        }
    }
}

/// How TLS is used, with libpq's names and meanings. A Unix socket never uses TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only where the server refuses an unencrypted connection.
    Allow,
    /// Where the server offers it, without verification.
    #[default]
    Prefer,
    /// Always, without verification (with a root certificate given: as `VerifyCa`, as libpq does).
    Require,
    /// Always, and the certificate must come from a trusted authority.
    VerifyCa,
    /// Always, and the certificate must also name the host.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(TargetError::Value {
                    name: "sslmode",
                    expected: "disable, allow, prefer, require, verify-ca or verify-full",
                });
            }
        })
    }
}

/// Which kind of server is acceptable among several hosts (libpq's `target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionAttributes {
    /// Any.
    #[default]
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that is read-only by default or a standby.
    ReadOnly,
    /// Not a standby.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or any where none answers.
    PreferStandby,
}

impl SessionAttributes {
    /// Whether a server that says this of itself is acceptable.
    pub(in crate::kernel::db) fn fit(self, standby: bool, read_only: bool) -> bool {
        match self {
            Self::Any => true,
            Self::ReadWrite => !standby && !read_only,
            Self::ReadOnly => standby || read_only,
            Self::Primary => !standby,
            Self::Standby | Self::PreferStandby => standby,
        }
    }
}

impl FromStr for SessionAttributes {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Ok(match text {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => {
                return Err(TargetError::Value {
                    name: "target_session_attrs",
                    expected: "any, read-write, read-only, primary, standby or prefer-standby",
                });
            }
        })
    }
}

/// What is wrong with a connection string. Holds no part of a value, so no password can leak through it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a URL nor `key=value` pairs.
    #[error(
        "the database URL must look like postgres://user:password@host:5432/database, or be key=value pairs"
    )]
    Shape,
    /// A `%` that is not followed by two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the {0} of the database URL has a broken percent-encoding: write a literal % as %25")]
    Encoding(&'static str),
    /// A value outside the allowed ones.
    #[error("{name} of the database URL must be {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A parameter that does not exist.
    #[error("the database URL has an unknown parameter {0:?}")]
    Unknown(String),
    /// A parameter of libpq that is not supported.
    #[error("the database URL has the parameter {0:?}, which is not supported: remove it")]
    Unsupported(String),
    /// As many ports as hosts, or one for all.
    #[error("the database URL has {hosts} hosts but {ports} ports: give one port for all, or one for each")]
    Ports {
        /// How many hosts were named.
        hosts: usize,
        /// How many ports were named.
        ports: usize,
    },
    /// A quote that is not closed in `key=value` form.
    #[error("the database connection string has an unclosed quote")]
    Quote,
    /// A NUL character, which the protocol cannot carry.
    #[error("the database URL has a NUL character")]
    Nul,
}

/// Where a database is and how to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Servers to try in order; never empty.
    pub hosts: Vec<Host>,
    /// The login role.
    pub user: String,
    /// The login's password, where it has one.
    pub password: Option<Secret>,
    /// The database.
    pub dbname: String,
    /// How TLS is used.
    pub ssl_mode: SslMode,
    /// A file of trusted authorities in PEM; without it the usual public ones are trusted.
    pub ssl_root_cert: Option<PathBuf>,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Server options of the session, as for `postgres -c`: `-c name=value ...`.
    pub options: Option<String>,
    /// The longest a connection attempt to one host may take.
    pub connect_timeout: Duration,
    /// Which kind of server is acceptable.
    pub session_attributes: SessionAttributes,
}

impl Target {
    /// The longest a connection attempt takes where the string does not say.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A target on one host, with defaults for the rest.
    pub fn new(host: Host, user: impl Into<String>, dbname: impl Into<String>) -> Self {
        Self {
            hosts: vec![host],
            user: user.into(),
            password: None,
            dbname: dbname.into(),
            ssl_mode: SslMode::default(),
            ssl_root_cert: None,
            application_name: "goforward".to_owned(),
            options: None,
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            session_attributes: SessionAttributes::Any,
        }
    }

    /// Parses `postgres://…`, `postgresql://…` or `key=value` pairs.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        parse::target(text.trim())
    }

    /// The same place for sqlx, which knows one host only: this one. [`Login`](super::login::Login) tries all.
    pub fn to_sqlx(&self, host: &Host) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .username(&self.user)
            .password(self.password.as_ref().map_or("", Secret::expose))
            .database(&self.dbname)
            .application_name(&self.application_name)
            .ssl_mode(match self.ssl_mode {
                SslMode::Disable => PgSslMode::Disable,
                SslMode::Allow => PgSslMode::Allow,
                SslMode::Prefer => PgSslMode::Prefer,
                SslMode::Require if self.ssl_root_cert.is_some() => PgSslMode::VerifyCa,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            });
        options = match &host.address {
            Address::Tcp(name) => options.host(name),
            Address::Unix(folder) => options.socket(folder),
        }
        .port(host.port);
        if let Some(file) = &self.ssl_root_cert {
            options = options.ssl_root_cert(file);
        }
        if let Some(text) = &self.options {
            options = options.options(parse::session_options(text));
        }
        options
    }
}

#[cfg(test)]
mod tests;
