//! The policy of a form: until when it holds, and what each field may be. Every field needs a condition that it meets.

use std::ops::RangeInclusive;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use super::super::error::S3Error;
use super::form::Form;

/// Fields that are the signature itself, not under it.
const OUTSIDE: [&str; 3] = ["policy", "x-amz-signature", "file"];
/// Fields that programs put in for themselves.
const IGNORED: &str = "x-ignore-";

/// What the JSON says.
#[derive(Debug)]
pub(super) struct Policy {
    /// Unix seconds.
    expiration: i64,
    conditions: Vec<Condition>,
    length: RangeInclusive<u64>,
}

#[derive(Debug)]
enum Condition {
    Equals { field: String, value: String },
    StartsWith { field: String, prefix: String },
}

#[derive(Deserialize)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

impl Policy {
    pub(super) fn parse(json: &[u8]) -> Result<Self, S3Error> {
        let wrong = || S3Error::denied("Invalid policy: not a document with expiration and conditions");
        let document: Document = serde_json::from_slice(json).map_err(|_| wrong())?;
        let expiration = DateTime::parse_from_rfc3339(&document.expiration).map_err(|_| wrong())?.timestamp();
        let mut policy = Self { expiration, conditions: Vec::new(), length: 0..=u64::MAX };
        for condition in &document.conditions {
            policy.add(condition).ok_or_else(|| S3Error::denied("Invalid policy: invalid condition"))?;
        }
        Ok(policy)
    }

    /// Takes one condition in; `None` where it is none.
    fn add(&mut self, condition: &Value) -> Option<()> {
        match condition {
            Value::Object(fields) if !fields.is_empty() => {
                for (field, value) in fields {
                    let (field, value) = (field.to_ascii_lowercase(), value.as_str()?.to_owned());
                    self.conditions.push(Condition::Equals { field, value });
                }
            }
            Value::Array(parts) => {
                let [operator, first, second] = parts.as_slice() else { return None };
                match operator.as_str()?.to_ascii_lowercase().as_str() {
                    "content-length-range" => {
                        let (least, most) = (number(first)?, number(second)?);
                        // Two ranges hold both.
                        self.length = (*self.length.start()).max(least)..=(*self.length.end()).min(most);
                    }
                    "eq" => {
                        self.conditions
                            .push(Condition::Equals { field: field(first)?, value: text(second)? });
                    }
                    "starts-with" => {
                        self.conditions
                            .push(Condition::StartsWith { field: field(first)?, prefix: text(second)? });
                    }
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// How long the file may be.
    pub(super) fn length(&self) -> RangeInclusive<u64> {
        self.length.clone()
    }

    /// Holds the form against the policy: not expired, every condition met, no field without one.
    pub(super) fn check(&self, form: &Form, bucket: &str, now: i64) -> Result<(), S3Error> {
        if now >= self.expiration {
            return Err(S3Error::denied("Invalid according to Policy: Policy expired."));
        }
        let value = |field: &str| if field == "bucket" { Some(bucket) } else { form.get(field) };
        for condition in &self.conditions {
            let (field, met) = match condition {
                Condition::Equals { field, value: wanted } => (field, value(field) == Some(wanted)),
                Condition::StartsWith { field, prefix } => {
                    (field, value(field).is_some_and(|value| value.starts_with(prefix.as_str())))
                }
            };
            if !met {
                let message = format!("Invalid according to Policy: Policy Condition failed: {field}");
                return Err(S3Error::denied(message));
            }
        }
        if form.get("bucket").is_some_and(|named| named != bucket) {
            return Err(S3Error::denied("Invalid according to Policy: the form names another bucket"));
        }
        let free = |name: &str| {
            let known = OUTSIDE.contains(&name) || name == "bucket" || name.starts_with(IGNORED);
            !known && !self.conditions.iter().any(|condition| condition.field() == name)
        };
        match form.iter().find(|(name, _)| free(name)) {
            Some((name, _)) => {
                Err(S3Error::denied(format!("Invalid according to Policy: Extra input fields: {name}")))
            }
            None => Ok(()),
        }
    }
}

impl Condition {
    fn field(&self) -> &str {
        match self {
            Self::Equals { field, .. } | Self::StartsWith { field, .. } => field,
        }
    }
}

fn field(value: &Value) -> Option<String> {
    value.as_str()?.strip_prefix('$').map(str::to_ascii_lowercase)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Some clients write lengths as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
