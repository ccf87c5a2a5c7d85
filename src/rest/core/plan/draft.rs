//! The first stage of a plan: the `select` tree with each parameter hung on the node that it names. Pure.
//!
//! Nothing is looked up in the catalog here; a parameter for a node that is not there is refused.

use crate::rest::core::plan::error::PlanError;
use crate::rest::core::range::RowRange;
use crate::rest::core::request::{
    Aggregate, ApiRequest, Field, Filter, JoinType, LogicTree, OrderTerm, SelectItem, SelectNode,
};

/// One relation of the request, unresolved.
#[derive(Debug)]
pub(super) struct Draft {
    pub name: String,
    pub alias: Option<String>,
    pub hint: Option<String>,
    pub join_type: Option<JoinType>,
    pub is_spread: bool,
    pub fields: Vec<DraftField>,
    pub filters: Vec<Filter>,
    pub logic: Vec<LogicTree>,
    pub order: Vec<OrderTerm>,
    pub range: RowRange,
    pub named_by_target: bool,
    pub children: Vec<Draft>,
}

/// One selected column, unresolved.
#[derive(Debug)]
pub(super) struct DraftField {
    pub field: Field,
    pub aggregate: Option<Aggregate>,
    pub aggregate_cast: Option<String>,
    pub cast: Option<String>,
    pub alias: Option<String>,
}

impl Draft {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            alias: None,
            hint: None,
            join_type: None,
            is_spread: false,
            fields: Vec::new(),
            filters: Vec::new(),
            logic: Vec::new(),
            order: Vec::new(),
            range: RowRange::ALL,
            named_by_target: false,
            children: Vec::new(),
        }
    }

    /// The tree of `request` below a root named `root`.
    ///
    /// A write reads back what it wrote, so only parameters of embeds apply to its tree (`is_write`), and no ranges.
    pub(super) fn build(
        request: &ApiRequest,
        root: &str,
        is_write: bool,
        target_names: bool,
    ) -> Result<Self, PlanError> {
        let mut draft = Self::new(root);
        draft.add_select(&request.query.select);
        for (path, filter) in &request.query.filters {
            if !(is_write && path.is_empty()) {
                draft.node_at(path, target_names)?.filters.push(filter.clone());
            }
        }
        for (path, terms) in &request.query.order {
            draft.node_at(path, target_names)?.order.clone_from(terms);
        }
        if !is_write {
            draft.range = request.top_range;
            for (path, range) in &request.ranges {
                draft.node_at(path, target_names)?.range = *range;
            }
        }
        for (path, tree) in &request.query.logic {
            if !(is_write && path.is_empty()) {
                draft.node_at(path, target_names)?.logic.push(tree.clone());
            }
        }
        Ok(draft)
    }

    fn add_select(&mut self, nodes: &[SelectNode]) {
        for node in nodes {
            match &node.item {
                SelectItem::Field { field, aggregate, aggregate_cast, cast, alias } => {
                    self.fields.push(DraftField {
                        field: field.clone(),
                        aggregate: *aggregate,
                        aggregate_cast: aggregate_cast.clone(),
                        cast: cast.clone(),
                        alias: alias.clone(),
                    });
                }
                SelectItem::Relation { name, alias, hint, join_type } => {
                    let mut child = Self::new(name);
                    child.alias.clone_from(alias);
                    child.hint.clone_from(hint);
                    child.join_type = *join_type;
                    child.add_select(&node.children);
                    self.children.push(child);
                }
                SelectItem::Spread { name, hint, join_type } => {
                    let mut child = Self::new(name);
                    child.hint.clone_from(hint);
                    child.join_type = *join_type;
                    child.is_spread = true;
                    child.add_select(&node.children);
                    self.children.push(child);
                }
            }
        }
    }

    /// The node that an embed path names: by alias, by name, and with `target_names` by a relation's name although it
    /// has an alias.
    fn node_at(&mut self, path: &[String], target_names: bool) -> Result<&mut Self, PlanError> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(self);
        };
        let by_target = |child: &Draft| child.name == *first || child.alias.as_ref() == Some(first);
        let by_shown_name = |child: &Draft| child.alias.as_ref().unwrap_or(&child.name) == first;
        let found = self
            .children
            .iter()
            .position(|child| if target_names { by_target(child) } else { by_shown_name(child) });
        let Some(index) = found else {
            let alias =
                self.children.iter().find(|child| by_target(child)).and_then(|child| child.alias.clone());
            return Err(PlanError::NotEmbedded { name: first.clone(), alias });
        };
        let child = &mut self.children[index];
        if child.name == *first && child.alias.as_ref().is_some_and(|alias| alias != first) {
            child.named_by_target = true;
        }
        child.node_at(rest, target_names)
    }
}
