//! How much of a request its error repeats. Pure.
//!
//! Names and inputs come from clients and may be as large as an address or a body; an answer that repeats them in full
//! helps nobody. Ordinary ones are far below both limits and stay as they are.

use std::borrow::Cow;

use serde_json::Value;

use super::ErrorParts;

/// The longest name in characters; PostgreSQL's own end at 63 bytes.
const LONGEST_NAME: usize = 256;
/// The longest text in characters: a message, its details, or its hint.
const LONGEST_TEXT: usize = 4096;
/// How much of the end is kept, where a message says at which column something is wrong.
const KEPT_END: usize = 32;

/// A name of the request as an error repeats it.
pub(super) fn name(name: &str) -> Cow<'_, str> {
    shortened(name, LONGEST_NAME)
}

/// The error with texts of bounded length.
pub(super) fn bounded(mut parts: ErrorParts) -> ErrorParts {
    shorten(&mut parts.message);
    if let Some(hint) = &mut parts.hint {
        shorten(hint);
    }
    if let Some(Value::String(details)) = &mut parts.details {
        shorten(details);
    }
    parts
}

fn shorten(text: &mut String) {
    if let Cow::Owned(shorter) = shortened(text, LONGEST_TEXT) {
        *text = shorter;
    }
}

/// The text with an ellipsis for its middle where it has more than `longest` characters.
fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    // Bytes first: nearly every text ends here.
    if text.len() <= longest || text.chars().nth(longest).is_none() {
        return Cow::Borrowed(text);
    }
    let start = text.char_indices().nth(longest - KEPT_END - 1).map_or(0, |(at, _)| at);
    let end = text.char_indices().rev().nth(KEPT_END - 1).map_or(text.len(), |(at, _)| at);
    Cow::Owned(format!("{}…{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_longer_than_the_limit_loses_its_middle() {
        for ordinary in ["", "orders", &"x".repeat(LONGEST_NAME), &"é".repeat(LONGEST_NAME)] {
            assert_eq!(name(ordinary), ordinary);
        }
        for letter in ["x", "é"] {
            let cut = name(&letter.repeat(LONGEST_NAME + 1)).into_owned();
            assert_eq!(cut.chars().count(), LONGEST_NAME);
            let (start, end) = cut.split_once('…').unwrap();
            assert_eq!((start.chars().count(), end.chars().count()), (LONGEST_NAME - KEPT_END - 1, KEPT_END));
        }
    }
}
