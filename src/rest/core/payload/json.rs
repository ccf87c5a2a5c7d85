//! JSON bodies: well-formedness, depth, and the keys that all rows must share.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{NOT_JSON, invalid, is_key_set};
use crate::rest::core::parse::RequestError;
use crate::rest::core::request::Payload;

/// How deep arrays and objects of a body may nest.
pub const MAX_JSON_DEPTH: usize = 128;

/// Reads an object, or an array of objects with equal keys. Everything else that is JSON counts as no rows.
pub(super) fn payload(body: Bytes) -> Result<Payload, RequestError> {
    let text = check_text(&body)?;
    let not_json = |_| invalid(NOT_JSON);
    let keys = match text.trim_start().as_bytes().first() {
        Some(b'{') => serde_json::from_str::<Row<'_>>(text).map_err(not_json)?.0.map(owned),
        Some(b'[') => match serde_json::from_str::<Rows>(text).map_err(not_json)? {
            Rows::Uniform(keys) => Some(keys),
            Rows::Different => return Err(invalid("All object keys must match")),
            Rows::None => None,
        },
        _ => serde_json::from_str::<IgnoredAny>(text).map_err(not_json).map(|_| None)?,
    };
    let Some(keys) = keys else {
        return Ok(Payload::Json { raw: Bytes::from_static(b"[]"), keys: BTreeSet::new() });
    };
    if keys.iter().any(|key| key.contains('\0')) {
        return Err(invalid("Object keys must not hold a NUL character"));
    }
    Ok(Payload::Json { raw: body, keys })
}

fn owned(keys: Vec<Cow<'_, str>>) -> BTreeSet<String> {
    keys.into_iter().map(Cow::into_owned).collect()
}

/// Refuses what no later stage should meet, without looking at the grammar: no UTF-8, NUL, nesting too deep.
pub(super) fn check_text(body: &[u8]) -> Result<&str, RequestError> {
    let text = std::str::from_utf8(body).map_err(|_| invalid(NOT_JSON))?;
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            0 => return Err(invalid(NOT_JSON)),
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_JSON_DEPTH {
                    return Err(invalid(&format!("The body is nested deeper than {MAX_JSON_DEPTH} levels")));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(text)
}

/// The elements of an array.
enum Rows {
    /// Objects that share these keys.
    Uniform(BTreeSet<String>),
    /// Something is no object, or has other keys than the first.
    Different,
    /// No element at all.
    None,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Rows, A::Error> {
        let Some(Row(first)) = rows.next_element::<Row<'de>>()? else { return Ok(Rows::None) };
        let keys = first.clone().map(owned);
        let is_like_first = |row: Row<'de>| match (row.0, &keys) {
            // Rows mostly come with their keys in one order.
            (Some(names), Some(keys)) => {
                first.as_ref() == Some(&names) || is_key_set(names.iter().map(AsRef::as_ref), keys)
            }
            _ => false,
        };
        let mut uniform = true;
        while let Some(row) = rows.next_element::<Row<'de>>()? {
            uniform = uniform && is_like_first(row);
        }
        Ok(keys.filter(|_| uniform).map_or(Rows::Different, Rows::Uniform))
    }
}

/// The keys of an object in their order; `None` for anything else.
struct Row<'a>(Option<Vec<Cow<'a, str>>>);

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let mut keys = Vec::new();
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            map.next_value::<IgnoredAny>()?;
            keys.push(key);
        }
        Ok(Row(Some(keys)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Row<'de>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Row(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Row<'de>, E> {
        Ok(Row(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Row<'de>, E> {
        Ok(Row(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Row<'de>, E> {
        Ok(Row(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Row<'de>, E> {
        Ok(Row(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Row<'de>, E> {
        Ok(Row(None))
    }

    fn visit_unit<E>(self) -> Result<Row<'de>, E> {
        Ok(Row(None))
    }
}

/// A key or another text, borrowed where it holds no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Writes an object of strings; `None` is null.
pub(super) fn write_object<'a>(text: &mut String, pairs: impl Iterator<Item = (&'a str, Option<&'a str>)>) {
    text.push('{');
    for (index, (key, value)) in pairs.enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(text, key);
        text.push(':');
        match value {
            Some(value) => write_string(text, value),
            None => text.push_str("null"),
        }
    }
    text.push('}');
}

pub(super) fn write_string(text: &mut String, value: &str) {
    text.push_str(&serde_json::Value::from(value).to_string());
}
