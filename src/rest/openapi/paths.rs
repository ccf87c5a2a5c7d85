//! The paths: the root, one per relation, one per function.
//!
//! A relation is read with GET and, where rows can be written at all, written with POST, PATCH and DELETE. A function
//! is called with POST and, unless it is volatile, with GET.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Function, Parameter as FunctionParameter, Relation, Volatility};

use super::DocumentInput;
use super::parameters::{
    BodyParameter, BodySchema, Location, Parameter, ParameterItems, ValueParameter, body_name,
    row_filter_name,
};
use super::swagger::{ObjectSchema, Pairs, Property, Reference, ValueType, summary_and_description};
use super::types;

/// The parameters of a read besides its filters.
const READ_PARAMETERS: [&str; 7] =
    ["select", "order", "range", "rangeUnit", "offset", "limit", "preferCount"];

/// What a function can answer with.
const FUNCTION_MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/vnd.pgrst.object+json;nulls=stripped",
    "application/vnd.pgrst.object+json",
];

/// What the root can answer with.
const ROOT_MEDIA_TYPES: [&str; 2] = ["application/openapi+json", "application/json"];

/// The operations of one path.
#[derive(Debug, Default, Serialize)]
pub(super) struct PathItem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    get: Option<Operation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<Operation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Operation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete: Option<Operation<'a>>,
}

#[derive(Debug, Serialize)]
struct Operation<'a> {
    tags: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    produces: &'static [&'static str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<Parameter<'a>>,
    responses: Pairs<&'static str, Response>,
}

#[derive(Debug, Serialize)]
struct Response {
    description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<ArrayOf>,
}

#[derive(Debug, Serialize)]
struct ArrayOf {
    #[serde(rename = "type")]
    kind: ValueType,
    items: Reference,
}

/// Every path. Where a relation is called `rpc/…` like a function, the function has the path.
pub(super) fn all<'a>(
    input: &DocumentInput<'a>,
    relations: &[&'a Relation],
    functions: &BTreeMap<&'a str, &'a Function>,
) -> impl Iterator<Item = (String, PathItem<'a>)> {
    let root = std::iter::once(("/".to_owned(), root_item()));
    let relations = relations
        .iter()
        .filter(|relation| {
            relation.name.name.strip_prefix("rpc/").is_none_or(|name| !functions.contains_key(name))
        })
        .map(|relation| (format!("/{}", relation.name.name), relation_item(relation)));
    let functions =
        functions.iter().map(|(name, function)| (format!("/rpc/{name}"), function_item(function, input)));
    root.chain(relations).chain(functions)
}

fn response(status: &'static str, description: &'static str) -> Pairs<&'static str, Response> {
    Pairs(vec![(status, Response { description, schema: None })])
}

fn root_item() -> PathItem<'static> {
    let get = Operation {
        tags: ["Introspection".to_owned()],
        summary: Some("OpenAPI description (this document)"),
        description: None,
        produces: &ROOT_MEDIA_TYPES,
        parameters: Vec::new(),
        responses: response("200", "OK"),
    };
    PathItem { get: Some(get), ..PathItem::default() }
}

fn relation_item(relation: &Relation) -> PathItem<'_> {
    let name = &*relation.name.name;
    let (summary, description) = summary_and_description(relation.comment.as_deref());
    let operation = |parameters: Vec<String>, responses| Operation {
        tags: [name.to_owned()],
        summary,
        description,
        produces: &[],
        parameters: parameters.iter().map(|name| Parameter::Reference(Reference::parameter(name))).collect(),
        responses,
    };
    let filters = || relation.comparable_columns().map(|column| row_filter_name(name, &column.name));
    let rows = ArrayOf { kind: ValueType::Array, items: Reference::definition(name) };
    let read = Pairs(vec![
        ("200", Response { description: "OK", schema: Some(rows) }),
        ("206", Response { description: "Partial Content", schema: None }),
    ]);
    let get = operation(filters().chain(READ_PARAMETERS.map(str::to_owned)).collect(), read);
    if !(relation.insertable || relation.updatable || relation.deletable) {
        return PathItem { get: Some(get), ..PathItem::default() };
    }
    let insert = vec![body_name(name), "select".to_owned(), "preferPost".to_owned()];
    let update = filters().chain([body_name(name), "preferReturn".to_owned()]).collect();
    let remove = filters().chain(["preferReturn".to_owned()]).collect();
    PathItem {
        get: Some(get),
        post: Some(operation(insert, response("201", "Created"))),
        patch: Some(operation(update, response("204", "No Content"))),
        delete: Some(operation(remove, response("204", "No Content"))),
    }
}

fn function_item<'a>(function: &'a Function, input: &DocumentInput<'a>) -> PathItem<'a> {
    let (summary, description) = summary_and_description(function.comment.as_deref());
    let operation = |parameters| Operation {
        tags: [format!("(rpc) {}", function.name.name)],
        summary,
        description,
        produces: &FUNCTION_MEDIA_TYPES,
        parameters,
        responses: response("200", "OK"),
    };
    let arguments = BodyParameter::new("args", BodySchema::Object(arguments_schema(function, input)));
    let post = operation(vec![
        Parameter::Body(arguments),
        Parameter::Reference(Reference::parameter("preferParams")),
    ]);
    let get = (function.volatility != Volatility::Volatile).then(|| {
        let arguments = function.params.iter().map(|parameter| query_argument(parameter, input));
        operation(arguments.map(Parameter::Value).collect())
    });
    PathItem { get, post: Some(post), ..PathItem::default() }
}

/// The body of a call by POST.
fn arguments_schema<'a>(function: &'a Function, input: &DocumentInput<'a>) -> ObjectSchema<'a> {
    let property = |parameter: &'a FunctionParameter| {
        let data_type = types::shorten(&parameter.data_type, &input.search_path);
        let property = Property {
            format: Some(types::format(data_type)),
            kind: types::value_type(data_type),
            items: types::items(data_type),
            ..Property::default()
        };
        (&*parameter.name, property)
    };
    ObjectSchema {
        description: function.comment.as_deref(),
        required: function.params.iter().filter(|one| one.required).map(|one| &*one.name).collect(),
        kind: ValueType::Object,
        properties: Pairs(function.params.iter().map(property).collect()),
    }
}

/// One argument of a call by GET. An array is one text (`{a,b}`), the VARIADIC one is repeated.
fn query_argument<'a>(parameter: &'a FunctionParameter, input: &DocumentInput<'a>) -> ValueParameter<'a> {
    let data_type = types::shorten(&parameter.data_type, &input.search_path);
    let argument = ValueParameter {
        required: parameter.required,
        ..ValueParameter::text(&parameter.name, Location::Query, None)
    };
    let kind = types::value_type(data_type).unwrap_or(ValueType::String);
    if let (true, Some(element)) = (parameter.variadic, types::element_type(data_type)) {
        let items = ParameterItems { kind: types::value_type(element), format: types::format(element) };
        return ValueParameter { kind, items: Some(items), collection_format: Some("multi"), ..argument };
    }
    let kind = if kind == ValueType::Array { ValueType::String } else { kind };
    ValueParameter { kind, format: Some(types::format(data_type)), ..argument }
}
