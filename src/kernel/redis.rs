//! Where Redis is, and how to connect to it: what the bus and the shared rate limits have in common.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, MultiplexedConnection};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisError, TlsCertificates,
};

use crate::kernel::secret::Secret;

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What is wrong with the settings of Redis. Never says the URL: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum RedisSettingsError {
    /// The URL is no address of a Redis.
    #[error("`redis.url` must be like `redis://user:password@host:6379/0`, `rediss://…` or `unix:///path`")]
    Url,
    /// The certificates cannot be read.
    #[error("`redis.ssl_root_cert` {file}: {reason}")]
    RootFile {
        /// The file as configured.
        file: String,
        /// What went wrong.
        reason: String,
    },
    /// The client refuses them.
    #[error("Redis cannot be used: {0}")]
    Setup(RedisError),
}

/// A Redis, and the names that this project uses in it. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    /// What every name of ours begins with.
    prefix: Arc<str>,
    /// Where it is, without its password.
    description: Arc<str>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("at", &self.description).finish_non_exhaustive()
    }
}

/// Whether a text is the address of a Redis.
pub fn is_redis_url(url: &Secret) -> bool {
    address(url).is_some()
}

impl Redis {
    /// The Redis at `url`; nothing is connected. `project` is the same on all nodes of a project, and another on those of
    /// others. Certificates are checked against the well-known authorities, or those in `root_file` (PEM).
    pub fn new(url: &Secret, project: &str, root_file: Option<&Path>) -> Result<Self, RedisSettingsError> {
        let address = address(url).ok_or(RedisSettingsError::Url)?;
        // Pushed messages, and being told of a lost connection at once.
        let settings = address.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let address = address.set_redis_settings(settings);
        let description = address.addr().to_string().into();
        let client = match root_file {
            None => Client::open(address),
            Some(file) => {
                let wrong = |error: std::io::Error| RedisSettingsError::RootFile {
                    file: file.display().to_string(),
                    reason: error.to_string(),
                };
                let root_cert = Some(std::fs::read(file).map_err(wrong)?);
                Client::build_with_tls(address, TlsCertificates { client_tls: None, root_cert })
            }
        };
        let client = client.map_err(RedisSettingsError::Setup)?;
        Ok(Self { client, prefix: format!("goforward:{project}").into(), description })
    }

    /// What every name of ours begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where it is, without its password.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// A connection on which answers may take so long; what is pushed goes to `pushed`.
    pub(in crate::kernel) async fn connect(
        &self,
        patience: Option<Duration>,
        pushed: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(patience);
        let config = match pushed {
            Some(pushed) => config.set_push_sender(pushed),
            None => config,
        };
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Its version, if it answers.
    pub async fn version(&self) -> Result<String, RedisError> {
        let mut connection = self.connect(Some(CONNECT_TIMEOUT), None).await?;
        let told: String = ::redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let version = told.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.unwrap_or("of an unknown version").trim().to_owned())
    }
}

fn address(url: &Secret) -> Option<ConnectionInfo> {
    let address = url.expose().into_connection_info().ok()?;
    // `#insecure` would check no certificate.
    let is_checked = !matches!(address.addr(), ConnectionAddr::TcpTls { insecure: true, .. });
    (is_checked && address.addr().is_supported()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_redis_are_told_from_others() {
        for good in [
            "redis://localhost",
            "redis://:password@10.0.0.1:6380/2",
            "rediss://user:password@redis.example.com",
            "unix:///run/redis.sock",
        ] {
            assert!(is_redis_url(&Secret::new(good)), "{good}");
        }
        for wrong in ["", "localhost", "http://localhost", "redis://", "rediss://host#insecure"] {
            assert!(!is_redis_url(&Secret::new(wrong)), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_in_no_description() {
        let redis = Redis::new(&Secret::new("rediss://me:hunter2@redis.example.com:1/3"), "p", None).unwrap();
        assert_eq!(redis.description(), "redis.example.com:1");
        assert_eq!(redis.prefix(), "goforward:p");
        assert!(!format!("{redis:?}").contains("hunter2"));
    }
}
