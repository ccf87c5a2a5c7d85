//! The audit log in the database, as the login that owns it: reads the key that contexts are signed with, and writes the
//! records of services.
//!
//! One task on one connection writes everything that waits in one statement, so that the number of records per second
//! does not depend on how long a commit takes.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgExecutor};
use sqlx::types::Json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::kernel::audit::{AuditError, AuditLog, AuditRecord, ContextKey, Recording, storable};
use crate::kernel::clock::Clock;
use crate::kernel::db::login::Login;

/// Requests whose records may wait; more are refused at once.
const MOST_WAITING: usize = 1024;
/// Requests whose records are written by one statement.
const MOST_AT_ONCE: usize = 256;
/// The longest wait for a record, and for the database.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often contexts that cannot be shown again any more are forgotten.
const UPKEEP: Duration = Duration::from_mins(10);

const KEY: &str =
    "select secret, (extract(epoch from clock_timestamp()) * 1000)::bigint from goforward.audit_key";
/// A difference between the two clocks that is worth a warning, in milliseconds.
const SKEW: u64 = 60_000;

const INSERT: &str = "insert into goforward.audit_log (verb, schema_name, table_name, key, row_count, outcome, error_code,
    actor, role, ip, agent, session, request_id, database_role, proved)
select verb, schema, \"table\", key, rows, outcome, error_code, actor, role, ip, agent, session, request_id, role, true
from pg_catalog.jsonb_to_recordset(cast($1 as jsonb)) as record (verb text, schema text, \"table\" text, key jsonb, rows bigint,
    outcome text, error_code text, actor text, role text, ip inet, agent text, session text, request_id text)";

const COMMAND: &str = "
insert into goforward.audit_log (verb, schema_name, table_name, key, database_role, proved)
values ($1, $2, $3, $4, session_user, false)";

/// A context is accepted for a quarter of an hour, by either clock.
const FORGET_NONCES: &str = "delete from goforward.audit_nonces where seen_at < now() - interval '1 hour'";

/// The first of these logins that can read the key, and the key. Fails with what the last one was told.
///
/// Contexts carry the time of `clock`; where the database's differs much, none is believed.
pub async fn open(logins: &[Login], clock: &Clock) -> Result<Option<(Login, ContextKey)>, sqlx::Error> {
    let mut refused = None;
    for login in logins {
        match read_key(login, clock).await {
            Ok(key) => return Ok(Some((login.clone(), key))),
            Err(error) => {
                tracing::debug!(%error, "a login cannot read the audit key");
                refused = Some(error);
            }
        }
    }
    refused.map_or(Ok(None), Err)
}

async fn read_key(login: &Login, clock: &Clock) -> Result<ContextKey, sqlx::Error> {
    let mut connection = login.connect().await?;
    let row: Result<(Vec<u8>, i64), _> =
        sqlx::query_as(KEY).persistent(false).fetch_one(&mut connection).await;
    let _ = connection.close().await;
    let (secret, now) = row?;
    let skew = now.abs_diff(clock.unix_millis());
    if skew > SKEW {
        tracing::warn!(
            skew_ms = skew,
            "the clocks of this server and of the database differ; from 15 minutes on audit records have no actor"
        );
    }
    Ok(ContextKey::new(&secret))
}

/// Puts records on record in the transaction of what they tell of, so that there is neither without the other.
pub async fn write(connection: impl PgExecutor<'_>, records: &[AuditRecord]) -> Result<(), sqlx::Error> {
    let lines: Vec<Line<'_>> = records.iter().map(Line::of).collect();
    sqlx::query(INSERT).bind(Json(lines)).execute(connection).await?;
    metrics::counter!("goforward_audit_records_total", "result" => "written").increment(records.len() as u64);
    Ok(())
}

/// Puts on record what a command does to a table, in its transaction. Nobody vouches for who gave it beyond the login.
pub async fn write_command(
    connection: impl PgExecutor<'_>,
    verb: &str,
    (schema, table): (&str, &str),
    key: Option<Value>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(COMMAND).bind(verb).bind(schema).bind(table).bind(key.map(Json));
    query.execute(connection).await.map(drop)
}

/// The log; hands records to the task that writes them.
#[derive(Debug)]
pub struct StoredAuditLog {
    queue: mpsc::Sender<Job>,
}

/// The records of one request.
#[derive(Debug)]
struct Job {
    records: Vec<AuditRecord>,
    /// Whoever waits for them to be durable.
    written: Option<oneshot::Sender<Result<(), AuditError>>>,
}

impl Job {
    /// Whether somebody waited for this and does no more: what was asked for was refused then.
    fn is_orphan(&self) -> bool {
        self.written.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

impl StoredAuditLog {
    /// Starts the task that writes, with a connection when there is something to write. When `stop` fires, what waits is
    /// written and no more taken.
    pub fn start(login: Login, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        tracker.spawn(Writer { login, connection: None }.run(waiting, stop));
        Self { queue }
    }

    fn submit(&self, job: Job) -> Result<(), AuditError> {
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AuditError::Busy,
            mpsc::error::TrySendError::Closed(_) => AuditError::Unavailable,
        })
    }
}

impl AuditLog for StoredAuditLog {
    fn record(&self, records: Vec<AuditRecord>) -> Recording<'_> {
        Box::pin(async move {
            let (written, answer) = oneshot::channel();
            self.submit(Job { records, written: Some(written) })?;
            match timeout(PATIENCE, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) | Err(_) => Err(AuditError::Unavailable),
            }
        })
    }

    fn note(&self, records: Vec<AuditRecord>) {
        let count = records.len() as u64;
        if self.submit(Job { records, written: None }).is_err() {
            metrics::counter!("goforward_audit_records_total", "result" => "dropped").increment(count);
        }
    }
}

/// The task's side.
struct Writer {
    login: Login,
    connection: Option<PgConnection>,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>, stop: CancellationToken) {
        let mut upkeep = interval_at(Instant::now() + UPKEEP, UPKEEP);
        let mut jobs = Vec::with_capacity(MOST_AT_ONCE);
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut jobs, MOST_AT_ONCE) => {
                    if count == 0 {
                        break;
                    }
                    self.write(&mut jobs).await;
                }
                _ = upkeep.tick() => self.forget_nonces().await,
                () = stop.cancelled(), if !waiting.is_closed() => waiting.close(),
            }
        }
        self.close().await;
    }

    /// Writes what waits and tells those who wait for it.
    async fn write(&mut self, jobs: &mut Vec<Job>) {
        jobs.retain(|job| !job.is_orphan());
        let lines: Vec<Line<'_>> = jobs.iter().flat_map(|job| &job.records).map(Line::of).collect();
        let count = lines.len() as u64;
        let result = match serde_json::to_string(&lines) {
            Ok(_) if lines.is_empty() => Ok(()),
            Ok(json) => self.bounded(INSERT, Some(&json)).await,
            Err(error) => Err(error.to_string()),
        };
        let answer = match result {
            Ok(()) => {
                metrics::counter!("goforward_audit_records_total", "result" => "written").increment(count);
                Ok(())
            }
            Err(cause) => {
                tracing::error!(count, "cannot write the audit log: {cause}");
                metrics::counter!("goforward_audit_records_total", "result" => "lost").increment(count);
                Err(AuditError::Unavailable)
            }
        };
        for written in jobs.drain(..).filter_map(|job| job.written) {
            // Who waited may have left meanwhile.
            let _ = written.send(answer);
        }
    }

    /// Forgets contexts that were used too long ago to be accepted again. The connection is closed too: it comes back with
    /// the next record, and where nothing is recorded it is not needed.
    async fn forget_nonces(&mut self) {
        if let Err(cause) = self.bounded(FORGET_NONCES, None).await {
            tracing::warn!("cannot forget old contexts of the audit log: {cause}");
        }
        self.close().await;
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    /// Runs a statement on a connection that works; one that may have an open end is given up.
    async fn bounded(&mut self, sql: &'static str, json: Option<&str>) -> Result<(), String> {
        let Ok(result) = timeout(PATIENCE, self.execute(sql, json)).await else {
            self.connection = None;
            return Err("the database did not answer in time".to_owned());
        };
        result.map_err(|error| {
            self.connection = None;
            error.to_string()
        })
    }

    async fn execute(&mut self, sql: &'static str, json: Option<&str>) -> Result<(), sqlx::Error> {
        let mut connection = match self.working().await {
            Some(connection) => connection,
            None => self.login.connect().await?,
        };
        let mut query = sqlx::query(sql);
        if let Some(json) = json {
            query = query.bind(json);
        }
        query.execute(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// The connection, if it still works. Records are never sent twice, so one that was lost is found out about first.
    async fn working(&mut self) -> Option<PgConnection> {
        let mut connection = self.connection.take()?;
        connection.ping().await.is_ok().then_some(connection)
    }
}

/// A record as the statement takes it.
#[derive(Serialize)]
struct Line<'a> {
    verb: &'a str,
    schema: &'a str,
    table: &'a str,
    key: Option<&'a serde_json::Value>,
    rows: Option<i64>,
    outcome: &'a str,
    error_code: Option<String>,
    actor: Option<String>,
    role: &'a str,
    ip: String,
    agent: Option<String>,
    session: Option<String>,
    request_id: &'a str,
}

impl<'a> Line<'a> {
    fn of(record: &'a AuditRecord) -> Self {
        let origin = &record.origin;
        Self {
            verb: record.verb,
            schema: &record.schema,
            table: &record.table,
            key: record.key.as_ref(),
            rows: record.rows,
            outcome: record.outcome.word(),
            error_code: record.error_code.as_deref().map(storable),
            actor: origin.actor.as_deref().map(storable),
            role: &origin.role,
            ip: origin.ip.to_string(),
            agent: origin.agent.as_deref().map(storable),
            session: origin.session.as_deref().map(storable),
            request_id: &origin.request_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kernel::audit::{AuditOrigin, AuditOutcome};

    fn records(count: usize) -> Vec<AuditRecord> {
        let origin = AuditOrigin {
            actor: None,
            role: Arc::from("anon"),
            ip: "192.0.2.1".parse().unwrap(),
            agent: None,
            session: None,
            request_id: "r".to_owned(),
        };
        let record = AuditRecord {
            origin: Arc::new(origin),
            verb: "select",
            schema: Arc::from("public"),
            table: Arc::from("notes"),
            key: None,
            rows: None,
            outcome: AuditOutcome::Done,
            error_code: None,
        };
        vec![record; count]
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_at_once() {
        let (queue, mut waiting) = mpsc::channel(1);
        let log = StoredAuditLog { queue };
        log.note(records(1));

        assert_eq!(log.record(records(1)).await, Err(AuditError::Busy));
        log.note(records(1));
        assert_eq!(waiting.recv().await.unwrap().records.len(), 1);
        assert!(waiting.try_recv().is_err(), "a note that does not fit is dropped");
        drop(waiting);
        assert_eq!(log.record(records(1)).await, Err(AuditError::Unavailable));
    }

    #[tokio::test]
    async fn a_record_that_nobody_waits_for_any_more_is_an_orphan_and_a_note_never_is() {
        let (queue, mut waiting) = mpsc::channel(2);
        let log = StoredAuditLog { queue };

        assert!(timeout(Duration::ZERO, log.record(records(1))).await.is_err(), "nobody answers");
        log.note(records(1));

        assert!(waiting.recv().await.unwrap().is_orphan());
        assert!(!waiting.recv().await.unwrap().is_orphan());
    }
}
