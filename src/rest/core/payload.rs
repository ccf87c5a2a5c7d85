//! Request bodies: JSON, CSV, forms and raw values, as much of them as planning must know.
//!
//! JSON is checked and its keys are listed, but its text goes on unchanged: no number is ever parsed, so no digit is
//! lost. CSV and forms become JSON text of strings. Nesting is limited before anything else looks at the text.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::media::MediaType;
use super::parse::RequestError;
use super::parse::url::parameters;
use super::request::{Action, CallMethod, Mutation, Payload};

mod csv;
mod json;
pub(in crate::rest::core) mod strings;
#[cfg(test)]
mod tests;

pub use json::MAX_JSON_DEPTH;

const NOT_JSON: &str = "Empty or invalid json";

type Read = (Option<Payload>, BTreeSet<String>);

/// Reads the body of an action that takes one, and names the columns (or arguments) that it gives values to.
///
/// `columns` is the parameter of that name; it counts for inserts, updates and calls only.
pub(super) fn read(
    body: Bytes,
    content_type: &MediaType,
    columns: Option<&BTreeSet<String>>,
    action: &Action,
) -> Result<Read, RequestError> {
    let (is_call, columns) = match action {
        Action::Call { method: CallMethod::Write, .. } => (true, columns),
        Action::RelationMutate { mutation: Mutation::Create | Mutation::Update, .. } => (false, columns),
        Action::RelationMutate { mutation: Mutation::SingleUpsert, .. } => (false, None),
        _ => return Ok((None, BTreeSet::new())),
    };
    let payload = match content_type {
        MediaType::Json => match columns {
            Some(_) => raw_json(body)?,
            None if body.is_empty() && is_call => Payload::Json { raw: body, keys: BTreeSet::new() },
            None => json::payload(body)?,
        },
        MediaType::Csv => csv::payload(&body)?,
        MediaType::UrlEncoded => form(&body, is_call)?,
        MediaType::PlainText | MediaType::Xml if is_call => {
            if std::str::from_utf8(&body).is_err() || body.contains(&0) {
                return Err(invalid("The body is not valid UTF-8 text"));
            }
            Payload::Raw(body)
        }
        MediaType::OctetStream if is_call => Payload::Raw(body),
        other => return Err(invalid(&format!("Content-Type not acceptable: {}", other.to_mime()))),
    };
    let written = match (&payload, columns) {
        (Payload::Json { keys, .. } | Payload::UrlEncoded { keys, .. }, _) => keys.clone(),
        (Payload::RawJson(_), Some(columns)) => columns.clone(),
        _ => BTreeSet::new(),
    };
    Ok((Some(payload), written))
}

fn invalid(message: &str) -> RequestError {
    RequestError::InvalidBody(message.to_owned())
}

fn raw_json(body: Bytes) -> Result<Payload, RequestError> {
    json::check_text(&body)?;
    Ok(Payload::RawJson(body))
}

/// A form is arguments for a call, and otherwise one row of strings.
fn form(body: &[u8], is_call: bool) -> Result<Payload, RequestError> {
    let Some(parameters) = parameters(body) else {
        return Err(invalid("The body is not valid UTF-8 text"));
    };
    let pairs: Vec<(String, String)> =
        parameters.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    let keys: BTreeSet<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
    if is_call {
        return Ok(Payload::UrlEncoded { pairs, keys });
    }
    let row: HashMap<String, String> = pairs.into_iter().collect();
    let mut text = String::new();
    json::write_object(&mut text, keys.iter().map(|key| (key.as_str(), row.get(key).map(String::as_str))));
    Ok(Payload::Json { raw: Bytes::from(text), keys })
}

/// Whether a list of names is the set `keys`, whatever its order and repetitions.
fn is_key_set<'a>(names: impl Iterator<Item = &'a str>, keys: &BTreeSet<String>) -> bool {
    let names: HashSet<&str> = names.collect();
    names.len() == keys.len() && names.iter().all(|name| keys.contains(*name))
}
