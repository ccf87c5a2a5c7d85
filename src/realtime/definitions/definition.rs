//! Pure: what an operator says about channels by name, as it is sent, stored and shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::pattern::{Pattern, PatternError};

/// The most roles of one definition.
const MOST_ROLES: usize = 100;
/// The longest name of a role, in bytes: what PostgreSQL keeps of one.
const LONGEST_ROLE: usize = 63;

/// What an answer says beside the definition; accepted and ignored in what is sent, so that an answer can be sent back.
const BOOKKEEPING: [&str; 3] = ["id", "created_at", "updated_at"];

/// Rules for all channels whose names fit a pattern. What is none is as the server's configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Sent")]
pub struct Definition {
    /// Which channels.
    #[serde(serialize_with = "text_of")]
    pub pattern: Pattern,
    /// Whether only private joins are accepted.
    pub private_only: bool,
    /// The roles that may join and send; none for all.
    pub roles: Option<BTreeSet<Arc<str>>>,
    /// The most channels that are joined to one topic on one node.
    pub max_members: Option<Count>,
    /// The largest payload of a message, if that is less than what the server takes.
    pub max_payload_bytes: Option<Count>,
    /// Messages per second that one joined channel may send, and one caller by `POST`.
    pub messages_per_second: Option<Count>,
    /// Whether what clients send to private channels is kept for those who join later.
    pub replay: bool,
}

/// A number from 1 to what PostgreSQL takes as an `integer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Count(u32);

impl Count {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Count {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, &'static str> {
        let number = i32::try_from(number).ok().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number > 0).map(Self).ok_or("expected a number from 1 to 2147483647")
    }
}

/// Why something sent is no definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// A field is missing, unknown or of another type.
    #[error("{0}")]
    Shape(String),
    /// The pattern is none.
    #[error("pattern: {0}")]
    Pattern(#[from] PatternError),
    /// The roles make no sense.
    #[error("roles: expected 1 to {MOST_ROLES} names of at most {LONGEST_ROLE} bytes, or null for all roles")]
    Roles,
}

/// What is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    pattern: String,
    #[serde(default)]
    private_only: bool,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    max_members: Option<Count>,
    #[serde(default)]
    max_payload_bytes: Option<Count>,
    #[serde(default)]
    messages_per_second: Option<Count>,
    #[serde(default)]
    replay: bool,
}

impl TryFrom<Sent> for Definition {
    type Error = DefinitionError;

    fn try_from(sent: Sent) -> Result<Self, DefinitionError> {
        Ok(Self {
            pattern: Pattern::parse(&sent.pattern)?,
            private_only: sent.private_only,
            roles: sent.roles.as_deref().map(roles).transpose()?,
            max_members: sent.max_members,
            max_payload_bytes: sent.max_payload_bytes,
            messages_per_second: sent.messages_per_second,
            replay: sent.replay,
        })
    }
}

fn roles(names: &[String]) -> Result<BTreeSet<Arc<str>>, DefinitionError> {
    let is_name = |name: &String| (1..=LONGEST_ROLE).contains(&name.len()) && !name.contains('\0');
    let roles: BTreeSet<Arc<str>> = names.iter().map(|name| Arc::from(name.as_str())).collect();
    let are_roles = (1..=MOST_ROLES).contains(&roles.len()) && names.iter().all(is_name);
    if are_roles { Ok(roles) } else { Err(DefinitionError::Roles) }
}

fn text_of<S: serde::Serializer>(pattern: &Pattern, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(pattern.as_str())
}

impl Definition {
    /// Reads a definition. A field that is null is one that is not there.
    pub fn parse(mut sent: Map<String, Value>) -> Result<Self, DefinitionError> {
        sent.retain(|name, value| !value.is_null() && !BOOKKEEPING.contains(&name.as_str()));
        let sent: Sent = serde_path_to_error::deserialize(Value::Object(sent))
            .map_err(|error| DefinitionError::Shape(error.to_string()))?;
        sent.try_into()
    }

    /// The definition with these changes (RFC 7396): what is null is as it was without a definition.
    pub fn changed(&self, changes: Map<String, Value>) -> Result<Self, DefinitionError> {
        let mut merged = match json!(self) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        merged.extend(changes);
        Self::parse(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: Value) -> Result<Definition, DefinitionError> {
        let Value::Object(fields) = value else { panic!("an object") };
        Definition::parse(fields)
    }

    #[test]
    fn all_but_the_pattern_may_be_missing_and_what_is_shown_can_be_sent_back() {
        let plain = parse(json!({"pattern": "room:*"})).unwrap();
        assert!(!plain.private_only && !plain.replay && plain.roles.is_none() && plain.max_members.is_none());
        let full = json!({
            "pattern": "room:*", "private_only": true, "roles": ["b", "a", "b"], "max_members": 3,
            "max_payload_bytes": 100, "messages_per_second": 5, "replay": true,
        });
        let full = parse(full).unwrap();
        assert_eq!(json!(full)["roles"], json!(["a", "b"]));
        let mut shown = json!(full);
        shown["id"] = json!("7");
        assert_eq!(parse(shown), Ok(full));
    }

    #[test]
    fn changes_are_laid_over_and_null_takes_back() {
        let before =
            parse(json!({"pattern": "a", "roles": ["x"], "max_members": 3, "replay": true})).unwrap();
        let Value::Object(changes) = json!({"roles": null, "max_members": 4, "replay": null}) else {
            panic!()
        };
        assert_eq!(before.changed(changes), parse(json!({"pattern": "a", "max_members": 4})));
        let Value::Object(changes) = json!({"pattern": null}) else { panic!() };
        assert!(before.changed(changes).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        for (field, value) in [
            ("pattern", json!("")),
            ("pattern", json!(7)),
            ("private_only", json!("yes")),
            ("roles", json!([])),
            ("roles", json!([""])),
            ("roles", json!("a")),
            ("roles", json!(["r".repeat(64)])),
            ("max_members", json!(0)),
            ("max_members", json!(-1)),
            ("max_payload_bytes", json!(2_147_483_648_i64)),
            ("messages_per_second", json!(1.5)),
            ("colour", json!("red")),
        ] {
            let mut sent = json!({"pattern": "a"});
            sent[field] = value.clone();
            let error = parse(sent).unwrap_err().to_string();
            assert!(error.contains(field), "{field}: {value}: {error}");
        }
        assert!(parse(json!({})).unwrap_err().to_string().contains("pattern"));
    }
}
