//! The names that a plan uses of a relation, wherever they stand, and what for. Pure.

use std::sync::Arc;

use crate::rest::core::plan::model::{Embed, Logic, OrderBy, ReadNode, SelectField, Spread};
use crate::rest::core::request::Aggregate;

/// A name and its use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub name: &'a Arc<str>,
    pub used: Use,
}

/// What a name is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It is shown as it is.
    Selected,
    /// Its value decides about something: a filter, an order, an aggregate, a group, a cast, a path into it, a conflict.
    Compared,
    /// It gets a value.
    Written,
}

/// Whether the rows of a node are grouped.
pub(super) fn aggregates(node: &ReadNode) -> bool {
    let spreads_aggregate = node.embeds.iter().any(|embed| match embed {
        Embed::Spread { fields, .. } => fields.iter().any(|field| field.aggregate.is_some()),
        Embed::Json { .. } => false,
    });
    spreads_aggregate || node.select.iter().any(|item| item.aggregate.is_some())
}

/// The names that a node uses of its own relation.
pub(super) fn own(node: &ReadNode, is_aggregated: bool) -> Vec<Name<'_>> {
    let shown = node.select.iter().filter(|item| !counts_rows(item));
    let mut names: Vec<Name<'_>> = shown.map(|item| selected(item, is_aggregated)).collect();
    names.extend(node.order.iter().filter(|term| term.relation.is_none()).map(ordered));
    if let Some(Spread::ToMany { extra_select, .. }) = &node.spread {
        let own = extra_select.iter().filter(|(relation, _)| relation.is_none());
        names.extend(own.map(|(_, item)| compared(item)));
    }
    node.filters.iter().for_each(|logic| of_logic(logic, &mut names));
    names
}

/// The names of `child`'s relation that its parent orders by.
pub(super) fn of_child<'a>(node: &'a ReadNode, child: &ReadNode) -> Vec<Name<'a>> {
    let is_child = |relation: Option<&Arc<str>>| relation == Some(&child.aggregate_alias);
    let mut names: Vec<Name<'_>> =
        node.order.iter().filter(|term| is_child(term.relation.as_ref())).map(ordered).collect();
    if let Some(Spread::ToMany { extra_select, .. }) = &node.spread {
        let of_child = extra_select.iter().filter(|(relation, _)| is_child(relation.as_ref()));
        names.extend(of_child.map(|(_, item)| compared(item)));
    }
    names
}

/// The names in a condition.
pub(super) fn of_logic<'a>(logic: &'a Logic, names: &mut Vec<Name<'a>>) {
    match logic {
        Logic::Group { members, .. } => {
            for member in members {
                of_logic(member, names);
            }
        }
        Logic::Filter { field, .. } => names.push(Name { name: &field.name, used: Use::Compared }),
        Logic::EmbedIsNull { .. } => {}
    }
}

/// `count()`, which looks at no column; of a spread it is applied one level up, to rows as a whole.
fn counts_rows(item: &SelectField) -> bool {
    let is_counted = item.aggregate == Some(Aggregate::Count) || item.field.full_row;
    &*item.field.name == "*" && item.field.json_path.is_empty() && item.cast.is_none() && is_counted
}

fn selected(item: &SelectField, is_aggregated: bool) -> Name<'_> {
    let is_bare = item.cast.is_none() && item.field.json_path.is_empty() && !is_aggregated;
    Name { name: &item.field.name, used: if is_bare { Use::Selected } else { Use::Compared } }
}

fn compared(item: &SelectField) -> Name<'_> {
    Name { name: &item.field.name, used: Use::Compared }
}

fn ordered(term: &OrderBy) -> Name<'_> {
    Name { name: &term.field.name, used: Use::Compared }
}
