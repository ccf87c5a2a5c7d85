//! `and`, `or`: trees of conditions.

use super::cursor::{Cursor, Parsed};
use super::fields::{delimiter, field, field_name};
use super::filter::{enclosed_value, expression, negation};
use crate::rest::core::query::{EmbedPath, Filter, LogicOperator, LogicTree};

/// `field.operator.value`, or `and(tree,tree)`, `not.or(...)`.
pub(super) fn tree(cursor: &mut Cursor<'_>) -> Parsed<LogicTree> {
    cursor.either(|cursor| cursor.attempt(condition).map(LogicTree::Filter), branch)
}

fn condition(cursor: &mut Cursor<'_>) -> Parsed<Filter> {
    let field = field(cursor)?;
    delimiter(cursor)?;
    Ok(Filter { field, operation: expression(cursor, enclosed_value)? })
}

fn branch(cursor: &mut Cursor<'_>) -> Parsed<LogicTree> {
    let negated = cursor.label("negation operator (not)", negation)?;
    let operator = cursor.label("logic operator (and, or)", |cursor| {
        cursor.either(
            |cursor| cursor.attempt(|cursor| cursor.string("and")).map(|()| LogicOperator::And),
            |cursor| cursor.string("or").map(|()| LogicOperator::Or),
        )
    })?;
    cursor.lexeme(|cursor| cursor.char("("))?;
    let children = cursor.nested("logic tree", |cursor| {
        cursor.separated(tree, |cursor| cursor.lexeme(|cursor| cursor.char(",")))
    })?;
    cursor.lexeme(|cursor| cursor.char(")"))?;
    Ok(LogicTree::Expression { negated, operator, children })
}

/// `embed.not.and`: the parameter's name, split into the level and the head of the tree (`not.and`).
pub(super) fn path(cursor: &mut Cursor<'_>) -> Parsed<(EmbedPath, String)> {
    let mut path = cursor.separated(field_name, delimiter)?;
    let negated = path.iter().any(|name| name == "not");
    let operator = path.pop().unwrap_or_default();
    path.retain(|name| name != "not");
    Ok((path, if negated { format!("not.{operator}") } else { operator }))
}
