//! The list of all keys: lookup, check of a value against its key, and the nearest key to a misspelt one.

use std::sync::LazyLock;

use serde_json::Value;

use super::Config;
use super::error::ConfigError;
use super::schema::{ConfigType, KeyInfo, Shape};
use super::source::Source;

/// Every key of the configuration that has a value, in the order of declaration.
pub fn keys() -> &'static [KeyInfo] {
    static KEYS: LazyLock<Vec<KeyInfo>> =
        LazyLock::new(|| described().iter().filter(|key| key.shape != Shape::Section).cloned().collect());
    &KEYS
}

/// Sections and keys in the order of declaration, each section before its keys.
pub(super) fn described() -> &'static [KeyInfo] {
    static KEYS: LazyLock<Vec<KeyInfo>> = LazyLock::new(|| {
        let mut keys = Vec::new();
        let root = KeyInfo {
            path: String::new(),
            kind: String::new(),
            shape: Shape::Map,
            optional: false,
            accepts: |_| true,
            doc: "",
            default: Value::Null,
            profile_default: None,
            postgrest: None,
            range: None,
        };
        Config::describe(root, &mut keys);
        keys
    });
    &KEYS
}

/// The key of this dotted path.
pub(super) fn find(path: &str) -> Option<&'static KeyInfo> {
    keys().iter().find(|key| key.path == path)
}

/// Whether keys exist below this dotted path.
pub(super) fn is_section(path: &str) -> bool {
    path.is_empty()
        || keys().iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Refuses a value that its key does not take.
pub(super) fn check(key: &KeyInfo, value: &Value, place: &Source) -> Result<(), ConfigError> {
    if (value.is_null() && key.optional) || (key.accepts)(value) {
        return Ok(());
    }
    Err(ConfigError::WrongValue {
        key: key.path.clone(),
        place: place.clone(),
        expected: expectation(key),
        got: shown(key, value),
    })
}

/// What a key takes, in words.
fn expectation(key: &KeyInfo) -> String {
    let kind = match key.kind.as_str() {
        "integer" => "a whole number",
        "duration" => "a duration such as 500ms, 10s or 5m",
        "size" => "a size such as 64KB or 1MB",
        "text" | "secret" => "text",
        "path" => "a path",
        other if other.starts_with("list") => return format!("a {other}, as in [a, b]"),
        other => other,
    };
    match &key.range {
        Some(range) => format!("{kind} from {range}"),
        None => kind.to_owned(),
    }
}

/// The value as an error may show it.
fn shown(key: &KeyInfo, value: &Value) -> String {
    const LONGEST: usize = 60;
    if key.is_secret() {
        return "what it is".to_owned();
    }
    match value {
        Value::Null => "empty".to_owned(),
        Value::Object(_) => "a section".to_owned(),
        Value::String(text) => format!("`{}`", text.chars().take(LONGEST).collect::<String>().escape_debug()),
        other => format!("`{}`", other.to_string().chars().take(LONGEST).collect::<String>()),
    }
}

/// The error for a key that does not exist, with the nearest one that does.
pub(super) fn unknown(written: &str, place: Source) -> ConfigError {
    ConfigError::UnknownKey { key: written.to_owned(), place, nearest: nearest(written) }
}

/// The existing key that was most likely meant.
pub(super) fn nearest(written: &str) -> Option<String> {
    let written = written.to_lowercase();
    let plain = written.replace('_', "-");
    if let Some(key) = keys().iter().find(|key| key.postgrest == Some(plain.as_str())) {
        return Some(key.path.clone());
    }
    let last = last_name(&written);
    let sections = keys().iter().flat_map(|key| prefixes(&key.path));
    let best = keys()
        .iter()
        .map(|key| key.path.as_str())
        .chain(sections)
        .map(|path| {
            let whole = distance(&written, path);
            // The right name in the wrong section is as near as one wrong letter.
            let name = if last_name(path) == last { 1 } else { usize::MAX };
            (whole.min(name), whole, path)
        })
        .min()?;
    let most = (written.len() / 3).clamp(1, 4);
    (best.0 <= most).then(|| best.2.to_owned())
}

fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// `a` and `a.b` for `a.b.c`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(move |(end, _)| &path[..end])
}

/// Number of letters to insert, delete, replace or swap with their neighbour to make one text the other.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(100).collect();
    let right: Vec<char> = right.chars().take(100).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let mut best =
                (above[column] + usize::from(a != b)).min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_for_misspelt_misplaced_and_postgrest_names() {
        for (written, meant) in [
            ("server.prot", "server.port"),
            ("serverr", "server"),
            ("server.trusted_proxy", "server.trusted_proxies"),
            ("port", "server.port"),
            ("rest.jwt_secret", "auth.jwt_secret"),
            ("db-max-rows", "rest.max_rows"),
            ("db_schemas", "rest.schemas"),
        ] {
            assert_eq!(nearest(written).as_deref(), Some(meant), "{written}");
        }
        assert_eq!(nearest("completely.different"), None);
    }

    #[test]
    fn every_default_is_accepted_by_its_own_key_and_every_key_is_documented() {
        for key in keys() {
            assert!(!key.doc.trim().is_empty(), "{} has no documentation", key.path);
            for default in std::iter::once(&key.default).chain(&key.profile_default) {
                check(key, default, &Source::Default).unwrap();
            }
        }
    }

    #[test]
    fn no_two_keys_share_a_path_or_a_postgrest_name() {
        let mut seen = std::collections::BTreeSet::new();
        for key in keys() {
            assert!(seen.insert(key.path.clone()));
            assert!(key.postgrest.is_none_or(|name| seen.insert(name.to_owned())));
        }
    }
}
