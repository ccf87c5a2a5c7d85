//! The audit log as services know it: who asked ([`AuditOrigin`]), what was done ([`AuditRecord`]), where it is kept
//! ([`AuditLog`]), and how a transaction proves to the triggers in the database who asked ([`AuditContexts`]).
//!
//! Writes to tables are recorded by the database itself; services record what no trigger sees: reads and refusals.

mod context;
mod contexts;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

pub(in crate::kernel) use context::storable;
pub use context::{CONTEXT_SETTING, ContextKey};
pub use contexts::AuditContexts;

use crate::kernel::http::RequestContext;
use crate::kernel::identity::Caller;

/// The longest part of a `User-Agent` that is kept, in characters.
const LONGEST_AGENT: usize = 256;

/// Who asked, in which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditOrigin {
    /// The user's id; none for keys and anonymous callers.
    pub actor: Option<Arc<str>>,
    /// The caller's role.
    pub role: Arc<str>,
    /// Where the request came from, trusted proxies seen through.
    pub ip: IpAddr,
    /// The client's program, as it calls itself.
    pub agent: Option<String>,
    /// The auth session.
    pub session: Option<Arc<str>>,
    /// The value of `X-Request-Id`.
    pub request_id: String,
}

impl AuditOrigin {
    /// Who sent a request that the gateway has identified.
    pub fn new(caller: &Caller, context: &RequestContext, headers: &http::HeaderMap) -> Self {
        let agent = headers.get(http::header::USER_AGENT);
        Self {
            actor: caller.subject.clone(),
            role: Arc::clone(&caller.role),
            ip: context.client_ip,
            agent: agent
                .map(|agent| String::from_utf8_lossy(agent.as_bytes()).chars().take(LONGEST_AGENT).collect()),
            session: caller.session.clone(),
            request_id: context.request_id.as_str().to_owned(),
        }
    }
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// The caller may not.
    Refused,
    /// It was allowed and did not work.
    Failed,
}

impl AuditOutcome {
    /// The word in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What a service puts on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Who asked.
    pub origin: Arc<AuditOrigin>,
    /// What for: `select`, `insert`, `update`, `delete`; other services have words of their own.
    pub verb: &'static str,
    /// The table's schema.
    pub schema: Arc<str>,
    /// The table.
    pub table: Arc<str>,
    /// What was acted on, by kind: an object of ids and names; none where `table` says it all.
    pub key: Option<serde_json::Value>,
    /// How many rows the answer holds, if it is about rows.
    pub rows: Option<i64>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// The code of the error, unless it was done.
    pub error_code: Option<String>,
}

/// Why something could not be put on record. The cause goes to the log of whoever keeps the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// More is waiting than can be kept.
    #[error("too many records wait to be written")]
    Busy,
    /// The store does not take it.
    #[error("the audit log cannot be written")]
    Unavailable,
}

/// The answer of [`AuditLog::record`].
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send + 'a>>;

/// Keeps nothing: for databases that have no log of ours. What must be recorded is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAuditLog;

impl AuditLog for NoAuditLog {
    fn record(&self, _: Vec<AuditRecord>) -> Recording<'_> {
        Box::pin(std::future::ready(Err(AuditError::Unavailable)))
    }

    fn note(&self, _: Vec<AuditRecord>) {}
}

/// Where records are kept.
pub trait AuditLog: Send + Sync {
    /// Puts all of these on record, or none, and waits until they would survive a crash. The wait is bounded.
    fn record(&self, records: Vec<AuditRecord>) -> Recording<'_>;

    /// Puts these on record when there is time, without a promise: what does not fit is dropped and counted.
    fn note(&self, records: Vec<AuditRecord>);
}
