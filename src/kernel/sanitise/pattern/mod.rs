//! Patterns of attacks in a text, under every reading that a careless decoder behind us could take.

mod markup;
mod reading;
mod sql;
mod template;
mod traversal;

use super::SCANNED;
use super::class::{Class, Findings};

/// What a text holds: injection, script, templates, traversal, encoded line breaks, and whether it hid them.
pub(super) fn scan(text: &str) -> Findings {
    let text = &text[..text.floor_char_boundary(SCANNED)];
    let mut found = Findings::default();
    let plain = text.to_ascii_lowercase();
    let plainly = look(&plain);
    found.extend(plainly);
    for reading in reading::decoded(&plain) {
        let mut hidden = look(&reading.text);
        if reading.line_break {
            hidden.insert(Class::HeaderInjection);
        }
        if reading.overlong {
            found.insert(Class::Encoding);
        }
        let only_there = Class::ALL.iter().any(|class| hidden.contains(*class) && !plainly.contains(*class));
        if only_there {
            found.insert(Class::Encoding);
        }
        found.extend(hidden);
    }
    found
}

/// Whether a path leaves its folder, under every reading; encoded dots and slashes count as hidden.
pub(super) fn leaves_folder(path: &str) -> Findings {
    let plain = path.to_ascii_lowercase();
    let mut found = Findings::default();
    if traversal::leaves_folder(&plain) {
        found.insert(Class::PathTraversal);
    }
    for reading in reading::decoded(&plain) {
        if traversal::leaves_folder(&reading.text) {
            found.insert(Class::PathTraversal);
            found.insert(Class::Encoding);
        }
        if reading.overlong {
            found.insert(Class::Encoding);
        }
        if reading.text.contains('\0') {
            found.insert(Class::NullByte);
            found.insert(Class::Encoding);
        }
        if reading.line_break {
            found.insert(Class::HeaderInjection);
            found.insert(Class::Encoding);
        }
    }
    found
}

/// One reading, in lower case.
fn look(text: &str) -> Findings {
    let mut found = Findings::default();
    if sql::is_injection(text) {
        found.insert(Class::SqlInjection);
    }
    if markup::runs_script(text) {
        found.insert(Class::Script);
    }
    if template::is_expression(text) {
        found.insert(Class::Template);
    }
    if traversal::is_attack(text) {
        found.insert(Class::PathTraversal);
    }
    found
}
