//! Judges the text of a statement: may everything that stands outside of quotes only come from this program?
//!
//! A small scanner of PostgreSQL's lexical rules ("Lexical Structure" in its manual). It knows every word that the
//! renderer writes, from the renderer's own sources, so that a word from anywhere else is noticed.

use std::collections::HashSet;

use crate::catalog::Catalog;
use crate::kernel::sql::SqlBuf;
use crate::rest::core::samples::shop;

/// Whatever writes SQL text for requests.
const SOURCES: [&str; 8] = [
    include_str!("../mod.rs"),
    include_str!("../body.rs"),
    include_str!("../call.rs"),
    include_str!("../field.rs"),
    include_str!("../output.rs"),
    include_str!("../read.rs"),
    include_str!("../write.rs"),
    include_str!("../../../../kernel/sql.rs"),
];

/// Characters that stand between words, names and values.
const PUNCTUATION: &str = "().,:=<>@&|-+*~[]";

/// The words that may stand outside of quotes.
pub(super) struct Vocabulary(HashSet<String>);

impl Vocabulary {
    /// Those of the renderer, and those that the catalog holds as SQL by PostgreSQL's own hand: types, defaults, functions.
    pub(super) fn new(catalog: &Catalog) -> Self {
        let columns = catalog.relations.values().flat_map(|relation| relation.columns.values());
        let of_columns = columns
            .flat_map(|column| [&column.data_type, &column.nominal_type].into_iter().chain(&column.default));
        let parameters = catalog.functions.values().flatten().flat_map(|function| &function.params);
        let of_parameters =
            parameters.flat_map(|parameter| [&parameter.data_type, &parameter.type_with_length]);
        let of_representations = catalog.representations.values().map(|it| &it.function);
        let texts = of_columns.chain(of_parameters).chain(of_representations).map(ToString::to_string);
        let literals = SOURCES.iter().flat_map(|source| literals(source));
        let words = texts
            .chain(literals)
            .flat_map(|text| text.split(|c: char| !is_word(c)).map(str::to_owned).collect::<Vec<_>>());
        Self(words.collect())
    }

    /// What is wrong with the statement, if anything. `marker` is part of every hostile text.
    pub(super) fn judge(&self, sql: &SqlBuf, marker: &str) -> Result<(), String> {
        let mut scanner = Scanner { rest: sql.text(), depth: 0 };
        let mut before = ' ';
        while let Some(token) = scanner.next()? {
            match token {
                Token::Word(word) if word.contains(marker) || !self.0.contains(word) => {
                    return Err(format!("the word {word:?} is not the renderer's"));
                }
                Token::Constant(text) if text.contains(marker) => {
                    return Err(format!("the text {text:?} stands in a constant, not in a parameter"));
                }
                Token::Parameter(number) if number == 0 || number > sql.params().len() => {
                    return Err(format!("${number} has no value"));
                }
                Token::Punctuation('-') if before == '-' => return Err("a comment begins".to_owned()),
                Token::Punctuation('*') if before == '/' => return Err("a comment begins".to_owned()),
                _ => {}
            }
            before = if let Token::Punctuation(c) = token { c } else { ' ' };
        }
        if scanner.depth == 0 { Ok(()) } else { Err("brackets do not match".to_owned()) }
    }
}

/// The insides of the string literals of a Rust source, comments aside.
fn literals(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("'\"'", "").replace("\\\"", "");
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

enum Token<'a> {
    Word(&'a str),
    Name,
    Constant(&'a str),
    Parameter(usize),
    Number,
    Punctuation(char),
}

struct Scanner<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn next(&mut self) -> Result<Option<Token<'a>>, String> {
        self.rest = self.rest.trim_start_matches(' ');
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            '"' => {
                self.quoted('"', false)?;
                Token::Name
            }
            '\'' => Token::Constant(self.quoted('\'', false)?),
            'E' if self.rest.starts_with("E'") => {
                self.rest = &self.rest[1..];
                Token::Constant(self.quoted('\'', true)?)
            }
            '$' => {
                self.rest = &self.rest[1..];
                let digits = self.take(|c| c.is_ascii_digit());
                Token::Parameter(digits.parse().map_err(|_| "a dollar quote begins".to_owned())?)
            }
            '0'..='9' => {
                self.take(|c| c.is_ascii_digit());
                Token::Number
            }
            c if is_word(c) => Token::Word(self.take(is_word)),
            c if PUNCTUATION.contains(c) => {
                self.rest = &self.rest[1..];
                match c {
                    '(' => self.depth += 1,
                    ')' => {
                        self.depth =
                            self.depth.checked_sub(1).ok_or_else(|| "a bracket too many".to_owned())?;
                    }
                    _ => {}
                }
                Token::Punctuation(c)
            }
            other => return Err(format!("the character {other:?} stands outside of quotes")),
        };
        Ok(Some(token))
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// The inside of a quoted text; a doubled quote is one inside, and so is an escaped one where `escapes`.
    fn quoted(&mut self, quote: char, escapes: bool) -> Result<&'a str, String> {
        let body = &self.rest[1..];
        let mut characters = body.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            match c {
                '\0' => return Err("a NUL stands in the text".to_owned()),
                '\\' if escapes => {
                    characters.next();
                }
                c if c == quote && characters.peek().is_some_and(|(_, next)| *next == quote) => {
                    characters.next();
                }
                c if c == quote => {
                    self.rest = &body[at + 1..];
                    return Ok(&body[..at]);
                }
                _ => {}
            }
        }
        Err(format!("a quote is not closed: {:.60}", self.rest))
    }
}

#[test]
fn the_judge_knows_what_an_injection_looks_like() {
    let vocabulary = Vocabulary::new(&shop());
    let judged = |text: &'static str| {
        let mut sql = SqlBuf::new();
        sql.lit(text);
        vocabulary.judge(&sql, "zq7")
    };
    for harmless in
        ["SELECT \"zq7\".* FROM \"a\"\"; drop table zq7\"", "SELECT count(*) WHERE 'it''s' = E'\\'x'"]
    {
        assert_eq!(judged(harmless), Ok(()), "{harmless}");
    }
    for hostile in [
        "SELECT zq7",
        "SELECT \"a\" drop",
        "SELECT 'zq7'",
        "SELECT $1",
        "SELECT 1 --",
        "SELECT 1 /* 2 */",
        "SELECT 1; SELECT 1",
        "SELECT $$a$$",
        "SELECT \"a",
        "SELECT 'a",
        "SELECT (1",
        "SELECT 1)",
        "SELECT \u{2019}a",
        "SELECT \"a\0\"",
    ] {
        assert!(judged(hostile).is_err(), "{hostile}");
    }
}
