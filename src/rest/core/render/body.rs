//! A JSON body as rows: `json_to_recordset` with the columns' types, and defaults for missing keys. Pure.

use bytes::Bytes;

use crate::kernel::sql::{Param, SqlBuf};
use crate::rest::core::plan::model::ResolvedField;
use crate::rest::core::render::field;

/// The name under which the rows of the body are in scope.
pub(super) const BODY: &str = "pgrst_body";

const JSON_OID: u32 = 114;
const JSONB_OID: u32 = 3802;

/// How the rows of a body are taken.
pub(super) struct BodyRows<'a> {
    pub body: &'a Bytes,
    pub columns: &'a [ResolvedField],
    /// `missing=default`: keys that are not there get the column's default.
    pub apply_defaults: bool,
    /// Only the first row.
    pub first_only: bool,
}

impl BodyRows<'_> {
    /// `FROM …, LATERAL (…) pgrst_body`.
    pub(super) fn clause(&self, sql: &mut SqlBuf) {
        let (oid, source) = if self.apply_defaults {
            (JSONB_OID, "pgrst_json_defs.val")
        } else {
            (JSON_OID, "pgrst_payload.json_data")
        };
        let param = Param { value: Some(self.body.clone()), oid, binary: false };
        sql.lit("FROM (SELECT ").bind(param).lit(if self.apply_defaults { "::jsonb" } else { "::json" });
        sql.lit(" AS json_data) pgrst_payload, ");
        if self.apply_defaults {
            self.defaults(sql);
        }
        sql.lit("LATERAL (SELECT ").join(", ", self.columns, |sql, column| {
            field::transformed(sql, column.transform.as_ref(), |sql| {
                sql.ident(&column.name);
            });
            if column.transform.is_some() {
                sql.lit(" AS ").ident(&column.name);
            }
        });
        sql.lit(" FROM ");
        self.rows(sql, source);
        sql.lit(") ").lit(BODY);
    }

    fn rows(&self, sql: &mut SqlBuf, source: &'static str) {
        let is_object = is_object(self.body);
        if self.columns.is_empty() {
            // Rows without columns: one for `{}`, as many as there are elements for `[{}, {}]`.
            if is_object {
                sql.lit("(values(1)) _");
            } else {
                sql.lit(if self.apply_defaults { "jsonb_array_elements(" } else { "json_array_elements(" });
                sql.lit(source).lit(") _");
            }
            return;
        }
        sql.lit(match (self.apply_defaults, is_object) {
            (true, true) => "jsonb_to_record(",
            (true, false) => "jsonb_to_recordset(",
            (false, true) => "json_to_record(",
            (false, false) => "json_to_recordset(",
        });
        sql.lit(source).lit(") AS _(");
        sql.join(", ", self.columns, |sql, column| {
            sql.ident(&column.name).lit(" ").catalog_sql(&column.declared_type);
        });
        sql.lit(")");
        if self.first_only {
            sql.lit(" LIMIT 1");
        }
    }

    /// Each object of the body laid over an object of defaults.
    fn defaults(&self, sql: &mut SqlBuf) {
        let with_default =
            self.columns.iter().filter_map(|column| Some((&column.name, column.default.as_ref()?)));
        if is_object(self.body) {
            sql.lit("LATERAL (SELECT jsonb_build_object(");
            sql.join(", ", with_default, |sql, (name, default)| {
                sql.quoted(name).lit(", ").catalog_sql(default);
            });
            sql.lit(") || pgrst_payload.json_data AS val) pgrst_json_defs, ");
        } else {
            sql.lit("LATERAL (SELECT jsonb_agg(jsonb_build_object(");
            sql.join(", ", with_default, |sql, (name, default)| {
                sql.quoted(name).lit(", ").catalog_sql(default);
            });
            sql.lit(") || elem) AS val FROM jsonb_array_elements(pgrst_payload.json_data) elem) pgrst_json_defs, ");
        }
    }
}

/// Whether the text is an object rather than an array; PostgreSQL checks the rest.
fn is_object(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}
