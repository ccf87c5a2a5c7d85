//! Percent-decoding of paths, query strings and forms, and the canonical form of a query string.
//!
//! Decoded text is UTF-8 without NUL, always; anything else is refused here, so that no later stage meets it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// Letters, digits and `-_.~` stand for themselves.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A decoded parameter; the value is `None` where there was no `=`.
pub(in crate::rest::core) type Parameter = (String, Option<String>);

/// Splits a query string or form at `&` and `;` and decodes it. `None` for invalid UTF-8 or NUL.
pub(in crate::rest::core) fn parameters(query: &[u8]) -> Option<Vec<Parameter>> {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    let mut pieces: Vec<&[u8]> = query.split(|byte| matches!(byte, b'&' | b';')).collect();
    if pieces.last().is_some_and(|last| last.is_empty()) {
        pieces.pop();
    }
    pieces
        .into_iter()
        .map(|piece| match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                let (name, value) = piece.split_at(at);
                Some((decode_form(name)?, Some(decode_form(value.strip_prefix(b"=")?)?)))
            }
            None => Some((decode_form(piece)?, None)),
        })
        .collect()
}

fn decode_form(bytes: &[u8]) -> Option<String> {
    if bytes.contains(&b'+') {
        let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        return decode(&spaced);
    }
    decode(bytes)
}

/// Decodes percent escapes; malformed ones stand for themselves.
fn decode(bytes: &[u8]) -> Option<String> {
    let text = match Cow::from(percent_decode(bytes)) {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok()?.to_owned(),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok()?,
    };
    (!text.contains('\0')).then_some(text)
}

/// Splits a path at `/` and decodes the segments. `None` for invalid UTF-8 or NUL.
pub(super) fn path_segments(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.split('/').map(|segment| decode(segment.as_bytes())).collect()
}

/// The parameters sorted by name, repeated names joined by commas, everything encoded.
pub(super) fn canonical(parameters: &[Parameter]) -> String {
    let mut sorted: Vec<&Parameter> = parameters.iter().collect();
    sorted.sort_by(|one, two| one.0.cmp(&two.0));
    let mut text = String::new();
    let mut previous: Option<&str> = None;
    for (name, value) in sorted {
        if previous == Some(name) {
            text.push(',');
        } else {
            if previous.is_some() {
                text.push('&');
            }
            text.extend(utf8_percent_encode(name, RESERVED));
            text.push('=');
        }
        text.extend(utf8_percent_encode(value.as_deref().unwrap_or_default(), RESERVED));
        previous = Some(name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Option<Vec<(String, String)>> {
        let decoded = parameters(query.as_bytes())?;
        Some(
            decoded
                .into_iter()
                .map(|(name, value)| (name, value.unwrap_or_else(|| "-".to_owned())))
                .collect(),
        )
    }

    fn owned(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn parameters_are_split_then_decoded() {
        for (query, expected) in [
            ("", &[][..]),
            ("?a=1", &[("a", "1")]),
            ("a=1&b=2;c=3", &[("a", "1"), ("b", "2"), ("c", "3")]),
            ("a=1&", &[("a", "1")]),
            ("a&b=", &[("a", "-"), ("b", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a%3Db=c%26d", &[("a=b", "c&d")]),
            ("a=1+2%2B3", &[("a", "1 2+3")]),
            ("a=%zz%4%", &[("a", "%zz%4%")]),
            ("a=%C3%A9", &[("a", "é")]),
            ("&&a=1", &[("", "-"), ("", "-"), ("a", "1")]),
        ] {
            assert_eq!(pairs(query), Some(owned(expected)), "{query:?}");
        }
    }

    #[test]
    fn text_that_is_no_utf8_or_holds_nul_is_refused() {
        for query in ["a=%FF", "%C3=1", "a=%00", "a=%ED%A0%80"] {
            assert_eq!(pairs(query), None, "{query:?}");
        }
        assert_eq!(path_segments("/a%00"), None);
        assert_eq!(path_segments("/%FF"), None);
    }

    #[test]
    fn a_path_is_its_segments() {
        for (path, expected) in [
            ("", &[][..]),
            ("/", &[]),
            ("/items", &["items"]),
            ("/items/", &["items", ""]),
            ("/rpc/a%2Fb", &["rpc", "a/b"]),
            ("/a+b", &["a+b"]),
            ("//", &["", ""]),
        ] {
            let segments = path_segments(path).unwrap_or_default();
            assert_eq!(segments, expected, "{path:?}");
        }
    }

    #[test]
    fn the_canonical_form_is_sorted_joined_and_encoded() {
        let canonical = |query: &str| canonical(&parameters(query.as_bytes()).unwrap_or_default());
        assert_eq!(canonical("a=1&c=3&b=2&d"), "a=1&b=2&c=3&d=");
        assert_eq!(canonical("b=eq.1&a=x y&b=gt.0"), "a=x%20y&b=eq.1,gt.0");
        assert_eq!(canonical("name=eq.é(*)"), "name=eq.%C3%A9%28%2A%29");
        assert_eq!(canonical(""), "");
    }
}
