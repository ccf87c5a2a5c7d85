//! Names of people and things: one line in NFC, at most 100 characters, of every script.
//!
//! No list of allowed characters: `O'Brien`, `Nuñez-O’Connor y Ruiz, Jr.` and `Ng'ang'a` are names. What is refused is
//! what no name holds and what a careless template, shell or report further on would trip over.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::characters::{self, Lines};
use super::class::Class;
use super::{Checked, confusable, pattern, text};

/// The longest name, in characters.
const LONGEST: usize = 100;
/// The bytes that an input may have to be looked at: room for characters that are cleaned away or composed.
const MEASURED: usize = 16 * LONGEST;

pub(super) fn check(input: &str) -> Checked<'_> {
    if input.len() > MEASURED {
        return text::too_long(input);
    }
    let (value, mut findings) = characters::clean(input, Lines::One);
    let value = trimmed(composed(value));
    if value.chars().count() > LONGEST {
        findings.insert(Class::Length);
    }
    findings.extend(pattern::scan(&value));
    if !value.is_ascii() {
        findings.extend(confusable::check_words(&value));
    }
    Checked { value, findings }
}

/// The text in NFC.
fn composed(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return text;
    }
    let composed: String = text.nfc().collect();
    if *composed == *text { text } else { Cow::Owned(composed) }
}

/// The text without white space at its ends.
pub(super) fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(owned) => {
            let trimmed = owned.trim();
            if trimmed.len() == owned.len() { Cow::Owned(owned) } else { Cow::Owned(trimmed.to_owned()) }
        }
    }
}
