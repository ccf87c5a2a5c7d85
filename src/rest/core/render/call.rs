//! A function call as the source of rows. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::model::{Function, Parameter, QualifiedName};
use crate::kernel::sql::{Param, SqlBuf};
use crate::rest::core::plan::model::{ArgumentValue, Arguments, Call, ResolvedField};
use crate::rest::core::render::body::{BODY, BodyRows};
use crate::rest::core::render::field;

const CALL: &str = "pgrst_call";

/// `SELECT … FROM function(…)`.
pub(super) fn query(sql: &mut SqlBuf, function: &Function, call: &Call) {
    let scalar = function.returns_scalar() || function.returns_set_of_scalar();
    sql.lit("SELECT ");
    if scalar {
        sql.lit("pgrst_call.pgrst_scalar");
    } else {
        returned_columns(sql, call);
    }
    sql.lit(" ");
    match &call.arguments {
        Arguments::FromJson(parameters, body) => {
            let columns: Vec<ResolvedField> = parameters.iter().map(body_column).collect();
            BodyRows { body, columns: &columns, apply_defaults: false, first_only: true }.clause(sql);
            sql.lit(", LATERAL ");
        }
        _ => {
            sql.lit("FROM ");
        }
    }
    if scalar {
        sql.lit("(SELECT ");
    }
    sql.name(&call.function.schema, &call.function.name).lit("(");
    arguments(sql, &call.arguments);
    sql.lit(")");
    sql.lit(if scalar { " pgrst_scalar) pgrst_call" } else { " pgrst_call" });
}

fn body_column(parameter: &Parameter) -> ResolvedField {
    let mut column = ResolvedField::unknown(parameter.name.clone(), Vec::new());
    column.declared_type = parameter.type_with_length.clone();
    column
}

fn returned_columns(sql: &mut SqlBuf, call: &Call) {
    let owner = QualifiedName::new("", CALL);
    match call.returning.as_slice() {
        [] => {
            sql.lit("*");
        }
        [only] if &**only == "*" => field::column(sql, &owner, "*"),
        returning => {
            let columns: BTreeSet<&Arc<str>> = returning.iter().chain(&call.filter_columns).collect();
            sql.join(", ", columns, |sql, column| field::column(sql, &owner, column));
        }
    }
}

fn arguments(sql: &mut SqlBuf, arguments: &Arguments) {
    match arguments {
        Arguments::Empty => {}
        Arguments::Single(parameter, body) => single(sql, parameter, body.as_ref()),
        Arguments::Named(values) => {
            sql.join(", ", values, |sql, (parameter, value)| {
                name(sql, parameter);
                match value {
                    ArgumentValue::One(text) => sql.bind_text(text),
                    ArgumentValue::Many(texts) => sql.bind_text(&field::array_literal(texts)),
                    ArgumentValue::Null => sql.lit("NULL"),
                };
                sql.lit("::").catalog_sql(&parameter.type_with_length);
            });
        }
        Arguments::FromJson(parameters, _) => {
            sql.join(", ", parameters, |sql, parameter| {
                name(sql, parameter);
                sql.lit(BODY).lit(".").ident(&parameter.name);
            });
        }
    }
}

fn name(sql: &mut SqlBuf, parameter: &Parameter) {
    sql.lit(if parameter.variadic { "VARIADIC " } else { "" }).ident(&parameter.name).lit(" := ");
}

fn single(sql: &mut SqlBuf, parameter: &Parameter, body: Option<&Bytes>) {
    let param = match body {
        None => Param::null(),
        Some(body) if &*parameter.data_type == "bytea" => Param::bytea(body.clone()),
        Some(body) => Param::text(body.clone()),
    };
    sql.bind(param).lit("::").catalog_sql(&parameter.data_type);
}
