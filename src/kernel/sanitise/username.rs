//! User names: 3 to 64 letters and digits of one script, with `.`, `_` and `-` between them, in NFKC.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_security::{GeneralSecurityProfile as _, MixedScript as _};

use super::characters::unfit_in_line;
use super::class::{Class, Findings};
use super::{Checked, confusable, pattern, text};

/// The shortest and the longest name, in characters.
const SHORTEST: usize = 3;
const LONGEST: usize = 64;
/// The bytes that an input may have to be looked at.
const MEASURED: usize = 16 * LONGEST;

/// What user names are compared by: NFKC without case. Two names with one key are one name.
///
/// Case is folded by way of upper case, character by character, which joins all that Unicode's case folding joins (`ß`
/// with `ss`, `ς` with `σ`) and the dotless `ı` with `i`.
pub fn username_key(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let fold = |text: &str| -> String {
        let folded: String = text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        folded.nfkc().collect()
    };
    // Composition may bring together what folds again (U+0345): the second pass settles it.
    fold(&fold(name))
}

pub(super) fn check(input: &str) -> Checked<'_> {
    if input.len() > MEASURED {
        return text::too_long(input);
    }
    let typed = input.trim_matches(' ');
    let mut findings = unfit_in_line(typed);
    if typed.chars().any(confusable::is_styled_letter) {
        findings.insert(Class::Homoglyph);
    }
    let value = if typed.is_ascii() { Cow::Borrowed(typed) } else { Cow::Owned(typed.nfkc().collect()) };
    findings.extend(grammar(&value));
    if !value.is_ascii() {
        if !value.is_single_script() {
            findings.insert(Class::MixedScript);
        }
        if confusable::reads_like_ascii(&value) {
            findings.insert(Class::Homoglyph);
        }
    }
    findings.extend(pattern::scan(&value));
    Checked { value, findings }
}

/// Length and characters. Digits alone are refused: such a name would be a telephone number at login.
fn grammar(name: &str) -> Findings {
    let mut findings = Findings::default();
    if !(SHORTEST..=LONGEST).contains(&name.chars().count()) {
        findings.insert(Class::Length);
    }
    let is_inner = |c: char| matches!(c, '.' | '_' | '-');
    let is_letter = |c: char| {
        c.is_ascii_alphanumeric()
            || !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c)) && c.identifier_allowed()
    };
    let outer_fits = name.starts_with(|c| is_letter(c) && !is_combining_mark(c)) && !name.ends_with(is_inner);
    let all_fit = name.chars().all(|c| is_letter(c) || is_inner(c));
    let is_number = name.chars().all(|c| c.is_numeric() || is_inner(c));
    if !outer_fits || !all_fit || is_number || name.contains("..") {
        findings.insert(Class::Malformed);
    }
    findings
}
