//! Reads the conditions of row policies as PostgreSQL prints them: where they ask for the caller, which columns they
//! compare with the answer, what they quote. Pure text work, for `pg_get_expr` under an empty search path.
//!
//! A scanner and not a parser: PostgreSQL puts every operation in brackets of its own, and that is all it relies on.

use std::ops::Range;

/// The functions of the schema `auth` that tell who asks.
const ASKING: [&str; 4] = ["uid", "jwt", "role", "email"];

/// A scanned condition.
#[derive(Debug)]
pub struct Expression<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    kind: Kind,
    /// Where it stands in the text.
    span: Range<usize>,
    /// The group that it stands in; brackets stand outside of what they enclose.
    group: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A keyword, or a name without quotes.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string constant.
    Constant,
    /// A run of operator characters, a bracket, a dot, a comma, `::`.
    Sign,
}

/// What a pair of brackets encloses, or everything (the first group).
#[derive(Clone, Debug)]
struct Group {
    parent: usize,
    /// The tokens inside.
    tokens: Range<usize>,
    is_query: bool,
    has_from: bool,
}

/// A comparison of a column with something that depends on the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The table or alias before the column, if there is one.
    pub qualifier: Option<String>,
    /// The column.
    pub column: String,
    /// Whether the column is cast.
    pub is_cast: bool,
}

impl<'a> Expression<'a> {
    /// The expression in `text`.
    pub fn scan(text: &'a str) -> Self {
        let mut expression = Self { text, tokens: Vec::new(), groups: Vec::new() };
        expression.groups.push(Group { parent: 0, tokens: 0..0, is_query: false, has_from: false });
        let mut group = 0;
        let mut at = 0;
        while let Some((kind, span)) = next_token(text, at) {
            at = span.end;
            let sign = &text[span.clone()];
            if sign == ")" && kind == Kind::Sign {
                expression.groups[group].tokens.end = expression.tokens.len();
                group = expression.groups[group].parent;
            }
            expression.tokens.push(Token { kind, span, group });
            if sign == "(" && kind == Kind::Sign {
                let tokens = expression.tokens.len()..expression.tokens.len();
                expression.groups.push(Group { parent: group, tokens, is_query: false, has_from: false });
                group = expression.groups.len() - 1;
            }
        }
        expression.groups[0].tokens.end = expression.tokens.len();
        expression.mark_queries();
        expression
    }

    fn mark_queries(&mut self) {
        for index in 0..self.tokens.len() {
            let group = self.tokens[index].group;
            if self.groups[group].tokens.start == index && self.is_word(index, "SELECT") {
                self.groups[group].is_query = true;
            }
            // IS DISTINCT FROM is an operator.
            let is_operator = index > 0 && self.is_word(index - 1, "DISTINCT");
            if self.is_word(index, "FROM") && !is_operator {
                self.groups[group].has_from = true;
            }
        }
    }

    fn token(&self, index: usize) -> &'a str {
        self.tokens.get(index).map_or("", |token| &self.text[token.span.clone()])
    }

    fn is_word(&self, index: usize, word: &str) -> bool {
        let is_word = self.tokens.get(index).is_some_and(|token| token.kind == Kind::Word);
        is_word && self.token(index).eq_ignore_ascii_case(word)
    }

    /// The name at a position, without its quotes.
    fn name(&self, index: usize) -> Option<String> {
        match self.tokens.get(index)?.kind {
            Kind::Word => Some(self.token(index).to_owned()),
            Kind::Quoted => {
                let text = self.token(index);
                Some(text.get(1..text.len().saturating_sub(1))?.replace("\"\"", "\""))
            }
            Kind::Constant | Kind::Sign => None,
        }
    }

    /// The tokens of a call that asks who the caller is and starts at a position, the closing bracket included.
    fn asking_call(&self, start: usize) -> Option<Range<usize>> {
        let is_setting = self.is_word(start, "current_setting") && self.token(start + 1) == "(";
        let is_auth = self.is_word(start, "auth")
            && self.token(start + 1) == "."
            && ASKING.iter().any(|name| self.is_word(start + 2, name))
            && self.token(start + 3) == "(";
        let open = if is_setting {
            start + 1
        } else if is_auth {
            start + 3
        } else {
            return None;
        };
        // A bracket that is never closed encloses the rest.
        let inside = self.groups.iter().find(|group| group.tokens.start == open + 1)?;
        Some(start..(inside.tokens.end + 1).min(self.tokens.len()))
    }

    /// Where in the text the calls stand that PostgreSQL evaluates for each row: not alone in a subquery without FROM.
    pub fn calls_per_row(&self) -> Vec<Range<usize>> {
        let calls = (0..self.tokens.len()).filter_map(|start| self.asking_call(start));
        let per_row = calls.filter(|call| {
            let mut group = self.tokens[call.start].group;
            while group != 0 && !self.groups[group].is_query {
                group = self.groups[group].parent;
            }
            group == 0 || self.groups[group].has_from
        });
        per_row.map(|call| self.tokens[call.start].span.start..self.tokens[call.end - 1].span.end).collect()
    }

    /// The text with the calls of [`Self::calls_per_row`] in subqueries of their own.
    pub fn with_calls_once(&self) -> String {
        let mut result = String::new();
        let mut copied = 0;
        for call in self.calls_per_row() {
            if call.start < copied {
                continue; // it is an argument of the one before
            }
            result.push_str(&self.text[copied..call.start]);
            result.push_str("( SELECT ");
            result.push_str(&self.text[call.clone()]);
            result.push(')');
            copied = call.end;
        }
        result.push_str(&self.text[copied..]);
        result
    }

    /// The columns that are compared, by `=` or IN, with what the caller is or what a subquery finds.
    pub fn comparisons(&self) -> Vec<Comparison> {
        let signs =
            (0..self.tokens.len()).filter(|index| self.token(*index) == "=" || self.is_word(*index, "IN"));
        let mut found = Vec::new();
        for sign in signs {
            let group = &self.groups[self.tokens[sign].group];
            let (left, right) = (group.tokens.start..sign, sign + 1..group.tokens.end);
            let sides = [(left.clone(), right.clone()), (right, left)];
            for (column, other) in sides {
                if self.depends_on_caller(other)
                    && let Some(comparison) = self.column(column)
                    && !found.contains(&comparison)
                {
                    found.push(comparison);
                }
            }
        }
        found
    }

    fn depends_on_caller(&self, tokens: Range<usize>) -> bool {
        tokens.into_iter().any(|index| self.asking_call(index).is_some() || self.is_word(index, "SELECT"))
    }

    /// The column that tokens consist of, brackets and a cast aside.
    fn column(&self, tokens: Range<usize>) -> Option<Comparison> {
        let parts: Vec<usize> = tokens.filter(|index| !matches!(self.token(*index), "(" | ")")).collect();
        let name_ends = parts.iter().position(|index| self.token(*index) == "::").unwrap_or(parts.len());
        let is_cast = name_ends < parts.len();
        let (qualifier, column) = match parts[..name_ends] {
            [column] => (None, self.name(column)?),
            [qualifier, dot, column] if self.token(dot) == "." => {
                (Some(self.name(qualifier)?), self.name(column)?)
            }
            _ => return None,
        };
        // Behind the cast only the words of a type may follow.
        let is_type =
            |index: &usize| self.name(*index).is_some() || matches!(self.token(*index), "::" | "." | "[]");
        parts[name_ends..].iter().all(is_type).then_some(Comparison { qualifier, column, is_cast })
    }

    /// Whether a string constant or a name holds this text.
    pub fn mentions(&self, text: &str) -> bool {
        self.tokens
            .iter()
            .filter(|token| token.kind != Kind::Sign)
            .any(|token| self.text[token.span.clone()].contains(text))
    }

    /// Whether it is the constant `true`.
    pub fn is_true(&self) -> bool {
        let mut tokens = (0..self.tokens.len()).filter(|index| !matches!(self.token(*index), "(" | ")"));
        tokens.next().is_some_and(|index| self.is_word(index, "true")) && tokens.next().is_none()
    }
}

/// The next token from a position on, white space aside.
fn next_token(text: &str, from: usize) -> Option<(Kind, Range<usize>)> {
    let start = from + text.get(from..)?.find(|c: char| !c.is_whitespace())?;
    let rest = &text[start..];
    let first = rest.chars().next()?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
    let run = |belongs: &dyn Fn(char) -> bool| rest.find(|c: char| !belongs(c)).unwrap_or(rest.len());
    let (kind, length) = match first {
        '\'' => (Kind::Constant, quoted_length(rest, '\'', false)),
        'E' | 'e' if rest[1..].starts_with('\'') => {
            (Kind::Constant, 1 + quoted_length(&rest[1..], '\'', true))
        }
        '"' => (Kind::Quoted, quoted_length(rest, '"', false)),
        c if is_name(c) => (Kind::Word, run(&is_name)),
        ':' => (Kind::Sign, run(&|c| c == ':')),
        c if is_operator(c) => (Kind::Sign, run(&is_operator)),
        '[' if rest.starts_with("[]") => (Kind::Sign, 2),
        c => (Kind::Sign, c.len_utf8()),
    };
    Some((kind, start..start + length))
}

fn is_operator(c: char) -> bool {
    "+-*/<>=~!@#%^&|`?".contains(c)
}

/// The length of a quoted text that starts with its quote; all of it where the quote is not closed. A doubled quote
/// inside reads as an end and a start, which is looked at together.
fn quoted_length(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' && has_escapes {
            characters.next();
        } else if c == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return at + c.len_utf8();
            }
        }
    }
    text.len()
}

/// Whether a text has a name as a whole word: what a function's body may mean by it.
pub fn has_word(text: &str, name: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            !text[..at].chars().next_back().is_some_and(continues)
                && !text[at + name.len()..].chars().next().is_some_and(continues)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        Expression::scan(text).with_calls_once()
    }

    #[test]
    fn calls_outside_of_subqueries_of_their_own_are_per_row() {
        for (text, expected) in [
            ("(owner = auth.uid())", "(owner = ( SELECT auth.uid()))"),
            (
                "((email)::text = (auth.jwt() ->> 'email'::text))",
                "((email)::text = (( SELECT auth.jwt()) ->> 'email'::text))",
            ),
            (
                "(owner = (current_setting('request.jwt.claim.sub'::text, true))::uuid)",
                "(owner = (( SELECT current_setting('request.jwt.claim.sub'::text, true)))::uuid)",
            ),
            (
                "(EXISTS ( SELECT 1\n   FROM m\n  WHERE ((m.team = t.team) AND (m.who = auth.uid()))))",
                "(EXISTS ( SELECT 1\n   FROM m\n  WHERE ((m.team = t.team) AND (m.who = ( SELECT auth.uid())))))",
            ),
        ] {
            assert_eq!(rewritten(text), expected);
            assert!(Expression::scan(expected).calls_per_row().is_empty(), "{expected}");
        }
    }

    #[test]
    fn what_is_asked_once_or_is_no_call_stays() {
        for text in [
            "(owner = ( SELECT auth.uid() AS uid))",
            "(email = ( SELECT (auth.jwt() ->> 'email'::text)))",
            "(( SELECT (auth.uid() IS DISTINCT FROM NULL::uuid)) AND open)",
            "(note = 'auth.uid()'::text)",
            "(\"auth.uid()\" = 1)",
            "(auth.uid = 1)",
            "(other.uid() = owner)",
            "(note = E'it\\'s auth.uid()'::text)",
        ] {
            assert_eq!(rewritten(text), text);
        }
    }

    #[test]
    fn columns_that_are_compared_with_the_caller_are_found_on_either_side() {
        let found = |text: &str| -> Vec<(Option<String>, String, bool)> {
            let comparisons = Expression::scan(text).comparisons();
            comparisons.into_iter().map(|found| (found.qualifier, found.column, found.is_cast)).collect()
        };
        let column = |name: &str, is_cast| (None, name.to_owned(), is_cast);
        assert_eq!(found("(owner = ( SELECT auth.uid() AS uid))"), [column("owner", false)]);
        assert_eq!(found("(auth.uid() = owner)"), [column("owner", false)]);
        assert_eq!(found("((owner)::text = (auth.jwt() ->> 'sub'::text))"), [column("owner", true)]);
        assert_eq!(found("(\"The Owner\" = ( SELECT auth.uid() AS uid)) "), [column("The Owner", false)]);
        assert_eq!(
            found("(team IN ( SELECT m.team FROM m WHERE (m.who = auth.uid())))"),
            [column("team", false), (Some("m".to_owned()), "who".to_owned(), false)]
        );
        for text in [
            "(status = 'open'::text)",
            "(a = b)",
            "(NOT done)",
            "(owner <> auth.uid())",
            "(lower(email) = (auth.jwt() ->> 'email'::text))",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn the_constant_true_is_told_from_everything_else() {
        for text in ["true", "(true)", " ( TRUE ) "] {
            assert!(Expression::scan(text).is_true(), "{text}");
        }
        for text in ["", "false", "(true AND a)", "'true'", "\"true\"", "true()::x"] {
            assert!(!Expression::scan(text).is_true(), "{text}");
        }
    }

    #[test]
    fn names_are_found_as_whole_words_only() {
        assert!(has_word("select * from accounts;", "accounts"));
        assert!(has_word("execute 'table \"accounts\"'", "accounts"));
        assert!(!has_word("select * from accounts_old, my_accounts", "accounts"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_scanned(text in r#"[a-zäE '"()=:.\[\]\\,>auth.uid()SELECT FROM]{0,60}"#) {
            let expression = Expression::scan(&text);
            let _compared = expression.comparisons();
            proptest::prop_assert!(expression.with_calls_once().len() >= text.len());
        }
    }
}
