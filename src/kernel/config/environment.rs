//! Environment variables as a source: `GOFORWARD_SERVER__PORT` for `server.port`, `DATABASE_URL`, `REDIS_URL`, and for
//! a secret also a variable with `_FILE` that names a file with it (for a list of secrets one a line). Takes the variables as data.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{ConfigError, read_file};
use super::keys::{check, find, keys, nearest, unknown};
use super::loader::split;
use super::schema::{KeyInfo, Shape};
use super::source::{Entry, Source};

const PREFIX: &str = "GOFORWARD_";

/// Variables that are read elsewhere: by the command line or by the build.
const NOT_KEYS: &[&str] = &["GOFORWARD_CONFIG", "GOFORWARD_POSTGREST_CONFIG"];

/// Reads all variables that concern us; the second list is what was ignored and why.
///
/// Only names with a double underscore are taken for keys and must exist: orchestrators make variables such as
/// `GOFORWARD_PORT` or `GOFORWARD_SERVICE_HOST` for a service of the name `goforward`.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(Vec<Entry>, Vec<String>), ConfigError> {
    let mut variables: Vec<(String, String)> = variables.into_iter().collect();
    // Our own name for the same key comes last and wins.
    variables.sort_by_key(|(name, _)| (name.starts_with(PREFIX), name.clone()));
    let mut entries = Vec::new();
    let mut warnings = Vec::new();
    for (name, text) in &variables {
        let path = match name.as_str() {
            "DATABASE_URL" => "database.url".to_owned(),
            "DATABASE_URL_FILE" => "database.url_file".to_owned(),
            "REDIS_URL" => "redis.url".to_owned(),
            "REDIS_URL_FILE" => "redis.url_file".to_owned(),
            _ => match name.strip_prefix(PREFIX) {
                Some(rest) if !NOT_KEYS.contains(&name.as_str()) => rest.to_lowercase().replace("__", "."),
                _ => continue,
            },
        };
        match entry(name, &path, text)? {
            Read::Entry(entry) => {
                refuse_both(name, &variables)?;
                entries.push(entry);
            }
            Read::Nothing => {}
            Read::Unknown if path.contains('.') => {
                let place = Source::Environment(name.clone());
                let ConfigError::UnknownKey { key, place, nearest } = unknown(&path, place) else {
                    continue;
                };
                let nearest = nearest.and_then(|path| find(&path)).map(KeyInfo::environment_variable);
                return Err(ConfigError::UnknownKey { key, place, nearest });
            }
            Read::Unknown => {
                let hint = nearest(&path).and_then(|path| find(&path)).map(KeyInfo::environment_variable);
                let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
                warnings.push(format!("environment {name} is not a setting and is ignored{hint}"));
            }
        }
    }
    Ok((entries, warnings))
}

/// What one variable gives.
enum Read {
    Entry(Entry),
    /// An empty secret, which counts as not set.
    Nothing,
    Unknown,
}

fn entry(name: &str, path: &str, text: &str) -> Result<Read, ConfigError> {
    let place = Source::Environment(name.to_owned());
    if let Some(key) = find(path) {
        if text.is_empty() && key.shape == Shape::Secret {
            return Ok(Read::Nothing);
        }
        let value = from_text(key, text);
        check(key, &value, &place)?;
        return Ok(Read::Entry(Entry { path: split(path), value, source: place }));
    }
    if let Some(key) = path.strip_suffix("_file").and_then(find).filter(|key| key.is_secret()) {
        if text.is_empty() {
            return Ok(Read::Nothing);
        }
        let file = PathBuf::from(text);
        let text = read_secret(&file)?;
        let value = if key.shape == Shape::List { lines(&text) } else { Value::from(text) };
        let source = Source::SecretFile { variable: name.to_owned(), path: file };
        check(key, &value, &source)?;
        return Ok(Read::Entry(Entry { path: split(&key.path), value, source }));
    }
    // A name of the user's own inside of a map.
    let map = keys()
        .iter()
        .filter(|key| key.shape == Shape::Map)
        .find_map(|key| path.strip_prefix(&key.path)?.strip_prefix('.').map(|own| (key, own)));
    if let Some((key, own)) = map {
        return of_map(key, own, text, &place).map(Read::Entry);
    }
    Ok(Read::Unknown)
}

/// A name inside of a map, or a key of the section that stands behind that name: text, or JSON where text will not do.
fn of_map(key: &KeyInfo, own: &str, text: &str, place: &Source) -> Result<Entry, ConfigError> {
    let entry = |below: Vec<String>, value: Value| {
        let around =
            |inner: Value, name: &String| Value::Object([(name.clone(), inner)].into_iter().collect());
        let whole = below.iter().rev().fold(value.clone(), around);
        check(key, &whole, place)?;
        Ok(Entry { path: [split(&key.path), below].concat(), value, source: place.clone() })
    };
    let json = || serde_json::from_str(text.trim()).unwrap_or(Value::Null);
    entry(vec![own.to_owned()], Value::from(text))
        .or_else(|error: ConfigError| entry(split(own), Value::from(text)).map_err(|_| error))
        .or_else(|error| entry(split(own), json()).map_err(|_| error))
}

/// The secret in a file, without the line end that editors add.
pub(super) fn read_secret(path: &Path) -> Result<String, ConfigError> {
    let text = read_file(path)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// The secrets on the lines of a text.
fn lines(text: &str) -> Value {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect()
}

/// Refuses a secret that is given by value and by file.
fn refuse_both(name: &str, variables: &[(String, String)]) -> Result<(), ConfigError> {
    let Some(plain) = name.strip_suffix("_FILE") else { return Ok(()) };
    if !variables.iter().any(|(other, text)| other == plain && !text.is_empty()) {
        return Ok(());
    }
    Err(ConfigError::Refused {
        key: plain.to_owned(),
        place: Source::Environment(name.to_owned()),
        reason: "is set too; keep one of the two".to_owned(),
    })
}

/// The value that a text stands for. What cannot be read stays text and is refused by the check.
pub(super) fn from_text(key: &KeyInfo, text: &str) -> Value {
    if text.is_empty() && key.optional {
        return Value::Null;
    }
    let trimmed = text.trim();
    let parsed = match key.shape {
        Shape::Integer => trimmed.parse::<u64>().ok().map(Value::from),
        Shape::Switch => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(Value::Bool(true)),
            "false" | "off" | "no" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Shape::List if trimmed.starts_with('[') => serde_json::from_str(trimmed).ok(),
        Shape::List => Some(list(text)),
        Shape::Map => serde_json::from_str(trimmed).ok(),
        Shape::Text | Shape::Secret | Shape::Section => None,
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

/// Texts between commas.
pub(super) fn list(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Array(Vec::new());
    }
    text.split(',').map(|item| Value::from(item.trim())).collect()
}
