//! What a request asks of the database: plain data, no I/O.
//!
//! Everything that differs between two callers is a bound value in here; no SQL text is built from it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::kernel::sql::{Param, SqlBuf};

/// An explicit isolation level; without one the group runs in the server's default, `READ COMMITTED` as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

/// Whether the group may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Runs in a read-only transaction and may be repeated when its connection is lost.
    Read {
        /// Names the shape of the query (the hash of its plan); one shape is expected to cost about the same each time.
        shape: u64,
    },
    /// Runs once, alone on its connection.
    Write,
}

/// How the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With the query, if nothing failed.
    Commit,
    /// Rolled back after deferred constraints were checked (a dry run).
    Rollback,
    /// As the caller says after seeing the rows: [`Reply::commit`](super::Reply::commit) or
    /// [`Reply::rollback_checked`](super::Reply::rollback_checked). Rolled back if the reply is finished or dropped first.
    Decide,
}

/// The one statement of a group that returns rows to the caller.
#[derive(Clone, Debug)]
pub struct Query {
    /// Its text: exactly one statement. Equal text in one `Arc` is found fastest.
    pub sql: Arc<str>,
    /// Its parameters, in placeholder order.
    pub params: Vec<Param>,
    /// How many columns it returns. The last is then sent in binary (raw bytes of text, json or bytea, not jsonb), the
    /// others as text. 0: all columns as text, however many. A wrong count is PostgreSQL's error 08P01.
    pub columns: u16,
    /// Whether the statement stays prepared on the connection. Off for text that will not come again.
    pub prepared: bool,
}

impl Query {
    /// A query of `columns` columns from finished SQL text.
    pub fn new(sql: SqlBuf, columns: u16) -> Self {
        let (text, params) = sql.into_parts();
        Self { sql: text.into(), params, columns, prepared: true }
    }
}

/// One indivisible set of statements under one Sync, run by PostgreSQL as one transaction.
#[derive(Clone, Debug)]
pub struct Group {
    /// An explicit isolation level.
    pub isolation: Option<Isolation>,
    /// Settings local to the transaction, in order, names and values bound to one `set_config` statement: `role`,
    /// `search_path`, `request.*`, `statement_timeout` and so on. The wire client adds `transaction_read_only` for reads.
    pub settings: Vec<(Cow<'static, str>, Bytes)>,
    /// A statement without parameters run after the settings (the pre-request call); its rows are ignored.
    pub before: Option<Arc<str>>,
    /// The query.
    pub query: Query,
    /// Whether it may write.
    pub access: Access,
    /// How the transaction ends.
    pub finish: Finish,
    /// Whether the connection is cleaned of session state after the group (settings that outlive the transaction,
    /// temporary tables, advisory locks, LISTEN). For calls of functions that may leave any; the caller does not wait
    /// for it. Exclusive lane only, so it has no effect on a proven read.
    pub resets_session: bool,
    /// The longest wait for a connection; `None`: the lanes' configuration.
    pub acquire_timeout: Option<Duration>,
    /// The longest wait for the first part of the answer, from the call on, queueing included. Guards against a server
    /// that hangs, so it should be longer than `statement_timeout`. `None`: the lanes' configuration.
    pub answer_timeout: Option<Duration>,
}

impl Group {
    /// A group with nothing but a query, committed at its end.
    pub fn new(query: Query, access: Access) -> Self {
        Self {
            isolation: None,
            settings: Vec::new(),
            before: None,
            query,
            access,
            finish: Finish::Commit,
            resets_session: false,
            acquire_timeout: None,
            answer_timeout: None,
        }
    }

    /// Adds a setting local to the transaction.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> &mut Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The value a setting has at the end of the settings.
    pub(super) fn setting(&self, name: &str) -> &[u8] {
        self.settings.iter().rev().find(|(known, _)| known == name).map_or(b"", |(_, value)| value)
    }

    /// Whether explicit BEGIN and COMMIT or ROLLBACK frames surround the statements.
    pub(in crate::kernel::db) fn is_explicit(&self) -> bool {
        self.isolation.is_some() || self.finish != Finish::Commit
    }

    /// About how many bytes the frames take.
    pub(in crate::kernel::db) fn size(&self) -> usize {
        let settings: usize = self.settings.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let params: usize =
            self.query.params.iter().map(|param| param.value.as_ref().map_or(0, Bytes::len) + 4).sum();
        self.query.sql.len() + settings + params + 128
    }
}
