//! What SQL can read of a request: headers and cookies as the text of JSON objects.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde::ser::{SerializeMap, Serializer};

/// All headers but cookies, by lower-case name; of equal names the last counts.
pub(super) fn headers(headers: &HeaderMap) -> Bytes {
    let pairs = headers.keys().filter(|name| **name != header::COOKIE).filter_map(|name| {
        let value = headers.get_all(name).iter().next_back()?;
        Some((name.as_str(), String::from_utf8_lossy(value.as_bytes())))
    });
    json_object(pairs, headers.len() * 48)
}

/// The cookies of the first `Cookie` header: `name=value; name=value`, values untouched; of equal names the last counts.
pub(super) fn cookies(headers: &HeaderMap) -> Bytes {
    let Some(value) = headers.get(header::COOKIE) else { return Bytes::from_static(b"{}") };
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for cookie in text.split(';') {
        let (name, value) = cookie.split_once('=').unwrap_or((cookie, ""));
        let name = name.trim_start();
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value));
    }
    json_object(pairs.into_iter(), text.len() + 16)
}

fn json_object<V: AsRef<str>>(pairs: impl Iterator<Item = (impl AsRef<str>, V)>, capacity: usize) -> Bytes {
    let mut text = Vec::with_capacity(capacity + 2);
    let mut serializer = serde_json::Serializer::new(&mut text);
    let written = serializer.serialize_map(None).and_then(|mut map| {
        for (name, value) in pairs {
            map.serialize_entry(name.as_ref(), value.as_ref())?;
        }
        map.end()
    });
    // Strings written to memory cannot fail.
    if written.is_ok() { Bytes::from(text) } else { Bytes::from_static(b"{}") }
}
