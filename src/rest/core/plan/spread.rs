//! Aggregates and orders of spread embeds, which must move to the level where they make sense. Pure.

use std::sync::Arc;

use crate::kernel::sql::TypeName;
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::{Embed, OrderBy, ReadNode, ResolvedField, SelectField, Spread};
use crate::rest::core::request::Aggregate;

/// An aggregate on its way up: the subquery and column it is over, and how it is applied.
struct Hoisted {
    aggregate_alias: Arc<str>,
    name: Arc<str>,
    aggregate: Aggregate,
    cast: Option<TypeName>,
    alias: Option<Arc<str>>,
}

/// Moves each aggregate of a to-one spread up to the first level that is not itself a to-one spread, so that
/// `select=client_id,...invoices(total.sum())` groups by `client_id`.
pub(super) fn hoist_aggregates(node: &mut ReadNode) {
    hoist(node);
}

fn hoist(node: &mut ReadNode) -> Vec<Hoisted> {
    let mut from_children: Vec<Hoisted> = node.children.iter_mut().flat_map(hoist).collect();
    let is_to_one_spread = node.spread == Some(Spread::ToOne);
    if !is_to_one_spread {
        for embed in &mut node.embeds {
            apply(embed, &from_children);
        }
        return Vec::new();
    }
    let mut hoisted = take_aggregates(node);
    for aggregate in &mut from_children {
        aggregate.aggregate_alias = node.aggregate_alias.clone();
    }
    hoisted.append(&mut from_children);
    hoisted
}

fn take_aggregates(node: &mut ReadNode) -> Vec<Hoisted> {
    let alias = node.aggregate_alias.clone();
    node.select
        .iter_mut()
        .filter_map(|item| {
            let aggregate = item.aggregate.take()?;
            Some(Hoisted {
                aggregate_alias: alias.clone(),
                name: item.alias.clone().unwrap_or_else(|| item.field.name.clone()),
                aggregate,
                cast: item.aggregate_cast.take(),
                alias: item.alias.clone(),
            })
        })
        .collect()
}

fn apply(embed: &mut Embed, hoisted: &[Hoisted]) {
    let Embed::Spread { fields, aggregate_alias } = embed else { return };
    for field in fields {
        let found = hoisted
            .iter()
            .find(|hoisted| hoisted.aggregate_alias == *aggregate_alias && hoisted.name == field.name);
        if let Some(hoisted) = found {
            field.aggregate = Some(hoisted.aggregate);
            field.aggregate_cast.clone_from(&hoisted.cast);
            field.alias.clone_from(&hoisted.alias);
        }
    }
}

/// Moves the order of a to-many spread into its arrays: its columns are selected under names of their own, since the
/// arrays are built outside the subquery.
pub(super) fn move_orders_into_arrays(node: &mut ReadNode) -> Result<(), PlanError> {
    if matches!(node.spread, Some(Spread::ToMany { .. })) {
        let spreads_aggregate = node.embeds.iter().any(|embed| match embed {
            Embed::Spread { fields, .. } => fields.iter().any(|field| field.aggregate.is_some()),
            Embed::Json { .. } => false,
        });
        if spreads_aggregate || node.select.iter().any(|item| item.aggregate.is_some()) {
            return Err(PlanError::NotImplemented(
                "Aggregates are not implemented for one-to-many or many-to-many spreads.",
            ));
        }
        let (mut extra_select, mut order) = (Vec::new(), Vec::new());
        for (index, term) in std::mem::take(&mut node.order).into_iter().enumerate() {
            let alias: Arc<str> =
                Arc::from(format!("{}_{}_{}", node.aggregate_alias, term.field.name, index + 1));
            order.push(OrderBy {
                field: ResolvedField::unknown(alias.clone(), Vec::new()),
                relation: None,
                direction: term.direction,
                nulls: term.nulls,
            });
            let item = SelectField {
                field: term.field,
                aggregate: None,
                aggregate_cast: None,
                cast: None,
                alias: Some(alias),
            };
            extra_select.push((term.relation, item));
        }
        node.spread = Some(Spread::ToMany { extra_select, order });
    }
    node.children.iter_mut().try_for_each(move_orders_into_arrays)
}
