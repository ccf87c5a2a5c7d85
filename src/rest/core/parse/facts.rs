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
    let mut pairs: IndexMap<&str, &str> = IndexMap::new();
    for cookie in text.split(';') {
        let (name, value) = cookie.split_once('=').unwrap_or((cookie, ""));
        pairs.insert(name.trim_start(), value);
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn of_equal_names_the_last_counts() {
        assert_eq!(headers(&with(&header::ACCEPT, &["one", "t\"wo"])), r#"{"accept":"t\"wo"}"#);
        assert_eq!(cookies(&with(&header::COOKIE, &["a=1; b=2; a=3; c"])), r#"{"a":"3","b":"2","c":""}"#);
        assert_eq!(cookies(&HeaderMap::new()), "{}");
    }

    #[test]
    fn thousands_of_cookies_are_read_in_linear_time() {
        let pairs: Vec<String> = (0..50_000).map(|name| format!("{name}=x")).collect();
        let text = pairs.join(";");
        let started = std::time::Instant::now();
        assert!(cookies(&with(&header::COOKIE, &[&text])).len() > 500_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    }
}
