//! What is known of captured tables and of what roles may see of them, for less than a second at a time, so that changes of
//! tables, grants and policies hold soon.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgPool;

use super::filter::{Filter, FilterError};
use super::predicate::{EqualityKey, Predicate};
use super::value::Column;
use crate::realtime::remembered::Remembered;
use crate::realtime::store::row_policies::Deed;
use crate::realtime::store::tables::{self, Table, TableForRole};

/// The most tables, and tables with roles, that are known at a time.
const MOST: usize = 10_000;

/// What a filter's text means.
type ParsedFilter = Result<Arc<Filter>, FilterError>;

/// A table with what was made of filters on it.
#[derive(Debug)]
pub(super) struct KnownTable {
    /// The table.
    pub(super) table: Table,
    columns: Vec<Column>,
    filters: Mutex<HashMap<Arc<str>, ParsedFilter>>,
}

/// A role's view of a table.
#[derive(Debug)]
pub(super) struct Sight {
    /// By PostgreSQL.
    pub(super) role: TableForRole,
    /// The policies about reading, where they are understood.
    pub(super) predicate: Option<Predicate>,
    /// The value by which the viewers of a row are found, where there is one.
    pub(super) key: Option<EqualityKey>,
}

impl KnownTable {
    /// The filter that a text means.
    pub(super) fn filter(&self, text: &Arc<str>) -> ParsedFilter {
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if filters.len() >= MOST {
            filters.clear();
        }
        let parsed = filters.entry(Arc::clone(text));
        parsed.or_insert_with(|| Filter::parse(text, &self.columns).map(Arc::new)).clone()
    }
}

/// Reads and remembers.
#[derive(Debug)]
pub(super) struct Known {
    pool: PgPool,
    tables: Remembered<u32, Option<Arc<KnownTable>>>,
    sights: Remembered<(u32, Arc<str>), Arc<Sight>>,
    helpers: Remembered<(), bool>,
}

impl Known {
    pub(super) fn new(pool: PgPool) -> Self {
        let (tables, sights) = (Remembered::new(MOST), Remembered::new(MOST));
        Self { pool, tables, sights, helpers: Remembered::new(1) }
    }

    /// The pool of the service.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A table by its oid; none if it is gone.
    pub(super) async fn table(&self, oid: u32) -> Result<Option<Arc<KnownTable>>, sqlx::Error> {
        let read = || async {
            let table = tables::table(&self.pool, oid).await?;
            Ok(table.map(|table| {
                let columns = table.columns.iter().map(|column| column.column.clone()).collect();
                Arc::new(KnownTable { table, columns, filters: Mutex::default() })
            }))
        };
        self.tables.get(&oid, read).await
    }

    /// What a role may see of a table.
    pub(super) async fn sight(
        &self,
        oid: u32,
        table: &KnownTable,
        role: &Arc<str>,
    ) -> Result<Arc<Sight>, sqlx::Error> {
        let read = || async {
            let role = tables::for_role(&self.pool, oid, role).await?;
            let predicate = self.predicate(&role, &table.columns).await?;
            let key = predicate.as_ref().and_then(Predicate::equality_key);
            Ok(Arc::new(Sight { role, predicate, key }))
        };
        self.sights.get(&(oid, Arc::clone(role)), read).await
    }

    /// The policies as a predicate, if all of them are understood.
    async fn predicate(
        &self,
        role: &TableForRole,
        columns: &[Column],
    ) -> Result<Option<Predicate>, sqlx::Error> {
        let expressions = match role.policies.expressions(Deed::Select) {
            Ok(expressions) => expressions,
            Err(is_allowed) => return Ok(Some(Predicate::constant(is_allowed))),
        };
        let [permissive, restrictive] = expressions.map(|texts| {
            let parsed = texts.into_iter().map(|text| Predicate::parse(text, columns));
            parsed.collect::<Option<Vec<Predicate>>>()
        });
        let (Some(permissive), Some(restrictive)) = (permissive, restrictive) else { return Ok(None) };
        let predicate = Predicate::all(permissive, restrictive);
        let is_sure = predicate.functions().is_empty() || self.helpers_are_ours().await?;
        Ok(Some(predicate).filter(|_| is_sure))
    }

    /// Whether the functions that tell who asks are still those that predicates stand for.
    async fn helpers_are_ours(&self) -> Result<bool, sqlx::Error> {
        self.helpers.get(&(), || tables::helpers_are_ours(&self.pool)).await
    }
}
