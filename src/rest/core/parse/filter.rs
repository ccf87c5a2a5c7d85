//! The right side of filters: operators and their values.

use super::cursor::{Cursor, Parsed};
use super::fields::{delimiter, identifier, quoted_value};
use crate::rest::core::query::{
    FullTextOperator, IsValue, Operation, OperatorExpression, QuantifiedOperator, Quantifier, SimpleOperator,
};

const SIMPLE: [(&str, SimpleOperator); 9] = [
    ("neq", SimpleOperator::NotEqual),
    ("cs", SimpleOperator::Contains),
    ("cd", SimpleOperator::Contained),
    ("ov", SimpleOperator::Overlap),
    ("sl", SimpleOperator::StrictlyLeft),
    ("sr", SimpleOperator::StrictlyRight),
    ("nxr", SimpleOperator::NotExtendsRight),
    ("nxl", SimpleOperator::NotExtendsLeft),
    ("adj", SimpleOperator::Adjacent),
];

const QUANTIFIED: [(&str, QuantifiedOperator); 9] = [
    ("eq", QuantifiedOperator::Equal),
    ("gte", QuantifiedOperator::GreaterThanEqual),
    ("gt", QuantifiedOperator::GreaterThan),
    ("lte", QuantifiedOperator::LessThanEqual),
    ("lt", QuantifiedOperator::LessThan),
    ("like", QuantifiedOperator::Like),
    ("ilike", QuantifiedOperator::ILike),
    ("match", QuantifiedOperator::Match),
    ("imatch", QuantifiedOperator::IMatch),
];

const FULL_TEXT: [(&str, FullTextOperator); 4] = [
    ("fts", FullTextOperator::Plain),
    ("plfts", FullTextOperator::PlainTo),
    ("phfts", FullTextOperator::PhraseTo),
    ("wfts", FullTextOperator::WebSearchTo),
];

const IS: [(&str, IsValue); 5] = [
    ("null", IsValue::Null),
    ("not_null", IsValue::NotNull),
    ("true", IsValue::True),
    ("false", IsValue::False),
    ("unknown", IsValue::Unknown),
];

/// How the value behind an operator is read: it ends differently at the top than inside a logic tree.
type ValueRule<'a> = fn(&mut Cursor<'a>) -> Parsed<String>;

/// `not.operator.value`; `value` reads the value.
pub(super) fn expression<'a>(cursor: &mut Cursor<'a>, value: ValueRule<'a>) -> Parsed<OperatorExpression> {
    let negated = negation(cursor)?;
    let operation = cursor.label("operator (eq, gt, ...)", |cursor| operation(cursor, value))?;
    Ok(OperatorExpression { negated, operation })
}

/// `not.`, or nothing.
pub(super) fn negation(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    let not = cursor.optional(|cursor| {
        cursor.attempt(|cursor| {
            cursor.string("not")?;
            delimiter(cursor)
        })
    })?;
    Ok(not.is_some())
}

fn operation<'a>(cursor: &mut Cursor<'a>, value: ValueRule<'a>) -> Parsed<Operation> {
    if named(cursor, "in")? {
        return list(cursor).map(Operation::In);
    }
    if named(cursor, "is")? {
        return is_value(cursor).map(Operation::Is);
    }
    if named(cursor, "isdistinct")? {
        return value(cursor).map(Operation::IsDistinctFrom);
    }
    cursor.either(
        |cursor| cursor.attempt(|cursor| full_text(cursor, value)),
        |cursor| {
            cursor.either(
                |cursor| cursor.attempt(|cursor| simple(cursor, value)),
                |cursor| cursor.attempt(|cursor| quantified(cursor, value)),
            )
        },
    )
}

/// The operator's name and a dot, or nothing.
fn named(cursor: &mut Cursor<'_>, name: &'static str) -> Parsed<bool> {
    let found = cursor.optional(|cursor| {
        cursor.attempt(|cursor| {
            cursor.string(name)?;
            delimiter(cursor)
        })
    })?;
    Ok(found.is_some())
}

fn simple<'a>(cursor: &mut Cursor<'a>, value: ValueRule<'a>) -> Parsed<Operation> {
    let operator = cursor.label("unknown single value operator", |cursor| cursor.one_of(&SIMPLE))?;
    delimiter(cursor)?;
    Ok(Operation::Simple(operator, value(cursor)?))
}

fn quantified<'a>(cursor: &mut Cursor<'a>, value: ValueRule<'a>) -> Parsed<Operation> {
    let operator = cursor.label("unknown single value operator", |cursor| cursor.one_of(&QUANTIFIED))?;
    let quantifier = cursor.optional(|cursor| {
        cursor.attempt(|cursor| {
            cursor.char("(")?;
            let quantifier = cursor.one_of(&[("any", Quantifier::Any), ("all", Quantifier::All)])?;
            cursor.char(")")?;
            Ok(quantifier)
        })
    })?;
    delimiter(cursor)?;
    Ok(Operation::Quantified(operator, quantifier, value(cursor)?))
}

fn full_text<'a>(cursor: &mut Cursor<'a>, value: ValueRule<'a>) -> Parsed<Operation> {
    let operator = cursor.one_of(&FULL_TEXT)?;
    let language = cursor.optional(|cursor| {
        cursor.attempt(|cursor| {
            cursor.char("(")?;
            let language = identifier(cursor)?;
            cursor.char(")")?;
            Ok(language.to_owned())
        })
    })?;
    delimiter(cursor)?;
    Ok(Operation::FullText(operator, language, value(cursor)?))
}

/// A keyword in any case.
fn is_value(cursor: &mut Cursor<'_>) -> Parsed<IsValue> {
    cursor.label("isVal: (null, not_null, true, false, unknown)", |cursor| {
        for (keyword, value) in IS {
            if cursor.optional(|cursor| cursor.attempt(|cursor| any_case(cursor, keyword)))?.is_some() {
                return Ok(value);
            }
        }
        cursor.refuse()
    })
}

fn any_case(cursor: &mut Cursor<'_>, keyword: &str) -> Parsed<()> {
    for wanted in keyword.chars() {
        cursor.one(|it| it == wanted || it == wanted.to_ascii_uppercase())?;
    }
    Ok(())
}

/// The rest of the parameter.
#[expect(clippy::unnecessary_wraps, reason = "it is one of two rules for values, and the other can fail")]
pub(super) fn whole_value(cursor: &mut Cursor<'_>) -> Parsed<String> {
    Ok(cursor.everything().to_owned())
}

/// A value inside a logic tree: quoted, an array literal, or everything up to `,` or `)`.
pub(super) fn enclosed_value(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.either(
        |cursor| cursor.attempt(quoted_element),
        |cursor| {
            cursor.either(
                |cursor| cursor.attempt(array_literal),
                |cursor| Ok(cursor.run_of(ends_no_element, &[]).to_owned()),
            )
        },
    )
}

fn array_literal(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let start = cursor.offset();
    cursor.string("{")?;
    cursor.run_of(|it| it != '{' && it != '}', &[]);
    cursor.string("}")?;
    Ok(cursor.since(start).to_owned())
}

/// `(element,element)`
fn list(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.lexeme(|cursor| cursor.char("("))?;
    let elements = cursor.separated(list_element, |cursor| cursor.char(","))?;
    cursor.lexeme(|cursor| cursor.char(")"))?;
    Ok(elements)
}

fn list_element(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.either(
        |cursor| cursor.attempt(quoted_element),
        |cursor| Ok(cursor.run_of(ends_no_element, &[]).to_owned()),
    )
}

/// A quoted value with nothing but `,` or `)` behind it; otherwise the quotes are part of an unquoted value.
fn quoted_element(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let value = quoted_value(cursor)?;
    cursor.not_followed_by(|cursor| cursor.one(ends_no_element))?;
    Ok(value)
}

fn ends_no_element(character: char) -> bool {
    character != ',' && character != ')'
}
