//! Conditional requests (RFC 9110 section 13): what is answered where the client has the bytes already, or other ones.

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Verdict {
    /// It is served.
    Serve,
    /// 304: the client has it.
    NotModified,
    /// 412: the client wants another one.
    Failed,
}

/// Looks at the conditions in the order of section 13.2.2. `etag` is quoted, `modified` of whole seconds.
pub(in crate::storage) fn verdict(headers: &HeaderMap, etag: &str, modified: DateTime<Utc>) -> Verdict {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if let Some(wanted) = text(IF_MATCH) {
        if !matches_any(wanted, etag, false) {
            return Verdict::Failed;
        }
    } else if text(IF_UNMODIFIED_SINCE).and_then(date).is_some_and(|since| modified.timestamp() > since) {
        return Verdict::Failed;
    }
    if let Some(held) = text(IF_NONE_MATCH) {
        return if matches_any(held, etag, true) { Verdict::NotModified } else { Verdict::Serve };
    }
    match text(IF_MODIFIED_SINCE).and_then(date) {
        Some(since) if modified.timestamp() <= since => Verdict::NotModified,
        _ => Verdict::Serve,
    }
}

/// Whether a range is to be served, as far as `If-Range` says: of these bytes and no others.
pub(in crate::storage) fn range_holds(headers: &HeaderMap, etag: &str, modified: DateTime<Utc>) -> bool {
    match headers.get(IF_RANGE).map(|value| value.to_str().unwrap_or_default()) {
        None => true,
        Some(tag) if tag.starts_with('"') => tag == etag,
        Some(time) => date(time) == Some(modified.timestamp()),
    }
}

/// A time as HTTP writes it.
pub(in crate::storage) fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn date(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc2822(text.trim()).ok().map(|time| time.timestamp())
}

fn matches_any(list: &str, etag: &str, weakly: bool) -> bool {
    list.trim() == "*"
        || list.split(',').map(str::trim).any(|tag| {
            let bare = if weakly { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
            bare == etag || bare == etag.trim_matches('"')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(headers: &[(http::HeaderName, &'static str)]) -> Verdict {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)))
            .collect();
        verdict(&headers, "\"abc\"", DateTime::from_timestamp(1_000_000_000, 0).unwrap())
    }

    #[test]
    fn a_client_that_has_it_is_told_so() {
        assert_eq!(at(&[(IF_NONE_MATCH, "\"x\", W/\"abc\"")]), Verdict::NotModified);
        assert_eq!(at(&[(IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(at(&[(IF_NONE_MATCH, "\"x\"")]), Verdict::Serve);
        assert_eq!(at(&[(IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:40 GMT")]), Verdict::NotModified);
        assert_eq!(at(&[(IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:39 GMT")]), Verdict::Serve);
        assert_eq!(at(&[(IF_MODIFIED_SINCE, "yesterday")]), Verdict::Serve);
        assert_eq!(
            at(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:40 GMT")]),
            Verdict::Serve,
            "the tag counts before the time"
        );
    }

    #[test]
    fn a_client_that_wants_another_one_gets_none() {
        assert_eq!(at(&[(IF_MATCH, "\"abc\"")]), Verdict::Serve);
        assert_eq!(at(&[(IF_MATCH, "W/\"abc\"")]), Verdict::Failed);
        assert_eq!(at(&[(IF_MATCH, "\"x\"")]), Verdict::Failed);
        assert_eq!(at(&[(IF_UNMODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:39 GMT")]), Verdict::Failed);
        assert_eq!(at(&[(IF_UNMODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:40 GMT")]), Verdict::Serve);
    }

    #[test]
    fn a_range_is_of_the_bytes_that_the_client_has_begun() {
        let modified = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let holds = |value: &'static str| {
            let headers = HeaderMap::from_iter([(IF_RANGE, http::HeaderValue::from_static(value))]);
            range_holds(&headers, "\"abc\"", modified)
        };
        assert!(holds("\"abc\"") && holds("Sun, 09 Sep 2001 01:46:40 GMT"));
        assert!(!holds("\"x\"") && !holds("Sun, 09 Sep 2001 01:46:41 GMT") && !holds("W/\"abc\""));
        assert_eq!(http_date(modified), "Sun, 09 Sep 2001 01:46:40 GMT");
    }
}
