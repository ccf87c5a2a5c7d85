//! What an expression reads of the caller's claims, as PostgreSQL reads the setting `request.jwt.claims`.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::realtime::changes::value::{Datum, Undecided, Width};

/// The claims of a subscriber: what stands in `request.jwt.claims` when PostgreSQL is asked. The older settings of one claim
/// each (`request.jwt.claim.sub`) must be unset there, or say the same.
#[derive(Clone, Debug)]
pub struct Claims {
    all: Arc<Map<String, Value>>,
    /// PostgreSQL refuses JSON with a NUL character, whichever claim is asked for.
    is_readable: bool,
}

impl Claims {
    /// Claims of a token.
    pub fn new(all: Arc<Map<String, Value>>) -> Self {
        let is_readable = !all.iter().any(|(name, value)| name.contains('\0') || has_nul(value));
        Self { all, is_readable }
    }

    /// Of nobody: every claim is missing.
    pub(super) fn none() -> Self {
        Self::new(Arc::default())
    }

    fn find<'a>(&'a self, claim: &Claim) -> Result<Option<&'a Value>, Undecided> {
        if !self.is_readable {
            return Err(Undecided);
        }
        let Some((first, rest)) = claim.path.split_first() else { return Err(Undecided) };
        let mut found = self.all.get(&**first);
        for name in rest {
            found = match found {
                Some(Value::Object(fields)) => fields.get(&**name),
                // Numbers in a path would count the elements.
                Some(Value::Array(_)) => return Err(Undecided),
                _ => None,
            };
        }
        Ok(found)
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A place in the claims and how it is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    /// Names from the outside to the inside; at least one.
    pub(super) path: Vec<Box<str>>,
    /// What is made of the JSON there.
    pub(super) reading: Reading,
}

/// What is made of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    /// Its text: `->>`, `#>>`.
    Text,
    /// Its text, NULL if that is empty, as the functions of the schema `auth` do.
    NotEmptyText,
    /// Whether it is missing: `->` with `IS NULL`.
    IsMissing,
    /// A cast of `jsonb` to `boolean`.
    Bool,
    /// A cast of `jsonb` to an integer.
    Integer(Width),
}

impl Claim {
    /// The value of the claim.
    pub(super) fn read<'a>(&self, claims: &'a Claims) -> Result<Option<Datum<'a>>, Undecided> {
        let found = claims.find(self)?;
        match self.reading {
            Reading::Text => Ok(text(found)?.map(Datum::Text)),
            Reading::NotEmptyText => Ok(text(found)?.filter(|text| !text.is_empty()).map(Datum::Text)),
            Reading::IsMissing => Ok(Some(Datum::Bool(found.is_none()))),
            // A JSON null fails before PostgreSQL 18 and is NULL from then on.
            Reading::Bool => match found {
                None => Ok(None),
                Some(Value::Bool(value)) => Ok(Some(Datum::Bool(*value))),
                Some(_) => Err(Undecided),
            },
            Reading::Integer(width) => match found {
                None => Ok(None),
                Some(value) => {
                    let number = value.as_i64().filter(|number| width.holds(*number)).ok_or(Undecided)?;
                    Ok(Some(Datum::Integer(number)))
                }
            },
        }
    }
}

/// The text of a JSON value, where its spelling is sure: not that of fractions, arrays and objects.
fn text(value: Option<&Value>) -> Result<Option<Cow<'_, str>>, Undecided> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(Cow::Borrowed(text))),
        Some(Value::Bool(value)) => Ok(Some(Cow::Borrowed(if *value { "true" } else { "false" }))),
        Some(Value::Number(number)) if !number.is_f64() => Ok(Some(Cow::Owned(number.to_string()))),
        Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(Undecided),
    }
}
