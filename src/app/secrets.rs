//! The project's secrets: the signing secret and the API keys, from the configuration or a private file.
//!
//! The file is for the embedded database only, beside its data. Nodes on a shared database take the signing secret from
//! their configuration and derive the same keys from it.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use crate::app::error::AppError;
use crate::kernel::clock::Clock;
use crate::kernel::config::AuthConfig;
use crate::kernel::identity::ProjectKeys;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

/// The issue time of keys that are derived and not stored, so that every node derives the same (2026-01-01).
const DERIVED_AT: i64 = 1_767_225_600;

/// The signing secret and the keys in force.
#[derive(Clone, Debug)]
pub(super) struct ProjectSecrets {
    /// The signing secret; without one every token is refused.
    pub jwt_secret: Option<Secret>,
    /// The API keys; without a shared secret there are only those of the configuration.
    pub keys: Option<ProjectKeys>,
}

/// The file's shape; `Secret` itself serialises masked.
#[derive(Serialize, Deserialize)]
struct Stored {
    jwt_secret: String,
    anon_key: String,
    service_role_key: String,
    publishable_key: String,
    secret_key: String,
}

impl ProjectSecrets {
    /// Secrets of an installation on somebody's own database.
    ///
    /// In development without a configured secret a new one is made at each start.
    pub(super) fn from_config(auth: &AuthConfig, generate: bool, random: &Random) -> Self {
        let configured = auth.jwt_secret.clone().filter(|secret| !secret.is_empty());
        let jwt_secret = configured.or_else(|| generate.then(|| Secret::new(random.secret())));
        let keys =
            jwt_secret.as_ref().filter(|secret| is_symmetric(secret)).map(|secret| derive(secret, auth));
        Self { jwt_secret, keys: keys.map(|keys| with_configured(keys, auth)) }
    }

    /// Secrets of the embedded database: the configuration's, else those in the data directory's file, made at the first start.
    pub(super) fn of_data_directory(
        directory: &Path,
        auth: &AuthConfig,
        random: &Random,
        clock: &Clock,
    ) -> Result<Self, AppError> {
        if auth.jwt_secret.as_ref().is_some_and(|secret| !secret.is_empty()) {
            return Ok(Self::from_config(auth, false, random));
        }
        let path = file_in(directory);
        let stored = match read(&path)? {
            Some(stored) => stored,
            None => create(&path, random, clock)?,
        };
        Ok(stored.into_secrets(auth))
    }

    /// The same without making any: for `goforward keys`.
    pub(super) fn existing_in(
        directory: &Path,
        auth: &AuthConfig,
        random: &Random,
    ) -> Result<Self, AppError> {
        if auth.jwt_secret.as_ref().is_some_and(|secret| !secret.is_empty()) {
            return Ok(Self::from_config(auth, false, random));
        }
        match read(&file_in(directory))? {
            Some(stored) => Ok(stored.into_secrets(auth)),
            None => Err(AppError::NoKeys(directory.to_owned())),
        }
    }

    /// A password for one of our logins that every node with the same signing secret derives alike.
    pub(super) fn login_password(&self, login: &str) -> Option<Secret> {
        let secret = self.jwt_secret.as_ref()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let tag = hmac::sign(&key, format!("goforward database login {login}").as_bytes());
        Some(Secret::new(hex::encode(tag.as_ref())))
    }
}

/// Whether the secret is text for HS256 and not a key in JSON form.
fn is_symmetric(secret: &Secret) -> bool {
    let text = secret.expose().trim_start();
    !text.starts_with('{') && !text.starts_with('[') && !text.starts_with('@')
}

/// The keys that follow from a signing secret. Opaque keys follow too, so that all nodes know the same.
fn derive(secret: &Secret, auth: &AuthConfig) -> ProjectKeys {
    use base64::Engine;
    let signing = if auth.jwt_secret_is_base64 {
        let bytes = base64::engine::general_purpose::STANDARD.decode(secret.expose()).unwrap_or_default();
        String::from_utf8(bytes).map_or_else(|_| secret.clone(), Secret::new)
    } else {
        secret.clone()
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, b"goforward opaque api keys");
    let seed = tag.as_ref().first_chunk().copied().unwrap_or_default();
    ProjectKeys::mint(&signing, &Random::from_seed(seed), &Clock::manual(DERIVED_AT))
}

/// Keys of the configuration win.
fn with_configured(mut keys: ProjectKeys, auth: &AuthConfig) -> ProjectKeys {
    let configured = [
        (&auth.anon_key, &mut keys.anon_key),
        (&auth.service_role_key, &mut keys.service_role_key),
        (&auth.publishable_key, &mut keys.publishable_key),
        (&auth.secret_key, &mut keys.secret_key),
    ];
    for (given, key) in configured {
        if let Some(given) = given {
            *key = given.clone();
        }
    }
    keys
}

fn file_in(directory: &Path) -> PathBuf {
    directory.join("secrets.json")
}

fn read(path: &Path) -> Result<Option<Stored>, AppError> {
    match std::fs::read(path) {
        Ok(text) => {
            serde_json::from_slice(&text).map(Some).map_err(|_| AppError::SecretsFile(path.to_owned()))
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(AppError::File { path: path.to_owned(), cause }),
    }
}

fn create(path: &Path, random: &Random, clock: &Clock) -> Result<Stored, AppError> {
    let jwt_secret = Secret::new(random.secret());
    let keys = ProjectKeys::mint(&jwt_secret, random, clock);
    let text = |secret: &Secret| secret.expose().to_owned();
    let stored = Stored {
        jwt_secret: text(&jwt_secret),
        anon_key: text(&keys.anon_key),
        service_role_key: text(&keys.service_role_key),
        publishable_key: text(&keys.publishable_key),
        secret_key: text(&keys.secret_key),
    };
    let body = serde_json::to_vec_pretty(&stored).unwrap_or_default();
    let temporary = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&body)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|cause| AppError::File { path: path.to_owned(), cause })?;
    Ok(stored)
}

impl Stored {
    fn into_secrets(self, auth: &AuthConfig) -> ProjectSecrets {
        let keys = ProjectKeys {
            anon_key: Secret::new(self.anon_key),
            service_role_key: Secret::new(self.service_role_key),
            publishable_key: Secret::new(self.publishable_key),
            secret_key: Secret::new(self.secret_key),
        };
        ProjectSecrets {
            jwt_secret: Some(Secret::new(self.jwt_secret)),
            keys: Some(with_configured(keys, auth)),
        }
    }
}
