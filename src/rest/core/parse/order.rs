//! `order`: terms with direction and place of nulls.

use super::cursor::{Cursor, Parsed};
use super::fields::{delimiter, field, field_name};
use crate::rest::core::query::{OrderDirection, OrderNulls, OrderTerm};

/// `field.desc.nullslast,relation(field)`
pub(super) fn terms(cursor: &mut Cursor<'_>) -> Parsed<Vec<OrderTerm>> {
    let term = |cursor: &mut Cursor<'_>| {
        cursor.lexeme(|cursor| cursor.either(|cursor| cursor.attempt(related_term), plain_term))
    };
    cursor.separated(term, |cursor| cursor.char(","))
}

fn plain_term(cursor: &mut Cursor<'_>) -> Parsed<OrderTerm> {
    let field = field(cursor)?;
    let (direction, nulls) = modifiers(cursor)?;
    Ok(OrderTerm { relation: None, field, direction, nulls })
}

fn related_term(cursor: &mut Cursor<'_>) -> Parsed<OrderTerm> {
    let relation = field_name(cursor)?;
    cursor.char("(")?;
    let field = field(cursor)?;
    cursor.char(")")?;
    let (direction, nulls) = modifiers(cursor)?;
    Ok(OrderTerm { relation: Some(relation), field, direction, nulls })
}

fn modifiers(cursor: &mut Cursor<'_>) -> Parsed<(Option<OrderDirection>, Option<OrderNulls>)> {
    let direction = cursor
        .optional(|cursor| keyword(cursor, [("asc", OrderDirection::Asc), ("desc", OrderDirection::Desc)]))?;
    let nulls = cursor.either(
        |cursor| {
            let nulls = cursor.optional(|cursor| {
                keyword(cursor, [("nullsfirst", OrderNulls::First), ("nullslast", OrderNulls::Last)])
            })?;
            term_end(cursor)?;
            Ok(nulls)
        },
        |cursor| term_end(cursor).map(|()| None),
    )?;
    Ok((direction, nulls))
}

/// A dot and one of two keywords.
fn keyword<T: Copy>(cursor: &mut Cursor<'_>, [first, second]: [(&'static str, T); 2]) -> Parsed<T> {
    let try_one = |cursor: &mut Cursor<'_>, (word, value): (&'static str, T)| {
        cursor.attempt(|cursor| {
            delimiter(cursor)?;
            cursor.string(word)?;
            Ok(value)
        })
    };
    cursor.either(|cursor| try_one(cursor, first), |cursor| try_one(cursor, second))
}

fn term_end(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.either(|cursor| cursor.look_ahead(","), |cursor| cursor.attempt(Cursor::end))
}
