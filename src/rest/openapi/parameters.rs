//! The parameters that operations refer to: paging, ordering and preferences once, a filter per column and a body per
//! relation.

use std::collections::HashSet;

use serde::Serialize;

use crate::catalog::Relation;

use super::swagger::{ObjectSchema, Reference, ValueType};

/// Where a parameter that is not the body stands.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Location {
    /// In the query string.
    Query,
    /// A header.
    Header,
}

/// What a repeated parameter holds.
#[derive(Debug, Serialize)]
pub(super) struct ParameterItems<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<ValueType>,
    pub(super) format: &'a str,
}

/// A parameter in the query string or a header.
#[derive(Debug, Serialize)]
pub(super) struct ValueParameter<'a> {
    pub(super) name: &'a str,
    #[serde(rename = "in")]
    pub(super) location: Location,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    pub(super) required: bool,
    #[serde(rename = "type")]
    pub(super) kind: ValueType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'a str>,
    #[serde(rename = "enum", skip_serializing_if = "<[_]>::is_empty")]
    pub(super) values: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<ParameterItems<'a>>,
    /// How several values are sent: `multi` repeats the parameter.
    #[serde(rename = "collectionFormat", skip_serializing_if = "Option::is_none")]
    pub(super) collection_format: Option<&'static str>,
}

/// The schema of a body.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum BodySchema<'a> {
    Definition(Reference),
    Object(ObjectSchema<'a>),
}

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct BodyParameter<'a> {
    pub(super) name: &'a str,
    #[serde(rename = "in")]
    location: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    pub(super) required: bool,
    pub(super) schema: BodySchema<'a>,
}

/// A parameter or a pointer to one.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Parameter<'a> {
    Reference(Reference),
    Value(ValueParameter<'a>),
    Body(BodyParameter<'a>),
}

impl<'a> ValueParameter<'a> {
    /// An optional text.
    pub(super) fn text(name: &'a str, location: Location, description: Option<&'a str>) -> Self {
        Self {
            name,
            location,
            description,
            required: false,
            kind: ValueType::String,
            format: None,
            values: &[],
            default: None,
            items: None,
            collection_format: None,
        }
    }
}

impl<'a> BodyParameter<'a> {
    /// A body of that schema.
    pub(super) fn new(name: &'a str, schema: BodySchema<'a>) -> Self {
        Self { name, location: "body", description: None, required: true, schema }
    }
}

/// The name of a column's filter.
pub(super) fn row_filter_name(relation: &str, column: &str) -> String {
    format!("rowFilter.{relation}.{column}")
}

/// The name of a relation's body.
pub(super) fn body_name(relation: &str) -> String {
    format!("body.{relation}")
}

/// Every parameter definition by its name.
pub(super) fn all<'a>(relations: &[&'a Relation]) -> impl Iterator<Item = (String, Parameter<'a>)> {
    let shared = shared().into_iter().map(|(name, parameter)| (name.to_owned(), Parameter::Value(parameter)));
    let mut written = HashSet::new();
    // Names with dots can meet (`a.b` + `c`, `a` + `b.c`); an object holds each key once.
    shared
        .chain(relations.iter().flat_map(|relation| of_relation(relation)))
        .filter(move |(name, _)| written.insert(name.clone()))
}

/// The parameters that all relations share.
fn shared() -> [(&'static str, ValueParameter<'static>); 11] {
    let prefer = |values| ValueParameter {
        values,
        ..ValueParameter::text("Prefer", Location::Header, Some("Preference"))
    };
    let query = |name, description| ValueParameter::text(name, Location::Query, Some(description));
    let paging = "Limiting and Pagination";
    let range_unit = ValueParameter {
        default: Some("items"),
        ..ValueParameter::text("Range-Unit", Location::Header, Some(paging))
    };
    [
        ("preferParams", prefer(&[])),
        ("preferReturn", prefer(&["return=representation", "return=minimal", "return=none"])),
        ("preferCount", prefer(&["count=none"])),
        (
            "preferPost",
            prefer(&[
                "return=representation",
                "return=minimal",
                "return=none",
                "resolution=ignore-duplicates",
                "resolution=merge-duplicates",
            ]),
        ),
        ("select", query("select", "Filtering Columns")),
        ("on_conflict", query("on_conflict", "On Conflict")),
        ("order", query("order", "Ordering")),
        ("range", ValueParameter::text("Range", Location::Header, Some(paging))),
        ("rangeUnit", range_unit),
        ("offset", query("offset", paging)),
        ("limit", query("limit", paging)),
    ]
}

/// The body of a relation and a filter for each of its columns.
fn of_relation(relation: &Relation) -> impl Iterator<Item = (String, Parameter<'_>)> {
    let name = &*relation.name.name;
    let body = BodyParameter {
        description: Some(name),
        required: false,
        ..BodyParameter::new(name, BodySchema::Definition(Reference::definition(name)))
    };
    let filters = relation.comparable_columns().map(move |column| {
        let filter = ValueParameter::text(&column.name, Location::Query, column.comment.as_deref());
        (row_filter_name(name, &column.name), Parameter::Value(filter))
    });
    std::iter::once((body_name(name), Parameter::Body(body))).chain(filters)
}
