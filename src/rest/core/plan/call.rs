//! Function calls: which overload the arguments mean, and how they are passed. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::model::{Catalog, Function, Parameter, QualifiedName};
use crate::catalog::suggest;
use crate::rest::core::media::MediaType;
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::{ArgumentValue, Arguments, Call, Logic, ReadNode};
use crate::rest::core::plan::mutate::needed_columns;
use crate::rest::core::request::{ApiRequest, CallMethod, Payload};

/// The function that `request` means by `name`.
pub(super) fn find_function<'a>(
    catalog: &'a Catalog,
    name: &QualifiedName,
    request: &ApiRequest,
    method: CallMethod,
) -> Result<&'a Function, PlanError> {
    let is_post = matches!(method, CallMethod::Write);
    let keys = argument_names(request, method);
    let overloads = catalog.functions.get(name).map_or(&[][..], Vec::as_slice);
    let (mut named, mut unnamed) = (Vec::new(), Vec::new());
    for function in overloads {
        if takes(function, &keys, is_post, &request.content_type) {
            named.push(function);
        } else if is_post && takes_body(function, &request.content_type) {
            unnamed.push(function);
        }
    }
    // A function with a single unnamed parameter is the fallback for a body as a whole.
    let candidates = if named.is_empty() { unnamed } else { named };
    match candidates.as_slice() {
        [only] => Ok(only),
        [] => Err(PlanError::FunctionNotFound {
            schema: name.schema.to_string(),
            name: name.name.to_string(),
            suggestion: {
                let keys: Vec<&str> = keys.iter().copied().collect();
                suggest::function(catalog, &name.schema, &name.name, &keys)
            },
            arguments: keys.into_iter().map(str::to_owned).collect(),
            content_type: request.content_type.clone(),
            is_post,
        }),
        _ => Err(PlanError::AmbiguousFunction(candidates.into_iter().cloned().map(Arc::new).collect())),
    }
}

fn argument_names(request: &ApiRequest, method: CallMethod) -> BTreeSet<&str> {
    match method {
        CallMethod::Read { .. } => request.query.params.iter().map(|(name, _)| name.as_str()).collect(),
        CallMethod::Write => request.columns.iter().map(String::as_str).collect(),
    }
}

/// Whether the names given are the parameters: all required ones, and of the optional ones any.
fn takes(function: &Function, keys: &BTreeSet<&str>, is_post: bool, content_type: &MediaType) -> bool {
    if function.params.is_empty() {
        let raw = matches!(content_type, MediaType::OctetStream | MediaType::PlainText | MediaType::Xml);
        return keys.is_empty() && !(is_post && raw);
    }
    let names: BTreeSet<&str> = function.params.iter().map(|parameter| &*parameter.name).collect();
    function
        .params
        .iter()
        .filter(|parameter| parameter.required)
        .all(|parameter| keys.contains(&*parameter.name))
        && keys.is_subset(&names)
}

fn takes_body(function: &Function, content_type: &MediaType) -> bool {
    let [parameter] = function.params.as_slice() else { return false };
    parameter.name.is_empty()
        && matches!(
            (content_type, &*parameter.data_type),
            (MediaType::Json, "json" | "jsonb")
                | (MediaType::PlainText, "text")
                | (MediaType::Xml, "xml")
                | (MediaType::OctetStream, "bytea")
        )
}

/// How `function` is called.
pub(super) fn plan_call(
    function: &Function,
    request: &ApiRequest,
    method: CallMethod,
    tree: &ReadNode,
) -> Call {
    let mut filter_columns = BTreeSet::new();
    tree.filters.iter().for_each(|logic| collect_logic_columns(logic, &mut filter_columns));
    Call {
        function: function.name.clone(),
        arguments: arguments(function, request, method),
        filter_columns: filter_columns.into_iter().collect(),
        returning: needed_columns(tree, &[]),
    }
}

fn arguments(function: &Function, request: &ApiRequest, method: CallMethod) -> Arguments {
    let body = match &request.payload {
        Some(Payload::Json { raw, .. } | Payload::RawJson(raw) | Payload::Raw(raw)) => Some(raw.clone()),
        Some(Payload::UrlEncoded { .. }) | None => None,
    };
    if let [parameter] = function.params.as_slice()
        && parameter.name.is_empty()
    {
        return Arguments::Single(parameter.clone(), body);
    }
    let keys = argument_names(request, method);
    let given: Vec<&Parameter> =
        function.params.iter().filter(|parameter| keys.contains(&*parameter.name)).collect();
    if given.is_empty() {
        return Arguments::Empty;
    }
    match (method, &request.payload) {
        (CallMethod::Read { .. }, _) => named_arguments(&given, &request.query.params),
        (CallMethod::Write, Some(Payload::UrlEncoded { pairs, .. })) => named_arguments(&given, pairs),
        (CallMethod::Write, _) => {
            Arguments::FromJson(given.into_iter().cloned().collect(), body.unwrap_or_else(Bytes::new))
        }
    }
}

/// Values by name: a variadic parameter takes all of its values, any other the last one.
fn named_arguments(given: &[&Parameter], pairs: &[(String, String)]) -> Arguments {
    let value_of = |parameter: &Parameter| {
        let mut values =
            pairs.iter().filter(|(name, _)| **name == *parameter.name).map(|(_, value)| value.clone());
        if parameter.variadic {
            ArgumentValue::Many(values.collect())
        } else {
            values.next_back().map_or(ArgumentValue::Null, ArgumentValue::One)
        }
    };
    Arguments::Named(given.iter().map(|parameter| ((*parameter).clone(), value_of(parameter))).collect())
}

/// The columns of the function's rows that a condition on them names; embeds are none of them.
fn collect_logic_columns(logic: &Logic, columns: &mut BTreeSet<Arc<str>>) {
    match logic {
        Logic::Group { members, .. } => {
            for member in members {
                collect_logic_columns(member, columns);
            }
        }
        Logic::Filter { field, .. } => {
            columns.insert(field.name.clone());
        }
        Logic::EmbedIsNull { .. } => {}
    }
}
