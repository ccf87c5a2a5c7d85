//! `LIKE` under a deterministic collation, for patterns that are matched in time linear in the text: `%` stands for any
//! characters, `\` makes the next one plain. Those with `_` are left to PostgreSQL, which can be stopped.

/// A pattern as the plain texts between its `%`; at least one, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikePattern(Vec<String>);

impl LikePattern {
    /// `None`: it has a `_`, or it ends within an escape, which PostgreSQL refuses when it gets there.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let mut pieces = vec![String::new()];
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => pieces.push(String::new()),
                '_' => return None,
                plain => {
                    let plain = if plain == '\\' { characters.next()? } else { plain };
                    pieces.last_mut()?.push(plain);
                }
            }
        }
        Some(Self(pieces))
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            // The first place is the best: it leaves most for the others.
            let Some((_, after)) = text.split_once(piece.as_str()) else { return false };
            text = after;
        }
        text.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::LikePattern;

    fn matches(text: &str, pattern: &str) -> bool {
        LikePattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "%b%"),
            ("aXbXc", "a%X%c"),
            ("a%c", "a\\%c"),
            ("aab", "%ab"),
            ("abab", "ab%ab"),
            ("abc", "%%%"),
            ("a\\b", "a\\\\b"),
        ] {
            assert!(matches(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("a", ""),
            ("abc", "ab"),
            ("abc", "bc"),
            ("abc", "A%"),
            ("abc", "a\\%c"),
            ("abd", "%ab"),
            ("ab", "ab%ab"),
            ("aba", "ab%ba"),
            ("ac", "%b%"),
        ] {
            assert!(!matches(text, pattern), "{text} {pattern}");
        }
    }

    #[test]
    fn other_patterns_are_left_to_postgresql() {
        for pattern in ["a_", "a\\", "a\\\\\\"] {
            assert_eq!(LikePattern::parse(pattern), None);
        }
        assert!(LikePattern::parse("a\\_").is_some());
    }
}
