//! Pure: what a client says of itself, as text.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Names that the server gives in an entry: no client can say them.
const RESERVED: [&str; 2] = ["phx_ref", "phx_ref_prev"];

/// A JSON object without the server's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::realtime) struct Payload(Box<str>);

impl Payload {
    /// What a client says, but for the server's names.
    pub(in crate::realtime) fn of(said: &Map<String, Value>) -> Self {
        let text = if RESERVED.iter().any(|name| said.contains_key(*name)) {
            let kept = said.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
        } else {
            serde_json::to_string(said).unwrap_or_else(|_| "{}".to_owned())
        };
        Self(text.into())
    }

    /// The payload that another node has written; none if it is not one.
    pub(in crate::realtime) fn parse(text: &str) -> Option<Self> {
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let is_as_written = text.starts_with('{') && text.ends_with('}');
        let is_free = RESERVED.iter().all(|name| !object.contains_key(*name));
        (is_as_written && is_free).then(|| Self(text.into()))
    }

    /// As text.
    pub(in crate::realtime) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text of an object that goes on with `more`: members of an object without its braces.
    pub(super) fn followed_by(&self, more: &str) -> String {
        let inner = &self.0[1..self.0.len() - 1];
        let comma = if inner.trim().is_empty() { "" } else { "," };
        format!("{{{inner}{comma}{more}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Payload {
        Payload::of(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_client_says_anything_but_the_server_s_names() {
        assert_eq!(
            said(r#"{"phx_ref":"mine","a":{"phx_ref":1},"phx_ref_prev":2}"#).as_str(),
            r#"{"a":{"phx_ref":1}}"#
        );
        assert_eq!(said(r#"{"phx_ref":"mine"}"#).as_str(), "{}");
        assert_eq!(said(r#"{"a": "ä}"}"#).as_str(), r#"{"a":"ä}"}"#);
    }

    #[test]
    fn another_node_s_payload_is_an_object_without_the_server_s_names() {
        for text in ["{}", r#"{"a":{"phx_ref":1}}"#, r#"{"a":"}"}"#] {
            assert_eq!(Payload::parse(text).unwrap().as_str(), text);
        }
        for text in
            ["", "[]", "1", "{", r#"{"a":1} x"#, r#"{"phx_ref":"F1"}"#, r#"{"\u0070hx_ref":"F1"}"#, " {}"]
        {
            assert_eq!(Payload::parse(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_followed_by_more() {
        assert_eq!(said("{}").followed_by(r#""x":1"#), r#"{"x":1}"#);
        assert_eq!(said(r#"{"a":{}}"#).followed_by(r#""x":1"#), r#"{"a":{},"x":1}"#);
    }
}
