//! The definitions of relations: their columns with types, defaults, and notes on keys.
//!
//! The notes keep the exact form (`<pk/>`, `<fk table='…' column='…'/>`) that generators look for.

use crate::catalog::model::FILE_REFERENCE;
use crate::catalog::{Cardinality, Catalog, Column, Relation, Relationship};

use super::swagger::{ObjectSchema, Pairs, Property, ValueType};
use super::types;

/// What is said of a column that refers to a stored object.
const FILE_NOTE: &str = "A stored file. Written as its path (bucket/name), or as it was read; read as null or an object with \
                         file_id, url, filename, size, mime_type and metadata.";

/// The definition of each relation, by its name.
pub(super) fn all<'a>(
    catalog: &'a Catalog,
    relations: &[&'a Relation],
) -> impl Iterator<Item = (&'a str, ObjectSchema<'a>)> {
    relations.iter().map(|relation| (&*relation.name.name, definition(catalog, relation)))
}

fn definition<'a>(catalog: &'a Catalog, relation: &'a Relation) -> ObjectSchema<'a> {
    let keys = ForeignKeys::of(catalog, relation);
    ObjectSchema {
        description: relation.comment.as_deref(),
        required: relation
            .readable_columns()
            .filter(|column| !column.nullable)
            .map(|column| &*column.name)
            .collect(),
        kind: ValueType::Object,
        properties: Pairs(
            relation
                .readable_columns()
                .map(|column| (&*column.name, property(relation, column, keys.target(&column.name))))
                .collect(),
        ),
    }
}

fn property<'a>(relation: &Relation, column: &'a Column, foreign: Option<(&str, &str)>) -> Property<'a> {
    let is_file = &*column.nominal_type == FILE_REFERENCE;
    Property {
        default: column
            .default
            .as_deref()
            .and_then(|expression| types::default(&column.data_type, expression)),
        description: description(column, relation.primary_key.contains(&column.name), foreign),
        labels: &column.enum_values,
        format: Some(if is_file { FILE_REFERENCE } else { types::format(&column.data_type) }),
        max_length: column.max_length,
        kind: types::value_type(&column.data_type).filter(|_| !is_file),
        items: types::items(&column.data_type),
    }
}

/// The column's comment, with a note on the keys it belongs to.
fn description(column: &Column, in_primary_key: bool, foreign: Option<(&str, &str)>) -> Option<String> {
    let is_file = &*column.nominal_type == FILE_REFERENCE;
    let note = match (&column.comment, is_file) {
        (Some(comment), true) => Some(format!("{comment}\n\n{FILE_NOTE}")),
        (None, true) => Some(FILE_NOTE.to_owned()),
        (_, false) => None,
    };
    let comment = note.as_deref().or(column.comment.as_deref());
    if !in_primary_key && foreign.is_none() {
        return comment.map(str::to_owned);
    }
    let mut text = comment.map(|comment| format!("{comment}\n\n")).unwrap_or_default();
    text.push_str("Note:");
    if in_primary_key {
        text.push_str("\nThis is a Primary Key.<pk/>");
    }
    if let Some((table, column)) = foreign {
        let note =
            format!("\nThis is a Foreign Key to `{table}.{column}`.<fk table='{table}' column='{column}'/>");
        text.push_str(&note);
    }
    Some(text)
}

/// The relationships of one relation that follow a foreign key of a single column, those to tables first.
struct ForeignKeys<'a>(Vec<(&'a str, &'a str, &'a str)>);

impl<'a> ForeignKeys<'a> {
    fn of(catalog: &'a Catalog, relation: &Relation) -> Self {
        let relationships = catalog.relationships_of(&relation.name, &relation.name.schema);
        let of_kind = |views: bool| relationships.iter().filter_map(move |link| single_column(link, views));
        Self(of_kind(false).chain(of_kind(true)).collect())
    }

    /// The relation and column that a column refers to.
    fn target(&self, column: &str) -> Option<(&'a str, &'a str)> {
        self.0.iter().find(|(own, ..)| *own == column).map(|(_, table, foreign)| (*table, *foreign))
    }
}

/// Own column, foreign relation and foreign column of a relationship that one column makes.
fn single_column(relationship: &Relationship, views: bool) -> Option<(&str, &str, &str)> {
    let Relationship::ForeignKey { foreign_relation, cardinality, foreign_is_view, .. } = relationship else {
        return None;
    };
    let (Cardinality::ToOne { columns, .. } | Cardinality::OneToOne { columns, is_parent: false, .. }) =
        cardinality
    else {
        return None;
    };
    match columns.as_slice() {
        [(own, foreign)] if *foreign_is_view == views => Some((own, &foreign_relation.name, foreign)),
        _ => None,
    }
}
