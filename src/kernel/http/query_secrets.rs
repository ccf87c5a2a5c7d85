//! Secrets in query strings: taken out before a service sees them, and hidden before a log does.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameter that may carry an API key.
pub const API_KEY: &str = "apikey";

/// Parameters whose values never reach a log.
const SECRET_PARAMETERS: [&str; 14] = [
    API_KEY,
    "access_token",
    "refresh_token",
    "provider_token",
    "provider_refresh_token",
    "id_token",
    "token",
    "token_hash",
    "jwt",
    "code",
    "code_verifier",
    "secret",
    "password",
    "X-Amz-Signature",
];

/// Takes the API key out of a query: the key, decoded, and the query without it. `None` if there is none.
///
/// Of several the first counts; all are taken out.
pub fn take_api_key(query: &str) -> Option<(String, String)> {
    let is_key = |parameter: &str| parameter.split_once('=').is_some_and(|(name, _)| names(name, API_KEY));
    if !query.split('&').any(is_key) {
        return None;
    }
    let mut key = None;
    let mut rest = String::new();
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some((name, value)) if names(name, API_KEY) => {
                key.get_or_insert_with(|| percent_decode_str(value).decode_utf8_lossy().into_owned());
            }
            _ => {
                if !rest.is_empty() {
                    rest.push('&');
                }
                rest.push_str(parameter);
            }
        }
    }
    key.map(|key| (key, rest))
}

/// The query as it may be logged: values of secret parameters replaced, whatever looks like a token or a key as well.
pub fn redacted(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let parts = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if is_secret(parameter) => format!("{name}=***"),
        None if is_secret(parameter) => "***".to_owned(),
        _ => parameter.to_owned(),
    });
    Cow::Owned(parts.collect::<Vec<_>>().join("&"))
}

fn is_secret(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
    SECRET_PARAMETERS.iter().any(|secret| names(name, secret))
        || ["eyJ", "sb_secret_", "sb_publishable_"].iter().any(|start| value.contains(start))
}

/// Whether a parameter's name, however percent-encoded and in whatever case, is this one.
fn names(written: &str, name: &str) -> bool {
    written.eq_ignore_ascii_case(name)
        || (written.contains('%')
            && percent_decode_str(written).decode_utf8_lossy().eq_ignore_ascii_case(name))
}

/// Text from a client as it may be logged: control characters escaped, no longer than `limit` bytes.
pub fn log_text(text: &str, limit: usize) -> Cow<'_, str> {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let text = text.get(..end).unwrap_or_default();
    if text.chars().any(char::is_control) {
        Cow::Owned(
            text.chars()
                .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_key_is_taken_out_wherever_it_stands() {
        let table = [
            ("apikey=k", Some(("k", ""))),
            ("apikey=k&select=id", Some(("k", "select=id"))),
            ("select=id&apikey=k%2B1&limit=1", Some(("k+1", "select=id&limit=1"))),
            ("%61pikey=k&a=b", Some(("k", "a=b"))),
            ("APIKEY=k", Some(("k", ""))),
            ("apikey=k&apikey=l&a=b", Some(("k", "a=b"))),
            ("my_apikey=k&a=apikey", None),
            ("", None),
        ];
        for (query, expected) in table {
            let found = take_api_key(query);
            let found = found.as_ref().map(|(key, rest)| (key.as_str(), rest.as_str()));
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn no_secret_of_a_query_reaches_a_log() {
        let table = [
            ("select=id&limit=1", "select=id&limit=1"),
            ("apikey=abc&select=id", "apikey=***&select=id"),
            ("access_token=abc", "access_token=***"),
            ("%74oken=abc", "%74oken=***"),
            ("id=eq.sb_secret_abc", "id=***"),
            ("x=eyJhbGciOi.x.y&y=1", "x=***&y=1"),
            ("sb_secret_abc", "***"),
        ];
        for (query, expected) in table {
            assert_eq!(redacted(query), expected);
        }
    }

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(log_text("plain", 10), "plain");
        assert_eq!(log_text("a\r\nb\u{1b}[0m\u{85}", 50), "a\\r\\nb\\u{1b}[0m\\u{85}");
        assert_eq!(log_text("ééé", 3), "é");
    }
}
