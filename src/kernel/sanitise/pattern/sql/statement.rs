//! Statements and their clauses: further ones behind a semicolon, selections in parentheses, unions.

use super::View;
use super::token::Kind;
use super::words::{CATALOGS, FUNCTIONS, OBJECTS, WEAPONS, is_in};

impl View<'_> {
    /// `union select 1,2`, `union all select`, `union (select`.
    pub(super) fn set_operation(&self, at: usize) -> bool {
        let mut next = at + 1;
        while next < at + 6
            && matches!(
                self.kind(next),
                Some(Kind::Open | Kind::Comment(_) | Kind::Word("all" | "distinct" | "distinctrow"))
            )
        {
            next += 1;
        }
        if self.word(next) == "values" {
            return self.is(next + 1, Kind::Open);
        }
        if self.word(next) != "select" {
            return false;
        }
        // `The student union select their president` goes on with two bare words.
        let is_sentence = next == at + 1 && self.is_word(next + 1) && self.is_word(next + 2);
        !is_sentence || matches!(self.word(next + 2), "from" | "into" | "as")
    }

    /// `(select password from users)`, `select * from`, `; select pg_sleep(5)`.
    pub(super) fn selects(&self, at: usize) -> bool {
        let injected = match self.before(at) {
            Some(Kind::Quote(_) | Kind::Semicolon | Kind::Number | Kind::Comment(_) | Kind::Open) => true,
            Some(Kind::Operator(operator)) => operator != ".",
            _ => false,
        };
        let next = at + 1 + usize::from(matches!(self.word(at + 1), "distinct" | "top" | "all"));
        let has_from = |limit: usize| {
            (next..self.tokens.len().min(next + limit))
                .find(|at| self.word(*at) == "from")
                .filter(|from| *from > next)
        };
        match self.kind(next) {
            Some(Kind::Operator("*")) => self.word(next + 1) == "from" || injected,
            Some(Kind::Word(word)) if word.starts_with("@@") => true,
            Some(Kind::Word("null" | "case")) => injected,
            Some(Kind::Word(word)) if self.is(next + 1, Kind::Open) && self.tokens[next + 1].glued => {
                injected && (is_in(&FUNCTIONS, word) || is_in(&WEAPONS, word)) || has_from(24).is_some()
            }
            Some(Kind::Word(_)) => has_from(16).is_some_and(|from| self.draws(next, from, injected)),
            Some(Kind::Number | Kind::Quote(_)) if self.before(at) == Some(Kind::Open) => {
                has_from(16).is_some() || matches!(self.kind(next + 1), Some(Kind::Comma | Kind::Comment(_)))
            }
            Some(Kind::Quote(_)) => injected && !self.closes(at), // a quoted "select"
            Some(Kind::Number) => injected,
            _ => false,
        }
    }

    /// Whether `select ... from` lists columns and names a table, and does so as an attack: pasted in, or from a table that
    /// is worth it.
    fn draws(&self, first: usize, from: usize, injected: bool) -> bool {
        let is_list =
            (first + 1..from).all(|at| !(self.is_word(at) && self.is_word(at - 1)) || self.word(at) == "as");
        let table = from + 1;
        is_list
            && self.is_word(table)
            && (injected
                || is_in(&CATALOGS, self.word(table))
                || matches!(self.kind(table + 1), Some(Kind::Comment(_) | Kind::Semicolon))
                || (self.word(table + 1) == "where" && self.comparison(table + 3).is_some()))
    }

    /// `' order by 10--`, `' having 1=1`, `1 procedure analyse()`.
    pub(super) fn clause(&self, at: usize, word: &str) -> bool {
        match word {
            "having" => {
                let Some(left) = self.operand(at + 1) else { return false };
                self.comparison(left.end)
                    .and_then(|right| self.operand(right))
                    .is_some_and(|right| right.literal && (left.literal || self.closes(at)))
            }
            "procedure" => self.word(at + 1) == "analyse" && self.is(at + 2, Kind::Open),
            "limit" => self.closes(at) && self.is(at + 1, Kind::Number),
            _ if self.word(at + 1) != "by" => false,
            _ => {
                let is_number = self.is(at + 2, Kind::Number);
                let ends = matches!(self.kind(at + 3), Some(Kind::Comment(_)));
                let after_number = self.before(at) == Some(Kind::Number);
                let column = is_number || self.is_word(at + 2);
                column && self.closes(at) && (is_number || self.has_comment(at))
                    || is_number && after_number && ends
            }
        }
    }

    fn has_comment(&self, at: usize) -> bool {
        self.tokens[at..]
            .iter()
            .take(16)
            .any(|token| matches!(token.kind, Kind::Comment(_)) || token.kind == Kind::Number)
    }

    /// `; drop table users`, `delete from users`: statements that change something, pasted in or standing alone.
    pub(super) fn statement(&self, at: usize, word: &str) -> bool {
        let next = self.word(at + 1);
        let stacked = self.is_stacked(at);
        let alone = |last: usize| at == 0 && (self.ends(last + 1) || self.word(last + 1) == "cascade");
        match word {
            "drop" | "alter" | "create" | "truncate" | "rename" => {
                let target = at + 2 + 2 * usize::from(self.word(at + 2) == "if");
                let object = is_in(&OBJECTS, next) && self.is_named(target);
                object && (stacked || alone(target) || self.is_cut(target + 1))
                    || word == "truncate" && stacked && self.is_named(at + 1) && self.ends(at + 2)
                    || word == "create" && stacked && next == "or" && self.word(at + 2) == "replace"
            }
            "delete" => {
                let filtered = self.word(at + 3) == "where" && self.comparison(at + 5).is_some();
                next == "from" && self.is_named(at + 2) && (stacked || alone(at + 2) || filtered)
            }
            "insert" | "replace" => next == "into" && self.is_named(at + 2) && self.fills(at + 3),
            "update" => {
                let set = (at + 2..at + 5).find(|at| self.word(*at) == "set");
                set.is_some_and(|set| self.is_word(set + 1) && self.is(set + 2, Kind::Operator("=")))
            }
            "copy" => (at + 2..at + 12).any(|at| self.word(at) == "program") && (stacked || at == 0),
            "load" => next == "data" && matches!(self.word(at + 2), "infile" | "local"),
            "attach" => next == "database" && self.is_quote(at + 2),
            "declare" => next.starts_with('@'),
            "exec" | "execute" => {
                let prefixes = ["immediate", "master", "xp_", "sp_"];
                let opens = self.is(at + 1, Kind::Open) || self.is_quote(at + 1);
                prefixes.iter().any(|prefix| next.starts_with(prefix)) || stacked && opens
            }
            _ => stacked && self.command(at, word),
        }
    }

    /// `; shutdown`, `'; grant all on x to y`: commands that are too like prose to be told from it anywhere else.
    fn command(&self, at: usize, word: &str) -> bool {
        let next = self.word(at + 1);
        match word {
            "shutdown" => self.ends(at + 1) || next == "with",
            "grant" | "revoke" => (at + 1..at + 6).any(|at| matches!(self.word(at), "on" | "to")),
            "merge" => next == "into",
            "bulk" => next == "insert",
            "handler" => self.word(at + 2) == "open",
            "backup" | "restore" => matches!(next, "database" | "log"),
            "set" => next.starts_with('@') || matches!(next, "role" | "session"),
            "call" | "do" | "pragma" | "vacuum" | "kill" => {
                self.is_named(at + 1) && self.is(at + 2, Kind::Open)
            }
            "with" => self.word(at + 2) == "as" && self.is(at + 3, Kind::Open),
            _ => false,
        }
    }

    /// Behind the end of a statement or of a string.
    fn is_stacked(&self, at: usize) -> bool {
        matches!(self.before(at), Some(Kind::Semicolon | Kind::Quote(_) | Kind::Close | Kind::Comment(_)))
    }

    fn is_named(&self, at: usize) -> bool {
        self.is_word(at) || self.is_quote(at) || self.is(at, Kind::Tick)
    }

    /// A semicolon and a comment end the statement: nobody writes prose so.
    fn is_cut(&self, at: usize) -> bool {
        self.is(at, Kind::Semicolon) && matches!(self.kind(at + 1), Some(Kind::Comment(_)))
    }

    /// What follows the table of an `insert`.
    fn fills(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Open | Kind::Word("values" | "select" | "default" | "set")))
    }
}
