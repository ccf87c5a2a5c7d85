//! Expressions that are understood, and what they say of a row. NULL and the three-valued logic are PostgreSQL's.
//!
//! Every part is evaluated, even where others already decide: PostgreSQL may evaluate in any order, and if one part is
//! undecided, so is the whole.

use super::claims::{Claim, Claims};
use crate::realtime::changes::value::{Comparison, Datum, Image, Kind, Undecided, Width};

/// A typed expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Expression {
    /// A column of the row.
    Column { name: Box<str>, kind: Kind },
    /// A constant; `None` is NULL.
    Constant(Option<Datum<'static>>),
    /// Something of the claims.
    Claim(Claim),
    /// A cast that changes the value.
    Cast(Box<Expression>, Cast),
    /// A comparison of two values.
    Compare(Comparison, Box<Expression>, Box<Expression>),
    /// `left operator ANY (list)`
    Any(Comparison, Box<Expression>, Vec<Expression>),
    /// `left operator ALL (list)`
    All(Comparison, Box<Expression>, Vec<Expression>),
    /// `IS DISTINCT FROM`
    Distinct(Box<Expression>, Box<Expression>),
    /// `IS NULL` of a column, whatever its type.
    ColumnIsNull(Box<str>),
    /// `IS NULL`
    IsNull(Box<Expression>),
    /// `IS TRUE`, `IS FALSE`, `IS UNKNOWN`
    Is(Box<Expression>, Option<bool>),
    /// `NOT`
    Not(Box<Expression>),
    /// `AND`; true without members.
    And(Vec<Expression>),
    /// `OR`; false without members.
    Or(Vec<Expression>),
}

/// A cast that changes the value or may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cast {
    /// Of text to a kind.
    Parse(Kind),
    /// Of anything to text.
    Print,
    /// Of an integer to a narrower one.
    Narrow(Width),
}

impl Expression {
    /// A constant that is not NULL.
    pub(super) fn boolean(value: bool) -> Self {
        Self::Constant(Some(Datum::Bool(value)))
    }

    /// What the expression says of the row for a caller with these claims.
    pub(super) fn value<'a>(
        &'a self,
        image: &'a Image,
        claims: &'a Claims,
    ) -> Result<Option<Datum<'a>>, Undecided> {
        match self {
            Self::Column { name, kind } => kind.read(image, name),
            Self::Constant(value) => Ok(value.as_ref().map(Datum::borrow)),
            Self::Claim(claim) => claim.read(claims),
            Self::Cast(operand, cast) => {
                operand.value(image, claims)?.map(|value| cast.apply(value)).transpose()
            }
            _ => Ok(self.truth(image, claims)?.map(Datum::Bool)),
        }
    }

    /// The same of an expression that is a boolean.
    pub(super) fn truth(&self, image: &Image, claims: &Claims) -> Result<Option<bool>, Undecided> {
        match self {
            Self::Compare(operator, left, right) => {
                operator.of(left.value(image, claims)?.as_ref(), right.value(image, claims)?.as_ref())
            }
            Self::Any(operator, left, list) => {
                let left = left.value(image, claims)?;
                any(list.iter().map(|item| operator.of(left.as_ref(), item.value(image, claims)?.as_ref())))
            }
            Self::All(operator, left, list) => {
                let left = left.value(image, claims)?;
                all(list.iter().map(|item| operator.of(left.as_ref(), item.value(image, claims)?.as_ref())))
            }
            Self::Distinct(left, right) => {
                Ok(Some(left.value(image, claims)? != right.value(image, claims)?))
            }
            Self::ColumnIsNull(name) => Ok(Some(image.get(&**name).is_none_or(serde_json::Value::is_null))),
            Self::IsNull(operand) => Ok(Some(operand.value(image, claims)?.is_none())),
            Self::Is(operand, wanted) => Ok(Some(operand.truth(image, claims)? == *wanted)),
            Self::Not(operand) => Ok(operand.truth(image, claims)?.map(|truth| !truth)),
            Self::And(members) => all(members.iter().map(|member| member.truth(image, claims))),
            Self::Or(members) => any(members.iter().map(|member| member.truth(image, claims))),
            Self::Column { .. } | Self::Constant(_) | Self::Claim(_) | Self::Cast(..) => {
                match self.value(image, claims)? {
                    None => Ok(None),
                    Some(Datum::Bool(value)) => Ok(Some(value)),
                    Some(_) => Err(Undecided),
                }
            }
        }
    }

    /// What it reads.
    pub(super) fn sources(&self) -> Sources {
        match self {
            Self::Column { .. } | Self::ColumnIsNull(_) => Sources { row: true, claims: false },
            Self::Constant(_) => Sources::default(),
            Self::Claim(_) => Sources { row: false, claims: true },
            Self::Cast(operand, _) | Self::IsNull(operand) | Self::Is(operand, _) | Self::Not(operand) => {
                operand.sources()
            }
            Self::Compare(_, left, right) | Self::Distinct(left, right) => {
                left.sources().with(right.sources())
            }
            Self::Any(_, left, list) | Self::All(_, left, list) => {
                list.iter().fold(left.sources(), |sources, item| sources.with(item.sources()))
            }
            Self::And(members) | Self::Or(members) => {
                members.iter().fold(Sources::default(), |sources, member| sources.with(member.sources()))
            }
        }
    }
}

impl Cast {
    fn apply(self, value: Datum<'_>) -> Result<Datum<'_>, Undecided> {
        match (self, value) {
            (Self::Parse(kind), Datum::Text(text)) => kind.input(&text).map(Datum::into_owned),
            (Self::Print, value) => Ok(Datum::Text(value.into_text())),
            (Self::Narrow(width), Datum::Integer(number)) if width.holds(number) => {
                Ok(Datum::Integer(number))
            }
            _ => Err(Undecided),
        }
    }
}

/// What an expression reads.
#[derive(Clone, Copy, Default)]
pub(super) struct Sources {
    /// Columns of the row.
    pub(super) row: bool,
    /// Claims of the caller.
    pub(super) claims: bool,
}

impl Sources {
    fn with(self, other: Self) -> Self {
        Self { row: self.row || other.row, claims: self.claims || other.claims }
    }
}

/// `OR`: true wins over NULL, NULL over false.
fn any(truths: impl Iterator<Item = Result<Option<bool>, Undecided>>) -> Result<Option<bool>, Undecided> {
    let mut so_far = Some(false);
    for truth in truths {
        so_far = match (so_far, truth?) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
            _ => Some(false),
        };
    }
    Ok(so_far)
}

/// `AND`: false wins over NULL, NULL over true.
fn all(truths: impl Iterator<Item = Result<Option<bool>, Undecided>>) -> Result<Option<bool>, Undecided> {
    Ok(any(truths.map(|truth| truth.map(|truth| truth.map(|truth| !truth))))?.map(|truth| !truth))
}
