//! `config print`: every value with the source it came from. Secrets are masked before they get here, because
//! their serialised form is a mask.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::keys::keys;
use super::loader::Loaded;
use super::schema;

/// One key with its value and origin.
#[derive(Debug, Clone, PartialEq)]
pub struct PrintedValue {
    /// Dotted path of the key.
    pub key: &'static str,
    /// The value; `***` for a secret.
    pub value: Value,
    /// Where it came from, in words.
    pub source: String,
}

impl Loaded {
    /// Every key with its value and origin.
    pub fn values(&self) -> Vec<PrintedValue> {
        let all = schema::json(&self.config);
        keys()
            .iter()
            .map(|key| {
                let pointer = format!("/{}", key.path.replace('.', "/"));
                let value = all.pointer(&pointer).cloned().unwrap_or(Value::Null);
                PrintedValue { key: &key.path, value, source: self.origin(&key.path) }
            })
            .collect()
    }

    /// The source of a key; those of its names for a map.
    fn origin(&self, key: &str) -> String {
        let below = format!("{key}.");
        let mut of_names: Vec<String> = self.sources_below(&below).map(ToString::to_string).collect();
        of_names.dedup();
        if of_names.is_empty() { self.source(key).to_string() } else { of_names.join(", ") }
    }
}

/// The values as aligned lines, `key = value   # source`.
pub fn printed_text(values: &[PrintedValue]) -> String {
    let lines: Vec<(String, &str)> =
        values.iter().map(|row| (format!("{} = {}", row.key, row.value), row.source.as_str())).collect();
    let width = lines.iter().map(|(left, _)| left.chars().count()).filter(|width| *width <= 60).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for (left, source) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{left:width$}  # {source}");
    }
    text
}

/// The values as one JSON object, `{"server.port": {"value": 8000, "source": "default"}}`.
pub fn printed_json(values: &[PrintedValue]) -> Value {
    let rows =
        values.iter().map(|row| (row.key.to_owned(), json!({ "value": row.value, "source": row.source })));
    Value::Object(rows.collect())
}
