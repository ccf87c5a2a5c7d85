//! Puts function rows together: which can be called, with which parameters, and what comes back. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use super::Interner;
use super::assemble::grants;
use super::functions::FunctionRow;
use crate::catalog::function::{Function, Parameter, ReturnType, ReturnValue, Volatility};
use crate::catalog::model::QualifiedName;
use crate::catalog::role::IsolationLevel;

/// The callable functions by name; overloads with fewest parameters first.
pub(super) fn functions(
    rows: Vec<FunctionRow>,
    interner: &mut Interner,
) -> HashMap<QualifiedName, Vec<Function>> {
    let mut found: HashMap<QualifiedName, Vec<Function>> = HashMap::new();
    for row in rows {
        if let Some(function) = function(row, interner) {
            found.entry(function.name.clone()).or_default().push(function);
        }
    }
    for overloads in found.values_mut() {
        overloads.sort_by(|a, b| {
            let key = |function: &Function| -> Vec<(Arc<str>, Arc<str>)> {
                function.params.iter().map(|param| (param.name.clone(), param.data_type.clone())).collect()
            };
            a.params
                .len()
                .cmp(&b.params.len())
                .then_with(|| a.comment.cmp(&b.comment))
                .then_with(|| key(a).cmp(&key(b)))
        });
    }
    found
}

/// Types that the single unnamed parameter of a function may have: they take a whole body.
const BODY_TYPES: &[&str] = &["bytea", "json", "jsonb", "text", "xml"];

/// `None` for a function that cannot be called by named arguments nor with a body.
fn function(row: FunctionRow, interner: &mut Interner) -> Option<Function> {
    let params = parameters(&row, interner);
    let takes_body = params.len() == 1 && BODY_TYPES.contains(&&*params[0].data_type);
    let callable = takes_body || params.iter().all(|param| !param.name.is_empty() || !param.required);
    if !callable {
        return None;
    }
    let type_name = interner.name(&row.return_schema, &row.return_name);
    let value = if row.returns_row {
        ReturnValue::Composite { relation: type_name, is_alias: row.returns_domain }
    } else {
        ReturnValue::Scalar(type_name)
    };
    let settings = pairs(row.settings.as_deref().unwrap_or_default(), interner);
    Some(Function {
        name: interner.name(&row.schema, &row.name),
        comment: row.comment.map(Arc::from),
        params,
        returns: if row.returns_set { ReturnType::SetOf(value) } else { ReturnType::Single(value) },
        volatility: match row.volatility.as_str() {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            _ => Volatility::Volatile,
        },
        variadic: row.variadic,
        isolation_level: settings
            .iter()
            .find(|(name, _)| &**name == "default_transaction_isolation")
            .map(|(_, value)| IsolationLevel::from_setting(value)),
        settings,
        security_definer: row.security_definer,
        owner: interner.text(&row.owner),
        grants: row.acl.as_deref().map(|acl| grants(Some(acl), interner)),
    })
}

/// The input parameters. `modes`, where there are any, run over all parameters: `i`n, inout `b`, `v`ariadic are input.
fn parameters(row: &FunctionRow, interner: &mut Interner) -> Vec<Parameter> {
    let mode = |at: usize| row.modes.as_ref().and_then(|modes| modes.get(at)).map_or("i", String::as_str);
    let inputs: Vec<usize> = (0..row.types.len().min(row.type_oids.len()))
        .filter(|at| matches!(mode(*at), "i" | "b" | "v"))
        .collect();
    let required = inputs.len().saturating_sub(usize::try_from(row.defaults).unwrap_or(0));
    inputs
        .iter()
        .enumerate()
        .map(|(place, &at)| {
            let name = row.names.as_ref().and_then(|names| names.get(at)).map_or("", String::as_str);
            let data_type = row.types[at].as_str();
            // bit and character (and their arrays) mean a length of 1 where no length is given.
            let type_with_length = match row.type_oids[at].0 {
                1560 => "bit varying",
                1561 => "bit varying[]",
                1042 => "character varying",
                1014 => "character varying[]",
                _ => data_type,
            };
            Parameter {
                name: interner.text(name),
                data_type: interner.text(data_type),
                type_with_length: interner.text(type_with_length),
                required: place < required,
                variadic: mode(at) == "v",
            }
        })
        .collect()
}

/// `name=value` entries of a configuration array.
fn pairs(entries: &[String], interner: &mut Interner) -> Vec<(Arc<str>, Arc<str>)> {
    entries
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (interner.text(&name.to_lowercase()), interner.text(value)))
        .collect()
}
