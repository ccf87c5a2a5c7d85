//! Telephone numbers: the digits of E.164, at most 15, without the plus (contract of `auth`, section 3).

use std::borrow::Cow;

use super::characters::{self, Lines};
use super::class::Class;
use super::name::trimmed;
use super::{Checked, pattern, text};

/// The digits of a number with its country code (E.164, section 6).
const DIGITS: std::ops::RangeInclusive<usize> = 2..=15;
/// The bytes that an input may have to be looked at: room for what address books put between digits.
const MEASURED: usize = 128;

pub(super) fn check(input: &str) -> Checked<'_> {
    if input.len() > MEASURED {
        return text::too_long(input);
    }
    // Address books wrap numbers into marks of direction: those are cleaned.
    let (value, mut findings) = characters::clean(input, Lines::One);
    let value = trimmed(value);
    let digits: String = match value.strip_prefix('+').unwrap_or(&value) {
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.to_owned(),
        written => written.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '\u{a0}')).collect(),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.starts_with('0') || digits.is_empty() {
        findings.insert(Class::Malformed);
        findings.extend(pattern::scan(&value));
    } else if !DIGITS.contains(&digits.len()) {
        findings.insert(Class::Length);
    }
    let value = if *input == *digits { Cow::Borrowed(input) } else { Cow::Owned(digits) };
    Checked { value, findings }
}
