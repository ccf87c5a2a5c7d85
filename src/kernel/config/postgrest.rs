//! PostgREST's parameters in our terms: which key each one sets and how its value is written. The same
//! translation serves files in PostgREST's form and `pgrst.*` settings in the database.

use std::path::Path;

use serde_json::Value;

use super::environment::{from_text, list, read_secret};
use super::error::ConfigError;
use super::keys::{check, find, keys, unknown};
use super::loader::split;
use super::schema::{KeyInfo, Shape};
use super::source::{Entry, Source};

/// Parameters that may be set in the database, as `pgrst.<name>` of the authenticator role or by the
/// pre-config function.
pub const DATABASE_SETTINGS: &[&str] = &[
    "client_error_verbosity",
    "db_aggregates_enabled",
    "db_anon_role",
    "db_extra_search_path",
    "db_hoisted_tx_settings",
    "db_max_rows",
    "db_plan_enabled",
    "db_pre_config",
    "db_pre_request",
    "db_prepared_statements",
    "db_root_spec",
    "db_schemas",
    "db_tx_end",
    "jwt_aud",
    "jwt_cache_max_entries",
    "jwt_role_claim_key",
    "jwt_secret",
    "jwt_secret_is_base64",
    "openapi_mode",
    "openapi_security_active",
    "openapi_server_proxy_uri",
    "server_cors_allowed_origins",
    "server_timing_enabled",
    "server_trace_header",
    "url_use_legacy_target_names",
];

/// Older names of parameters.
const ALIASES: &[(&str, &str)] = &[
    ("db-schema", "db-schemas"),
    ("max-rows", "db-max-rows"),
    ("pre-request", "db-pre-request"),
    ("root-spec", "db-root-spec"),
    ("role-claim-key", "jwt-role-claim-key"),
    ("secret-is-base64", "jwt-secret-is-base64"),
    ("db-pool-timeout", "db-pool-max-idletime"),
];

/// Parameters without a counterpart: we always recover, always honour the time zone preference, and so on.
const WITHOUT_COUNTERPART: &[&str] = &[
    "admin-server-unix-socket",
    "admin-server-unix-socket-mode",
    "db-pool-automatic-recovery",
    "db-timezone-enabled",
    "db-use-legacy-gucs",
    "jwt-cache-max-lifetime",
    "raw-media-types",
    "server-otel-enabled",
    "server-reuseport",
];

const APP_SETTINGS: &str = "app.settings.";

/// Whether a parameter, with dashes or underscores, may be set in the database.
pub(super) fn from_database(name: &str) -> bool {
    DATABASE_SETTINGS.contains(&name.replace('-', "_").as_str())
}

/// The entry that a parameter stands for; none if it has no counterpart.
pub(super) fn translate(name: &str, text: &str, source: Source) -> Result<Option<Entry>, ConfigError> {
    if let Some(own) = name.strip_prefix(APP_SETTINGS) {
        let path = vec!["rest".to_owned(), "app_settings".to_owned(), own.to_owned()];
        return Ok(Some(Entry { path, value: Value::from(text), source }));
    }
    let dashed = name.replace('_', "-");
    let dashed = ALIASES.iter().find(|(old, _)| *old == dashed).map_or(dashed.as_str(), |(_, new)| new);
    if WITHOUT_COUNTERPART.contains(&dashed) {
        return Ok(None);
    }
    let Some(key) = keys().iter().find(|key| key.postgrest == Some(dashed)) else {
        return Err(unknown_parameter(name, source));
    };
    let value = value(key, dashed, text)?;
    check(key, &value, &source)?;
    Ok(Some(Entry { path: split(&key.path), value, source }))
}

fn unknown_parameter(name: &str, place: Source) -> ConfigError {
    let ConfigError::UnknownKey { key, place, nearest } = unknown(name, place) else {
        return ConfigError::UnknownKey { key: name.to_owned(), place: Source::Default, nearest: None };
    };
    let nearest = nearest.and_then(|path| find(&path)).and_then(|key| key.postgrest).map(ToOwned::to_owned);
    ConfigError::UnknownKey { key, place, nearest }
}

/// The value of a parameter as our key writes it.
fn value(key: &KeyInfo, name: &str, text: &str) -> Result<Value, ConfigError> {
    Ok(match name {
        "jwt-secret" | "db-uri" => match text.strip_prefix('@') {
            Some(path) => {
                let secret = read_secret(Path::new(path))?;
                Value::from(if name == "db-uri" { secret.trim() } else { secret.as_str() })
            }
            None => from_text(key, text),
        },
        "log-level" => Value::from(if text == "crit" { "error" } else { text }),
        "server-host" | "admin-server-host" => Value::from(match text {
            "*" | "*4" | "!4" => "0.0.0.0",
            "*6" | "!6" => "::",
            host => host,
        }),
        _ => match key.shape {
            Shape::List => list(text),
            Shape::Switch => switch(text).map_or_else(|| Value::from(text), Value::Bool),
            _ if key.kind == "duration" && text.parse::<u64>().is_ok() => Value::from(format!("{text}s")),
            _ => from_text(key, text),
        },
    })
}

/// True or false in any of the ways that PostgREST takes: words in any case, or a number.
fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" => Some(true),
        "false" | "off" => Some(false),
        number => number.parse::<i64>().ok().map(|number| number > 0),
    }
}
