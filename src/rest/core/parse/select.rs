//! `select`: the tree of fields, embedded relations and spreads.

use super::MAX_SELECT_ITEMS;
use super::cursor::{Cursor, Parsed};
use super::fields::{alias, field, field_name, identifier};
use crate::rest::core::query::{Aggregate, Field, JoinType, SelectItem, SelectNode};

/// The whole of `select`; an empty one selects nothing.
pub(super) fn forest(cursor: &mut Cursor<'_>) -> Parsed<Vec<SelectNode>> {
    let nodes = cursor
        .optional(|cursor| cursor.separated(node, |cursor| cursor.lexeme(|cursor| cursor.char(","))))?;
    Ok(nodes.unwrap_or_default())
}

fn node(cursor: &mut Cursor<'_>) -> Parsed<SelectNode> {
    cursor.spend(|| format!("The select parameter has more than {MAX_SELECT_ITEMS} items"))?;
    cursor.either(
        |cursor| {
            let item = cursor.either(|cursor| cursor.attempt(spread), |cursor| cursor.attempt(relation))?;
            cursor.char("(")?;
            let children = cursor.nested("select parameter", forest)?;
            cursor.char(")")?;
            Ok(SelectNode { item, children })
        },
        |cursor| Ok(SelectNode { item: field_item(cursor)?, children: Vec::new() }),
    )
}

/// `...relation!hint!inner` before `(`.
fn spread(cursor: &mut Cursor<'_>) -> Parsed<SelectItem> {
    cursor.lexeme(|cursor| {
        cursor.string("...")?;
        let name = field_name(cursor)?;
        let (hint, join_type) = embed_params(cursor)?;
        cursor.look_ahead("(")?;
        Ok(SelectItem::Spread { name, hint, join_type })
    })
}

/// `alias:relation!hint!inner` before `(`. The name `count` is left to the aggregate.
fn relation(cursor: &mut Cursor<'_>) -> Parsed<SelectItem> {
    cursor.lexeme(|cursor| {
        let alias = alias(cursor)?;
        let name = field_name(cursor)?;
        if name == "count" {
            return cursor.refuse();
        }
        let (hint, join_type) = embed_params(cursor)?;
        cursor.look_ahead("(")?;
        Ok(SelectItem::Relation { name, alias, hint, join_type })
    })
}

enum EmbedParam {
    Hint(String),
    Join(JoinType),
}

/// Up to two `!parameters` in any order; of two of a kind the first counts.
fn embed_params(cursor: &mut Cursor<'_>) -> Parsed<(Option<String>, Option<JoinType>)> {
    let (mut hint, mut join_type) = (None, None);
    for _ in 0..2 {
        match cursor.optional(embed_param)? {
            Some(EmbedParam::Hint(name)) => hint = hint.or(Some(name)),
            Some(EmbedParam::Join(join)) => join_type = join_type.or(Some(join)),
            None => {}
        }
    }
    Ok((hint, join_type))
}

fn embed_param(cursor: &mut Cursor<'_>) -> Parsed<EmbedParam> {
    cursor.char("!")?;
    cursor.either(
        |cursor| cursor.one_of(&[("left", JoinType::Left), ("inner", JoinType::Inner)]).map(EmbedParam::Join),
        |cursor| cursor.attempt(field_name).map(EmbedParam::Hint),
    )
}

fn field_item(cursor: &mut Cursor<'_>) -> Parsed<SelectItem> {
    cursor.lexeme(|cursor| {
        cursor.either(
            |cursor| cursor.either(|cursor| cursor.attempt(star), |cursor| cursor.attempt(count_all)),
            plain_field,
        )
    })
}

/// `*`
fn star(cursor: &mut Cursor<'_>) -> Parsed<SelectItem> {
    cursor.string("*")?;
    item_end(cursor)?;
    Ok(SelectItem::Field { field: all(), aggregate: None, aggregate_cast: None, cast: None, alias: None })
}

/// `alias:count()::cast`
fn count_all(cursor: &mut Cursor<'_>) -> Parsed<SelectItem> {
    let alias = alias(cursor)?;
    cursor.string("count()")?;
    let aggregate_cast = cast(cursor)?;
    item_end(cursor)?;
    Ok(SelectItem::Field {
        field: all(),
        aggregate: Some(Aggregate::Count),
        aggregate_cast,
        cast: None,
        alias,
    })
}

/// `alias:field->json::cast.aggregate()::cast`
fn plain_field(cursor: &mut Cursor<'_>) -> Parsed<SelectItem> {
    let alias = alias(cursor)?;
    let field = field(cursor)?;
    let cast_field = cast(cursor)?;
    let aggregate = cursor.optional(|cursor| {
        cursor.attempt(|cursor| {
            cursor.char(".")?;
            let aggregate = aggregate(cursor)?;
            cursor.string("()")?;
            Ok(aggregate)
        })
    })?;
    let aggregate_cast = cast(cursor)?;
    item_end(cursor)?;
    Ok(SelectItem::Field { field, aggregate, aggregate_cast, cast: cast_field, alias })
}

fn all() -> Field {
    Field { name: "*".to_owned(), json_path: Vec::new() }
}

fn cast(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    cursor.optional(|cursor| {
        cursor.string("::")?;
        identifier(cursor).map(str::to_owned)
    })
}

fn aggregate(cursor: &mut Cursor<'_>) -> Parsed<Aggregate> {
    for (name, aggregate) in [("sum", Aggregate::Sum), ("avg", Aggregate::Avg), ("count", Aggregate::Count)] {
        if cursor.optional(|cursor| cursor.string(name))?.is_some() {
            return Ok(aggregate);
        }
    }
    cursor.one_of(&[("max", Aggregate::Max), ("min", Aggregate::Min)])
}

fn item_end(cursor: &mut Cursor<'_>) -> Parsed<()> {
    for literal in [")", ","] {
        if cursor.optional(|cursor| cursor.look_ahead(literal))?.is_some() {
            return Ok(());
        }
    }
    cursor.attempt(Cursor::end)
}
