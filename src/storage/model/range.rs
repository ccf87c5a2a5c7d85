//! The header `Range` (RFC 9110 section 14): one range is served, anything else is passed over.

use std::ops::Range;

/// What a request wants of an object of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have: 416.
    Nothing,
}

/// Reads the header. One that cannot be read, or asks for several ranges, is passed over as the standard allows: several
/// would cost a server more than they cost the client.
pub(in crate::storage) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| {
        let (unit, spec) = header.split_once('=')?;
        unit.trim().eq_ignore_ascii_case("bytes").then_some(spec.trim())
    }) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| -> Option<u64> {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => Wanted::Nothing,
            _ if size == 0 => Wanted::Nothing,
            suffix => Wanted::Part(size.saturating_sub(suffix)..size),
        },
        (Some(first), _)
            if first >= size && (last.is_empty() || number(last).is_some_and(|last| last >= first)) =>
        {
            Wanted::Nothing
        }
        (Some(first), None) if last.is_empty() => Wanted::Part(first..size),
        (Some(first), Some(last)) if last >= first => Wanted::Part(first..last.saturating_add(1).min(size)),
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h19_one_range_is_served_and_anything_odd_is_passed_over() {
        for (header, expected) in [
            ("bytes=0-3", Wanted::Part(0..4)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=5-500", Wanted::Part(5..10)),
            ("bytes=9-9", Wanted::Part(9..10)),
            ("Bytes = 0 - 0", Wanted::Part(0..1)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=20-12", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("items=0-3", Wanted::Whole),
            ("bytes", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
