//! Running a plan: the statement group, the checks on its outcome, and the answer.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::{HeaderValue, Response, header};
use tokio::sync::Notify;

use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::wire::{Finish, Group, Query};
use crate::kernel::identity::scope::Service;
use crate::kernel::sql::SqlBuf;
use crate::rest::core::media::MediaType;
use crate::rest::core::plan::model::{MutateAction, Output, Plan};
use crate::rest::core::preferences::{CountMode, TransactionEnd};
use crate::rest::core::render::{CountOptions, Rendered, Shape, render_call, render_mutate, render_read};
use crate::rest::core::request::Mutation;
use crate::rest::core::response::{BodyUse, ResponseHead, ResultHead, respond};
use crate::rest::error::RestError;
use crate::rest::file_urls::{FileUrls, MARK_SETTING, Splice};
use crate::rest::result::{ResultBody, Running, read_all};
use crate::rest::scope::{Effect, Scope};
use crate::rest::timing::ServerTiming;

/// A plan about to run.
pub(super) struct Run<'a> {
    /// Where statement groups run.
    pub lanes: &'a Lanes,
    /// As whom, and under which settings.
    pub scope: Scope<'a>,
    /// Is told of everything that was written.
    pub written: &'a Notify,
    /// Makes the URLs of stored objects.
    pub files: Option<&'a FileUrls>,
    /// Where the steps are timed.
    pub timing: &'a mut ServerTiming,
}

/// What is checked before a result counts.
#[derive(Clone, Copy, Debug, Default)]
struct Checks {
    singular: bool,
    exactly_one_for_put: bool,
    max_affected: Option<i64>,
}

impl Checks {
    fn any(self) -> bool {
        self.singular || self.exactly_one_for_put || self.max_affected.is_some()
    }

    fn verify(self, head: &ResultHead) -> Result<(), RestError> {
        if self.exactly_one_for_put && head.rows != 1 {
            return Err(RestError::PutMismatch);
        }
        if self.singular && head.rows != 1 {
            return Err(RestError::NotSingular(head.rows));
        }
        match self.max_affected {
            Some(most) if head.rows > most => Err(RestError::MaxAffected(head.rows)),
            _ => Ok(()),
        }
    }
}

impl Run<'_> {
    /// Runs a read, write or call.
    pub(super) async fn plan(self, plan: &Plan) -> Result<Response<Body>, RestError> {
        match plan {
            Plan::Read(action) => {
                let rendered = render_read(action, self.count_options(plan));
                let checks = Checks { singular: is_singular(&action.output), ..Checks::default() };
                self.read(plan, rendered, &action.output, checks).await
            }
            Plan::Call(action) => {
                let rendered = render_call(action, self.count_options(plan));
                let max_affected = self.scope.request.preferences.enforced_max_affected();
                let checks =
                    Checks { singular: is_singular(&action.output), max_affected, ..Checks::default() };
                if action.read_only {
                    self.read(plan, rendered, &action.output, checks).await
                } else {
                    self.write(plan, rendered, &action.output, checks).await
                }
            }
            Plan::Mutate(action) => {
                let rendered = render_mutate(action, &self.scope.request.preferences);
                let checks = self.write_checks(action);
                self.write(plan, rendered, &action.output, checks).await
            }
            Plan::Inspect { .. } | Plan::Info { .. } => Err(RestError::Unreadable("a plan without a query")),
        }
    }

    fn write_checks(&self, action: &MutateAction) -> Checks {
        let is_put = action.mutation == Mutation::SingleUpsert;
        let limits = matches!(action.mutation, Mutation::Update | Mutation::Delete);
        Checks {
            singular: !is_put && is_singular(&action.output),
            exactly_one_for_put: is_put,
            max_affected: self.scope.request.preferences.enforced_max_affected().filter(|_| limits),
        }
    }

    /// The planner's guess about rows that the anonymous role cannot see would tell of them.
    fn count_options(&self, plan: &Plan) -> CountOptions {
        let scope = &self.scope;
        let mut mode = scope.request.preferences.count;
        let guesses = mode.is_some_and(CountMode::guesses);
        let is_anonymous = scope.settings.access.anon_role.as_deref() == Some(&*scope.caller.role);
        if guesses && is_anonymous && !scope.settings.anon_count_estimates && matches!(plan, Plan::Read(_)) {
            mode = Some(CountMode::Exact);
        }
        CountOptions { mode, max_rows: scope.settings.plan.max_rows }
    }

    fn query(&self, sql: SqlBuf, columns: u16) -> Query {
        let mut query = Query::new(sql, columns);
        query.prepared = self.scope.settings.prepared;
        query
    }

    /// Has URLs of stored objects marked in the answer, if it shows any. An API key that is not for storage gets none.
    fn marked(&self, plan: &Plan, group: &mut Group) -> Option<Splice> {
        let scopes = self.scope.caller.scopes.as_ref();
        let may_fetch = scopes.is_none_or(|scopes| scopes.allow_all_of(Service::Storage));
        let splice = self.files.filter(|_| may_fetch && plan.shows_files())?.splice();
        group.set(MARK_SETTING, splice.mark());
        Some(splice)
    }

    async fn read(
        mut self,
        plan: &Plan,
        rendered: Rendered,
        output: &Output,
        checks: Checks,
    ) -> Result<Response<Body>, RestError> {
        let started = Instant::now();
        let estimate = match rendered.estimate {
            Some(sql) => Some(self.estimate(sql).await?),
            None => None,
        };
        let query = self.query(rendered.sql, rendered.columns);
        let text = Arc::clone(&query.sql);
        let mut group = self.scope.statement_group(query, Effect::Reads, Finish::Commit);
        let splice = self.marked(plan, &mut group);
        let running = Running::start(self.lanes, group, rendered.shape, splice).await;
        self.transaction_ended(&text, started);
        let running = running?;
        let responding = Instant::now();
        if rendered.shape == Shape::PlanText {
            self.scope.audit.record_read(None, &Ok(())).await?;
            return Ok(plan_answer(output, running.body().await?, &self.scope));
        }
        let mut head = running.head();
        if let Some(estimate) = estimate {
            head.total = self.estimated_total(head.total, estimate);
        }
        let response = self.checked(plan, &head, checks, &running);
        self.scope.audit.record_read(Some(head.rows), &response).await?;
        let response = response?;
        let body = match response.body {
            BodyUse::Send => Some(running.body().await?),
            BodyUse::Omit { .. } => {
                running.finish().await?;
                None
            }
        };
        self.timing.response = responding.elapsed();
        Ok(assemble(response, body))
    }

    async fn write(
        mut self,
        plan: &Plan,
        rendered: Rendered,
        output: &Output,
        checks: Checks,
    ) -> Result<Response<Body>, RestError> {
        let started = Instant::now();
        let rolls_back = self.rolls_back();
        // What the answer shows goes on record before the transaction ends, so that one without the other is undone.
        let decides = checks.any() || self.scope.audit.has_reads();
        let finish = match (decides, rolls_back) {
            (true, _) => Finish::Decide,
            (false, true) => Finish::Rollback,
            (false, false) => Finish::Commit,
        };
        let query = self.query(rendered.sql, rendered.columns);
        let text = Arc::clone(&query.sql);
        let mut group = self.scope.statement_group(query, Effect::Writes, finish);
        let splice = self.marked(plan, &mut group);
        let mut running = Running::start(self.lanes, group, rendered.shape, splice).await?;
        let head = running.head();
        // An error here drops the group undecided, which undoes it.
        let (rows, sound) = if rendered.shape == Shape::PlanText {
            (None, Ok(()))
        } else {
            (Some(head.rows), checks.verify(&head).and_then(|()| self.check_size(&running)))
        };
        self.scope.audit.record_read(rows, &sound).await?;
        sound?;
        if finish == Finish::Decide {
            if rolls_back {
                running.rollback_checked();
            } else {
                running.commit();
            }
        }
        let settled = running.settle().await;
        self.transaction_ended(&text, started);
        settled?;
        self.written.notify_one();
        let responding = Instant::now();
        if rendered.shape == Shape::PlanText {
            return Ok(plan_answer(output, running.body().await?, &self.scope));
        }
        let response = respond(plan, self.scope.request, &head)?;
        let body = match response.body {
            BodyUse::Send => Some(running.body().await?),
            BodyUse::Omit { .. } => None,
        };
        self.timing.response = responding.elapsed();
        Ok(assemble(response, body))
    }

    /// Status and headers of a read whose result may be shown.
    fn checked(
        &self,
        plan: &Plan,
        head: &ResultHead,
        checks: Checks,
        running: &Running,
    ) -> Result<ResponseHead, RestError> {
        checks.verify(head)?;
        let response = respond(plan, self.scope.request, head)?;
        self.check_size(running)?;
        Ok(response)
    }

    /// Times the transaction and logs it where that is asked for: the SQL without its values.
    fn transaction_ended(&mut self, sql: &str, started: Instant) {
        let took = started.elapsed();
        self.timing.transaction = Some(took);
        let Scope { settings, request_id, trace_id, .. } = self.scope;
        let millis = took.as_secs_f64() * 1000.0;
        if settings.slow_query.is_some_and(|limit| took > limit) {
            let role = &*self.scope.caller.role;
            tracing::warn!(duration_ms = millis, role, sql, request_id, trace_id, "slow query");
        } else if settings.log_queries {
            tracing::info!(duration_ms = millis, sql, request_id, trace_id, "query");
        }
    }

    fn rolls_back(&self) -> bool {
        match self.scope.request.preferences.transaction {
            Some(TransactionEnd::Rollback) => true,
            Some(TransactionEnd::Commit) => false,
            None => self.scope.settings.tx_end.rolls_back(),
        }
    }

    fn check_size(&self, running: &Running) -> Result<(), RestError> {
        let limit = self.scope.settings.max_result_bytes;
        match running.body_length() {
            Some(length) if length > limit => Err(RestError::ResultTooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// The planner's guess at the number of rows, in a group of its own.
    async fn estimate(&self, sql: SqlBuf) -> Result<i64, RestError> {
        let group = self.scope.statement_group(self.query(sql, 1), Effect::Reads, Finish::Commit);
        let text = read_all(self.lanes, group).await?;
        let plan: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        Ok(plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_i64).unwrap_or_default())
    }

    /// `planned` takes the guess; `estimated` counts up to `max_rows` and guesses beyond.
    fn estimated_total(&self, counted: Option<i64>, guess: i64) -> Option<i64> {
        let max_rows = self.scope.settings.plan.max_rows.and_then(|rows| i64::try_from(rows).ok());
        match (self.scope.request.preferences.count, counted, max_rows) {
            (Some(CountMode::Planned), _, _) => Some(guess),
            (Some(CountMode::Estimated), Some(counted), Some(most)) if counted > most => {
                Some(counted.max(guess))
            }
            _ => counted,
        }
    }
}

fn is_singular(output: &Output) -> bool {
    matches!(output.media, MediaType::Singular { .. })
}

/// The answer to a request for an execution plan.
fn plan_answer(output: &Output, body: ResultBody, scope: &Scope<'_>) -> Response<Body> {
    let mut head = ResponseHead::new(http::StatusCode::OK);
    head.push(header::CONTENT_TYPE, &output.media.to_content_type());
    head.profile(scope.request);
    assemble(head, Some(body))
}

/// The answer to `OPTIONS`.
pub(super) fn allow(methods: &str) -> Response<Body> {
    let mut head = ResponseHead::new(http::StatusCode::OK);
    head.push(header::ALLOW, methods);
    head.push(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    assemble(head, Some(ResultBody::whole(bytes::Bytes::new())))
}

/// Head and body as an HTTP answer.
pub(super) fn assemble(head: ResponseHead, body: Option<ResultBody>) -> Response<Body> {
    let (length, body) = match (body, head.body) {
        (Some(body), _) => (body.length, body.body),
        (None, BodyUse::Omit { length: true }) => (Some(0), Body::empty()),
        (None, _) => (None, Body::empty()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    let headers = response.headers_mut();
    for (name, value) in head.headers {
        headers.append(name, value);
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
