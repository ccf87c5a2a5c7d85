//! How PostgreSQL types and defaults are described in OpenAPI 2.0.
//!
//! Input is what PostgreSQL prints: `format_type` without modifier and `pg_get_expr`. Pure text to values.

use serde_json::value::RawValue;

use super::swagger::{Items, ValueType};

/// The type of a value; none where it can be any JSON.
pub(super) fn value_type(data_type: &str) -> Option<ValueType> {
    match data_type {
        "boolean" => Some(ValueType::Boolean),
        "smallint" | "integer" | "bigint" => Some(ValueType::Integer),
        "numeric" | "real" | "double precision" => Some(ValueType::Number),
        "json" | "jsonb" => None,
        _ if data_type.ends_with("[]") => Some(ValueType::Array),
        _ => Some(ValueType::String),
    }
}

/// The format of a value: a width for integers, else PostgreSQL's own name of the type.
pub(super) fn format(data_type: &str) -> &str {
    match data_type {
        "smallint" | "integer" => "int32",
        "bigint" => "int64",
        _ => data_type,
    }
}

/// The type of an array's elements.
pub(super) fn element_type(data_type: &str) -> Option<&str> {
    data_type.strip_suffix("[]")
}

/// What an array holds; none for other types.
pub(super) fn items(data_type: &str) -> Option<Items> {
    element_type(data_type).map(|element| Items { kind: value_type(element) })
}

/// The default of a column as JSON; none where the SQL text has no meaning in JSON, such as `nextval(…)` for a number.
///
/// For types that are JSON strings, a constant is shown by its text and any other expression by its SQL.
pub(super) fn default(data_type: &str, expression: &str) -> Option<Box<RawValue>> {
    let constant = constant_text(expression);
    match value_type(data_type) {
        Some(ValueType::Array) => None,
        Some(ValueType::String) => {
            let text = constant.as_deref().unwrap_or_else(|| without_cast(expression, data_type));
            let shown = constant.is_some() || text != "NULL";
            shown.then(|| serde_json::value::to_raw_value(text).ok()).flatten()
        }
        _ => serde_json::from_str(constant.as_deref().unwrap_or(expression)).ok(),
    }
}

/// The text of a quoted constant, alone or cast to a type: `it's` of `'it''s'::text`.
fn constant_text(expression: &str) -> Option<String> {
    let quoted = expression.strip_prefix('\'')?;
    // A doubled quote is inside the constant, so its end is the first one that is not doubled.
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('\'')?;
        text.push_str(part);
        match after.strip_prefix('\'') {
            Some(inside) => {
                text.push('\'');
                rest = inside;
            }
            None if after.is_empty() || after.strip_prefix("::").is_some_and(is_type_name) => {
                return Some(text);
            }
            None => return None,
        }
    }
}

/// Whether a text that follows `::` can be a type and nothing after it.
fn is_type_name(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '.' | '"' | '[' | ']' | '(' | ')' | ','))
}

/// An expression without its cast to `data_type`.
fn without_cast<'a>(expression: &'a str, data_type: &str) -> &'a str {
    expression.strip_suffix(data_type).and_then(|rest| rest.strip_suffix("::")).unwrap_or(expression)
}

/// A type without its schema, if that schema is on the search path.
pub(super) fn shorten<'a>(data_type: &'a str, search_path: &[&str]) -> &'a str {
    search_path.iter().find_map(|schema| unqualified(data_type, schema)).unwrap_or(data_type)
}

/// What follows `schema.`, be the schema quoted or not.
fn unqualified<'a>(data_type: &'a str, schema: &str) -> Option<&'a str> {
    if let Some(quoted) = data_type.strip_prefix('"') {
        return quoted.strip_prefix(&schema.replace('"', "\"\""))?.strip_prefix("\".");
    }
    data_type.strip_prefix(schema)?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_text(data_type: &str, expression: &str) -> Option<String> {
        default(data_type, expression).map(|value| value.get().to_owned())
    }

    #[test]
    fn types_map_to_the_four_simple_ones_arrays_or_anything() {
        assert_eq!(value_type("character varying"), Some(ValueType::String));
        assert_eq!(value_type("smallint"), Some(ValueType::Integer));
        assert_eq!(value_type("double precision"), Some(ValueType::Number));
        assert_eq!(value_type("boolean"), Some(ValueType::Boolean));
        assert_eq!(value_type("test.enum_menagerie_type"), Some(ValueType::String));
        assert_eq!(value_type("jsonb"), None);
        assert_eq!(value_type("jsonb[]"), Some(ValueType::Array));
        assert_eq!(items("jsonb[]"), Some(Items { kind: None }));
        assert_eq!(items("bigint[]"), Some(Items { kind: Some(ValueType::Integer) }));
        assert_eq!(items("bigint"), None);
        assert_eq!((format("smallint"), format("bigint"), format("text[]")), ("int32", "int64", "text[]"));
    }

    #[test]
    fn constants_become_json_and_the_sql_of_strings_is_shown() {
        assert_eq!(default_text("text", "'default'::text").as_deref(), Some("\"default\""));
        assert_eq!(default_text("date", "'1900-01-01'::date").as_deref(), Some("\"1900-01-01\""));
        assert_eq!(default_text("boolean", "false").as_deref(), Some("false"));
        assert_eq!(default_text("integer", "42").as_deref(), Some("42"));
        assert_eq!(
            default_text("numeric", "42.20000000000000000001").as_deref(),
            Some("42.20000000000000000001")
        );
        assert_eq!(default_text("uuid", "gen_random_uuid()").as_deref(), Some("\"gen_random_uuid()\""));
        assert_eq!(default_text("date", "(now())::date").as_deref(), Some("\"(now())\""));
    }

    #[test]
    fn constants_are_read_as_postgresql_prints_them() {
        assert_eq!(default_text("integer", "'-1'::integer").as_deref(), Some("-1"));
        assert_eq!(default_text("jsonb", "'{\"a\": 1}'::jsonb").as_deref(), Some("{\"a\": 1}"));
        assert_eq!(default_text("character", "'x'::bpchar").as_deref(), Some("\"x\""));
        assert_eq!(default_text("text", "'it''s \"so\"'::text").as_deref(), Some(r#""it's \"so\"""#));
        assert_eq!(default_text("text", "''::text").as_deref(), Some("\"\""));
        let joined = "'a'::text || 'b'::text";
        assert_eq!(default_text("name", joined), Some(format!("\"{joined}\"")));
    }

    #[test]
    fn what_is_not_json_has_no_default() {
        assert_eq!(default_text("integer", "nextval('a'::regclass)"), None);
        assert_eq!(default_text("numeric", "'NaN'::numeric"), None);
        assert_eq!(default_text("character varying", "NULL::character varying"), None);
        assert_eq!(default_text("text[]", "'{}'::text[]"), None);
    }

    #[test]
    fn types_lose_a_schema_of_the_search_path_only() {
        assert_eq!(shorten("test.kind[]", &["test", "public"]), "kind[]");
        assert_eq!(shorten("\"my \"\"x\".\"Kind\"", &["my \"x"]), "\"Kind\"");
        assert_eq!(shorten("tester.kind", &["test"]), "tester.kind");
        assert_eq!(shorten("integer", &["integer"]), "integer");
        assert_eq!(shorten("\"char\"", &["char"]), "\"char\"");
    }
}
