//! What SQL can read of a request: headers and cookies as the text of JSON objects.

use bytes::Bytes;
use http::{HeaderMap, header};
use indexmap::IndexMap;
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
    let pairs: IndexMap<&str, &str> = text
        .strip_suffix(';')
        .unwrap_or(&text)
        .split(';')
        .map(|cookie| cookie.split_once('=').unwrap_or((cookie, "")))
        .map(|(name, value)| (name.trim_start(), value))
        .collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(cookie: &str) -> String {
        let headers = HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())]);
        String::from_utf8(cookies(&headers).to_vec()).unwrap()
    }

    #[test]
    fn of_equal_cookies_the_last_counts_however_many_there_are() {
        assert_eq!(facts("a=1; b=\"2\"; a=3;"), r#"{"a":"3","b":"\"2\""}"#);
        let many: Vec<String> = (0..100_000).map(|number| format!("{number}=")).collect();
        let started = std::time::Instant::now();
        assert!(facts(&many.join(";")).len() > 500_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    }
}
