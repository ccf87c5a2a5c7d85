//! Free text: unfit characters are cleaned, patterns are only reported.

use super::characters::{self, Lines};
use super::class::{Class, Findings};
use super::{Checked, pattern};

pub(super) fn check(input: &str) -> Checked<'_> {
    let (value, mut findings) = characters::clean(input, Lines::Many);
    findings.extend(pattern::scan(&value));
    Checked { value, findings }
}

/// What holds even where nothing else is looked for.
pub(super) fn check_storable(input: &str) -> Checked<'_> {
    let mut findings = Findings::default();
    if memchr::memchr(0, input.as_bytes()).is_some() {
        findings.insert(Class::NullByte);
    }
    Checked { value: std::borrow::Cow::Borrowed(input), findings }
}

/// A finding of length, and of NUL, for an input that is too long to look at any closer.
pub(super) fn too_long(input: &str) -> Checked<'_> {
    let mut checked = check_storable(input);
    checked.findings.insert(Class::Length);
    checked
}
