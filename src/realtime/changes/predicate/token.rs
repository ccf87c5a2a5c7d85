//! The words and signs of an expression as PostgreSQL prints it.

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, in capitals, or a name without quotes, in small letters.
    Word(&'a str),
    /// A name in double quotes.
    Name(String),
    /// A string constant.
    Text(String),
    /// A number without sign.
    Number(&'a str),
    /// A run of operator characters, `::`, a bracket, a comma, a dot.
    Sign(&'a str),
}

/// What operators are made of.
const OPERATOR: &str = "+-*/<>=~!@#%^&|`?";

/// All pieces; `None` where the text holds anything else. That is also a backslash in a string constant, whose meaning
/// depends on a setting.
pub(super) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' => {
                let (text, length) = quoted(rest, '\'')?;
                if text.contains('\\') {
                    return None;
                }
                (Token::Text(text), length)
            }
            '"' => {
                let (name, length) = quoted(rest, '"')?;
                (Token::Name(name), length)
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = run(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
                (Token::Word(&rest[..length]), length)
            }
            '0'..='9' => {
                // All that could belong to it: what is not digits is then no number that is understood.
                let length = run(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                (Token::Number(&rest[..length]), length)
            }
            '(' | ')' | '[' | ']' | ',' | '.' => (Token::Sign(&rest[..1]), 1),
            ':' if rest.starts_with("::") => (Token::Sign("::"), 2),
            _ if OPERATOR.contains(first) => {
                let length = run(rest, |c| OPERATOR.contains(c));
                (Token::Sign(&rest[..length]), length)
            }
            _ => return None,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// The length of the run of such characters at the start.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !belongs(c)).unwrap_or(text.len())
}

/// The text between quotes, which are doubled inside, and the length with them.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            content.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((content, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_names_texts_and_signs_are_told_apart() {
        let found = tokens(r#"("odd ""Col"" "::text <> 'it''s') AND n >= 12"#).unwrap();
        let expected = [
            Token::Sign("("),
            Token::Name("odd \"Col\" ".to_owned()),
            Token::Sign("::"),
            Token::Word("text"),
            Token::Sign("<>"),
            Token::Text("it's".to_owned()),
            Token::Sign(")"),
            Token::Word("AND"),
            Token::Word("n"),
            Token::Sign(">="),
            Token::Number("12"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_may_mean_two_things_is_refused() {
        for text in [r"'a\b'", "'open", "\"open", "a : b", "a; b", "ä"] {
            assert_eq!(tokens(text), None, "{text}");
        }
    }
}
