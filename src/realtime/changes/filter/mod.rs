//! The `filter` of a subscription to changes (contract of realtime, section 6): conditions on columns, all of which a row
//! must meet. Pure.
//!
//! `parse.rs` reads the text, `like.rs` matches patterns. What can be told without PostgreSQL is told by
//! [`Filter::evaluate`]; for the rest [`Condition::sql`] is what has to be asked, as data.

mod like;
mod parse;

#[cfg(test)]
mod tests;

pub use like::LikePattern;

use crate::realtime::changes::value::{Column, Comparison, Datum, Image, Kind, Undecided};

/// The conditions of a subscription; all must hold. Without any, every row matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In the order of the text.
    pub conditions: Vec<Condition>,
}

/// What is wrong with a filter, in the words that clients know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is not written as a filter is.
    #[error("Error parsing `filter` params: {0}")]
    Syntax(String),
    /// The table has no such column.
    #[error("invalid column for filter {0}")]
    Column(String),
    /// The list of an `in` is too long.
    #[error("too many values for `in` filter. Maximum 100")]
    TooManyValues,
}

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: Column,
    /// Whether the test must be false: `not.`
    pub is_negated: bool,
    /// The test.
    pub test: Test,
}

/// What is asked of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `eq`, `neq`, `lt`, `lte`, `gt`, `gte`
    Compare(Comparison, Operand),
    /// `isdistinct`: as `neq`, but NULL is a value like others.
    Distinct(Operand),
    /// `in`: at most 100 values.
    In(Vec<Operand>),
    /// `is.null`
    IsNull,
    /// `is.true`, `is.false`, `is.unknown`
    Is(Option<bool>),
    /// `like`, for a pattern that is matched here if the column is a known text.
    Like(LikePattern, String),
    /// `like`, `ilike`, `match`, `imatch`
    Pattern(Pattern, String),
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// As the client wrote it.
    pub text: String,
    /// The value of the column's type, where that is known here. PostgreSQL may still take the text, or refuse it.
    pub value: Option<Datum<'static>>,
}

/// A language of patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `%` and `_`.
    Like,
    /// The same whatever the case of the letters.
    LikeAnyCase,
    /// A regular expression.
    Match,
    /// The same whatever the case of the letters.
    MatchAnyCase,
}

/// A condition as SQL that is yet to be written: `column operator value`, in `not (…)` if negated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlCondition<'a> {
    /// The name of the column.
    pub column: &'a str,
    /// The operator with its keywords.
    pub operator: &'static str,
    /// Whether it stands in `not (…)`.
    pub is_negated: bool,
    /// What is bound behind it.
    pub value: SqlValue<'a>,
}

/// What is bound behind an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlValue<'a> {
    /// Nothing: the operator says all.
    Nothing,
    /// A text that becomes a value of the column's type: `$n::text::type`.
    OfColumnType(&'a str),
    /// The same for each: `($n::text[]::type[])`. The list may be empty.
    ListOfColumnType(Vec<&'a str>),
    /// A text as it is: `$n::text`.
    Text(&'a str),
}

impl Filter {
    /// Reads the filter of a table with these columns.
    ///
    /// # Errors
    /// In the contract's words. A value that PostgreSQL does not take for the column's type is not found here: a filter
    /// that is not [decided here](Filter::is_decided_here) has to be tried once.
    pub fn parse(text: &str, columns: &[Column]) -> Result<Self, FilterError> {
        parse::filter(text, columns)
    }

    /// Whether [`Filter::evaluate`] can tell.
    pub fn is_decided_here(&self) -> bool {
        self.conditions.iter().all(Condition::is_decided_here)
    }

    /// Whether the row meets the conditions; only `Some(true)` matches.
    ///
    /// # Errors
    /// The filter is not decided here.
    pub fn evaluate(&self, image: &Image) -> Result<Option<bool>, Undecided> {
        let mut all = Some(true);
        for condition in &self.conditions {
            all = match (all, condition.evaluate(image)?) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (None, _) | (_, None) => None,
                _ => Some(true),
            };
        }
        Ok(all)
    }
}

impl Condition {
    fn is_decided_here(&self) -> bool {
        let kind = self.column.kind;
        let has_value = |operand: &Operand| operand.value.is_some();
        let is_compared = |operator: Comparison| operator.is_decided_for(kind, kind);
        match &self.test {
            Test::Compare(operator, operand) => is_compared(*operator) && has_value(operand),
            Test::Distinct(operand) => is_compared(Comparison::Equal) && has_value(operand),
            Test::In(operands) => is_compared(Comparison::Equal) && operands.iter().all(has_value),
            Test::IsNull => kind != Kind::Unknown,
            Test::Is(_) => kind == Kind::Bool,
            Test::Like(..) => matches!(kind, Kind::Text(_)),
            Test::Pattern(..) => false,
        }
    }

    fn evaluate(&self, image: &Image) -> Result<Option<bool>, Undecided> {
        if !self.is_decided_here() {
            return Err(Undecided);
        }
        if self.test == Test::IsNull {
            let is_null = image.get(&self.column.name).is_none_or(serde_json::Value::is_null);
            return Ok(Some(is_null != self.is_negated));
        }
        let value = self.column.kind.read(image, &self.column.name)?;
        let truth = match &self.test {
            Test::Compare(operator, operand) => operator.of(value.as_ref(), operand.value.as_ref())?,
            Test::Distinct(operand) => Some(value != operand.value),
            Test::In(operands) if operands.is_empty() => Some(false),
            Test::In(operands) => {
                value.map(|value| operands.iter().any(|operand| operand.value.as_ref() == Some(&value)))
            }
            Test::Is(wanted) => Some(value == wanted.map(Datum::Bool)),
            Test::Like(pattern, _) => value.map(|value| pattern.matches(&value.into_text())),
            Test::IsNull | Test::Pattern(..) => return Err(Undecided),
        };
        Ok(truth.map(|truth| truth != self.is_negated))
    }

    /// What to ask PostgreSQL. With the type of the column as SQL the value is bound as [`SqlValue`] says.
    pub fn sql(&self) -> SqlCondition<'_> {
        let (operator, value) = match &self.test {
            Test::Compare(operator, operand) => {
                (comparison_sql(*operator), SqlValue::OfColumnType(&operand.text))
            }
            Test::Distinct(operand) => ("is distinct from", SqlValue::OfColumnType(&operand.text)),
            Test::In(operands) => {
                let texts = operands.iter().map(|operand| operand.text.as_str()).collect();
                ("= any", SqlValue::ListOfColumnType(texts))
            }
            Test::IsNull => ("is null", SqlValue::Nothing),
            Test::Is(Some(true)) => ("is true", SqlValue::Nothing),
            Test::Is(Some(false)) => ("is false", SqlValue::Nothing),
            Test::Is(None) => ("is unknown", SqlValue::Nothing),
            Test::Like(_, pattern) => (pattern_sql(Pattern::Like), SqlValue::Text(pattern)),
            Test::Pattern(language, pattern) => (pattern_sql(*language), SqlValue::Text(pattern)),
        };
        SqlCondition { column: &self.column.name, operator, is_negated: self.is_negated, value }
    }
}

fn comparison_sql(operator: Comparison) -> &'static str {
    match operator {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn pattern_sql(language: Pattern) -> &'static str {
    match language {
        Pattern::Like => "like",
        Pattern::LikeAnyCase => "ilike",
        Pattern::Match => "~",
        Pattern::MatchAnyCase => "~*",
    }
}
