//! A cursor over decoded text, and the ways to combine grammar rules over it.
//!
//! A rule is a function that takes the cursor and either succeeds, or fails. "Failing without consuming" (the cursor
//! stands where the rule began) lets an alternative try; failing after consuming does not, unless the rule ran inside
//! [`Cursor::attempt`]. What optional parts would have taken is remembered until the cursor moves, so that an error
//! lists everything that could stand at its place. Nesting is counted.
//!
//! Text is first read without gathering any of that, which costs no allocation; only text that turns out to be wrong is
//! read again to find the words.

use super::failure::{Failure, position};
use super::{MAX_DEPTH, RequestError};

/// Result of a rule.
pub(super) type Parsed<T> = Result<T, Failure>;

/// A place in the text and what is known about it.
pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    /// What could have stood at the current place besides what comes next.
    pending: Failure,
    depth: usize,
    budget: usize,
    too_complex: Option<String>,
    /// Whether failures say why.
    explains: bool,
}

/// Runs `rule` on `text`. The rule need not take all of it. In messages the text is `failed to parse {what} ({shown})`.
pub(super) fn run<'a, T>(
    what: &str,
    shown: &str,
    text: &'a str,
    rule: impl Fn(&mut Cursor<'a>) -> Parsed<T>,
) -> Result<T, RequestError> {
    let mut cursor = Cursor::new(text, false);
    if let Ok(value) = rule(&mut cursor)
        && cursor.too_complex.is_none()
    {
        return Ok(value);
    }
    if let Some(reason) = cursor.too_complex {
        return Err(RequestError::TooComplex(reason));
    }
    rule(&mut Cursor::new(text, true)).map_err(|failure| {
        let (line, column) = position(text, failure.at);
        RequestError::QueryParam {
            message: format!("\"failed to parse {what} ({shown})\" (line {line}, column {column})"),
            details: failure.describe().replace('\n', " ").trim().to_owned(),
        }
    })
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str, explains: bool) -> Self {
        let pending = Failure::default();
        Self { text, offset: 0, pending, depth: 0, budget: usize::MAX, too_complex: None, explains }
    }

    /// Text that is still to come.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    /// Byte offset in the text.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// The text from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.offset).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Moves on, which makes everything known about the old place pointless.
    fn advance(&mut self, bytes: usize) {
        self.offset += bytes;
        self.pending = Failure::default();
    }

    /// A failure here; `add` says what would have been taken.
    fn here(&self, add: impl FnOnce(Failure) -> Failure) -> Failure {
        if self.explains { add(Failure::found(self.offset, self.peek())) } else { Failure::default() }
    }

    fn forbidden(&self, at: usize, character: char) -> Failure {
        if self.explains { Failure::forbidden(at, character) } else { Failure::default() }
    }

    fn fail<T>(&mut self, failure: Failure) -> Parsed<T> {
        Err(std::mem::take(&mut self.pending).merge(failure))
    }

    fn remember(&mut self, failure: Failure) {
        self.pending = std::mem::take(&mut self.pending).merge(failure);
    }

    /// Fails without saying why; earlier alternatives speak.
    pub(super) fn refuse<T>(&mut self) -> Parsed<T> {
        self.fail(Failure::default())
    }

    /// One character of those accepted.
    pub(super) fn one(&mut self, accept: impl Fn(char) -> bool) -> Parsed<char> {
        match self.peek() {
            Some(character) if accept(character) => {
                self.advance(character.len_utf8());
                Ok(character)
            }
            _ => {
                let failure = self.here(|failure| failure);
                self.fail(failure)
            }
        }
    }

    /// This very character, given as text of one character.
    pub(super) fn char(&mut self, literal: &'static str) -> Parsed<()> {
        if self.rest().starts_with(literal) {
            self.advance(literal.len());
            return Ok(());
        }
        let failure = self.here(|failure| failure.or_literal(literal));
        self.fail(failure)
    }

    /// This very text. Consumes if the first character matches, even if the rest does not.
    pub(super) fn string(&mut self, literal: &'static str) -> Parsed<()> {
        let found = self.rest();
        if found.starts_with(literal) {
            self.advance(literal.len());
            return Ok(());
        }
        let mut actual = found.chars();
        let mut matched = 0;
        let mismatch = loop {
            let wanted = literal.get(matched..).and_then(|tail| tail.chars().next());
            match actual.next() {
                Some(character) if Some(character) == wanted => matched += character.len_utf8(),
                other => break other,
            }
        };
        let failure = if self.explains {
            Failure::found(self.offset, mismatch).or_literal(literal)
        } else {
            Failure::default()
        };
        if matched == 0 {
            return self.fail(failure);
        }
        self.advance(matched);
        Err(failure)
    }

    /// As many accepted characters as there are; `labels` name them in errors behind them.
    pub(super) fn run_of(&mut self, accept: impl Fn(char) -> bool, labels: &[&'static str]) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !accept(character)).unwrap_or(rest.len());
        if end > 0 {
            self.advance(end);
        }
        let failure =
            self.here(|failure| labels.iter().fold(failure, |failure, label| failure.or_label(label)));
        self.remember(failure);
        rest.get(..end).unwrap_or_default()
    }

    /// Like [`Cursor::run_of`], but at least one.
    pub(super) fn some_of(
        &mut self,
        accept: impl Fn(char) -> bool,
        labels: &[&'static str],
    ) -> Parsed<&'a str> {
        let taken = self.run_of(accept, labels);
        if taken.is_empty() { Err(std::mem::take(&mut self.pending)) } else { Ok(taken) }
    }

    /// Everything that is left.
    pub(super) fn everything(&mut self) -> &'a str {
        self.run_of(|_| true, &[])
    }

    /// Succeeds at the end of the text only.
    pub(super) fn end(&mut self) -> Parsed<()> {
        match self.peek() {
            None => {
                let failure = self.here(|failure| failure.or_label("end of input"));
                self.remember(failure);
                Ok(())
            }
            Some(character) => {
                let failure = self.forbidden(self.offset, character);
                self.fail(if self.explains { failure.or_label("end of input") } else { failure })
            }
        }
    }

    /// Succeeds, without consuming, where `rule` fails.
    pub(super) fn not_followed_by(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<char>) -> Parsed<()> {
        let start = self.offset;
        let outer = std::mem::take(&mut self.pending);
        let result = rule(self);
        let end = std::mem::replace(&mut self.offset, start);
        match result {
            Ok(character) => Err(outer.merge(self.forbidden(end, character))),
            Err(failure) => {
                self.pending = outer.merge(failure);
                Ok(())
            }
        }
    }

    /// Runs `rule` so that its failure never counts as consuming.
    pub(super) fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let start = self.offset;
        let outer = std::mem::take(&mut self.pending);
        match rule(self) {
            Ok(value) => {
                if self.offset == start {
                    self.pending = outer.merge(std::mem::take(&mut self.pending));
                }
                Ok(value)
            }
            Err(failure) => {
                self.offset = start;
                Err(outer.merge(failure))
            }
        }
    }

    /// Succeeds, without consuming, where `literal` comes next.
    pub(super) fn look_ahead(&mut self, literal: &'static str) -> Parsed<()> {
        if self.rest().starts_with(literal) {
            return Ok(());
        }
        self.attempt(|cursor| cursor.string(literal))
    }

    /// The first rule, or the second where the first fails without consuming.
    pub(super) fn either<T>(
        &mut self,
        first: impl FnOnce(&mut Self) -> Parsed<T>,
        second: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let start = self.offset;
        match first(self) {
            Err(failure) if self.offset == start => {
                self.pending = failure;
                second(self)
            }
            done => done,
        }
    }

    /// The rule, or nothing where it fails without consuming.
    pub(super) fn optional<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<Option<T>> {
        self.either(|cursor| rule(cursor).map(Some), |_| Ok(None))
    }

    /// The first literal that comes next, each tried as a whole; its value.
    pub(super) fn one_of<T: Copy>(&mut self, table: &[(&'static str, T)]) -> Parsed<T> {
        let rest = self.rest();
        if let Some((literal, value)) = table.iter().find(|(literal, _)| rest.starts_with(literal)) {
            self.advance(literal.len());
            return Ok(*value);
        }
        for (literal, _) in table.iter().take(if self.explains { table.len() } else { 0 }) {
            let failure = self.attempt(|cursor| cursor.string(literal)).err();
            self.pending = failure.unwrap_or_default();
        }
        Err(std::mem::take(&mut self.pending))
    }

    /// Names what `rule` takes, for errors at the place where it starts.
    pub(super) fn label<T>(
        &mut self,
        label: &'static str,
        rule: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let start = self.offset;
        let outer = std::mem::take(&mut self.pending);
        let result = rule(self);
        if self.offset != start || !self.explains {
            return result;
        }
        match result {
            Ok(value) => {
                let mut inner = std::mem::take(&mut self.pending);
                if !inner.is_silent() {
                    inner.relabel(label);
                }
                self.pending = outer.merge(inner);
                Ok(value)
            }
            Err(mut failure) => {
                failure.relabel(label);
                Err(outer.merge(failure))
            }
        }
    }

    /// Items with separators between them; at least one item.
    pub(super) fn separated<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
        mut separator: impl FnMut(&mut Self) -> Parsed<()>,
    ) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        loop {
            let start = self.offset;
            match separator(self).and_then(|()| item(self)) {
                Ok(_) if self.offset == start => return Ok(items),
                Ok(value) => {
                    items.push(value);
                    self.pending = Failure::default();
                }
                Err(failure) if self.offset == start => {
                    self.pending = failure;
                    return Ok(items);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// `rule` with blanks around it.
    pub(super) fn lexeme<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.run_of(is_blank, &[]);
        let value = rule(self)?;
        self.run_of(is_blank, &[]);
        Ok(value)
    }

    /// Runs `rule` one level deeper; refuses past [`MAX_DEPTH`].
    pub(super) fn nested<T>(
        &mut self,
        what: &'static str,
        rule: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return self.give_up(format!("The {what} is nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// Sets how many times [`Cursor::spend`] may be called.
    pub(super) fn set_budget(&mut self, items: usize) {
        self.budget = items;
    }

    /// Counts one item; refuses with `reason` past the budget.
    pub(super) fn spend(&mut self, reason: impl FnOnce() -> String) -> Parsed<()> {
        if self.budget == 0 {
            return self.give_up(reason());
        }
        self.budget -= 1;
        Ok(())
    }

    /// Ends the whole parse: nothing is taken any more, and `reason` becomes the error.
    pub(super) fn give_up<T>(&mut self, reason: String) -> Parsed<T> {
        self.too_complex.get_or_insert(reason);
        self.offset = self.text.len();
        Err(Failure::default())
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}
