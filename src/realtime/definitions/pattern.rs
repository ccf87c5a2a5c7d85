//! Pure: patterns of channels' names. Each `*` stands for any text, also for none; everything else stands for itself.

use std::cmp::{Ordering, Reverse};
use std::fmt;

/// The longest pattern, in characters.
const LONGEST: usize = 255;
/// What stands for any text.
const ANY: char = '*';

/// A pattern. The order is that in which they are tried: the longest first, of equally long ones the one with fewer stars. A
/// star adds no length.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty.
    #[error("a pattern has at least one character")]
    Empty,
    /// It is longer than [`LONGEST`].
    #[error("a pattern has at most {LONGEST} characters")]
    TooLong,
    /// It holds what no name does.
    #[error("a pattern holds no control characters")]
    Control,
}

impl Pattern {
    /// Reads a pattern. Stars in a row are one.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.chars().count() > LONGEST {
            return Err(PatternError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PatternError::Control);
        }
        let mut pattern = String::with_capacity(text.len());
        for letter in text.chars() {
            if letter != ANY || !pattern.ends_with(ANY) {
                pattern.push(letter);
            }
        }
        Ok(Self(pattern))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split(ANY);
        let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(end) = parts.next_back() else { return rest.is_empty() };
        // What fits as early as it can leaves the most to the others.
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(end)
    }

    fn rank(&self) -> (Reverse<usize>, usize, &str) {
        let stars = self.0.matches(ANY).count();
        (Reverse(self.0.chars().count() - stars), stars, &self.0)
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (text, fitting, others) in [
            ("room", &["room"][..], &["rooms", "a room", "", "*"][..]),
            ("*", &["", "room", "*"], &[]),
            ("room:*", &["room:", "room:1", "room:*"], &["room", "a room:1"]),
            ("*:admin", &[":admin", "a:admin", ":admin:admin"], &["admin", ":admin "]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a*b*c", &["abc", "a-b-c", "abcbc", "abbc"], &["acb", "ab", "bc"]),
            ("*ab*ab", &["abab", "xababab"], &["ab", "aba", "xab"]),
            ("é*", &["é", "éa"], &["e"]),
        ] {
            for name in fitting {
                assert!(pattern(text).fits(name), "{text} {name}");
            }
            for name in others {
                assert!(!pattern(text).fits(name), "{text} {name}");
            }
        }
    }

    #[test]
    fn the_longest_comes_first_and_a_star_adds_no_length() {
        let mut patterns = ["*", "room:*", "room:1", "r*1", "*room:*", "rooms:*"].map(pattern);
        patterns.sort();
        assert_eq!(patterns.map(|one| one.0), ["room:1", "rooms:*", "room:*", "*room:*", "r*1", "*"]);
    }

    #[test]
    fn a_pattern_is_a_text_that_a_name_can_be() {
        for (text, outcome) in [
            ("", Err(PatternError::Empty)),
            ("a\nb", Err(PatternError::Control)),
            ("a\0", Err(PatternError::Control)),
            (&"é".repeat(256), Err(PatternError::TooLong)),
            (&"é".repeat(255), Ok(())),
        ] {
            assert_eq!(Pattern::parse(text).map(drop), outcome, "{text}");
        }
        assert_eq!(pattern("**a***b**").as_str(), "*a*b*");
    }

    /// By the definition: a star is nothing, or a character and a star.
    fn fits_by_definition(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([ANY, rest @ ..], name) => {
                fits_by_definition(rest, name)
                    || name.split_first().is_some_and(|(_, name)| fits_by_definition(pattern, name))
            }
            ([letter, rest @ ..], [first, name @ ..]) => letter == first && fits_by_definition(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn fitting_is_what_the_definition_says(text in "[ab*]{1,8}", name in "[ab]{0,10}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = fits_by_definition(&letters(&text), &letters(&name));
            prop_assert_eq!(pattern(&text).fits(&name), expected);
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error_and_a_pattern_stays_one(text: String, name: String) {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(Pattern::parse(pattern.as_str()), Ok(pattern.clone()));
                let _ = pattern.fits(&name);
            }
        }
    }
}
