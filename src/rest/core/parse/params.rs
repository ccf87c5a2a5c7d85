//! The query string as a whole: which parameter follows which rule.
//!
//! Names that end in `order`, `limit`, `offset`, `and`, `or` belong to a level of embedding; `select`, `columns` and
//! `on_conflict` to the request; everything else is a filter, or an argument of a function that is called by GET.

use std::collections::BTreeSet;

use super::cursor::{Cursor, Parsed, run};
use super::filter::{expression, whole_value};
use super::url::{Parameter, canonical, parameters};
use super::{MAX_SELECT_ITEMS, RequestError, fields, logic, order, select};
use crate::rest::core::query::{EmbedPath, Filter, LogicTree, OperatorExpression, OrderTerm, QueryParams};
use crate::rest::core::range::{RowRange, join_limit_and_offset, parse_integer};

/// Parses a query string. With `is_read_call`, values that are no filters are arguments instead of errors.
pub(super) fn parse(query: &str, is_read_call: bool) -> Result<QueryParams, RequestError> {
    let decoded = parameters(query.as_bytes()).ok_or(RequestError::InvalidUrlText("query string"))?;
    let given: Vec<(&str, &str)> =
        decoded.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?))).collect();
    let of_level = |words: &'static [&'static str]| {
        given.iter().copied().filter(move |(name, _)| words.contains(&last_word(name)))
    };

    let mut result = QueryParams {
        canonical: canonical(&decoded),
        ranges: ranges(of_level(&["limit"]), of_level(&["offset"])),
        order: of_level(&["order"]).map(parse_order).collect::<Result<_, _>>()?,
        logic: of_level(&["and", "or"]).map(parse_logic).collect::<Result<_, _>>()?,
        columns: first(&decoded, "columns").map(parse_columns).transpose()?,
        select: parse_select(first(&decoded, "select").unwrap_or("*"))?,
        ..QueryParams::default()
    };
    for (name, value) in given.iter().copied().filter(|(name, _)| is_filter(name)) {
        result.filter_fields.insert(name.to_owned());
        match parse_filter(name, value, is_read_call)? {
            (path, Condition::Filter(filter)) => {
                if path.is_empty() {
                    result.filters_root.push(filter.clone());
                }
                result.filters.push((path, filter));
            }
            (_, Condition::Argument(name)) => result.params.push((name, value.to_owned())),
        }
    }
    result.on_conflict = first(&decoded, "on_conflict").map(parse_on_conflict).transpose()?;
    Ok(result)
}

/// The first parameter of that name; `None` if it has no value, whatever later ones have.
fn first<'a>(parameters: &'a [Parameter], wanted: &str) -> Option<&'a str> {
    parameters.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| value.as_deref())
}

fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn is_filter(name: &str) -> bool {
    !matches!(last_word(name), "order" | "limit" | "offset" | "and" | "or")
        && !matches!(name, "select" | "columns" | "on_conflict")
}

/// Joins `limit` and `offset` by level. Values that are no numbers count as absent, as far as PostgREST lets them.
fn ranges<'a>(
    limits: impl Iterator<Item = (&'a str, &'a str)>,
    offsets: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, RowRange)> {
    let mut ranges: indexmap::IndexMap<String, (Option<RowRange>, Option<RowRange>)> =
        indexmap::IndexMap::new();
    for (name, value) in limits {
        ranges.entry(name.to_owned()).or_default().0 = Some(RowRange::ALL.restrict(parse_integer(value)));
    }
    for (name, value) in offsets {
        let name = format!("{}limit", name.strip_suffix("offset").unwrap_or(name));
        let range = parse_integer(value).map_or(RowRange::ALL, RowRange::from_offset);
        ranges.entry(name).or_default().1 = Some(range);
    }
    let join = |pair| match pair {
        (Some(limit), Some(offset)) => join_limit_and_offset(limit, offset),
        (limit, offset) => limit.or(offset).unwrap_or_default(),
    };
    ranges.into_iter().map(|(name, pair)| (name, join(pair))).collect()
}

/// The level that the name of a `limit` belongs to.
pub(super) fn range_path(name: &str) -> Result<EmbedPath, RequestError> {
    run("tree path", name, name, fields::tree_path).map(|(path, _)| path)
}

fn parse_select(value: &str) -> Result<Vec<crate::rest::core::query::SelectNode>, RequestError> {
    run("select parameter", value, value, |cursor| {
        cursor.set_budget(MAX_SELECT_ITEMS);
        select::forest(cursor)
    })
}

fn parse_columns(value: &str) -> Result<BTreeSet<String>, RequestError> {
    let columns = run("columns parameter", value, value, fields::columns)?;
    Ok(columns.into_iter().collect())
}

fn parse_on_conflict(value: &str) -> Result<Vec<String>, RequestError> {
    run("on_conflict parameter", value, value, fields::columns)
}

fn parse_order((name, value): (&str, &str)) -> Result<(EmbedPath, Vec<OrderTerm>), RequestError> {
    let path = range_path(name)?;
    Ok((path, run("order", value, value, order::terms)?))
}

fn parse_logic((name, value): (&str, &str)) -> Result<(EmbedPath, LogicTree), RequestError> {
    let (path, head) = run("logic path", name, name, logic::path)?;
    let tree = format!("{head}{value}");
    Ok((path, run("logic tree", value, &tree, logic::tree)?))
}

enum Condition {
    Filter(Filter),
    Argument(String),
}

fn parse_filter(name: &str, value: &str, is_read_call: bool) -> Result<(EmbedPath, Condition), RequestError> {
    let (path, field) = run("tree path", name, name, fields::tree_path)?;
    if !is_read_call {
        let operation = run("filter", value, value, top_expression)?;
        return Ok((path, Condition::Filter(Filter { field, operation })));
    }
    match run("filter", value, value, |cursor| cursor.optional(top_expression))? {
        Some(operation) => Ok((path, Condition::Filter(Filter { field, operation }))),
        None => Ok((path, Condition::Argument(field.name))),
    }
}

fn top_expression(cursor: &mut Cursor<'_>) -> Parsed<OperatorExpression> {
    expression(cursor, whole_value)
}
