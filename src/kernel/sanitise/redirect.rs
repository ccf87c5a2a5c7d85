//! Addresses that a browser is sent to. Which ones are allowed is the business of the allow-list; here are the tricks by
//! which one address reads as another.

use std::borrow::Cow;

use super::characters::unfit_in_line;
use super::class::Class;
use super::{Checked, pattern, text};

/// The longest address in bytes.
const LONGEST: usize = 2048;

/// Schemes that run in the page instead of leading somewhere.
const RUNNING: [&str; 7] = ["javascript", "vbscript", "data", "blob", "file", "filesystem", "view-source"];

pub(super) fn check(input: &str) -> Checked<'_> {
    if input.len() > LONGEST {
        return text::too_long(input);
    }
    let value = input.trim_matches(' ');
    let mut findings = unfit_in_line(value);
    if value.contains('\\') {
        findings.insert(Class::Encoding); // browsers read it as a slash
    }
    if value.contains(char::is_whitespace) {
        findings.insert(Class::Malformed);
    }
    let scheme = value.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if RUNNING.contains(&scheme.as_str()) {
        findings.insert(Class::Script);
    }
    let place = value.split(['?', '#']).next().unwrap_or_default();
    let after_scheme = place.split_once("://").map_or(place, |(_, rest)| rest);
    let (authority, path) = after_scheme.split_once('/').unwrap_or((after_scheme, ""));
    if place.contains("://") && authority.contains('@') {
        findings.insert(Class::Malformed); // https://good.example@evil.example/
    }
    if !path.is_empty() {
        // The path is relative to its host here; the checks of a path hold for it.
        findings.extend(pattern::leaves_folder(path.trim_start_matches('/')));
    }
    // Percent signs are how an address is written: they hide nothing in a query.
    findings.extend(pattern::scan(value).without(Class::Encoding));
    Checked { value: Cow::Borrowed(value), findings }
}
