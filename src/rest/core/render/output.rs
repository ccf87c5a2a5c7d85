//! How rows become a body inside PostgreSQL. Pure.

use crate::catalog::model::{Function, QualifiedName};
use crate::kernel::sql::SqlBuf;
use crate::rest::core::plan::model::Handler;

/// The name of the rows that are shown.
pub(super) const ROWS: &str = "_postgrest_t";

/// An aggregate over [`ROWS`] that gives the whole body; CSV and NDJSON go row by row instead (see [`row`]).
pub(super) fn aggregate(sql: &mut SqlBuf, handler: &Handler, function: Option<&Function>) {
    match handler {
        Handler::None | Handler::Csv | Handler::NdJson => {
            sql.lit("''::text");
        }
        Handler::Json => json(sql, function, false),
        Handler::JsonStripped => json(sql, function, true),
        Handler::Single { stripped } => {
            let scalar = function.is_some_and(Function::returns_scalar);
            json_agg(sql, scalar, *stripped, "->0", ", 'null')");
        }
        Handler::GeoJson => {
            sql.lit("json_build_object('type', 'FeatureCollection', 'features', ");
            sql.lit("coalesce(json_agg(ST_AsGeoJSON(_postgrest_t)::json), '[]'))");
        }
        Handler::Custom { function: handler, target } => custom(sql, handler, target.as_ref(), function),
    }
}

fn json(sql: &mut SqlBuf, function: Option<&Function>, stripped: bool) {
    let is = |test: fn(&Function) -> bool| function.is_some_and(test);
    if is(Function::returns_single_composite) {
        json_agg(sql, false, stripped, "->0", ", 'null')");
    } else if is(Function::returns_scalar) {
        json_agg(sql, true, stripped, "->0", ", 'null')");
    } else {
        json_agg(sql, is(Function::returns_set_of_scalar), stripped, "", ", '[]')");
    }
}

fn json_agg(sql: &mut SqlBuf, scalar: bool, stripped: bool, element: &'static str, end: &'static str) {
    sql.lit("coalesce(").lit(if stripped { "json_strip_nulls(" } else { "" });
    sql.lit("json_agg(").lit(ROWS).lit(if scalar { ".pgrst_scalar" } else { "" }).lit(")").lit(element);
    sql.lit(if stripped { ")" } else { "" }).lit(end);
}

fn custom(
    sql: &mut SqlBuf,
    handler: &QualifiedName,
    target: Option<&QualifiedName>,
    function: Option<&Function>,
) {
    sql.name(&handler.schema, &handler.name).lit("(").lit(ROWS);
    if function.is_some_and(Function::returns_scalar) {
        sql.lit(".pgrst_scalar");
    } else if let Some(target) = target {
        sql.lit("::").name(&target.schema, &target.name);
    }
    sql.lit(")");
}

/// What stands before the first row of a body that goes row by row.
pub(super) fn row_header(sql: &mut SqlBuf, handler: &Handler, source: &'static str) {
    if *handler == Handler::Csv {
        sql.lit("(SELECT coalesce(string_agg(k, ','), '') FROM (SELECT json_object_keys(r) AS k FROM (SELECT row_to_json(s) AS r FROM ");
        sql.lit(source).lit(" s LIMIT 1) first) keys)");
    } else {
        sql.lit("''::text");
    }
}

/// One row of a body that goes row by row, without its line end.
pub(super) fn row(sql: &mut SqlBuf, handler: &Handler, function: Option<&Function>) {
    if *handler == Handler::Csv {
        // A row's text is its CSV line between parentheses.
        sql.lit("substring(_postgrest_t::text, 2, length(_postgrest_t::text) - 2)");
    } else if function.is_some_and(|function| function.returns_scalar() || function.returns_set_of_scalar()) {
        sql.lit("to_json(_postgrest_t.pgrst_scalar)::text");
    } else {
        sql.lit("row_to_json(_postgrest_t)::text");
    }
}
