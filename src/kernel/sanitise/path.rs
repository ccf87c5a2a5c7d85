//! Relative paths of objects and files: at most 1,024 bytes, never out of their folder, however the way out is spelled.

use std::borrow::Cow;

use super::characters::unfit_in_line;
use super::class::Class;
use super::{Checked, pattern, text};

/// The longest path in bytes.
const LONGEST: usize = 1024;

pub(super) fn check(input: &str) -> Checked<'_> {
    if input.len() > LONGEST {
        return text::too_long(input);
    }
    let mut findings = unfit_in_line(input);
    findings.extend(pattern::leaves_folder(input));
    findings.extend(pattern::scan(input));
    if input.trim_matches(['/', ' ']).is_empty() {
        findings.insert(Class::Malformed);
    }
    Checked { value: Cow::Borrowed(input), findings }
}
