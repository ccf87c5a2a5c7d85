//! Statements in a caller's name: under their role and claims, so that policies decide, in one round trip each.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::wire::{Access, DbError, Finish, Group, Query};
use crate::kernel::identity::Caller;
use crate::kernel::sql::SqlBuf;
use crate::storage::error::StorageError;
use crate::storage::model::begun_by::BegunBy;

/// Who does what, as policies are told.
#[derive(Clone)]
pub(in crate::storage) struct Acting {
    /// In whose name.
    pub(in crate::storage) caller: Arc<Caller>,
    /// `storage.operation()`.
    pub(in crate::storage) operation: &'static str,
    /// `request.method`.
    pub(in crate::storage) method: Bytes,
    /// `request.path`.
    pub(in crate::storage) path: Bytes,
    /// `request.headers`, as JSON.
    pub(in crate::storage) headers: Bytes,
}

impl Acting {
    /// Who goes on with what they have begun.
    pub(in crate::storage) fn begun_by(&self) -> BegunBy {
        BegunBy::caller(&self.caller)
    }
}

/// What becomes of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Kind {
    /// It only reads.
    Read,
    /// It writes.
    Write,
    /// It is tried and taken back: whether policies would allow it.
    Probe,
}

/// The way to the database for callers.
#[derive(Clone)]
pub(in crate::storage) struct CallerStore {
    lanes: Lanes,
    search_path: Bytes,
    /// None: what the role has.
    statement_timeout: Option<Bytes>,
}

impl CallerStore {
    /// In `lanes`, where expressions of policies see these schemas and statements may take so many milliseconds.
    pub(in crate::storage) fn new(lanes: Lanes, search_path: String, statement_timeout: u64) -> Self {
        Self {
            lanes,
            search_path: search_path.into(),
            statement_timeout: (statement_timeout > 0).then(|| statement_timeout.to_string().into()),
        }
    }

    /// Runs a statement whose first row has one column of JSON text. No row is none.
    pub(in crate::storage) async fn run<T: DeserializeOwned>(
        &self,
        acting: &Acting,
        sql: SqlBuf,
        kind: Kind,
    ) -> Result<Option<T>, StorageError> {
        let text = self.text(acting, sql, kind).await?;
        match text {
            None => Ok(None),
            Some(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                tracing::error!(operation = acting.operation, "a row of storage cannot be read: {error}");
                StorageError::Internal
            }),
        }
    }

    /// The same, where nothing of the answer matters but that it came.
    pub(in crate::storage) async fn execute(
        &self,
        acting: &Acting,
        sql: SqlBuf,
        kind: Kind,
    ) -> Result<bool, StorageError> {
        self.text(acting, sql, kind).await.map(|row| row.is_some())
    }

    async fn text(&self, acting: &Acting, sql: SqlBuf, kind: Kind) -> Result<Option<Vec<u8>>, StorageError> {
        let group = self.group(acting, sql, kind);
        let outcome: Result<_, DbError> = async {
            let mut reply = self.lanes.run(group).await?;
            let mut found = None;
            if reply.next_row().await?.is_some() {
                let row: &mut Vec<u8> = found.insert(Vec::new());
                while let Some(chunk) = reply.chunk().await? {
                    row.extend_from_slice(&chunk);
                }
            }
            reply.finish().await?;
            Ok(found)
        }
        .await;
        outcome.map_err(|error| StorageError::of_caller(&error))
    }

    fn group(&self, acting: &Acting, sql: SqlBuf, kind: Kind) -> Group {
        let caller = &acting.caller;
        let query = Query::new(sql, 1);
        let access = match kind {
            Kind::Read => {
                let mut hasher = DefaultHasher::new();
                (&query.sql, &caller.role).hash(&mut hasher);
                Access::Read { shape: hasher.finish() }
            }
            Kind::Write | Kind::Probe => Access::Write,
        };
        let mut group = Group::new(query, access);
        if kind == Kind::Probe {
            group.finish = Finish::Rollback;
        }
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        group.set("search_path", self.search_path.clone());
        if let Some(timeout) = &self.statement_timeout {
            group.set("statement_timeout", timeout.clone());
        }
        group.set("role", text(&caller.role));
        group.set("request.jwt.claims", caller.claims_json.clone());
        group.set("request.jwt", caller.claims_json.clone());
        group.set("request.jwt.claim.sub", text(caller.subject.as_deref().unwrap_or_default()));
        group.set("request.jwt.claim.role", text(&caller.role));
        group.set("request.headers", acting.headers.clone());
        group.set("request.method", acting.method.clone());
        group.set("request.path", acting.path.clone());
        group.set("storage.operation", acting.operation);
        group.set("storage.allow_delete_query", "true");
        group
    }
}
