//! Conditions: what turns a `where` into one that is always true, or into a question about the data.

use super::View;
use super::token::Kind;
use super::words::{COMPARISONS, FUNCTIONS, is_in};

/// A comparand: where it ends, and whether it is a literal (a number, a quoted text, a constant).
pub(super) struct Operand {
    pub(super) end: usize,
    pub(super) literal: bool,
    number: bool,
    empty: bool,
}

impl View<'_> {
    /// One side of a comparison: signs, parentheses and quotes around a word or a number.
    pub(super) fn operand(&self, from: usize) -> Option<Operand> {
        let mut at = from;
        let mut quotes = 0;
        while at < from + 8 {
            match self.kind(at)? {
                Kind::Tick
                | Kind::Word("not" | "binary")
                | Kind::Open
                | Kind::Operator("!" | "-" | "+" | "~") => {}
                Kind::Quote(_) => quotes += 1,
                _ => break,
            }
            at += 1;
            if self.kind(at).is_none() {
                break;
            }
        }
        let (core, number) = match self.kind(at) {
            Some(Kind::Number | Kind::Word("true" | "false" | "null")) => (Some(true), true),
            Some(Kind::Word(word)) if !is_in(&COMPARISONS, word) => (Some(false), false),
            _ => (None, false),
        };
        let empty = core.is_none();
        if empty && quotes == 0 {
            return None;
        }
        let literal = core == Some(true) || quotes > 0;
        at += usize::from(core.is_some());
        while let Some(Kind::Quote(_) | Kind::Tick | Kind::Close) = self.kind(at) {
            at += 1;
        }
        Some(Operand { end: at, literal, number, empty })
    }

    /// The token after a comparison that begins here.
    pub(super) fn comparison(&self, at: usize) -> Option<usize> {
        let at = at + usize::from(self.word(at) == "not");
        match self.kind(at)? {
            Kind::Operator("=" | "==" | "<" | ">" | "<=" | ">=" | "<>" | "!=" | "<=>") => Some(at + 1),
            Kind::Word(word) if is_in(&COMPARISONS, word) => Some(at + 1),
            _ => None,
        }
    }

    /// `or 1=1`, `' and 'a'='a`, `' or true--`, `and sleep(5)`.
    pub(super) fn condition(&self, at: usize) -> bool {
        if self.word(at + 1) == "not"
            && self.is_word(at + 2)
            && !self.is(at + 3, Kind::Open)
            && !self.closes(at)
        {
            return false;
        }
        let mut inner = at + 1;
        while matches!(
            self.kind(inner),
            Some(Kind::Open | Kind::Operator("!" | "-" | "~") | Kind::Word("not"))
        ) {
            inner += 1;
        }
        if is_in(&FUNCTIONS, self.word(inner)) && self.is(inner + 1, Kind::Open) {
            return !self.is_word(at.wrapping_sub(1)) || self.tokens[inner + 1].glued && self.calls(inner);
        }
        let Some(left) = self.operand(at + 1) else { return false };
        if let Some(right) = self.comparison(left.end) {
            return self.is_tautology(at, &left, right);
        }
        // Without a comparison: only straight after a string that was closed, `5' or 6'` being a height.
        let is_measure = at >= 2 && self.kind(at - 2) == Some(Kind::Number) && !self.is_quote(at + 1);
        let is_constant = left.number || left.empty;
        self.closes(at) && !is_measure && is_constant && self.ends(left.end)
    }

    fn is_tautology(&self, at: usize, left: &Operand, right: usize) -> bool {
        let by_word = self.word(right - 1);
        if by_word == "is" {
            let null = right + usize::from(self.word(right) == "not");
            return self.word(null) == "null" && (self.closes(at) || self.before(at) == Some(Kind::Number));
        }
        if by_word == "in" {
            return self.is(right, Kind::Open) && (left.literal || self.closes(at));
        }
        let Some(other) = self.operand(right) else { return false };
        let starts_injected =
            self.closes(at) || (at == 1 && self.is(0, Kind::Number)) || self.before(at).is_none();
        if by_word == "between" {
            return other.literal && self.word(other.end) == "and" && (left.literal || starts_injected);
        }
        // `3 > 2 or so` is arithmetic.
        let orders = matches!(self.kind(right - 1), Some(Kind::Operator("<" | ">" | "<=" | ">=")));
        if orders && !starts_injected && !self.ends(other.end) {
            return false;
        }
        if by_word.is_empty() || left.literal {
            return other.literal && (left.literal || starts_injected);
        }
        starts_injected && other.literal
    }

    /// `' like '%`, `' is null`, `' in (`, `' between '`.
    pub(super) fn compares_a_closed_string(&self, at: usize, word: &str) -> bool {
        if !matches!(self.before(at), Some(Kind::Quote(_))) || !self.is_unbalanced(at - 1) {
            return false;
        }
        match word {
            "is" => self.word(at + 1) == "null" || self.word(at + 1) == "not" && self.word(at + 2) == "null",
            "in" => self.is(at + 1, Kind::Open),
            _ => self.is_quote(at + 1),
        }
    }
}
