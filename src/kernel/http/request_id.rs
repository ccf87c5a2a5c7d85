//! Ids that tie together an answer, its log lines and a distributed trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::kernel::random::Random;

/// The header in which request ids travel.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST_ID: usize = 128;

/// The id of one request: letters, digits and `-_.:/+=@`, at most 128 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the value of a header, cheap to clone.
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The client's own id, where it sent one that is fit for logs.
    fn from_client(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(X_REQUEST_ID)?;
        let fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        let bytes = value.as_bytes();
        (!bytes.is_empty() && bytes.len() <= LONGEST_ID && bytes.iter().all(fit)).then(|| Self(value.clone()))
    }
}

/// Gives out ids that are unique over processes and time, but no secrets.
#[derive(Clone, Debug)]
pub struct RequestIds(Arc<Series>);

#[derive(Debug)]
struct Series {
    process: u64,
    key: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// A series that no other process shares.
    pub fn new(random: &Random) -> Self {
        let process = u64::from_le_bytes(random.bytes());
        let key = u64::from_le_bytes(random.bytes());
        Self(Arc::new(Series { process, key, next: AtomicU64::new(0) }))
    }

    /// The client's id if it is fit to be used, else a new one of 32 hexadecimal digits.
    pub fn for_request(&self, headers: &HeaderMap) -> RequestId {
        RequestId::from_client(headers).unwrap_or_else(|| self.generate())
    }

    fn generate(&self) -> RequestId {
        // An odd factor keeps the count unique and spreads it, so that ids do not look alike.
        let count =
            self.0.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.0.key;
        let number = (u128::from(self.0.process) << 64) | u128::from(count);
        let mut text = [0_u8; 32];
        let _ = hex::encode_to_slice(number.to_be_bytes(), &mut text);
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("unknown")))
    }
}

/// A W3C trace context as sent in `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The id of the whole trace; never zero.
    pub trace_id: u128,
    /// The client's span; never zero.
    pub parent_id: u64,
    /// Whether the client records this trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads `traceparent`; a malformed one is as good as none (W3C Trace Context section 3.2).
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all("traceparent").iter();
        let text = lines.next()?.to_str().ok()?;
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        if lines.next().is_some() || !text.bytes().take(55).all(hex) {
            return None;
        }
        let mut parts = text.split('-');
        let mut part = |length: usize| parts.next().filter(|part| part.len() == length);
        let (version, trace_id, parent_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            parent_id: u64::from_str_radix(parent_id, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (context.trace_id != 0 && context.parent_id != 0).then_some(context)
    }

    /// The trace id as 32 hexadecimal digits.
    pub fn trace_id_text(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_sane_incoming_id_is_kept_and_any_other_replaced() {
        let ids = RequestIds::new(&Random::seeded(1));
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            ids.for_request(&headers).as_str().to_owned()
        };
        let sane = "0b6a1f0e-9a.b:c/d+e=@_";
        assert_eq!(id(sane), sane);
        for insane in ["", "a b", "a\tb", "<script>", "\"", "{}", "é", &"x".repeat(129)] {
            let given = id(insane);
            assert_eq!(given.len(), 32, "{insane}");
        }
    }

    #[test]
    fn generated_ids_do_not_repeat() {
        let ids = RequestIds::new(&Random::seeded(1));
        let all: HashSet<String> =
            (0..10_000).map(|_| ids.for_request(&HeaderMap::new()).as_str().to_owned()).collect();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn traceparent_is_read_or_ignored() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            TraceContext::from_headers(&headers)
        };
        let good = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(good.trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(good.sampled);
        assert!(read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-later").is_some());
        let bad = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ];
        for text in bad {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
