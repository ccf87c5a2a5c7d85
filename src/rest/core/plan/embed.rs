//! Relationships: which one an embed means, and the joins that follow from it. Pure.

use std::sync::Arc;

use crate::catalog::model::{Cardinality, Catalog, QualifiedName, Relationship};
use crate::catalog::suggest;
use crate::kernel::sql::TypeName;
use crate::rest::core::plan::draft::Draft;
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::{JoinCondition, ReadNode, SelectField, Spread};
use crate::rest::core::plan::resolve::Resolver;

/// The name of the common table expression that holds the rows written or returned by a function.
pub(in crate::rest::core) const SOURCE: &str = "pgrst_source";

/// What the resolved tree is built in.
#[derive(Clone, Copy)]
pub(super) struct Embedding<'a> {
    pub catalog: &'a Catalog,
    pub schema: &'a Arc<str>,
}

/// The parent of a node, as far as its children need it.
struct Parent<'a> {
    from: &'a QualifiedName,
    alias: Option<&'a Arc<str>>,
}

impl Embedding<'_> {
    /// Resolves a whole draft. With `from_source` the root reads the rows of [`SOURCE`] under the relation's name.
    pub(super) fn resolve(
        &self,
        draft: &Draft,
        root: &QualifiedName,
        from_source: bool,
    ) -> Result<ReadNode, PlanError> {
        let mut node = self.node(draft, root.clone(), root, 0)?;
        if from_source {
            node.from = QualifiedName::new("", SOURCE);
            // What a write or function returns is no longer the view.
            node.rows = None;
        }
        if from_source || node.rows.is_some() {
            node.alias = Some(root.name.clone());
        }
        node.children = self.children(draft, &node)?;
        Ok(node)
    }

    /// A node with its own fields, conditions and order resolved against `relation`.
    fn node(
        &self,
        draft: &Draft,
        from: QualifiedName,
        relation: &QualifiedName,
        depth: usize,
    ) -> Result<ReadNode, PlanError> {
        let resolver = Resolver::new(self.catalog, relation);
        let mut filters: Vec<_> = draft.logic.iter().map(|tree| resolver.logic(tree)).collect();
        filters.extend(draft.filters.iter().map(|filter| resolver.filter(filter)));
        Ok(ReadNode {
            select: draft
                .fields
                .iter()
                .map(|item| {
                    Ok(SelectField {
                        field: resolver.output(&item.field),
                        aggregate: item.aggregate,
                        aggregate_cast: type_name(item.aggregate_cast.as_deref())?,
                        cast: type_name(item.cast.as_deref())?,
                        alias: item.alias.as_deref().map(Arc::from),
                    })
                })
                .collect::<Result<_, PlanError>>()?,
            relation: relation.clone(),
            rows: resolver.relation.and_then(|relation| relation.restriction.rows.clone()),
            from,
            alias: None,
            filters,
            order: draft.order.iter().map(|term| resolver.order(term)).collect(),
            range: draft.range,
            name: Arc::from(draft.name.as_str()),
            request_alias: draft.alias.as_deref().map(Arc::from),
            relationship: None,
            parent_alias: None,
            join_conditions: Vec::new(),
            aggregate_alias: Arc::from(""),
            join_type: draft.join_type,
            spread: draft.is_spread.then_some(Spread::ToOne),
            embeds: Vec::new(),
            depth,
            named_by_target: draft.named_by_target,
            children: Vec::new(),
        })
    }

    fn children(&self, draft: &Draft, node: &ReadNode) -> Result<Vec<ReadNode>, PlanError> {
        let parent = Parent { from: &node.from, alias: node.alias.as_ref() };
        draft.children.iter().map(|child| self.child(child, &parent, node.depth + 1)).collect()
    }

    fn child(&self, draft: &Draft, parent: &Parent<'_>, depth: usize) -> Result<ReadNode, PlanError> {
        // Below the root of a write or call the alias carries the relation's name; deeper aliases are our own.
        let origin = match parent.alias {
            Some(alias) if depth == 1 => alias,
            _ => &parent.from.name,
        };
        let relationship =
            find_relationship(self.catalog, self.schema, origin, &draft.name, draft.hint.as_deref())?;
        let foreign = relationship.foreign_relation().clone();
        let mut node = self.node(draft, foreign.clone(), &foreign, depth)?;
        let shown = draft.alias.as_deref().unwrap_or(&draft.name);
        node.aggregate_alias = Arc::from(format!("{}_{shown}_{depth}", relationship.relation().name));
        if node.spread.is_some() && !relationship.is_to_one() {
            node.spread = Some(Spread::ToMany { extra_select: Vec::new(), order: Vec::new() });
        }
        let own_alias: Arc<str> = Arc::from(format!("{}_{depth}", foreign.name));
        match relationship {
            // The junction joins implicitly, so the names stand for themselves.
            Relationship::ForeignKey { cardinality: Cardinality::ManyToMany(_), .. }
                if node.rows.is_none() => {}
            _ => node.alias = Some(own_alias),
        }
        node.parent_alias = parent.alias.cloned();
        node.join_conditions = join_conditions(relationship, node.alias.as_ref(), parent.alias);
        node.relationship = Some(Arc::new(relationship.clone()));
        node.children = self.children(draft, &node)?;
        Ok(node)
    }
}

/// The type of a cast, if it is a type name at all.
fn type_name(text: Option<&str>) -> Result<Option<TypeName>, PlanError> {
    text.map(|text| TypeName::parse(text).ok_or_else(|| PlanError::InvalidCast(text.to_owned()))).transpose()
}

/// A column's owner: its alias where it has one.
fn owner(alias: Option<&Arc<str>>, relation: &QualifiedName) -> QualifiedName {
    match alias {
        Some(alias) => QualifiedName::new("", alias.clone()),
        None => relation.clone(),
    }
}

fn join_conditions(
    relationship: &Relationship,
    child_alias: Option<&Arc<str>>,
    parent_alias: Option<&Arc<str>>,
) -> Vec<JoinCondition> {
    let Relationship::ForeignKey { relation, foreign_relation, cardinality, .. } = relationship else {
        return Vec::new();
    };
    let parent = owner(parent_alias, relation);
    match cardinality {
        Cardinality::ManyToMany(junction) => {
            let child = owner(child_alias, foreign_relation);
            let to_child = junction.columns_target.iter().map(|(foreign, own)| JoinCondition {
                left: (junction.relation.clone(), own.clone()),
                right: (child.clone(), foreign.clone()),
            });
            let to_parent = junction.columns_source.iter().map(|(origin, own)| JoinCondition {
                left: (junction.relation.clone(), own.clone()),
                right: (parent.clone(), origin.clone()),
            });
            to_child.chain(to_parent).collect()
        }
        Cardinality::ToMany { columns, .. }
        | Cardinality::ToOne { columns, .. }
        | Cardinality::OneToOne { columns, .. } => {
            let child = owner(child_alias, foreign_relation);
            columns
                .iter()
                .map(|(origin, foreign)| JoinCondition {
                    left: (child.clone(), foreign.clone()),
                    right: (parent.clone(), origin.clone()),
                })
                .collect()
        }
    }
}

/// The relationship that `target` with `hint` means when seen from `origin`.
fn find_relationship<'a>(
    catalog: &'a Catalog,
    schema: &Arc<str>,
    origin: &str,
    target: &str,
    hint: Option<&str>,
) -> Result<&'a Relationship, PlanError> {
    let name = QualifiedName::new(schema.clone(), origin);
    let all = catalog.relationships_of(&name, schema);
    let mut matching = all.iter().filter(|relationship| matches_target(relationship, target, hint));
    match (matching.next(), matching.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(PlanError::NoRelationship {
            origin: origin.to_owned(),
            target: target.to_owned(),
            hint: hint.map(str::to_owned),
            schema: schema.to_string(),
            suggestion: suggest::relationship(catalog, schema, origin, target),
        }),
        (Some(first), Some(second)) => {
            let candidates = [first, second].into_iter().chain(matching).cloned().collect();
            Err(PlanError::AmbiguousRelationship {
                origin: origin.to_owned(),
                target: target.to_owned(),
                candidates,
            })
        }
    }
}

/// The facts of a foreign key that a request can name.
struct Link<'a> {
    constraint: &'a str,
    /// The pair of columns, if it is one pair.
    column: Option<(&'a str, &'a str)>,
}

fn link(cardinality: &Cardinality) -> Option<Link<'_>> {
    match cardinality {
        Cardinality::ToMany { constraint, columns }
        | Cardinality::ToOne { constraint, columns }
        | Cardinality::OneToOne { constraint, columns, .. } => Some(Link {
            constraint,
            column: match columns.as_slice() {
                [(origin, foreign)] => Some((origin, foreign)),
                _ => None,
            },
        }),
        Cardinality::ManyToMany(_) => None,
    }
}

fn matches_target(relationship: &Relationship, target: &str, hint: Option<&str>) -> bool {
    let (foreign, is_self, cardinality, foreign_is_view) = match relationship {
        Relationship::Computed { function, .. } => return target == &*function.name,
        Relationship::ForeignKey { foreign_relation, is_self, cardinality, foreign_is_view, .. } => {
            (&*foreign_relation.name, *is_self, cardinality, *foreign_is_view)
        }
    };
    let link = link(cardinality);
    let column = link.as_ref().and_then(|link| link.column);
    let by_name = target == foreign;
    match (is_self, hint) {
        // A self reference has one foreign key and two directions: the relation's name means the many side, the
        // column's name the one side.
        (true, None) => {
            (by_name && matches!(cardinality, Cardinality::ToMany { .. }))
                || (matches!(cardinality, Cardinality::ToOne { .. })
                    && column.is_some_and(|(origin, _)| origin == target))
        }
        (true, Some(hint)) => {
            by_name
                && matches!(cardinality, Cardinality::ToMany { .. })
                && column.is_some_and(|(_, foreign)| foreign == hint)
        }
        (false, None) => {
            by_name
                || (!foreign_is_view
                    && (link.as_ref().is_some_and(|link| link.constraint == target)
                        || column.is_some_and(|(origin, _)| origin == target)))
        }
        (false, Some(hint)) => {
            by_name
                && (link.as_ref().is_some_and(|link| link.constraint == hint)
                    || column.is_some_and(|(origin, foreign)| origin == hint || foreign == hint)
                    || matches!(cardinality, Cardinality::ManyToMany(junction) if &*junction.relation.name == hint))
        }
    }
}
