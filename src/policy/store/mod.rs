//! The rules of tables in the database, and the database brought to what they ask for.
//!
//! Start at [`RuleStore`]. A change of rules is one transaction of the database's owner: the row, its filters checked by
//! PostgreSQL, and the policies and grants that follow from it, or nothing. `rows` is the rows, `checks` and `filters`
//! what is refused, `facts` what a table has now, `policies` and `grants` what is to change (both pure), `apply` does it.
//! `mask` is what is shown instead of protected values. `lint` reads what is wrong with how the database is protected.

mod apply;
pub mod audit_triggers;
mod change;
mod checks;
mod error;
mod facts;
mod filters;
mod grants;
pub mod lint;
mod lint_rows;
pub mod mask;
mod node_tree;
mod policies;
mod rows;
mod session;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use tokio::sync::Semaphore;

use crate::catalog::model::{Catalog, QualifiedName};

use crate::kernel::db::login::Login;

use super::model::TableSecurity;

pub use apply::Applied;
pub use change::{Action, Change};
pub use error::StoreError;
pub use grants::Privilege;

/// The rules of one table as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRules {
    /// The table.
    pub name: QualifiedName,
    /// The rules; of a row that is not understood, what is wrong with it.
    pub rules: Result<TableSecurity, String>,
    /// Counts the changes, deleted and made again included.
    pub version: i64,
    /// When the row was made, as RFC 3339 in UTC.
    pub created_at: String,
    /// By whom.
    pub created_by: Option<String>,
    /// When it was last changed.
    pub updated_at: String,
    /// By whom.
    pub updated_by: Option<String>,
}

/// One entry of the history of a table's rules.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRules {
    /// The version that the change made.
    pub version: i64,
    /// `created`, `changed` or `deleted`.
    pub action: String,
    /// The rules from then on, as JSON; none once deleted.
    pub rules: Option<serde_json::Value>,
    /// When, as RFC 3339 in UTC.
    pub changed_at: String,
    /// By whom.
    pub changed_by: Option<String>,
}

/// What must be stored for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever.
    Any,
    /// Nothing (`If-None-Match: *`).
    Absent,
    /// Something (`If-Match: *`).
    Present,
    /// This version (`If-Match`).
    Version(i64),
}

/// The most entries of a history that are read at once.
pub const MOST_HISTORY: u32 = 1_000;

/// How long a change waits for its turn and for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a change is tried where others hold a lock on the table; each try waits for 300 ms.
const TRIES: u32 = 20;
/// The pause between tries, in which those that queued behind us get through.
const PAUSE: Duration = Duration::from_millis(150);

/// Reads and changes the rules of tables as the database's owner. Cheap to clone; all clones use one connection at a
/// time, which is open only while something is done.
#[derive(Clone)]
pub struct RuleStore {
    owner: Login,
    column_grants: bool,
    turn: Arc<Semaphore>,
}

impl std::fmt::Debug for RuleStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleStore").field("column_grants", &self.column_grants).finish_non_exhaustive()
    }
}

impl RuleStore {
    /// A store over the database that `owner` connects to. With `column_grants`, columns that a role may never read or
    /// write are taken from its grants.
    pub fn new(owner: Login, column_grants: bool) -> Self {
        Self { owner, column_grants, turn: Arc::new(Semaphore::new(1)) }
    }

    /// The rules of all tables, by name.
    pub async fn list(&self) -> Result<Vec<StoredRules>, StoreError> {
        let mut session = self.session().await?;
        let found = rows::list(&mut session.connection).await;
        session.close().await;
        found
    }

    /// The rules of one table.
    pub async fn get(&self, name: &QualifiedName) -> Result<StoredRules, StoreError> {
        let mut session = self.session().await?;
        let found = rows::find(&mut session.connection, name).await;
        session.close().await;
        found?.ok_or_else(|| StoreError::NotFound(name.clone()))
    }

    /// The newest entries of the history of a table's rules, newest first; [`MOST_HISTORY`] at most.
    pub async fn history(&self, name: &QualifiedName, limit: u32) -> Result<Vec<PastRules>, StoreError> {
        let mut session = self.session().await?;
        let found = rows::history(&mut session.connection, name, limit.clamp(1, MOST_HISTORY)).await;
        session.close().await;
        found
    }

    /// Stores the rules of a table and puts them in force, or changes nothing. `by` is the caller's name.
    ///
    /// `catalog` says which roles are bound and of which types columns are; it is to be the one that decisions are
    /// made by, so that they find in the database what they expect.
    pub async fn put(
        &self,
        catalog: &Catalog,
        name: &QualifiedName,
        rules: &TableSecurity,
        expected: Expected,
        by: &str,
    ) -> Result<StoredRules, StoreError> {
        let mut session = self.session().await?;
        let mut tries = Tries { table: name, left: TRIES };
        let stored = loop {
            let attempt = self.put_once(&mut session, catalog, name, rules, (expected, by)).await;
            if let Some(stored) = tries.outcome(attempt).await {
                break stored;
            }
        };
        session.close().await;
        stored
    }

    async fn put_once(
        &self,
        session: &mut session::Session<'_>,
        catalog: &Catalog,
        name: &QualifiedName,
        rules: &TableSecurity,
        (expected, by): (Expected, &str),
    ) -> Result<StoredRules, StoreError> {
        let mut transaction = session.connection.begin().await?;
        session::prepare_for_change(&mut transaction).await?;
        let replaced = rows::expect(&mut transaction, name, expected).await?;
        let facts = facts::one(&mut transaction, name).await?;
        let facts = facts.ok_or_else(|| StoreError::NoSuchTable(name.clone()))?;
        checks::names(&mut transaction, &facts, rules).await?;
        let before = rows::find(&mut transaction, name).await?.and_then(|stored| stored.rules.ok());
        let has_new_filters = before.is_none_or(|before| before.custom_filters != rules.custom_filters);
        let stored = rows::put(&mut transaction, name, rules, replaced, by).await?;
        if facts.has_row_policies() && !rules.custom_filters.is_empty() {
            facts.require_owner()?;
        }
        // Trying a filter takes a lock on the table, which whoever closes it in a hurry must not wait for.
        if has_new_filters {
            filters::validate(&mut transaction, &facts, rules).await?;
        }
        let changes = self.changes(&mut transaction, catalog, &facts, Some(rules)).await?;
        if !changes.is_empty() {
            facts.require_owner()?;
        }
        apply::carry_out(&mut transaction, &facts, &changes).await?;
        transaction.commit().await?;
        Ok(stored)
    }

    /// Removes the rules of a table, and the policies and grants that they brought. `by` is the caller's name.
    pub async fn delete(
        &self,
        catalog: &Catalog,
        name: &QualifiedName,
        expected: Expected,
        by: &str,
    ) -> Result<(), StoreError> {
        let mut session = self.session().await?;
        let mut tries = Tries { table: name, left: TRIES };
        let deleted = loop {
            let attempt = self.delete_once(&mut session, catalog, name, (expected, by)).await;
            if let Some(deleted) = tries.outcome(attempt).await {
                break deleted;
            }
        };
        session.close().await;
        deleted
    }

    async fn delete_once(
        &self,
        session: &mut session::Session<'_>,
        catalog: &Catalog,
        name: &QualifiedName,
        (expected, by): (Expected, &str),
    ) -> Result<(), StoreError> {
        let mut transaction = session.connection.begin().await?;
        session::prepare_for_change(&mut transaction).await?;
        if rows::expect(&mut transaction, name, expected).await?.is_none() {
            return Err(StoreError::NotFound(name.clone()));
        }
        rows::delete(&mut transaction, name, by).await?;
        // Rules of a table that is gone can be removed too.
        if let Some(facts) = facts::one(&mut transaction, name).await? {
            let changes = self.changes(&mut transaction, catalog, &facts, None).await?;
            if !changes.is_empty() {
                facts.require_owner()?;
            }
            apply::carry_out(&mut transaction, &facts, &changes).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Tries to change a table on which others may hold a lock.
struct Tries<'a> {
    table: &'a QualifiedName,
    /// How many are left, the one in progress included.
    left: u32,
}

impl Tries<'_> {
    /// What a try came to; `None`, after a pause, if another one is due.
    async fn outcome<T>(&mut self, attempt: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        match attempt {
            Err(error) if error.is_locked() && self.left > 1 => {
                self.left -= 1;
                tokio::time::sleep(PAUSE).await;
                None
            }
            Err(error) if error.is_locked() => Some(Err(StoreError::Busy(self.table.clone()))),
            done => Some(done),
        }
    }
}
