//! The configuration: typed sections with their defaults, and how they are read from a YAML file, the
//! environment and the command line, each over the one before. It only reads and checks; it changes nothing.
//! Unknown keys, wrong types and values out of range are refused with one line that names the key and its place.

mod auth;
mod conf_file;
mod database;
mod environment;
mod error;
mod external;
mod keys;
mod loader;
mod observability;
mod outbound;
mod postgrest;
mod print;
mod realtime;
mod redis;
#[cfg(test)]
mod reference;
mod rest;
mod schema;
mod security;
mod server;
mod source;
mod storage;
#[cfg(test)]
mod tests;
mod validate;
mod values;
mod yaml;

pub use auth::{
    ApiKeyConfig, AuthConfig, AuthProfile, AuthRateLimits, CaptchaConfig, CaptchaProvider, EmailAuthConfig,
    Enumeration, HookConfig, HooksConfig, LockoutConfig, MfaConfig, PasswordAlgorithm, PasswordConfig,
    PhoneAuthConfig, SessionConfig, SmsConfig, SmsProvider, SmtpConfig, SmtpTls,
};
pub use database::{AuthenticatorConfig, DatabaseConfig, EmbeddedConfig, SslMode};
pub use error::ConfigError;
pub use external::ExternalProviderConfig;
pub use keys::keys;
pub use loader::{Loaded, Loader};
pub use observability::{LogConfig, LogFormat, LogLevel, LogRotation, MetricsConfig};
pub use outbound::OutboundConfig;
pub use postgrest::DATABASE_SETTINGS;
pub use print::{PrintedValue, printed_json, printed_text};
pub use realtime::RealtimeConfig;
pub use redis::RedisConfig;
pub use rest::{
    ErrorVerbosity, OpenApiConfig, OpenApiMode, Permission, RestConfig, RestProfile, TransactionEnd,
};
pub use schema::{KeyInfo, Shape};
pub use security::SecurityConfig;
pub use server::{BodyLimits, CorsConfig, RateLimit, RateLimits, ServerConfig};
pub use source::Source;
pub use storage::{
    AzureBackendConfig, Encryption, GcsBackendConfig, ImagesConfig, Oversized, PurgeWebhookConfig,
    S3BackendConfig, S3ProtocolConfig, ScanConfig, StorageConfig,
};
pub use validate::SHORTEST_SECRET;
pub use values::{ByteSize, FileMode, SettingDefault, TimeSpan};

use schema::{choice, section};

choice! {
    /// What the server is used for.
    pub enum Environment {
        /// On somebody's own machine.
        Development = "development",
        /// Like production, for trying out.
        Staging = "staging",
        /// For real users: weak secrets are refused.
        Production = "production",
    }
}

section! {
    /// The whole configuration.
    pub struct Config {
        /// What the server is used for. Unless set: `development` with the embedded database on a loopback
        /// address, `production` otherwise.
        pub environment: Option<Environment> = None;
        /// Listeners and limits.
        pub server: ServerConfig = ServerConfig::default();
        /// The PostgreSQL server.
        pub database: DatabaseConfig = DatabaseConfig::default();
        /// The PostgreSQL that goforward runs itself.
        pub embedded: EmbeddedConfig = EmbeddedConfig::default();
        /// Tokens, API keys and accounts.
        pub auth: AuthConfig = AuthConfig::default();
        /// The REST service.
        pub rest: RestConfig = RestConfig::default();
        /// Broadcast, presence and changes of tables over WebSockets.
        pub realtime: RealtimeConfig = RealtimeConfig::default();
        /// Files in buckets.
        pub storage: StorageConfig = StorageConfig::default();
        /// What several nodes share.
        pub redis: RedisConfig = RedisConfig::default();
        /// Rules about tables.
        pub security: SecurityConfig = SecurityConfig::default();
        /// Requests that leave the server.
        pub outbound: OutboundConfig = OutboundConfig::default();
        /// Logs.
        pub log: LogConfig = LogConfig::default();
        /// Metrics.
        pub metrics: MetricsConfig = MetricsConfig::default();
    }
}

impl Config {
    /// What the server is used for, also where nobody said.
    pub fn environment(&self) -> Environment {
        self.environment.unwrap_or(if self.database.is_embedded() && self.listens_on_loopback() {
            Environment::Development
        } else {
            Environment::Production
        })
    }

    /// Whether a request needs a valid API key, also where nobody said.
    pub fn requires_api_key(&self) -> bool {
        self.auth.require_api_key.unwrap_or(self.environment() != Environment::Development)
    }

    /// Whether the public listener is reachable from this machine only.
    pub fn listens_on_loopback(&self) -> bool {
        let host = self.server.host.trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}
