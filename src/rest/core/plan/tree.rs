//! What is decided once the relationships are known: stars, aliases, related orders, filters on embeds, what each
//! embed shows, and limits. Pure; each step walks the whole tree once.

use std::sync::Arc;

use crate::catalog::model::{Catalog, ReadAccess, Relation};
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::{Embed, Logic, ReadNode, SelectField, Spread, SpreadField};
use crate::rest::core::plan::resolve::Resolver;
use crate::rest::core::request::{Aggregate, IsValue, JsonOperand, JsonOperation, Operation};

/// Replaces `*` by the columns where it must: under an aggregate, in a to-many spread, with domain representations, and
/// where the caller may not see all of them.
pub(super) fn expand_stars(node: &mut ReadNode, catalog: &Catalog, under_aggregate: bool) {
    let resolver = Resolver::new(catalog, &node.relation);
    let explicit = under_aggregate
        || node.select.iter().any(|item| item.aggregate.is_some())
        || matches!(node.spread, Some(Spread::ToMany { .. }));
    let represented = resolver.relation.is_some_and(|relation| {
        relation.columns.values().any(|column| resolver.has_output_representation(column))
    });
    if explicit || represented || resolver.relation.is_some_and(Relation::is_restricted) {
        let is_spread = node.spread.is_some();
        node.select =
            node.select.drain(..).flat_map(|item| expand_star(&resolver, item, is_spread)).collect();
    }
    for child in &mut node.children {
        expand_stars(child, catalog, explicit);
    }
}

fn expand_star(resolver: &Resolver<'_>, mut item: SelectField, is_spread: bool) -> Vec<SelectField> {
    let is_star = &*item.field.name == "*" && item.field.json_path.is_empty();
    match item.aggregate {
        None if is_star => resolver
            .relation
            .map(|relation| {
                relation
                    .columns
                    .values()
                    .filter(|column| matches!(column.access.read, ReadAccess::Plain | ReadAccess::Masked(_)))
                    .map(|column| SelectField {
                        field: resolver.shown_as_json(Resolver::column(column)),
                        ..item.clone()
                    })
                    .collect()
            })
            .unwrap_or_default(),
        Some(Aggregate::Count) if is_star && is_spread => {
            item.field.full_row = true;
            vec![item]
        }
        _ => vec![item],
    }
}

/// Names what has no name of its own: the last key of a JSON path, a represented column, a spread aggregate.
pub(super) fn add_aliases(node: &mut ReadNode) {
    let is_spread = node.spread.is_some();
    for item in &mut node.select {
        if item.alias.is_some() {
            continue;
        }
        if let Some(aggregate) = item.aggregate {
            if is_spread {
                item.alias = Some(Arc::from(aggregate_name(aggregate)));
            }
        } else if !item.field.json_path.is_empty() {
            item.alias = Some(json_alias(&item.field.json_path, &item.field.name));
        } else if item.field.transform.is_some() || item.field.mask.is_some() {
            item.alias = Some(item.field.name.clone());
        }
    }
    node.children.iter_mut().for_each(add_aliases);
}

/// The last key of a path; for `data->3` the column's own name.
fn json_alias(path: &[JsonOperation], column: &Arc<str>) -> Arc<str> {
    path.iter()
        .rev()
        .find_map(|(JsonOperation::Arrow(operand) | JsonOperation::DoubleArrow(operand))| match operand {
            JsonOperand::Key(key) => Some(Arc::from(key.as_str())),
            JsonOperand::Index(_) => None,
        })
        .unwrap_or_else(|| column.clone())
}

/// Points `order=embed(column)` at the embed's subquery; the embed must be of one row.
pub(super) fn resolve_related_orders(node: &mut ReadNode) -> Result<(), PlanError> {
    for term in &mut node.order {
        let Some(relation) = &term.relation else { continue };
        let found = node.children.iter().find(|child| shown_name(child) == relation);
        let Some(child) = found else {
            return Err(PlanError::NotEmbedded { name: relation.to_string(), alias: None });
        };
        if !child.relationship.as_ref().is_some_and(|relationship| relationship.is_to_one()) {
            return Err(PlanError::RelatedOrderNotToOne {
                origin: node.from.name.to_string(),
                target: shown_name(child).to_string(),
            });
        }
        term.relation = Some(child.aggregate_alias.clone());
    }
    node.children.iter_mut().try_for_each(resolve_related_orders)
}

fn shown_name(node: &ReadNode) -> &Arc<str> {
    node.request_alias.as_ref().unwrap_or(&node.name)
}

/// `embed=is.null` and `embed=not.is.null` ask whether the embed has rows.
pub(super) fn resolve_embed_filters(node: &mut ReadNode) {
    let ReadNode { filters, children, .. } = node;
    for logic in filters {
        resolve_embed_filter(logic, children);
    }
    children.iter_mut().for_each(resolve_embed_filters);
}

fn resolve_embed_filter(logic: &mut Logic, children: &[ReadNode]) {
    match logic {
        Logic::Group { members, .. } => {
            for member in members {
                resolve_embed_filter(member, children);
            }
        }
        Logic::Filter { field, expression }
            if field.json_path.is_empty() && matches!(expression.operation, Operation::Is(IsValue::Null)) =>
        {
            if let Some(child) = children.iter().find(|child| *shown_name(child) == field.name) {
                *logic = Logic::EmbedIsNull {
                    negated: expression.negated,
                    aggregate_alias: child.aggregate_alias.clone(),
                };
            }
        }
        Logic::Filter { .. } | Logic::EmbedIsNull { .. } => {}
    }
}

/// Says how each child shows in its parent.
pub(super) fn add_embeds(node: &mut ReadNode) {
    node.children.iter_mut().for_each(add_embeds);
    node.embeds = node.children.iter().filter_map(embed_of).collect();
}

fn embed_of(child: &ReadNode) -> Option<Embed> {
    let relationship = child.relationship.as_ref()?;
    Some(if child.spread.is_some() {
        Embed::Spread { fields: spread_fields(child), aggregate_alias: child.aggregate_alias.clone() }
    } else {
        Embed::Json {
            name: shown_name(child).clone(),
            aggregate_alias: child.aggregate_alias.clone(),
            is_object: relationship.is_to_one(),
            is_empty: selects_nothing(child),
        }
    })
}

fn selects_nothing(node: &ReadNode) -> bool {
    node.select.is_empty() && node.children.iter().all(selects_nothing)
}

fn spread_fields(node: &ReadNode) -> Vec<SpreadField> {
    let plain = |name: &Arc<str>| SpreadField {
        name: name.clone(),
        aggregate: None,
        aggregate_cast: None,
        alias: None,
    };
    let own = node.select.iter().map(|item| plain(item.alias.as_ref().unwrap_or(&item.field.name)));
    let brought = node.embeds.iter().flat_map(|embed| match embed {
        Embed::Json { name, .. } => vec![plain(name)],
        Embed::Spread { fields, .. } => fields.clone(),
    });
    own.chain(brought).collect()
}

/// Refuses aggregates where they are switched off.
pub(super) fn validate_aggregates(node: &ReadNode, allowed: bool) -> Result<(), PlanError> {
    if !allowed && node.select.iter().any(|item| item.aggregate.is_some()) {
        return Err(PlanError::AggregatesNotAllowed);
    }
    node.children.iter().try_for_each(|child| validate_aggregates(child, allowed))
}

/// Applies the largest number of rows to every level. `limit=0` stays as it is.
pub(super) fn restrict_ranges(node: &mut ReadNode, max_rows: Option<u64>) {
    node.range = node.range.with_max_rows(max_rows.map(i128::from));
    for child in &mut node.children {
        restrict_ranges(child, max_rows);
    }
}

/// The name that PostgreSQL gives the result of an aggregate.
fn aggregate_name(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Sum => "sum",
        Aggregate::Avg => "avg",
        Aggregate::Max => "max",
        Aggregate::Min => "min",
        Aggregate::Count => "count",
    }
}
