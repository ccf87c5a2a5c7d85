//! Names, quoted values and JSON paths: the small rules that all parts of the grammar share.

use super::MAX_DEPTH;
use super::cursor::{Cursor, Parsed};
use crate::rest::core::query::{EmbedPath, Field, JsonOperand, JsonOperation};

/// `"..."` with `\` before any character that is meant literally.
pub(super) fn quoted_value(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.char("\"")?;
    let mut value = String::new();
    loop {
        value.push_str(cursor.run_of(|it| it != '\\' && it != '"', &[]));
        match cursor.optional(|cursor| cursor.char("\\"))? {
            Some(()) => value.push(cursor.one(|_| true)?),
            None => break,
        }
    }
    cursor.char("\"")?;
    Ok(value)
}

/// A name of a column or relation: quoted, or letters, digits, `_`, `$`, blanks and inner dashes.
pub(super) fn field_name(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.label("field name (* or [a..z0..9_$])", |cursor| {
        cursor.either(quoted_value, |cursor| joined_by_dashes(cursor, identifier))
    })
}

/// Letters, digits, `_`, `$` and blanks, trimmed. Names of types and languages are this and nothing else.
pub(super) fn identifier<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    let accept = |it: char| it.is_alphabetic() || it.is_ascii_digit() || "_ $".contains(it);
    cursor.some_of(accept, &["letter", "digit"]).map(str::trim)
}

/// Parts with dashes between them; a dash that begins an arrow does not count.
fn joined_by_dashes<'a>(
    cursor: &mut Cursor<'a>,
    part: impl Fn(&mut Cursor<'a>) -> Parsed<&'a str>,
) -> Parsed<String> {
    let dash = |cursor: &mut Cursor<'a>| {
        cursor.attempt(|cursor| {
            cursor.char("-")?;
            cursor.not_followed_by(|cursor| cursor.char(">").map(|()| '>'))
        })
    };
    Ok(cursor.separated(part, dash)?.join("-"))
}

/// `.`
pub(super) fn delimiter(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.label("delimiter (.)", |cursor| cursor.char("."))
}

/// Steps into a JSON value, possibly none.
pub(super) fn json_path(cursor: &mut Cursor<'_>) -> Parsed<Vec<JsonOperation>> {
    let mut path = Vec::new();
    while let Some(make) = cursor.optional(json_arrow)? {
        if path.len() == MAX_DEPTH {
            return cursor.give_up(format!("The JSON path is longer than {MAX_DEPTH} steps"));
        }
        path.push(make(json_operand(cursor)?));
    }
    Ok(path)
}

type MakeOperation = fn(JsonOperand) -> JsonOperation;

fn json_arrow(cursor: &mut Cursor<'_>) -> Parsed<MakeOperation> {
    cursor.one_of(&[("->>", JsonOperation::DoubleArrow as MakeOperation), ("->", JsonOperation::Arrow)])
}

fn json_operand(cursor: &mut Cursor<'_>) -> Parsed<JsonOperand> {
    cursor
        .either(|cursor| cursor.attempt(json_index), |cursor| cursor.attempt(json_key).map(JsonOperand::Key))
}

fn json_index(cursor: &mut Cursor<'_>) -> Parsed<JsonOperand> {
    let sign = if cursor.optional(|cursor| cursor.char("-"))?.is_some() { '-' } else { '+' };
    let digits = cursor.some_of(|it| it.is_ascii_digit(), &["digit"])?;
    json_index_end(cursor)?;
    Ok(JsonOperand::Index(format!("{sign}{digits}")))
}

fn json_index_end(cursor: &mut Cursor<'_>) -> Parsed<()> {
    for literal in ["->", "::", ".", ","] {
        if cursor.optional(|cursor| cursor.look_ahead(literal))?.is_some() {
            return Ok(());
        }
    }
    cursor.end()
}

fn json_key(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.label("any non reserved character different from: .,>()", |cursor| {
        cursor.either(quoted_value, |cursor| {
            joined_by_dashes(cursor, |cursor| {
                cursor.some_of(|it| !"(-:.,>)".contains(it), &[]).map(str::trim)
            })
        })
    })
}

/// A name with a JSON path, blanks around.
pub(super) fn field(cursor: &mut Cursor<'_>) -> Parsed<Field> {
    cursor.lexeme(|cursor| {
        let name = field_name(cursor)?;
        Ok(Field { name, json_path: json_path(cursor)? })
    })
}

/// `embed.embed.field->json`: the name of a filter parameter.
pub(super) fn tree_path(cursor: &mut Cursor<'_>) -> Parsed<(EmbedPath, Field)> {
    let mut path = cursor.separated(field_name, delimiter)?;
    let name = path.pop().unwrap_or_default();
    Ok((path, Field { name, json_path: json_path(cursor)? }))
}

/// `column,column`
pub(super) fn columns(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.separated(field_name, |cursor| cursor.lexeme(|cursor| cursor.char(",")))
}

/// `alias:`, but not the first half of `::`.
pub(super) fn alias(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    cursor.optional(|cursor| {
        cursor.attempt(|cursor| {
            let name = field_name(cursor)?;
            cursor.char(":")?;
            cursor.not_followed_by(|cursor| cursor.char(":").map(|()| ':'))?;
            Ok(name)
        })
    })
}
