//! The texts in the values of some columns of a JSON body, and others in their place.
//!
//! Only texts that change are written anew, so everything else goes on as it came, with every digit.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Text, write_string};
use super::{NOT_JSON, invalid};
use crate::rest::core::parse::RequestError;

/// Shows `look` every text in the values of the columns for which `column` gives an index: the value itself, or where it
/// is an array or an object all texts in it, keys too. What `look` gives takes the place of the text.
///
/// The body with its changes; `None` if there are none.
pub(in crate::rest::core) fn replace(
    body: &[u8],
    column: impl Fn(&str) -> Option<usize>,
    mut look: impl FnMut(usize, &str) -> Option<String>,
) -> Result<Option<String>, RequestError> {
    // What cannot be read cannot be looked at either.
    let not_json = |_| invalid(NOT_JSON);
    let body = std::str::from_utf8(body).map_err(|_| invalid(NOT_JSON))?;
    let mut changes = Vec::new();
    for row in rows(body).map_err(not_json)? {
        let Fields(fields) = serde_json::from_str(row).map_err(not_json)?;
        for (Text(name), value) in fields {
            let Some(index) = column(&name) else { continue };
            let start = value.get().as_ptr().addr() - body.as_ptr().addr();
            for token in strings(value.get()) {
                let Text(text) = serde_json::from_str(&value.get()[token.clone()]).map_err(not_json)?;
                if let Some(other) = look(index, &text) {
                    changes.push((start + token.start..start + token.end, other));
                }
            }
        }
    }
    Ok((!changes.is_empty()).then(|| changed(body, &changes)))
}

/// The objects in a body: itself or its elements. What is no object is no row.
fn rows(body: &str) -> Result<Vec<&str>, serde_json::Error> {
    let body = body.trim_ascii();
    match body.as_bytes().first() {
        Some(b'{') => Ok(vec![body]),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(body)?;
            Ok(elements.into_iter().map(RawValue::get).filter(|text| text.starts_with('{')).collect())
        }
        _ => serde_json::from_str::<IgnoredAny>(body).map(|_| Vec::new()),
    }
}

/// Where the texts of a JSON value stand in it, with their quotes.
fn strings(value: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = value.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + memchr::memchr(b'"', bytes.get(at..)?)?;
        let mut end = start + 1;
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        at = end + 1;
        Some(start..at)
    })
}

fn changed(body: &str, changes: &[(Range<usize>, String)]) -> String {
    let mut text = String::with_capacity(body.len());
    let mut copied = 0;
    for (place, other) in changes {
        text.push_str(&body[copied..place.start]);
        write_string(&mut text, other);
        copied = place.end;
    }
    text.push_str(&body[copied..]);
    text
}

/// The fields of an object as they stand, repeated names too.
struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body with every text of the column `a` in capitals, and what was looked at.
    fn in_capitals(body: &str) -> (Option<String>, Vec<String>) {
        let mut seen = Vec::new();
        let column = |name: &str| (name == "a").then_some(0);
        let changed = replace(body.as_bytes(), column, |_, text| {
            seen.push(text.to_owned());
            let capitals = text.to_uppercase();
            (capitals != text).then_some(capitals)
        });
        (changed.unwrap(), seen)
    }

    #[test]
    fn texts_of_the_columns_are_replaced_and_nothing_else() {
        for (body, expected) in [
            (r#"{"a":"x","b":"y"}"#, r#"{"a":"X","b":"y"}"#),
            (r#" [ {"b":1.10, "a" : "x"},{"a":"y" } ] "#, r#" [ {"b":1.10, "a" : "X"},{"a":"Y" } ] "#),
            (
                r#"{"a":{"k":["v",10000000000000000001,{"w":null}]}}"#,
                r#"{"a":{"K":["V",10000000000000000001,{"W":null}]}}"#,
            ),
            (r#"{"a":"x","a":"y"}"#, r#"{"a":"X","a":"Y"}"#),
            (r#"{"\u0061":"x\"\\"}"#, r#"{"\u0061":"X\"\\"}"#),
            (r#"{"a":"\u00e9\n"}"#, r#"{"a":"É\n"}"#),
            (r#"[{"a":"x"},null,[{"a":"x"}],"a"]"#, r#"[{"a":"X"},null,[{"a":"x"}],"a"]"#),
        ] {
            assert_eq!(in_capitals(body).0.as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn a_body_in_which_nothing_changes_goes_on_as_it_came() {
        for (body, seen) in [
            (r#"{"a":"X","b":"y"}"#, &["X"][..]),
            (r#"{"a":1e400}"#, &[]),
            (r#"{"b":{"a":"x"}}"#, &[]),
            ("[]", &[]),
            (" 12 ", &[]),
            (r#""a""#, &[]),
        ] {
            let seen: Vec<String> = seen.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(in_capitals(body), (None, seen), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for body in
            [r#"{"a":"x"#, r#"[{"a":"x"}"#, r#"{"a":"\ud800"}"#, r#"{"\ud800a":"x"}"#, "{'a':1}", "[{]"]
        {
            let column = |name: &str| (name == "a").then_some(0);
            assert!(replace(body.as_bytes(), column, |_, _| None).is_err(), "{body}");
        }
    }
}
