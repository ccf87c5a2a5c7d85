//! Rules as YAML files: one document a table, `schema` and `table` first, then the rules by their names in the API. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::catalog::model::QualifiedName;

use super::model::TableSecurity;

/// The rules of one table, as a document holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The table.
    pub name: QualifiedName,
    /// Its rules.
    pub rules: TableSecurity,
}

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is no YAML.
    #[error("line {line}: {problem}")]
    Syntax {
        /// Where.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// One of its documents is wrong.
    #[error("document {number}{}: {problem}", table.as_ref().map(|table| format!(" ({table})")).unwrap_or_default())]
    Document {
        /// Counts the documents from 1.
        number: usize,
        /// The table, if it is named.
        table: Option<QualifiedName>,
        /// What is wrong.
        problem: String,
    },
}

/// The documents of a file.
pub fn parse(text: &str) -> Result<Vec<Document>, FileError> {
    let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| FileError::Syntax {
        line: error.location().map_or(1, |location| location.line()),
        problem: error.without_snippet().to_string().lines().next().unwrap_or("not valid YAML").to_owned(),
    })?;
    let mut seen = BTreeSet::new();
    let mut documents = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let number = index + 1;
        let document =
            document(value).map_err(|(table, problem)| FileError::Document { number, table, problem })?;
        if !seen.insert(document.name.clone()) {
            let problem = "the file has another document for this table; keep one".to_owned();
            return Err(FileError::Document { number, table: Some(document.name), problem });
        }
        documents.push(document);
    }
    Ok(documents)
}

fn document(value: Value) -> Result<Document, (Option<QualifiedName>, String)> {
    let Value::Object(mut fields) = value else {
        return Err((None, "a document holds schema, table and rules".to_owned()));
    };
    let mut take = |key: &str| match fields.shift_remove(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(_) => Err((None, format!("{key} must be a text"))),
        None => Err((None, format!("{key} is missing"))),
    };
    let name = QualifiedName::new(take("schema")?, take("table")?);
    match TableSecurity::parse(Value::Object(fields)) {
        Ok(rules) => Ok(Document { name, rules }),
        Err(error) => Err((Some(name), error.to_string())),
    }
}

/// The rules that are not off, by name.
pub fn fields(rules: &TableSecurity) -> Result<Map<String, Value>, serde_json::Error> {
    let off = serde_json::to_value(TableSecurity::default())?;
    let Value::Object(mut fields) = serde_json::to_value(rules)? else { return Ok(Map::new()) };
    fields.retain(|name, value| off.get(name) != Some(value));
    Ok(fields)
}

/// A document as text. Every value is JSON, which is YAML too; only the outermost objects are spread over lines.
pub fn write(document: &Document) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for (name, part) in [("schema", &document.name.schema), ("table", &document.name.name)] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", printable(&Value::from(&**part)));
    }
    for (name, value) in fields(&document.rules)? {
        match value {
            Value::Object(entries) if !entries.is_empty() && name != "rate_limit" => {
                let _ = writeln!(text, "{name}:");
                for (key, value) in entries {
                    let _ = writeln!(text, "  {}: {}", printable(&Value::from(key)), printable(&value));
                }
            }
            value => {
                let _ = writeln!(text, "{name}: {}", printable(&value));
            }
        }
    }
    Ok(text)
}

/// The JSON of a value with escapes for what JSON takes as it is and YAML does not.
fn printable(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

/// What differs between two sets of rules, a line each: what is stored, and what it becomes.
pub fn differences(stored: &TableSecurity, wanted: &TableSecurity) -> Result<Vec<String>, serde_json::Error> {
    let (stored, wanted) = (fields(stored)?, fields(wanted)?);
    let names: BTreeSet<&String> = stored.keys().chain(wanted.keys()).collect();
    let shown = |value: Option<&Value>| value.map_or_else(|| "off".to_owned(), Value::to_string);
    Ok(names
        .into_iter()
        .filter(|name| stored.get(*name) != wanted.get(*name))
        .map(|name| format!("{name}: {} becomes {}", shown(stored.get(name)), shown(wanted.get(name))))
        .collect())
}

/// A file name for the rules of a table, whatever letters its name has.
pub fn file_name(name: &QualifiedName) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');
    let part = |text| utf8_percent_encode(text, SAFE);
    format!("{}.{}.yaml", part(&name.schema), part(&name.name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn document(schema: &str, table: &str, rules: Value) -> Document {
        Document { name: QualifiedName::new(schema, table), rules: TableSecurity::parse(rules).unwrap() }
    }

    #[test]
    fn only_what_is_not_off_is_written() {
        let rules = json!({"require_auth": true, "allowed_roles": ["b", "a"],
                           "rate_limit": {"requests": 5, "window_seconds": 60},
                           "field_permissions": {"card": {"masked": true, "mask": "last_four"}},
                           "custom_filters": {"open": "not archived"}});
        let expected = "schema: \"public\"\ntable: \"orders\"\nrequire_auth: true\nallowed_roles: [\"a\",\"b\"]\n\
                        rate_limit: {\"requests\":5,\"window_seconds\":60}\n\
                        field_permissions:\n  \"card\": {\"masked\":true,\"mask\":\"last_four\"}\n\
                        custom_filters:\n  \"open\": \"not archived\"\n";
        assert_eq!(write(&document("public", "orders", rules)).unwrap(), expected);
    }

    #[test]
    fn people_may_write_any_yaml_and_several_documents() {
        let text = "# shop\nschema: public\ntable: orders\nrequire_auth: yes_no\n";
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("document 1 (public.orders): require_auth"), "{error}");
        let text = "schema: public\ntable: orders\nrequire_auth: true\nallowed_roles:\n  - staff\ncustom_filters:\n  open: |\n    not archived\n---\nschema: api\ntable: b\n";
        let documents = parse(text).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].rules.custom_filters["open"], "not archived\n");
        assert_eq!(documents[1], document("api", "b", json!({})));
    }

    #[test]
    fn documents_that_say_nothing_clear_are_refused() {
        for (text, expected) in [
            ("table: a\n", "schema is missing"),
            ("schema: [a]\ntable: a\n", "schema must be a text"),
            ("- a\n", "a document holds"),
            ("schema: a\ntable: b\nrequre_auth: true\n", "requre_auth"),
            ("schema: a\ntable: b\n---\nschema: a\ntable: b\n", "document 2 (a.b): the file has another"),
            ("schema: a\n\ttable: b\n", "line"),
            ("schema: a\nschema: b\ntable: c\n", "duplicate"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn file_names_stay_in_their_folder() {
        assert_eq!(file_name(&QualifiedName::new("public", "line_items")), "public.line_items.yaml");
        assert_eq!(file_name(&QualifiedName::new("..", "../x é")), "%2E%2E.%2E%2E%2Fx%20%C3%A9.yaml");
    }

    #[test]
    fn differences_name_the_rule_and_both_values() {
        let rules = |value| TableSecurity::parse(value).unwrap();
        let found = differences(
            &rules(json!({"require_auth": true, "hidden_fields": ["a"]})),
            &rules(json!({"hidden_fields": ["a", "b"]})),
        );
        assert_eq!(
            found.unwrap(),
            [r#"hidden_fields: ["a"] becomes ["a","b"]"#, "require_auth: true becomes off"]
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(
            schema in "[^\0]{1,12}", table in "[^\0]{1,12}", words in "[^\0]{0,24}", name in "[^\0]{1,12}",
            filter in "[a-z]{1,8}_ > [0-9]{1,4}",
        ) {
            let document = document(&schema, &table, json!({
                "description": words, "custom_filters": {name.clone(): filter}, "hidden_fields": [name],
                "field_permissions": {"a": {"masked": true, "mask": {"constant": words}}},
            }));
            let text = write(&document).unwrap();
            prop_assert_eq!(parse(&text).unwrap(), vec![document], "{}", text);
        }
    }
}
