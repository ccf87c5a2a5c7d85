//! The parts of an expression with their types: which casts and comparisons mean the same here as in PostgreSQL.

use super::claims::{Claim, Reading};
use super::expression::{Cast, Expression};
use crate::realtime::changes::value::{Collation, Column, Comparison, Datum, Kind, Width};

/// A part with its type.
pub(super) enum Part {
    /// A value that can be computed.
    Value(Kind, Expression),
    /// A constant of a type that is not built in: an enum, if the other side is one.
    Label(Option<String>),
    /// JSON inside of the claims: `jsonb`, or `json`.
    Json { path: Vec<Box<str>>, is_binary: bool },
    /// The text of all claims.
    Setting,
}

/// The name of a type.
#[derive(Clone, Copy)]
pub(super) enum TypeName {
    /// A type with values here.
    Known(Kind),
    /// `jsonb`, or `json`.
    Json { is_binary: bool },
    /// A type outside of `pg_catalog`.
    Other,
}

impl Part {
    /// A boolean.
    pub(super) fn boolean(expression: Expression) -> Self {
        Self::Value(Kind::Bool, expression)
    }

    /// An integer constant.
    pub(super) fn integer(number: i32) -> Self {
        let value = Expression::Constant(Some(Datum::Integer(number.into())));
        Self::Value(Kind::Integer(Width::Four), value)
    }

    /// The constant that a text in quotes stands for before `::` and the type.
    pub(super) fn constant(text: &str, name: TypeName) -> Option<Self> {
        match name {
            TypeName::Known(kind) => {
                let value = kind.input(text).ok()?.into_owned();
                Some(Self::Value(kind, Expression::Constant(Some(value))))
            }
            TypeName::Other => Some(Self::Label(Some(text.to_owned()))),
            TypeName::Json { .. } => None,
        }
    }

    /// NULL of that type.
    pub(super) fn null(name: TypeName) -> Option<Self> {
        match name {
            TypeName::Known(kind) => Some(Self::Value(kind, Expression::Constant(None))),
            TypeName::Other => Some(Self::Label(None)),
            TypeName::Json { .. } => None,
        }
    }

    /// The text of a claim.
    pub(super) fn claim(path: Vec<Box<str>>, reading: Reading) -> Self {
        Self::Value(Kind::Text(Collation::Default), Expression::Claim(Claim { path, reading }))
    }

    /// A column of the table.
    pub(super) fn column(column: &Column) -> Self {
        let expression = Expression::Column { name: column.name.as_str().into(), kind: column.kind };
        Self::Value(column.kind, expression)
    }

    /// The expression, if it is a boolean.
    pub(super) fn condition(self) -> Option<Expression> {
        match self {
            Self::Value(Kind::Bool, expression) => Some(expression),
            _ => None,
        }
    }

    /// The part as another type; `None` if the cast is not understood.
    pub(super) fn cast(self, to: TypeName) -> Option<Self> {
        let kind = match (&self, to) {
            (Self::Setting, TypeName::Json { is_binary }) => {
                return Some(Self::Json { path: Vec::new(), is_binary });
            }
            (_, TypeName::Known(kind)) => kind,
            _ => return None,
        };
        let (from, expression) = match self {
            Self::Value(from, expression) => (from, expression),
            Self::Json { path, is_binary: true } if !path.is_empty() => {
                let reading = match kind {
                    Kind::Bool => Reading::Bool,
                    Kind::Integer(width) => Reading::Integer(width),
                    _ => return None,
                };
                return Some(Self::Value(kind, Expression::Claim(Claim { path, reading })));
            }
            _ => return None,
        };
        let cast = match (from, kind) {
            (Kind::Text(_), Kind::Text(_)) => return Some(Self::Value(from, expression)),
            (Kind::Integer(from), Kind::Integer(to)) if from > to => Cast::Narrow(to),
            (Kind::Integer(_), Kind::Integer(_)) => return Some(Self::Value(kind, expression)),
            (from, to) if from == to && from != Kind::Plain => return Some(Self::Value(from, expression)),
            (Kind::Text(_), Kind::Uuid | Kind::Bool | Kind::Integer(_)) => Cast::Parse(kind),
            (Kind::Uuid | Kind::Bool | Kind::Integer(_) | Kind::Enum, Kind::Text(_)) => Cast::Print,
            _ => return None,
        };
        Some(Self::Value(kind, Expression::Cast(Box::new(expression), cast)))
    }

    /// Both sides of a comparison, if it can be decided.
    pub(super) fn compared(self, operator: Comparison, other: Self) -> Option<(Expression, Expression)> {
        let label = |text: Option<String>| Expression::Constant(text.map(|text| Datum::Text(text.into())));
        let (left, right) = match (self, other) {
            (Self::Value(left, a), Self::Value(right, b)) => ((left, a), (right, b)),
            (Self::Value(Kind::Enum, a), Self::Label(text)) => ((Kind::Enum, a), (Kind::Enum, label(text))),
            (Self::Label(text), Self::Value(Kind::Enum, b)) => ((Kind::Enum, label(text)), (Kind::Enum, b)),
            _ => return None,
        };
        operator.is_decided_for(left.0, right.0).then_some((left.1, right.1))
    }

    /// Whether it is NULL.
    pub(super) fn null_test(self) -> Option<Expression> {
        match self {
            Self::Value(Kind::Unknown, _) => None,
            Self::Value(_, Expression::Column { name, .. }) => Some(Expression::ColumnIsNull(name)),
            Self::Value(Kind::Plain, _) => None,
            Self::Value(_, expression) => Some(Expression::IsNull(Box::new(expression))),
            Self::Json { path, .. } if !path.is_empty() => {
                Some(Expression::Claim(Claim { path, reading: Reading::IsMissing }))
            }
            Self::Json { .. } | Self::Label(_) | Self::Setting => None,
        }
    }
}

/// A comparison with any or all of the items, if it can be decided.
pub(super) fn compared_with_list(
    operator: Comparison,
    is_any: bool,
    left: Part,
    items: Vec<Part>,
) -> Option<Expression> {
    let Part::Value(mut kind, left) = left else { return None };
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        // The kind of all so far: two collations among the items are in conflict too.
        if let Part::Value(other, _) = &item {
            kind = kind.equality_with(*other)?;
        }
        let (_, item) = Part::Value(kind, Expression::Constant(None)).compared(operator, item)?;
        list.push(item);
    }
    let left = Box::new(left);
    Some(if is_any { Expression::Any(operator, left, list) } else { Expression::All(operator, left, list) })
}
