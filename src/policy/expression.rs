//! Conditions on rows as admins write them: SQL expressions that cannot end the place they are put in. Pure.
//!
//! PostgreSQL checks the rest when a policy is made of one: names, types, that it is boolean (see `store`).

use std::fmt;

/// The text of an expression whose brackets and quotes are closed, without comments and separators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowExpression(String);

/// Why a text is refused as an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpressionError {
    /// There is nothing in it.
    Empty,
    /// A bracket or quote is not closed, or closes what was not opened.
    Unbalanced,
    /// It has a character that could end the expression or hide a part of it.
    Character(char),
    /// It has a comment.
    Comment,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the expression is empty"),
            Self::Unbalanced => f.write_str("a bracket or quote of the expression is not closed"),
            Self::Character(c) => write!(f, "{c:?} cannot stand in an expression"),
            Self::Comment => f.write_str("an expression cannot have comments"),
        }
    }
}

impl std::error::Error for ExpressionError {}

impl RowExpression {
    /// A text as an expression. Dollar quotes and backslashes are refused, since both would make quotes hard to follow.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ExpressionError::Empty);
        }
        let mut open = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '(' | '[' => open.push(c),
                ')' if open.pop() != Some('(') => return Err(ExpressionError::Unbalanced),
                ']' if open.pop() != Some('[') => return Err(ExpressionError::Unbalanced),
                // A doubled quote inside is an end and a start, which comes to the same.
                '\'' | '"' => loop {
                    match characters.next() {
                        Some('\\') => return Err(ExpressionError::Character('\\')),
                        Some('\0') => return Err(ExpressionError::Character('\0')),
                        Some(inner) if inner == c => break,
                        Some(_) => {}
                        None => return Err(ExpressionError::Unbalanced),
                    }
                },
                '-' if characters.peek() == Some(&'-') => return Err(ExpressionError::Comment),
                '/' if characters.peek() == Some(&'*') => return Err(ExpressionError::Comment),
                ';' | '$' | '\\' | '\0' => return Err(ExpressionError::Character(c)),
                _ => {}
            }
        }
        if open.is_empty() { Ok(Self(text.to_owned())) } else { Err(ExpressionError::Unbalanced) }
    }

    /// The SQL text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_conditions_pass() {
        for text in [
            "not archived",
            " a = 'it''s (fine' and b in (1, 2) ",
            "tags[1] = any (array['x'])",
            r#""odd ) name" is not null"#,
            "exists (select from members m where m.team = team and m.who = (select auth.uid()))",
            "price - 1 > 2 / 3",
            "note = 'semi; colon -- and $ in a string'",
        ] {
            assert_eq!(RowExpression::parse(text).unwrap().text(), text.trim(), "{text}");
        }
    }

    #[test]
    fn nothing_gets_out_of_its_brackets() {
        use ExpressionError as E;
        for (text, expected) in [
            ("", E::Empty),
            ("true) or (true", E::Unbalanced),
            ("true) with check (true", E::Unbalanced),
            ("(true", E::Unbalanced),
            ("a = 'x", E::Unbalanced),
            ("a[1)", E::Unbalanced),
            ("true; drop table x", E::Character(';')),
            ("true -- )", E::Comment),
            ("true /* ) */", E::Comment),
            ("a = $q$ ) $q$", E::Character('$')),
            (r"a = E'\'' or b", E::Character('\\')),
            (r"a = '\'", E::Character('\\')),
            ("a = U&'!0041' uescape '!' )", E::Unbalanced),
        ] {
            assert_eq!(RowExpression::parse(text), Err(expected), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_passes_has_no_bracket_left_over_outside_of_quotes(text in r#"[a-z '"()\[\];$\\/*-]{0,24}"#) {
            if let Ok(expression) = RowExpression::parse(&text) {
                let mut depth = 0_i32;
                let mut quote = None;
                for c in expression.text().chars() {
                    match (quote, c) {
                        (Some(open), c) if c == open => quote = None,
                        (Some(_), _) => {}
                        (None, '\'' | '"') => quote = Some(c),
                        (None, '(' | '[') => depth += 1,
                        (None, ')' | ']') => depth -= 1,
                        (None, c) => proptest::prop_assert!(c != ';' && c != '$' && c != '\\'),
                    }
                    proptest::prop_assert!(depth >= 0);
                }
                proptest::prop_assert!(depth == 0 && quote.is_none());
            }
        }
    }
}
