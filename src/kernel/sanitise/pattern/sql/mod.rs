//! SQL injection: fragments that end a string and go on as SQL, and statements where none belongs.
//!
//! The rules read tokens, not letters: `Select committees order by union rules` has all the words of an attack in an order
//! that no database would run. Each rule looks at a bounded number of tokens around one word or sign.

mod condition;
mod statement;
mod token;
mod words;

use token::{Comment, Kind, Token, tokens};
pub(super) use words::is_in;
use words::{FUNCTIONS, PROCEDURES, WEAPONS};

/// Whether a text in lower case holds an injection.
pub(super) fn is_injection(text: &str) -> bool {
    let tokens = tokens(text);
    let view = View { text, tokens: &tokens };
    (0..tokens.len()).any(|at| view.attacks(at))
}

struct View<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
}

impl<'a> View<'a> {
    fn kind(&self, at: usize) -> Option<Kind<'a>> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn before(&self, at: usize) -> Option<Kind<'a>> {
        at.checked_sub(1).and_then(|at| self.kind(at))
    }

    /// The word at a place, nothing when something else stands there.
    fn word(&self, at: usize) -> &'a str {
        if let Some(Kind::Word(word)) = self.kind(at) { word } else { "" }
    }

    fn is(&self, at: usize, kind: Kind) -> bool {
        self.kind(at) == Some(kind)
    }

    fn is_quote(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Quote(_)))
    }

    fn is_word(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Word(_)))
    }

    /// The end of the text, or something that ends a statement.
    fn ends(&self, at: usize) -> bool {
        matches!(self.kind(at), None | Some(Kind::Semicolon | Kind::Comment(_)))
    }

    /// Whether nothing but white space follows a token.
    fn is_last(&self, at: usize) -> bool {
        at + 1 >= self.tokens.len()
    }

    /// Whether the quotes up to a token, itself included, leave a string open.
    fn is_unbalanced(&self, at: usize) -> bool {
        let same = |token: &&Token| token.kind == self.tokens[at].kind;
        self.tokens[..=at].iter().rev().take(64).filter(same).count() % 2 == 1
    }

    fn attacks(&self, at: usize) -> bool {
        match self.tokens[at].kind {
            Kind::Word(word) => self.word_attacks(at, word),
            Kind::Operator("||" | "&&") => self.condition(at) || self.concatenation(at),
            Kind::Operator(_) => self.concatenation(at),
            Kind::Quote(_) => self.closing_quote(at),
            Kind::Comment(Comment::Versioned) => {
                matches!(
                    self.word(at + 1),
                    "union" | "select" | "or" | "and" | "from" | "where" | "drop" | "sleep"
                )
            }
            _ => false,
        }
    }

    fn word_attacks(&self, at: usize, word: &str) -> bool {
        match word {
            "or" | "and" | "xor" | "div" | "rlike" => self.condition(at),
            "union" | "except" | "intersect" | "minus" => self.set_operation(at),
            "select" => self.selects(at),
            "order" | "group" | "having" | "limit" | "procedure" => self.clause(at, word),
            "into" => matches!(self.word(at + 1), "outfile" | "dumpfile"),
            "waitfor" => matches!(self.word(at + 1), "delay" | "time") && self.is_quote(at + 2),
            "mysql" => self.is(at + 1, Kind::Operator(".")) && matches!(self.word(at + 2), "user" | "db"),
            "like" | "is" | "in" | "between" | "regexp" => self.compares_a_closed_string(at, word),
            "sleep" => self.calls(at) && self.is_called_as_a_value(at),
            _ if word.starts_with("@@") => {
                self.is_called_as_a_value(at) || self.word(at.wrapping_sub(1)) == "select"
            }
            // The cheap conditions stand first: most words of most texts are none of ours.
            _ if word.get(1..3) == Some("p_") && is_in(&PROCEDURES, word) => {
                self.before(at) != Some(Kind::Tick)
            }
            _ if self.calls(at) && is_in(&WEAPONS, word) => self.before(at) != Some(Kind::Operator(".")),
            _ if self.is(at + 1, Kind::Operator(".")) && is_in(&WEAPONS, word) => {
                word.contains('_') && self.is_word(at + 2)
            }
            _ => self.statement(at, word),
        }
    }

    fn calls(&self, at: usize) -> bool {
        self.is(at + 1, Kind::Open) && !self.is(at + 2, Kind::Close)
    }

    /// After an operator, a comma, a parenthesis or the end of a string: where a value stands.
    fn is_called_as_a_value(&self, at: usize) -> bool {
        match self.before(at) {
            Some(Kind::Operator(operator)) => operator != ".",
            Some(Kind::Comma | Kind::Open | Kind::Quote(_) | Kind::Number | Kind::Semicolon) => true,
            None => {
                let close = (at..self.tokens.len().min(at + 8)).find(|at| self.is(*at, Kind::Close));
                close.is_some_and(|close| matches!(self.kind(close + 1), Some(Kind::Comment(_))))
            }
            _ => false,
        }
    }

    /// Whether the token before closes a string or a parenthesis that an attack pasted itself into.
    fn closes(&self, at: usize) -> bool {
        matches!(self.before(at), Some(Kind::Quote(_) | Kind::Close))
    }

    /// `'||(select ...)`, `'+char(39)+'`, `'='`.
    fn concatenation(&self, at: usize) -> bool {
        let Kind::Operator(operator) = self.tokens[at].kind else { return false };
        let Some(before @ (Kind::Quote(_) | Kind::Close | Kind::Number)) = self.before(at) else {
            return false;
        };
        let is_call = self.is_word(at + 1) && self.is(at + 2, Kind::Open) && self.calls(at + 1);
        let known = is_in(&FUNCTIONS, self.word(at + 1)) || is_in(&WEAPONS, self.word(at + 1));
        if !matches!(before, Kind::Quote(_)) {
            let chained = self.is_word(at + 1) && matches!(self.word(at + 1), "chr" | "char");
            return matches!(operator, "||" | "+") && is_call && chained;
        }
        match operator {
            "||" | "+" => {
                self.is_quote(at + 1) && self.tokens.len() <= 8
                    || is_call && known
                    || self.opens_select(at + 1)
            }
            "=" | "-" | "*" | "&" | "^" | "%" | "<" | ">" | "<>" | "/" | "!=" => {
                is_call && known
                    || self.opens_select(at + 1)
                    || self.is_quote(at + 1)
                        && self.tokens[at].glued
                        && self.is_unbalanced(at - 1)
                        && self.tokens.len() <= 6
            }
            _ => false,
        }
    }

    fn opens_select(&self, at: usize) -> bool {
        self.is(at, Kind::Open) && self.word(at + 1) == "select"
    }

    /// `admin'--`, `') #`, `'/*`, `';--`: what closes a string cuts off the rest.
    fn closing_quote(&self, at: usize) -> bool {
        if !self.is_unbalanced(at) {
            return false;
        }
        let mut next = at + 1;
        while matches!(self.kind(next), Some(Kind::Close | Kind::Semicolon)) {
            next += 1;
        }
        let Some(Kind::Comment(comment)) = self.kind(next) else { return false };
        let token = self.tokens[next];
        let tail = self.text[token.end..].trim_start();
        let cut = !tail.starts_with(|c: char| c.is_alphanumeric());
        match comment {
            Comment::Dashes => self.is_last(next) || token.glued && cut,
            Comment::Hash => self.is_last(next),
            Comment::Block => token.glued,
            Comment::Versioned => true,
        }
    }
}
