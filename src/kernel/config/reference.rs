//! The reference of all keys, made from their declarations: the tables of `docs/configuration.md` and the whole
//! of `config.example.yaml`. Tests keep both files equal to what this gives.

use std::fmt::Write as _;

use serde_json::Value;

use super::keys::{described, keys};
use super::schema::{KeyInfo, Shape};

/// `config.example.yaml`: every key with its default, commented out so that it changes nothing.
pub(super) fn example_file() -> String {
    let mut text = String::from(
        "## goforward: every key with its default. Remove the `# ` before a key to set it.\n\
         ## `goforward config print` shows what is in force and where each value came from.\n",
    );
    for key in described() {
        let depth = key.path.matches('.').count();
        let indent = "  ".repeat(depth);
        let name = key.path.rsplit('.').next().unwrap_or_default();
        if key.shape == Shape::Section && depth == 0 {
            text.push('\n');
        }
        let doc = key.doc.split_whitespace().collect::<Vec<_>>().join(" ");
        for line in wrapped(&doc, 100 - indent.len()) {
            let _ = writeln!(text, "{indent}## {line}");
        }
        let _ = if key.shape == Shape::Section {
            writeln!(text, "{indent}{name}:")
        } else {
            writeln!(text, "{indent}# {name}: {}", key.default)
        };
    }
    text
}

/// The tables of `docs/configuration.md`, one per section.
pub(super) fn reference_tables() -> String {
    let mut text = String::new();
    let mut section = None;
    for key in keys() {
        let here = key.path.split_once('.').map_or("", |(section, _)| section);
        if section != Some(here) {
            section = Some(here);
            text.push_str(&heading(here));
        }
        let parameter = key.postgrest.map_or(String::new(), |name| format!("`{name}`"));
        let profile = key.profile_default.as_ref().map_or(String::new(), shown);
        let kind = match &key.range {
            Some(range) => format!("{}, {range}", key.kind),
            None => key.kind.clone(),
        };
        let doc = key.doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | `{}` | {kind} | {} | {profile} | {parameter} | {doc} |",
            key.path,
            key.environment_variable(),
            default(key),
        );
    }
    text
}

fn heading(section: &str) -> String {
    let (title, doc) = if section.is_empty() {
        ("Top level".to_owned(), "")
    } else {
        let doc = described().iter().find(|key| key.path == section).map_or("", |key| key.doc.trim());
        (format!("`{section}`"), doc)
    };
    let intro = if doc.is_empty() { String::new() } else { format!("{doc}\n\n") };
    format!(
        "\n### {title}\n\n{intro}| Key | Environment | Type | Default | Under `rest.profile: postgrest` | PostgREST | Meaning |\n\
         |---|---|---|---|---|---|---|\n"
    )
}

fn default(key: &KeyInfo) -> String {
    shown(&key.default)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "unset".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => "empty".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(_) => "empty".to_owned(),
        other => format!("`{other}`"),
    }
}

/// Lines of at most so many letters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
