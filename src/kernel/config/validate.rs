//! What must hold between values, once each one is right by itself: no weak secrets in production, no two ways
//! to say which database, names that cannot be used.

use serde_json::Value;

use super::error::ConfigError;
use super::keys::{check, keys};
use super::loader::Loaded;
use super::schema::json;
use super::source::Source;
use super::{AuthConfig, Config, Environment, RestProfile};
use crate::kernel::identity::VerifiedClaim;
use crate::kernel::redis::is_redis_url;
use crate::kernel::vault::RootSecrets;

/// Fewest bytes of a secret for HS256, as RFC 7518 has it.
pub const SHORTEST_SECRET: usize = 32;

/// Secrets that everybody knows from documentation and examples.
const DEMO_SECRETS: &[&str] = &[
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
    "reallyreallyreallyreallyverysafe",
    "REALLYREALLYREALLYREALLYVERYSAFE",
];

/// Settings of the embedded PostgreSQL that would cut us off from it.
const OUR_SETTINGS: &[&str] = &[
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "port",
    "unix_socket_directories",
    "unix_socket_permissions",
    "wal_level",
];

/// A key and why its value cannot be used.
type Refusal = (&'static str, String);

impl Config {
    /// Checks every value and what must hold between them: for configurations that a program made.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let values = json(self);
        for key in keys() {
            let pointer = format!("/{}", key.path.replace('.', "/"));
            let value = values.pointer(&pointer).unwrap_or(&Value::Null);
            let absent_section = value.is_null() && values.pointer(&pointer).is_none();
            if !absent_section {
                check(key, value, &Source::Program)?;
            }
        }
        self.refusal().map_or(Ok(()), |(key, reason)| {
            Err(ConfigError::Refused { key: key.to_owned(), place: Source::Program, reason })
        })
    }

    fn refusal(&self) -> Option<Refusal> {
        self.listener_refusal()
            .or_else(|| self.database_refusal())
            .or_else(|| self.redis_refusal())
            .or_else(|| self.rest_refusal())
            .or_else(|| self.security_refusal())
            .or_else(|| self.secret_refusal())
    }

    fn listener_refusal(&self) -> Option<Refusal> {
        let server = &self.server;
        if server.port != 0 && server.admin_port == Some(server.port) {
            return Some(("server.admin_port", "must differ from `server.port`".to_owned()));
        }
        if server.body_memory < server.body_limits.rest.max(server.body_limits.default) {
            let reason = "must be at least as large as each of `server.body_limits`".to_owned();
            return Some(("server.body_memory", reason));
        }
        let is_web = |text: &str| {
            url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if server.public_url.as_deref().is_some_and(|url| !is_web(url)) {
            return Some(("server.public_url", "must be like `https://api.example.com`".to_owned()));
        }
        if self.rest.openapi.server_proxy_uri.as_deref().is_some_and(|url| !is_web(url)) {
            let reason = "must be like `https://example.com:8443/path`".to_owned();
            return Some(("rest.openapi.server_proxy_uri", reason));
        }
        let origin = |text: &str| text == "*" || (is_web(text) && !text.ends_with('/'));
        let wrong = server.cors.allowed_origins.iter().find(|text| !origin(text));
        wrong.filter(|text| !text.is_empty()).map(|text| {
            (
                "server.cors.allowed_origins",
                format!("holds `{text}`, which is not like `https://app.example.com`"),
            )
        })
    }

    fn redis_refusal(&self) -> Option<Refusal> {
        let redis = &self.redis;
        if redis.url.as_ref().is_some_and(|url| !is_redis_url(url)) {
            let reason = "must be like `redis://user:password@host:6379/0`, `rediss://…` or `unix:///path`";
            return Some(("redis.url", reason.to_owned()));
        }
        let name = redis.prefix.as_deref().unwrap_or("-");
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        (name.is_empty() || name.len() > 64 || !name.chars().all(fits))
            .then(|| ("redis.prefix", "must be 1 to 64 letters, digits, `-`, `_` and `.`".to_owned()))
    }

    fn database_refusal(&self) -> Option<Refusal> {
        let database = &self.database;
        if database.url.is_none() && database.host.is_none() {
            let parts = [
                ("database.port", database.port.is_some()),
                ("database.name", database.name.is_some()),
                ("database.user", database.user.is_some()),
                ("database.password", database.password.is_some()),
                ("database.ssl_mode", database.ssl_mode.is_some()),
                ("database.owner_url", database.owner_url.is_some()),
                ("database.authenticator.url", database.authenticator.url.is_some()),
            ];
            let alone = parts.into_iter().find(|(_, given)| *given);
            if let Some((key, _)) = alone {
                let reason =
                    "needs `database.host` or `database.url`: without them goforward runs its own PostgreSQL";
                return Some((key, reason.to_owned()));
            }
        }
        if database.channel.is_empty() {
            return Some(("database.channel", "must not be empty".to_owned()));
        }
        let ours = self
            .embedded
            .settings
            .keys()
            .find(|name| OUR_SETTINGS.contains(&name.to_ascii_lowercase().as_str()));
        ours.map(|name| ("embedded.settings", format!("must not set `{name}`, which goforward sets itself")))
    }

    fn rest_refusal(&self) -> Option<Refusal> {
        let rest = &self.rest;
        let prefix = &rest.prefix;
        if !prefix.is_empty()
            && (!prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains(['?', '#', ' ']))
        {
            return Some(("rest.prefix", "must be empty or like `/rest/v1`".to_owned()));
        }
        if rest.schemas.is_empty() || rest.schemas.iter().any(String::is_empty) {
            return Some(("rest.schemas", "must name at least one schema, none of them empty".to_owned()));
        }
        let hidden =
            rest.schemas.iter().find(|name| matches!(name.as_str(), "pg_catalog" | "information_schema"));
        if let Some(name) = hidden {
            return Some(("rest.schemas", format!("must not hold `{name}`")));
        }
        if rest.trace_header.as_deref().is_some_and(|name| http::HeaderName::try_from(name).is_err()) {
            return Some(("rest.trace_header", "must be the name of a header".to_owned()));
        }
        None
    }

    fn security_refusal(&self) -> Option<Refusal> {
        let claim = self.security.verified_claim.as_deref()?;
        VerifiedClaim::parse(claim).err().map(|reason| ("security.verified_claim", reason.to_owned()))
    }

    fn secret_refusal(&self) -> Option<Refusal> {
        let audience = self.auth.jwt_audience.as_deref();
        if audience.is_some_and(|text| text.contains(':') && url::Url::parse(text).is_err()) {
            return Some(("auth.jwt_audience", "holds a `:` and so must be a URI".to_owned()));
        }
        if self.auth.previous_root_secrets.len() > RootSecrets::MOST_PREVIOUS {
            let reason = format!("holds more than {} secrets", RootSecrets::MOST_PREVIOUS);
            return Some(("auth.previous_root_secrets", reason));
        }
        let Some(secret) = &self.auth.jwt_secret else {
            let needed = !self.database.is_embedded()
                && self.environment() != Environment::Development
                && self.rest.profile == RestProfile::Goforward;
            return needed.then(|| {
                let reason = "is needed with a database of your own, so that tokens hold over restarts and on every \
                    node: set it (GOFORWARD_AUTH__JWT_SECRET) to what `openssl rand -hex 32` prints";
                ("auth.jwt_secret", reason.to_owned())
            });
        };
        let weakness = weakness(&self.auth, secret.expose())?;
        let always = weakness == Weakness::Short && self.rest.profile == RestProfile::Postgrest;
        if self.environment() == Environment::Development && !always && weakness != Weakness::Broken {
            return None;
        }
        let reason = match weakness {
            Weakness::Short => "is shorter than 32 bytes; make one with `openssl rand -hex 32`",
            Weakness::Demo => {
                "is known from documentation and refused outside of development; make one with `openssl rand -hex 32`"
            }
            Weakness::Broken => "is not valid base64, although `auth.jwt_secret_is_base64` is on",
        };
        Some(("auth.jwt_secret", reason.to_owned()))
    }
}

/// What is wrong with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weakness {
    Short,
    Demo,
    Broken,
}

fn weakness(auth: &AuthConfig, secret: &str) -> Option<Weakness> {
    // Key sets are public keys; their own length is not ours to judge.
    if secret.trim_start().starts_with('{') {
        return None;
    }
    let bytes = if auth.jwt_secret_is_base64 {
        match decode(secret) {
            Some(bytes) => bytes,
            None => return Some(Weakness::Broken),
        }
    } else {
        secret.as_bytes().to_vec()
    };
    if DEMO_SECRETS.iter().any(|demo| demo.as_bytes() == bytes || *demo == secret) {
        return Some(Weakness::Demo);
    }
    (bytes.len() < SHORTEST_SECRET).then_some(Weakness::Short)
}

/// Base64 with either alphabet, `.` also standing for `=`.
fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let plain: String = text
        .trim()
        .chars()
        .map(|letter| match letter {
            '_' => '/',
            '-' => '+',
            '.' => '=',
            other => other,
        })
        .collect();
    base64::engine::general_purpose::STANDARD.decode(plain).ok()
}

impl Loaded {
    /// Checks what must hold between values.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.config.refusal().map_or(Ok(()), |(key, reason)| {
            Err(ConfigError::Refused { key: key.to_owned(), place: self.source(key).clone(), reason })
        })
    }
}
