//! What a request leaves in the audit log: the signed context of its writes, which the triggers in the database read, and
//! records of what it reads or is refused, which no trigger sees.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::catalog::model::QualifiedName;
use crate::kernel::audit::{AuditContexts, AuditLog, AuditOrigin, AuditOutcome, AuditRecord};
use crate::kernel::http::RequestContext;
use crate::kernel::identity::Caller;
use crate::policy::decide;
use crate::policy::model::Verb;
use crate::policy::rules::Rules;
use crate::rest::core::plan::model::Plan;
use crate::rest::core::plan::touched::touched;
use crate::rest::error::{Disclosure, RestError};

/// The audit log as the service uses it. The default has none: writes are then recorded without a proved actor, and
/// reads that ask for a record are refused.
#[derive(Clone, Default)]
pub struct RestAudit {
    parts: Option<(Arc<dyn AuditLog>, Arc<AuditContexts>)>,
}

impl RestAudit {
    /// Records in this log, with contexts by this signer.
    pub fn new(log: Arc<dyn AuditLog>, contexts: Arc<AuditContexts>) -> Self {
        Self { parts: Some((log, contexts)) }
    }
}

/// What one request puts on record.
pub(super) struct RequestAudit<'a> {
    audit: &'a RestAudit,
    /// Who asks; nobody where no table of the catalog asks for records.
    origin: Option<Arc<AuditOrigin>>,
    /// Whether the request may write.
    writes: bool,
    /// What it does to which table, as far as that table's rules ask for a record.
    audited: Vec<(Verb, QualifiedName)>,
    /// Whether its reads are on record already.
    is_recorded: AtomicBool,
}

impl<'a> RequestAudit<'a> {
    /// What the rules ask of a plan; costs nothing where they ask for no records at all.
    pub(super) fn new(
        audit: &'a RestAudit,
        plan: &Plan,
        rules: &Rules,
        caller: &Caller,
        request: (&RequestContext, &HeaderMap),
    ) -> Self {
        let is_recorded = AtomicBool::new(false);
        if !rules.has_audit() {
            return Self { audit, origin: None, writes: false, audited: Vec::new(), is_recorded };
        }
        let (context, headers) = request;
        Self {
            audit,
            origin: Some(Arc::new(AuditOrigin::new(caller, context, headers))),
            writes: match plan {
                Plan::Mutate(_) => true,
                Plan::Call(action) => !action.read_only,
                Plan::Read(_) | Plan::Inspect { .. } | Plan::Info { .. } => false,
            },
            audited: audited(plan, rules),
            is_recorded,
        }
    }

    /// The context of one transaction that may write.
    pub(super) fn context(&self) -> Option<Bytes> {
        let (origin, (_, contexts)) = (self.origin.as_ref()?, self.audit.parts.as_ref()?);
        self.writes.then(|| contexts.next(origin))
    }

    /// Whether the answer shows rows of which somebody wants to know who saw them.
    pub(super) fn has_reads(&self) -> bool {
        self.audited.iter().any(|(verb, _)| verb.is_read())
    }

    /// Puts what was read on record before any of it leaves: how many rows, and whether they will be shown. Fails where
    /// that cannot be done, and then nothing may be shown.
    pub(super) async fn record_read<T>(
        &self,
        rows: Option<i64>,
        shown: &Result<T, RestError>,
    ) -> Result<(), RestError> {
        if !self.has_reads() {
            return Ok(());
        }
        let (Some(origin), Some((log, _))) = (&self.origin, &self.audit.parts) else {
            return Err(RestError::AuditUnavailable);
        };
        let failure = shown.as_ref().err().map(Failure::of);
        let reads = self.audited.iter().filter(|(verb, _)| verb.is_read());
        let records = reads.map(|item| record(origin, item, rows, failure.as_ref())).collect();
        log.record(records).await.map_err(|_| RestError::AuditUnavailable)?;
        self.is_recorded.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that something audited was refused or failed, as far as there is time for it.
    pub(super) fn note(&self, error: &RestError) {
        let (Some(origin), Some((log, _))) = (&self.origin, &self.audit.parts) else { return };
        let (failure, is_recorded) = (Failure::of(error), self.is_recorded.load(Ordering::Relaxed));
        let open = self.audited.iter().filter(|(verb, _)| !(verb.is_read() && is_recorded));
        let records: Vec<_> = open.map(|item| record(origin, item, None, Some(&failure))).collect();
        if !records.is_empty() && !matches!(error, RestError::AuditUnavailable) {
            log.note(records);
        }
    }
}

/// An error as the log has it.
struct Failure {
    outcome: AuditOutcome,
    code: String,
}

impl Failure {
    fn of(error: &RestError) -> Self {
        let parts = error.parts(Disclosure::NOTHING);
        let is_refusal = matches!(parts.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let outcome = if is_refusal { AuditOutcome::Refused } else { AuditOutcome::Failed };
        Self { outcome, code: parts.code }
    }
}

fn record(
    origin: &Arc<AuditOrigin>,
    (verb, table): &(Verb, QualifiedName),
    rows: Option<i64>,
    failure: Option<&Failure>,
) -> AuditRecord {
    AuditRecord {
        origin: Arc::clone(origin),
        verb: verb.word(),
        schema: Arc::clone(&table.schema),
        table: Arc::clone(&table.name),
        key: None,
        rows,
        outcome: failure.map_or(AuditOutcome::Done, |failure| failure.outcome),
        error_code: failure.map(|failure| failure.code.clone()),
    }
}

/// The verbs and tables of a plan that leave a record, each once.
fn audited(plan: &Plan, rules: &Rules) -> Vec<(Verb, QualifiedName)> {
    let mut found = BTreeSet::new();
    for touch in touched(plan) {
        let tables = decide::audited(rules, touch.relation, touch.verb);
        found.extend(tables.map(|table| (touch.verb, table.clone())));
    }
    found.into_iter().collect()
}
