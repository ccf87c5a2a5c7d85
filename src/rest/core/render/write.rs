//! INSERT, UPDATE and DELETE with what they return. Pure.

use std::sync::Arc;

use crate::catalog::model::QualifiedName;
use crate::kernel::sql::SqlBuf;
use crate::rest::core::plan::model::{Logic, OnConflict, OwnerColumn, ResolvedField, Write};
use crate::rest::core::render::body::{BODY, BodyRows};
use crate::rest::core::render::field;

/// Counts inserted rows up, for the status of an upsert; always true.
const COUNT_INSERT: &str = "set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) + 1)::text, true) <> '0'";
/// Takes an insert back that turned out to be an update; always true.
const COUNT_UPDATE: &str = "set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) - 1)::text, true) <> '-1'";

/// The statement for `write`.
pub(super) fn query(sql: &mut SqlBuf, write: &Write) {
    match write {
        Write::Insert {
            into,
            columns,
            body,
            on_conflict,
            conditions,
            returning,
            apply_defaults,
            owner,
            ..
        } => {
            sql.lit("INSERT INTO ").name(&into.schema, &into.name);
            inserted_columns(sql, columns, owner.as_ref());
            let rows = BodyRows { body, columns, apply_defaults: *apply_defaults, first_only: false };
            rows.clause(sql);
            insert_conditions(sql, conditions, on_conflict.as_ref());
            if let Some(conflict) = on_conflict {
                conflict_clause(sql, conflict, columns);
            }
            returning_clause(sql, into, returning);
        }
        Write::Update { into, columns, returning, .. } if columns.is_empty() => {
            // Nothing to set: no row is touched, but the columns asked for must exist.
            sql.lit("SELECT ");
            returned_columns(sql, &QualifiedName::new("", into.name.clone()), returning, "NULL");
            sql.lit(" FROM ").name(&into.schema, &into.name).lit(" WHERE false");
        }
        Write::Update { into, columns, body, conditions, returning, apply_defaults } => {
            sql.lit("UPDATE ").name(&into.schema, &into.name).lit(" SET ");
            sql.join(", ", columns, |sql, column| {
                sql.ident(&column.name).lit(" = ");
                body_column(sql, &column.name);
            });
            sql.lit(" ");
            BodyRows { body, columns, apply_defaults: *apply_defaults, first_only: false }.clause(sql);
            where_clause(sql, into, conditions);
            returning_clause(sql, into, returning);
        }
        Write::Delete { from, conditions, returning } => {
            sql.lit("DELETE FROM ").name(&from.schema, &from.name);
            where_clause(sql, from, conditions);
            returning_clause(sql, from, returning);
        }
    }
}

/// `(a, b) SELECT body.a, body.b`, with the caller's id for the owner.
fn inserted_columns(sql: &mut SqlBuf, columns: &[ResolvedField], owner: Option<&OwnerColumn>) {
    if !columns.is_empty() || owner.is_some() {
        let names = columns.iter().map(|column| &column.name).chain(owner.map(|owner| &owner.name));
        sql.lit("(").join(", ", names, |sql, name| {
            sql.ident(name);
        });
        sql.lit(")");
    }
    sql.lit(" SELECT ").join(", ", columns, |sql, column| body_column(sql, &column.name));
    if let Some(owner) = owner {
        sql.lit(if columns.is_empty() { "" } else { ", " });
        sql.lit("CAST((SELECT auth.jwt() ->> 'sub') AS ").catalog_sql(&owner.data_type).lit(")");
    }
    sql.lit(" ");
}

fn body_column(sql: &mut SqlBuf, name: &Arc<str>) {
    sql.lit(BODY).lit(".").ident(name);
}

/// PUT's conditions on the new row, and the counter that tells inserts from updates.
fn insert_conditions(sql: &mut SqlBuf, conditions: &[Logic], on_conflict: Option<&OnConflict>) {
    let merges = on_conflict.is_some_and(|conflict| !conflict.ignore);
    if conditions.is_empty() && !merges {
        return;
    }
    sql.lit(" WHERE ").lit(COUNT_INSERT);
    let body = QualifiedName::new("", BODY);
    for logic in conditions {
        sql.lit(" AND ");
        field::plain_logic(sql, &body, logic);
    }
}

fn conflict_clause(sql: &mut SqlBuf, conflict: &OnConflict, columns: &[ResolvedField]) {
    if conflict.columns.is_empty() {
        return;
    }
    sql.lit(" ON CONFLICT(").join(", ", &conflict.columns, |sql, column| {
        sql.ident(column);
    });
    sql.lit(") ");
    if conflict.ignore || columns.is_empty() {
        sql.lit("DO NOTHING");
        return;
    }
    sql.lit("DO UPDATE SET ").join(", ", columns, |sql, column| {
        sql.ident(&column.name).lit(" = EXCLUDED.").ident(&column.name);
    });
    sql.lit(" WHERE ").lit(COUNT_UPDATE);
}

fn where_clause(sql: &mut SqlBuf, relation: &QualifiedName, conditions: &[Logic]) {
    if !conditions.is_empty() {
        sql.lit(" WHERE ").join(" AND ", conditions, |sql, logic| field::plain_logic(sql, relation, logic));
    }
}

fn returning_clause(sql: &mut SqlBuf, relation: &QualifiedName, returning: &[Arc<str>]) {
    sql.lit(" RETURNING ");
    returned_columns(sql, relation, returning, "1");
}

fn returned_columns(sql: &mut SqlBuf, owner: &QualifiedName, columns: &[Arc<str>], nothing: &'static str) {
    if columns.is_empty() {
        sql.lit(nothing);
    } else {
        sql.join(", ", columns, |sql, column| field::column(sql, owner, column));
    }
}
