//! The pieces of an OpenAPI 2.0 document that paths, parameters and definitions share, as serde types.
//!
//! Fields without a value are left out. Knows nothing of the catalog.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

/// A JSON object whose entries are made while it is written.
pub(super) struct Entries<F>(pub(super) F);

impl<F, I, K, V> Serialize for Entries<F>
where
    F: Fn() -> I,
    I: IntoIterator<Item = (K, V)>,
    K: Serialize,
    V: Serialize,
{
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)())
    }
}

/// A JSON object from pairs in their order.
#[derive(Debug)]
pub(super) struct Pairs<K, V>(pub(super) Vec<(K, V)>);

impl<K, V> Pairs<K, V> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A type of OpenAPI 2.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ValueType {
    String,
    Boolean,
    Integer,
    Number,
    Array,
    Object,
}

/// A pointer to a definition or a parameter of the same document.
#[derive(Debug, Serialize)]
pub(super) struct Reference {
    #[serde(rename = "$ref")]
    target: String,
}

impl Reference {
    /// To the definition of a relation.
    pub(super) fn definition(name: &str) -> Self {
        Self { target: format!("#/definitions/{}", Pointer(name)) }
    }

    /// To a parameter definition.
    pub(super) fn parameter(name: &str) -> Self {
        Self { target: format!("#/parameters/{}", Pointer(name)) }
    }
}

/// A key as a step of a JSON pointer in a URI fragment.
///
/// Only what would be read as something else is escaped; other characters stay as they are, non-ASCII ones too.
struct Pointer<'a>(&'a str);

impl std::fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;

        for c in self.0.chars() {
            match c {
                '~' => f.write_str("~0")?,
                '/' => f.write_str("~1")?,
                ' ' | '"' | '#' | '%' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => {
                    write!(f, "%{:02X}", u32::from(c))?;
                }
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// What an array holds; nothing is said of elements that can be anything.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Items {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<ValueType>,
}

/// One column of a definition or one argument of a function's body.
#[derive(Debug, Default, Serialize)]
pub(super) struct Property<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(rename = "enum", skip_serializing_if = "<[_]>::is_empty")]
    pub(super) labels: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'a str>,
    #[serde(rename = "maxLength", skip_serializing_if = "Option::is_none")]
    pub(super) max_length: Option<i32>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<ValueType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<Items>,
}

/// A JSON object with known properties.
#[derive(Debug, Serialize)]
pub(super) struct ObjectSchema<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) required: Vec<&'a str>,
    #[serde(rename = "type")]
    pub(super) kind: ValueType,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub(super) properties: Pairs<&'a str, Property<'a>>,
}

/// Splits a comment into its first line and the rest, without the empty lines between them.
pub(super) fn split_comment(comment: &str) -> (&str, &str) {
    comment.split_once('\n').map_or((comment, ""), |(first, rest)| (first, rest.trim_start_matches('\n')))
}

/// As [`split_comment`]; what is empty is left out.
pub(super) fn summary_and_description(comment: Option<&str>) -> (Option<&str>, Option<&str>) {
    let (summary, description) = comment.map(split_comment).unwrap_or_default();
    let filled = |text: &'_ str| !text.is_empty();
    (Some(summary).filter(|text| filled(text)), Some(description).filter(|text| filled(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_splits_at_its_first_line() {
        assert_eq!(split_comment("one"), ("one", ""));
        assert_eq!(split_comment("one\n\n\ntwo\n\nthree"), ("one", "two\n\nthree"));
        assert_eq!(summary_and_description(Some("\nlate")), (None, Some("late")));
        assert_eq!(summary_and_description(Some("one")), (Some("one"), None));
        assert_eq!(summary_and_description(None), (None, None));
    }

    #[test]
    fn references_escape_what_a_pointer_or_a_fragment_would_misread() {
        assert_eq!(Reference::definition("a/b~c d%").target, "#/definitions/a~1b~0c%20d%25");
        assert_eq!(Reference::parameter("rowFilter.موارد.هویت").target, "#/parameters/rowFilter.موارد.هویت");
    }
}
