//! Writes: which columns, which rows, and what must come back for the read that follows. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::model::{Cardinality, Catalog, QualifiedName, Relation, Relationship};
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::{Logic, OnConflict, OwnerColumn, ReadNode, ResolvedField, Write};
use crate::rest::core::plan::resolve::Resolver;
use crate::rest::core::preferences::{Missing, Representation, Resolution};
use crate::rest::core::request::{
    ApiRequest, Mutation, Operation, OperatorExpression, Payload, QuantifiedOperator,
};

/// The write that `request` asks for on `relation`.
pub(super) fn plan_write(
    mutation: Mutation,
    request: &ApiRequest,
    relation: &Relation,
    catalog: &Catalog,
    tree: &ReadNode,
) -> Result<Write, PlanError> {
    let resolver = Resolver::new(catalog, &relation.name);
    let mut conditions: Vec<Logic> = request.query.filters_root.iter().map(|f| resolver.filter(f)).collect();
    let root_logic = request.query.logic.iter().filter(|(path, _)| path.is_empty());
    conditions.extend(root_logic.map(|(_, logic)| resolver.logic(logic)));
    let returning = match request.preferences.representation {
        Some(Representation::Full | Representation::HeadersOnly) => {
            needed_columns(tree, &relation.primary_key)
        }
        Some(Representation::Minimal) | None => Vec::new(),
    };
    let apply_defaults = request.preferences.missing == Some(Missing::Defaults);
    let body = body_of(request);
    Ok(match mutation {
        Mutation::Create => Write::Insert {
            into: relation.name.clone(),
            columns: written_columns(request, relation, &resolver)?,
            body,
            on_conflict: request.preferences.resolution.map(|resolution| OnConflict {
                ignore: resolution == Resolution::IgnoreDuplicates,
                columns: match &request.query.on_conflict {
                    Some(columns) => columns.iter().map(|column| Arc::from(column.as_str())).collect(),
                    None => relation.primary_key.clone(),
                },
            }),
            conditions: Vec::new(),
            returning,
            primary_key: relation.primary_key.clone(),
            apply_defaults,
            owner: owner_column(request, relation),
        },
        Mutation::Update => Write::Update {
            into: relation.name.clone(),
            columns: written_columns(request, relation, &resolver)?,
            body,
            conditions,
            returning,
            apply_defaults,
        },
        Mutation::SingleUpsert => {
            check_put(request, relation)?;
            Write::Insert {
                into: relation.name.clone(),
                columns: written_columns(request, relation, &resolver)?,
                body,
                on_conflict: Some(OnConflict { ignore: false, columns: relation.primary_key.clone() }),
                conditions,
                returning,
                primary_key: Vec::new(),
                apply_defaults: false,
                owner: owner_column(request, relation),
            }
        }
        Mutation::Delete => Write::Delete { from: relation.name.clone(), conditions, returning },
    })
}

/// The JSON text of the body; parsing made sure that a write has one.
fn body_of(request: &ApiRequest) -> Bytes {
    match &request.payload {
        Some(Payload::Json { raw, .. } | Payload::RawJson(raw) | Payload::Raw(raw)) => raw.clone(),
        Some(Payload::UrlEncoded { .. }) | None => Bytes::new(),
    }
}

/// The owner's column, where rows must be the caller's own and the request does not say whose they are.
fn owner_column(request: &ApiRequest, relation: &Relation) -> Option<OwnerColumn> {
    let name = relation.restriction.owner_column.as_ref()?;
    let column = relation.column(name)?;
    (!request.columns.contains(&**name))
        .then(|| OwnerColumn { name: name.clone(), data_type: column.nominal_type.clone() })
}

fn written_columns(
    request: &ApiRequest,
    relation: &Relation,
    resolver: &Resolver<'_>,
) -> Result<Vec<ResolvedField>, PlanError> {
    request
        .columns
        .iter()
        .map(|name| {
            resolver.input(name).ok_or_else(|| PlanError::ColumnNotFound {
                relation: relation.name.name.to_string(),
                column: name.clone(),
            })
        })
        .collect()
}

/// PUT names one row: equality on each column of the primary key, and nothing else.
fn check_put(request: &ApiRequest, relation: &Relation) -> Result<(), PlanError> {
    let key: BTreeSet<&str> = relation.primary_key.iter().map(|column| &**column).collect();
    let filtered: BTreeSet<&str> = request.query.filter_fields.iter().map(String::as_str).collect();
    let only_equality = request.query.filters_root.iter().all(|filter| {
        matches!(
            filter.operation,
            OperatorExpression {
                negated: false,
                operation: Operation::Quantified(QuantifiedOperator::Equal, None, _),
            }
        )
    });
    if request.query.logic.is_empty() && !key.is_empty() && key == filtered && only_equality {
        Ok(())
    } else {
        Err(PlanError::InvalidPutFilters)
    }
}

/// The columns that the read of written or returned rows needs: those selected, those that join embeds, the key.
///
/// `*` alone where everything is selected or a computed relationship takes the row.
pub(super) fn needed_columns(tree: &ReadNode, primary_key: &[Arc<str>]) -> Vec<Arc<str>> {
    let star: Arc<str> = Arc::from("*");
    let mut columns: BTreeSet<Arc<str>> = tree.select.iter().map(|item| item.field.name.clone()).collect();
    if columns.contains(&star) {
        return vec![star];
    }
    for child in &tree.children {
        match child.relationship.as_deref() {
            Some(Relationship::ForeignKey { cardinality, .. }) => {
                columns.extend(origin_columns(cardinality).iter().map(|(origin, _)| origin.clone()));
            }
            Some(Relationship::Computed { .. }) => return vec![star],
            None => {}
        }
    }
    columns.extend(primary_key.iter().cloned());
    columns.into_iter().collect()
}

fn origin_columns(cardinality: &Cardinality) -> &[(Arc<str>, Arc<str>)] {
    match cardinality {
        Cardinality::ToMany { columns, .. }
        | Cardinality::ToOne { columns, .. }
        | Cardinality::OneToOne { columns, .. } => columns,
        Cardinality::ManyToMany(junction) => &junction.columns_source,
    }
}

/// The relation of that name, or the refusal that suggests another.
pub(super) fn find_relation<'a>(
    catalog: &'a Catalog,
    name: &QualifiedName,
) -> Result<&'a Relation, PlanError> {
    catalog.relations.get(name).map(|relation| &**relation).ok_or_else(|| PlanError::RelationNotFound {
        schema: name.schema.to_string(),
        name: name.name.to_string(),
        hint: crate::catalog::suggest::table(catalog, &name.schema, &name.name),
    })
}
