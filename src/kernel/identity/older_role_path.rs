//! The older spelling of a role path, without `$`: `.app."the role"`, `.roles[0]`, `.roles[?(@ ^== "app_")][4:]`.
//!
//! Names, indexes, a filter over the texts of a list (`==`, `!=`, `^==` starts with, `==^` ends with, `*==` contains)
//! and the slice of a text, whose ends count characters and may be negative as in Python. [`super::role_path`] says
//! when it applies.

use std::num::ParseIntError;

use serde_json::Value;

use super::caller::Claims;

/// The steps of a path in the older spelling.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OlderRolePath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    Filter(Comparison, String),
    Slice(Option<i64>, Option<i64>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    StartsWith,
    EndsWith,
    Contains,
}

impl OlderRolePath {
    /// The path to one member.
    pub(super) fn member(name: &str) -> Self {
        Self(vec![Step::Name(name.to_owned())])
    }

    /// Reads a path; the error is the place of the first character that does not fit.
    pub(super) fn parse(path: &str) -> Result<Self, usize> {
        let mut parser = Parser { rest: path };
        let steps = parser.steps().filter(|steps| !steps.is_empty() && parser.rest.is_empty());
        steps.map(Self).ok_or(path.len() - parser.rest.len() + 1)
    }

    /// What the path leads to.
    pub(super) fn find(&self, claims: &Claims) -> Option<Value> {
        let (Step::Name(first), rest) = self.0.split_first()? else { return None };
        let mut place = claims.get(first)?;
        for (position, step) in rest.iter().enumerate() {
            place = match (step, place) {
                (Step::Name(name), Value::Object(members)) => members.get(name)?,
                (Step::Index(index), Value::Array(elements)) => elements.get(*index)?,
                (Step::Filter(comparison, operand), Value::Array(elements)) => elements
                    .iter()
                    .find(|element| element.as_str().is_some_and(|text| comparison.holds(text, operand)))?,
                (Step::Slice(..), Value::String(text)) => return sliced(text, rest.get(position..)?),
                _ => return None,
            };
        }
        Some(place.clone())
    }
}

/// The text after the slices that end a path; nothing else can follow one.
fn sliced(text: &str, slices: &[Step]) -> Option<Value> {
    let mut text: Vec<char> = text.chars().collect();
    for step in slices {
        let Step::Slice(from, to) = step else { return None };
        let end = |index: i64| {
            let place = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            if index < 0 { text.len().saturating_sub(place) } else { place.min(text.len()) }
        };
        let (from, to) = (from.map_or(0, end), to.map_or(text.len(), end));
        text = text.get(from..to).unwrap_or_default().to_vec();
    }
    Some(Value::String(text.into_iter().collect()))
}

impl Comparison {
    fn holds(self, text: &str, operand: &str) -> bool {
        match self {
            Self::Equal => text == operand,
            Self::NotEqual => text != operand,
            Self::StartsWith => text.starts_with(operand),
            Self::EndsWith => text.ends_with(operand),
            Self::Contains => text.contains(operand),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// All steps up to what is no step; `None` where a step is broken.
    fn steps(&mut self) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if self.eat(".") {
                steps.push(Step::Name(self.name()?));
            } else if self.eat("[?(") {
                steps.push(self.filter()?);
            } else if self.eat("[") {
                steps.push(self.index_or_slice()?);
            } else {
                return Some(steps);
            }
        }
    }

    fn name(&mut self) -> Option<String> {
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        let name = self.take(|c| c.is_alphanumeric() || "_$@".contains(c));
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn index_or_slice(&mut self) -> Option<Step> {
        let first = self.number().ok()?;
        let step = if self.eat(":") {
            Step::Slice(first, self.number().ok()?)
        } else {
            Step::Index(usize::try_from(first?).ok()?)
        };
        self.eat("]").then_some(step)
    }

    /// The whole number here, if there is one.
    fn number(&mut self) -> Result<Option<i64>, ParseIntError> {
        let digits = self.take(|c| c.is_ascii_digit() || c == '-');
        if digits.is_empty() { Ok(None) } else { digits.parse().map(Some) }
    }

    fn filter(&mut self) -> Option<Step> {
        if !self.eat("@") {
            return None;
        }
        self.blanks();
        let comparison = self.comparison()?;
        self.blanks();
        let operand = self.quoted()?;
        self.eat(")]").then_some(Step::Filter(comparison, operand))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let known = [
            ("==^", Comparison::EndsWith),
            ("^==", Comparison::StartsWith),
            ("*==", Comparison::Contains),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
        ];
        known.into_iter().find(|(sign, _)| self.eat(sign)).map(|(_, comparison)| comparison)
    }

    /// Text in double quotes, up to the next one: this spelling has no escapes.
    fn quoted(&mut self) -> Option<String> {
        let (text, rest) = self.rest.strip_prefix('"')?.split_once('"')?;
        self.rest = rest;
        Some(text.to_owned())
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}
