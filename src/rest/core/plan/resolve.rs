//! Fields of the request seen through the catalog: types, JSON paths, domain representations. Pure.

use std::sync::Arc;

use crate::catalog::model::{Catalog, Column, QualifiedName, ReadAccess, Relation};
use crate::rest::core::plan::model::{Logic, OrderBy, ResolvedField, TextSearch};
use crate::rest::core::request::{Field, Filter, LogicTree, Operation, OrderTerm};

/// The catalog as seen from one relation.
#[derive(Clone, Copy)]
pub(super) struct Resolver<'a> {
    pub catalog: &'a Catalog,
    pub relation: Option<&'a Relation>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(catalog: &'a Catalog, name: &QualifiedName) -> Self {
        Self { catalog, relation: catalog.relations.get(name).map(|relation| &**relation) }
    }

    /// A known column without any path.
    pub(super) fn column(column: &Column) -> ResolvedField {
        let mut field = ResolvedField::unknown(column.name.clone(), Vec::new());
        field.declared_type = column.nominal_type.clone();
        field.base_type = column.data_type.clone();
        field.default.clone_from(&column.default);
        if let ReadAccess::Masked(mask) = &column.access.read {
            field.mask = Some(mask.clone());
        }
        field
    }

    /// A field as PostgreSQL will see it; unknown names stay unknown, since a computed column may be meant.
    fn field(&self, field: &Field, to_tsvector: Option<TextSearch>) -> ResolvedField {
        let known = self.relation.and_then(|relation| relation.column(&field.name));
        let mut resolved = match known {
            Some(column) => Self::column(column),
            None => ResolvedField::unknown(Arc::from(field.name.as_str()), Vec::new()),
        };
        resolved.json_path.clone_from(&field.json_path);
        // json and jsonb take arrows as they are, so that an index on the expression applies.
        resolved.to_json = !matches!(&*resolved.declared_type, "json" | "jsonb");
        // What is no column may be a tsvector, as a computed one often is, and text is converted by PostgreSQL itself.
        resolved.to_tsvector =
            to_tsvector.filter(|_| known.is_some_and(|column| &*column.data_type != "tsvector"));
        resolved
    }

    fn with_representation(&self, mut field: ResolvedField, source: &str, target: &str) -> ResolvedField {
        if let Some(representation) = self.catalog.representation(source, target) {
            field.declared_type = Arc::from(source);
            field.transform = Some(representation.function.clone());
        }
        field
    }

    /// A selected field, shown as JSON.
    pub(super) fn output(&self, field: &Field) -> ResolvedField {
        self.shown_as_json(self.field(field, None))
    }

    /// The representation of a resolved field as JSON, if its domain has one.
    pub(super) fn shown_as_json(self, field: ResolvedField) -> ResolvedField {
        let declared = field.declared_type.clone();
        // A mask is shown as it is.
        if field.mask.is_some() { field } else { self.with_representation(field, &declared, "json") }
    }

    /// Whether a column's domain is shown through a representation.
    pub(super) fn has_output_representation(&self, column: &Column) -> bool {
        self.catalog.representation(&column.nominal_type, "json").is_some()
    }

    /// A field compared with text from a query string.
    pub(super) fn filter(&self, filter: &Filter) -> Logic {
        let to_tsvector = match &filter.operation.operation {
            Operation::FullText(_, language, _) => {
                Some(TextSearch { language: language.as_deref().map(Arc::from) })
            }
            _ => None,
        };
        let field = self.field(&filter.field, to_tsvector);
        let declared = field.declared_type.clone();
        Logic::Filter {
            field: self.with_representation(field, "text", &declared),
            expression: filter.operation.clone(),
        }
    }

    /// A whole condition tree.
    pub(super) fn logic(&self, tree: &LogicTree) -> Logic {
        match tree {
            LogicTree::Filter(filter) => self.filter(filter),
            LogicTree::Expression { negated, operator, children } => Logic::Group {
                negated: *negated,
                operator: *operator,
                members: children.iter().map(|child| self.logic(child)).collect(),
            },
        }
    }

    /// An order term; the relation of a related order stays as the request names it.
    pub(super) fn order(&self, term: &OrderTerm) -> OrderBy {
        OrderBy {
            field: match &term.relation {
                Some(_) => {
                    ResolvedField::unknown(Arc::from(term.field.name.as_str()), term.field.json_path.clone())
                }
                None => self.field(&term.field, None),
            },
            relation: term.relation.as_deref().map(Arc::from),
            direction: term.direction,
            nulls: term.nulls,
        }
    }

    /// A column to write from a JSON body; `None` if the relation has no such column.
    pub(super) fn input(&self, name: &str) -> Option<ResolvedField> {
        let column = self.relation?.column(name)?;
        let declared = column.nominal_type.clone();
        let field = ResolvedField { mask: None, input: column.access.input, ..Self::column(column) };
        Some(self.with_representation(field, "json", &declared))
    }
}
