//! Words and statuses of planning errors (PGRST1xx and PGRST2xx).

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Disclosure, ErrorParts, echo};
use crate::catalog::model::{Cardinality, ColumnPairs, Function, Relationship};
use crate::rest::core::media::MediaType;
use crate::rest::core::plan::error::PlanError;

/// What the caller sees of `error`. Likely names are suggested only where names may be told.
pub(super) fn parts(error: &PlanError, disclosure: Disclosure) -> ErrorParts {
    let bad = |code: &str, message: String| ErrorParts::new(StatusCode::BAD_REQUEST, code, message);
    match error {
        PlanError::NotEmbedded { name, alias } => not_embedded(name, alias.as_deref()),
        PlanError::RelatedOrderNotToOne { origin, target } => {
            let (origin, target) = (echo::name(origin), echo::name(target));
            bad("PGRST118", format!("A related order on '{target}' is not possible")).details(format!(
                "'{origin}' and '{target}' do not form a many-to-one or one-to-one relationship"
            ))
        }
        PlanError::NotImplemented(what) => {
            bad("PGRST127", "Feature not implemented".to_owned()).details(*what)
        }
        PlanError::AggregatesNotAllowed => {
            bad("PGRST123", "Use of aggregate functions is not allowed".to_owned())
        }
        PlanError::InvalidPutFilters => ErrorParts::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "PGRST105",
            "Filters must include all and only primary key columns with 'eq' operators",
        ),
        PlanError::NotAcceptable(accepted) => ErrorParts::new(
            StatusCode::NOT_ACCEPTABLE,
            "PGRST107",
            format!("None of these media types are available: {}", accepted.join(", ")),
        ),
        PlanError::MaxAffectedNeedsSet => bad(
            "PGRST128",
            "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
                .to_owned(),
        ),
        PlanError::InvalidCast(cast) => {
            let message = format!("\"{}\" is not the name of a type", echo::name(cast));
            bad("PGRST100", message).hint("Cast as in select=id::text")
        }
        PlanError::ColumnNotFound { relation, column } => {
            let column = echo::name(column);
            bad(
                "PGRST204",
                format!("Could not find the '{column}' column of '{relation}' in the schema cache"),
            )
        }
        PlanError::RelationNotFound { schema, name, hint } => {
            let name = echo::name(name);
            let message = format!("Could not find the table '{schema}.{name}' in the schema cache");
            suggest(ErrorParts::new(StatusCode::NOT_FOUND, "PGRST205", message), hint.as_ref(), disclosure)
        }
        PlanError::NoRelationship { origin, target, hint, schema, suggestion } => {
            let parts = no_relationship(origin, target, hint.as_deref(), schema);
            suggest(parts, suggestion.as_ref(), disclosure)
        }
        PlanError::AmbiguousRelationship { origin, target, candidates } => {
            ambiguous_relationship(origin, target, candidates)
        }
        PlanError::FunctionNotFound { schema, name, arguments, content_type, is_post, suggestion } => {
            let function = format!("{schema}.{}", echo::name(name));
            let whole_body = if *is_post { single_body_type(content_type) } else { None };
            let or_json = *is_post && *content_type == MediaType::Json;
            let parts = function_not_found(&function, arguments, whole_body, or_json);
            if whole_body.is_some() { parts } else { suggest(parts, suggestion.as_ref(), disclosure) }
        }
        PlanError::AmbiguousFunction(candidates) => ambiguous_function(candidates),
    }
}

fn suggest(parts: ErrorParts, hint: Option<&String>, disclosure: Disclosure) -> ErrorParts {
    match hint {
        Some(hint) if disclosure.verbose || disclosure.authenticated => parts.hint(hint.clone()),
        _ => parts,
    }
}

fn not_embedded(name: &str, alias: Option<&str>) -> ErrorParts {
    let name = echo::name(name);
    let message = format!("'{name}' is not an embedded resource in this request");
    let parts = ErrorParts::new(StatusCode::BAD_REQUEST, "PGRST108", message);
    match alias {
        None => parts.hint(format!("Verify that '{name}' is included in the 'select' query parameter.")),
        Some(alias) => parts
            .details("Target names are not allowed in filters if they have an alias")
            .hint(format!("Change '{name}' to '{}' in filters, orders or limits.", echo::name(alias))),
    }
}

fn no_relationship(origin: &str, target: &str, hint: Option<&str>, schema: &str) -> ErrorParts {
    let (origin, target) = (echo::name(origin), echo::name(target));
    let message =
        format!("Could not find a relationship between '{origin}' and '{target}' in the schema cache");
    let hinted = hint.map(|hint| format!(" using the hint '{}'", echo::name(hint))).unwrap_or_default();
    ErrorParts::new(StatusCode::BAD_REQUEST, "PGRST200", message).details(format!(
        "Searched for a foreign key relationship between '{origin}' and '{target}'{hinted} in the schema '{schema}', \
         but no matches were found."
    ))
}

fn ambiguous_relationship(origin: &str, target: &str, candidates: &[Relationship]) -> ErrorParts {
    let message =
        format!("Could not embed because more than one relationship was found for '{origin}' and '{target}'");
    let hints: Vec<String> = candidates.iter().map(hint_for).collect();
    let mut parts = ErrorParts::new(StatusCode::MULTIPLE_CHOICES, "PGRST201", message).hint(format!(
        "Try changing '{target}' to one of the following: {}. Find the desired relationship in the 'details' key.",
        hints.join(", ")
    ));
    parts.details = Some(Value::Array(candidates.iter().map(describe).collect()));
    parts
}

/// The embed that means this relationship alone.
fn hint_for(relationship: &Relationship) -> String {
    match relationship {
        Relationship::Computed { .. } => String::new(),
        Relationship::ForeignKey { foreign_relation, cardinality, .. } => {
            let by = match cardinality {
                Cardinality::ManyToMany(junction) => &junction.relation.name,
                Cardinality::ToMany { constraint, .. }
                | Cardinality::ToOne { constraint, .. }
                | Cardinality::OneToOne { constraint, .. } => constraint,
            };
            format!("'{}!{by}'", foreign_relation.name)
        }
    }
}

fn describe(relationship: &Relationship) -> Value {
    let Relationship::ForeignKey { relation, foreign_relation, cardinality, .. } = relationship else {
        return json!({});
    };
    let embedding = format!("{} with {}", relation.name, foreign_relation.name);
    let by_columns = |constraint: &str, columns: &ColumnPairs| {
        let (own, foreign) = (names(columns, |pair| &pair.0), names(columns, |pair| &pair.1));
        format!("{constraint} using {}({own}) and {}({foreign})", relation.name, foreign_relation.name)
    };
    let (kind, link) = match cardinality {
        Cardinality::ManyToMany(junction) => (
            "many-to-many",
            format!(
                "{} using {}({}) and {}({})",
                junction.relation.name,
                junction.constraint_source,
                names(&junction.columns_source, |pair| &pair.1),
                junction.constraint_target,
                names(&junction.columns_target, |pair| &pair.1),
            ),
        ),
        Cardinality::ToOne { constraint, columns } => ("many-to-one", by_columns(constraint, columns)),
        Cardinality::OneToOne { constraint, columns, .. } => ("one-to-one", by_columns(constraint, columns)),
        Cardinality::ToMany { constraint, columns } => ("one-to-many", by_columns(constraint, columns)),
    };
    json!({ "cardinality": kind, "embedding": embedding, "relationship": link })
}

type Pair = (Arc<str>, Arc<str>);

fn names(columns: &ColumnPairs, side: fn(&Pair) -> &Arc<str>) -> String {
    columns.iter().map(|pair| &**side(pair)).collect::<Vec<_>>().join(", ")
}

fn function_not_found(
    function: &str,
    arguments: &[String],
    whole_body: Option<&'static str>,
    or_json: bool,
) -> ErrorParts {
    let given = arguments.iter().map(|argument| echo::name(argument)).collect::<Vec<_>>().join(", ");
    let (named, with) = match arguments.len() {
        0 => (" without parameters".to_owned(), " without parameters".to_owned()),
        1 => (format!("({given})"), format!(" with parameter {given}")),
        _ => (format!("({given})"), format!(" with parameters {given}")),
    };
    let (named, searched) = match whole_body {
        Some(kind) => (String::new(), format!(" with a single unnamed {kind} parameter")),
        None if or_json => (named, format!("{with} or with a single unnamed json/jsonb parameter")),
        None => (named, with),
    };
    let message = format!("Could not find the function {function}{named} in the schema cache");
    ErrorParts::new(StatusCode::NOT_FOUND, "PGRST202", message).details(format!(
        "Searched for the function {function}{searched}, but no matches were found in the schema cache."
    ))
}

fn ambiguous_function(candidates: &[Arc<Function>]) -> ErrorParts {
    let signatures: Vec<String> = candidates.iter().map(|function| signature(function)).collect();
    let message = format!("Could not choose the best candidate function between: {}", signatures.join(", "));
    ErrorParts::new(StatusCode::MULTIPLE_CHOICES, "PGRST203", message).hint(
        "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
    )
}

fn single_body_type(content_type: &MediaType) -> Option<&'static str> {
    match content_type {
        MediaType::PlainText => Some("text"),
        MediaType::Xml => Some("xml"),
        MediaType::OctetStream => Some("bytea"),
        _ => None,
    }
}

fn signature(function: &Function) -> String {
    let parameters: Vec<String> = function
        .params
        .iter()
        .map(|parameter| format!("{} => {}", parameter.name, parameter.data_type))
        .collect();
    format!("{}({})", function.name, parameters.join(", "))
}
