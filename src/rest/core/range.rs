//! Row ranges: `limit`, `offset`, the `Range` header, `Content-Range`, and the status that follows from a count.
//!
//! Bounds are 128-bit so that arithmetic on anything a client can spell saturates instead of wrapping; what does not
//! fit PostgreSQL's bigint is left to PostgreSQL to refuse. Pure arithmetic: no headers are read here, only values.

/// Numbers beyond this are not told apart: far outside bigint.
const BOUND: i128 = 1 << 100;
/// Sums of numbers stay below this, and sums of sums below the type's limit.
const SUM_BOUND: i128 = 1 << 110;

/// A half-open or closed range of row numbers, counted from 0.
///
/// An upper bound below the lower one is possible (`limit=-1`); [`RowRange::is_empty`] tells. `limit=0` is the range
/// from 0 to -1, empty but legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowRange {
    /// First row.
    lower: i128,
    /// Last row, if bounded.
    upper: Option<i128>,
}

impl Default for RowRange {
    fn default() -> Self {
        Self::ALL
    }
}

impl RowRange {
    /// Every row.
    pub const ALL: Self = Self { lower: 0, upper: None };
    /// What `limit=0` asks for: no row, which is no error.
    pub const LIMIT_ZERO: Self = Self { lower: 0, upper: Some(-1) };
    /// The result of intersecting with an empty range.
    const EMPTY: Self = Self { lower: BOUND, upper: Some(-BOUND) };

    /// All rows from `lower` on.
    pub fn from_offset(lower: i128) -> Self {
        Self { lower: lower.clamp(-BOUND, BOUND), upper: None }
    }

    /// The rows `lower` to `upper`, both included.
    pub fn between(lower: i128, upper: i128) -> Self {
        Self { lower: lower.clamp(-BOUND, BOUND), upper: Some(upper.clamp(-SUM_BOUND, SUM_BOUND)) }
    }

    /// Number of the first row; what `OFFSET` takes.
    pub fn offset(&self) -> i128 {
        self.lower
    }

    /// How many rows, if bounded; what `LIMIT` takes. Negative where the client asked for nonsense.
    pub fn limit(&self) -> Option<i128> {
        self.upper.map(|upper| upper - self.lower + 1)
    }

    /// Whether no row can be in it.
    pub fn is_empty(&self) -> bool {
        self.upper.is_some_and(|upper| upper < self.lower)
    }

    /// Whether it asks for every row.
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    /// Whether `limit=0` made it.
    pub fn has_limit_zero(&self) -> bool {
        self.upper == Some(-1)
    }

    /// The rows in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return Self::EMPTY;
        }
        let upper = match (self.upper, other.upper) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { lower: self.lower.max(other.lower), upper }
    }

    /// At most `limit` rows of it (`max-rows`, or a `limit` parameter); unchanged without a limit.
    #[must_use]
    pub fn restrict(self, limit: Option<i128>) -> Self {
        let Some(limit) = limit else { return self };
        if self.is_empty() {
            return Self::EMPTY;
        }
        let last = self.lower + limit.clamp(-BOUND, BOUND) - 1;
        Self { lower: self.lower, upper: Some(self.upper.map_or(last, |upper| upper.min(last))) }
    }

    /// [`RowRange::LIMIT_ZERO`] if this range came from `limit=0`, else `otherwise`.
    ///
    /// Keeps `limit=0` legal where other empty ranges are errors.
    #[must_use]
    pub fn convert_to_limit_zero(self, otherwise: Self) -> Self {
        if self.has_limit_zero() { Self::LIMIT_ZERO } else { otherwise }
    }

    /// At most `max_rows` rows of it, as every level of a read is cut; `limit=0` stays what it is.
    #[must_use]
    pub fn with_max_rows(self, max_rows: Option<i128>) -> Self {
        self.convert_to_limit_zero(self.restrict(max_rows))
    }
}

/// Joins a `limit` and an `offset` parameter of the same level into one range.
pub(super) fn join_limit_and_offset(limit: RowRange, offset: RowRange) -> RowRange {
    let rows = limit.limit().unwrap_or(0);
    RowRange::between(offset.offset(), offset.offset() + rows - 1)
}

/// Reads a `Range` header value: `first-last` or `first-`. Anything else asks for every row.
pub fn parse_range_header(value: &str) -> RowRange {
    let Some((first, last)) = value.split_once('-') else { return RowRange::ALL };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if first.is_empty() || !digits(first) || !digits(last) {
        return RowRange::ALL;
    }
    let lower = saturating_digits(first);
    if last.is_empty() {
        RowRange::from_offset(lower)
    } else {
        RowRange::between(lower, saturating_digits(last))
    }
}

/// Reads an integer as the values of `limit` and `offset` are read; `None` where it is no integer at all.
///
/// Accepts what PostgREST accepts: blanks around, parentheses around, a minus sign with blanks behind it, and
/// hexadecimal, octal and binary with their prefixes. No plus sign.
pub fn parse_integer(text: &str) -> Option<i128> {
    let mut rest = text.trim();
    while let Some(inner) = rest.strip_prefix('(') {
        rest = inner.strip_suffix(')')?.trim();
    }
    let (negative, digits) = match rest.strip_prefix('-') {
        Some(behind) => (true, behind.trim_start()),
        None => (false, rest),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        _ => (10, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    for digit in digits.chars() {
        value = (value * i128::from(radix) + i128::from(digit.to_digit(radix)?)).min(BOUND);
    }
    Some(if negative { -value } else { value })
}

fn saturating_digits(text: &str) -> i128 {
    text.bytes().fold(0, |value, digit| (value * 10 + i128::from(digit.wrapping_sub(b'0'))).min(BOUND))
}

/// The value of `Content-Range` for rows `lower` to `upper` of `total`.
pub fn content_range(lower: i128, upper: i128, total: Option<i128>) -> String {
    let total_text = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    if total != Some(0) && lower <= upper {
        format!("{lower}-{upper}/{total_text}")
    } else {
        format!("*/{total_text}")
    }
}

/// How many of the rows that exist an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeStatus {
    /// All of them, or nobody counted: 200.
    Complete,
    /// Some of them: 206.
    Partial,
    /// The first row asked for is past the end: 416.
    OutOfBounds,
}

/// Status of an answer that holds the rows `lower` to `upper` of `total`.
pub fn range_status(lower: i128, upper: i128, total: Option<i128>) -> RangeStatus {
    match total {
        Some(total) if lower > total => RangeStatus::OutOfBounds,
        Some(total) if 1 + upper - lower < total => RangeStatus::Partial,
        _ => RangeStatus::Complete,
    }
}

/// Status and `Content-Range` of a read that asked for `range` and got `rows` of `total` rows.
pub fn answer_range(range: RowRange, rows: i64, total: Option<i64>) -> (RangeStatus, String) {
    let (lower, total) = (range.offset(), total.map(i128::from));
    let upper = lower + i128::from(rows) - 1;
    (range_status(lower, upper, total), content_range(lower, upper, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_leniently_as_postgrest_reads_them() {
        for (text, value) in [
            ("5", Some(5)),
            (" 5 ", Some(5)),
            ("-5", Some(-5)),
            ("- 5", Some(-5)),
            ("(5)", Some(5)),
            ("( (-5) )", Some(-5)),
            ("0x1F", Some(31)),
            ("0o17", Some(15)),
            ("007", Some(7)),
            ("", None),
            ("-", None),
            ("+5", None),
            ("5.0", None),
            ("1e3", None),
            ("(5", None),
            ("5)", None),
            ("-(5)", None),
            ("0x", None),
            ("abc", None),
        ] {
            assert_eq!(parse_integer(text), value, "{text:?}");
        }
    }

    #[test]
    fn numbers_of_any_length_saturate_outside_bigint() {
        let long = "9".repeat(10_000);
        assert!(parse_integer(&long).is_some_and(|value| value > i128::from(i64::MAX)));
        assert!(parse_range_header(&format!("{long}-{long}")).offset() > i128::from(i64::MAX));
        let range = RowRange::from_offset(i128::MAX).restrict(Some(i128::MAX));
        assert!(range.offset() > i128::from(i64::MAX));
        assert!(join_limit_and_offset(RowRange::ALL.restrict(Some(i128::MAX)), range).limit().is_some());
    }

    #[test]
    fn a_range_header_is_first_dash_last() {
        assert_eq!(parse_range_header("0-9"), RowRange::between(0, 9));
        assert_eq!(parse_range_header("5-"), RowRange::from_offset(5));
        assert_eq!(parse_range_header("0-"), RowRange::ALL);
        for nonsense in ["", "-", "-5", "items=0-9", "a-b", "0-9,10-19", "0-9 ", "1-2-3", "٣-٤"] {
            assert_eq!(parse_range_header(nonsense), RowRange::ALL, "{nonsense:?}");
        }
        assert!(parse_range_header("1-0").is_empty());
    }

    #[test]
    fn max_rows_caps_every_range_but_keeps_limit_zero() {
        assert_eq!(RowRange::ALL.with_max_rows(Some(10)), RowRange::between(0, 9));
        assert_eq!(RowRange::between(5, 7).with_max_rows(Some(10)), RowRange::between(5, 7));
        assert_eq!(RowRange::from_offset(5).with_max_rows(Some(2)), RowRange::between(5, 6));
        assert_eq!(RowRange::LIMIT_ZERO.with_max_rows(Some(10)), RowRange::LIMIT_ZERO);
        assert_eq!(RowRange::ALL.with_max_rows(None), RowRange::ALL);
        assert_eq!(RowRange::LIMIT_ZERO.limit(), Some(0));
    }

    #[test]
    fn content_range_says_which_rows_of_how_many() {
        assert_eq!(content_range(0, 9, Some(20)), "0-9/20");
        assert_eq!(content_range(0, 9, None), "0-9/*");
        assert_eq!(content_range(0, -1, None), "*/*");
        assert_eq!(content_range(0, -1, Some(0)), "*/0");
        assert_eq!(content_range(5, 4, Some(3)), "*/3");
    }

    #[test]
    fn the_status_follows_from_rows_and_total() {
        assert_eq!(answer_range(RowRange::ALL, 3, None).0, RangeStatus::Complete);
        assert_eq!(answer_range(RowRange::ALL, 3, Some(3)).0, RangeStatus::Complete);
        assert_eq!(answer_range(RowRange::ALL, 3, Some(4)).0, RangeStatus::Partial);
        assert_eq!(answer_range(RowRange::from_offset(5), 0, Some(4)).0, RangeStatus::OutOfBounds);
        assert_eq!(
            answer_range(RowRange::from_offset(4), 0, Some(4)),
            (RangeStatus::Partial, "*/4".to_owned())
        );
    }
}
