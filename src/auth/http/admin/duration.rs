//! Durations as Go writes them, in which clients say how long a ban lasts: `24h`, `1h30m`, `1.5h`, `100ms`. Pure.

use chrono::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The units, with their nanoseconds. Both signs that are used for micro are taken.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3600 * NANOS_PER_SECOND),
];

/// The duration that a text says: a sign, then numbers with a unit each, or just `0`. None where it says none, or one over
/// what 63 bits of nanoseconds hold (292 years).
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::zero());
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, left) = component(rest)?;
        total = total.checked_add(nanos)?;
        rest = left;
    }
    let total = i64::try_from(total).ok()?;
    Some(Duration::nanoseconds(if is_negative { -total } else { total }))
}

/// One number with its unit, and what follows.
fn component(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = whole.checked_mul(scale)?.checked_add(part(fraction, scale))?;
    Some((nanos, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The nanoseconds of a fraction of a unit; what is below one is dropped.
fn part(fraction: &str, scale: u64) -> u64 {
    let (mut digits, mut below): (u128, u128) = (0, 1);
    for digit in fraction.bytes().take(18) {
        digits = digits * 10 + u128::from(digit - b'0');
        below *= 10;
    }
    u64::try_from(u128::from(scale) * digits / below).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> Option<i64> {
        parse(text).and_then(|duration| duration.num_nanoseconds())
    }

    #[test]
    fn durations_are_numbers_with_units_one_after_another() {
        for (text, seconds) in [
            ("24h", 86_400),
            ("1h30m", 5400),
            ("1.5h", 5400),
            (".5m", 30),
            ("5.s", 5),
            ("+3s", 3),
            ("-3s", -3),
        ] {
            assert_eq!(parse(text), Some(Duration::seconds(seconds)), "{text}");
        }
        assert_eq!(nanos("1ns1us1\u{b5}s1\u{3bc}s1ms"), Some(1_003_001));
        assert_eq!(nanos("0.3333333333333333333h"), Some(1_199_999_999_999));
        assert_eq!(nanos("0"), Some(0));
    }

    #[test]
    fn what_says_no_duration_is_refused() {
        for text in
            ["", "-", "+", "1", "1.5", "h", ".h", "1 h", "1d", "1H", "--1s", "1h-1m", "none", "\u{661}h"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        for text in ["2562048h", "9223372036854775808ns", "99999999999999999999s"] {
            assert_eq!(parse(text), None, "{text} is too long");
        }
        assert_eq!(nanos("9223372036854775807ns"), Some(i64::MAX));
    }

    proptest! {
        #[test]
        fn a_sum_is_the_sum_of_its_parts(hours in 0_i64..2_000_000, minutes in 0_i64..60, millis in 0_i64..60_000) {
            let text = format!("{hours}h{minutes}m{}.{:03}s", millis / 1000, millis % 1000);
            let expected = Duration::hours(hours) + Duration::minutes(minutes) + Duration::milliseconds(millis);

            prop_assert_eq!(parse(&text), Some(expected));
            prop_assert_eq!(parse(&format!("-{text}")), Some(-expected));
        }

        #[test]
        fn no_text_is_too_strange(text in "[-+0-9.hmsnu\u{b5} ]{0,40}|\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
