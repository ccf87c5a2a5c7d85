//! The service: one request from its HTTP form to its answer, in five visible steps.
//!
//! parse, plan, check and render are pure; only the run of the statement group waits. Errors become answers in one
//! place ([`RestService::answer`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tokio::sync::Notify;

use crate::catalog::Catalog;
use crate::catalog::model::{QualifiedName, ReadAccess};
use crate::catalog::reload::CatalogHandle;
use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::wire::DbError;
use crate::kernel::http::{RequestContext, RouteTemplate, TraceContext, read_body};
use crate::kernel::identity::Caller;
use crate::kernel::limits::{LimitKey, LimitSubject, Limiter, Quota};
use crate::policy::book::PolicyBook;
use crate::policy::caller::PolicyCaller;
use crate::policy::restrict::PolicyView;
use crate::policy::rules::TableRules;
use crate::rest::audit::{RequestAudit, RestAudit};
use crate::rest::core::input::{self, InputFinding, Inspection};
use crate::rest::core::parse::{RequestParts, parse};
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::{MutateAction, Plan};
use crate::rest::core::plan::plan;
use crate::rest::core::protect::{self, Permit, Refusal};
use crate::rest::core::request::{Action, ApiRequest};
use crate::rest::core::response::target_name_warning;
use crate::rest::error::{Disclosure, RestError};
use crate::rest::file_urls::FileUrls;
use crate::rest::graphql;
use crate::rest::root;
use crate::rest::run::{self, Run};
use crate::rest::scope::Scope;
use crate::rest::settings::RestSettings;
use crate::rest::timing::ServerTiming;

/// The REST service, cheap to clone.
#[derive(Clone)]
pub struct RestService {
    catalog: CatalogHandle,
    lanes: Lanes,
    settings: Arc<ArcSwap<RestSettings>>,
    policies: Arc<PolicyBook>,
    audit: RestAudit,
    limiter: Arc<dyn Limiter>,
    written: Arc<Notify>,
    files: Option<FileUrls>,
}

/// One request on its way.
struct Exchange<'a> {
    settings: &'a RestSettings,
    context: &'a RequestContext,
    caller: &'a Caller,
    /// Set when it turns out that errors must not name columns.
    conceals: bool,
    trace_id: Option<String>,
    timing: ServerTiming,
}

impl RestService {
    /// A service on these lanes, whose settings can be swapped by the caller.
    /// Rules of tables come from the book, what they record goes to the log, what they count is counted by the limiter.
    /// `written` is notified of everything that was written. With `files`, references to stored objects have URLs.
    pub fn new(
        catalog: CatalogHandle,
        lanes: Lanes,
        settings: Arc<ArcSwap<RestSettings>>,
        (policies, audit, limiter, written): (Arc<PolicyBook>, RestAudit, Arc<dyn Limiter>, Arc<Notify>),
        files: Option<FileUrls>,
    ) -> Self {
        Self { catalog, lanes, settings, policies, audit, limiter, written, files }
    }

    /// Answers a request that the gateway has identified.
    pub async fn handle(self, request: Request<Body>) -> Response<Body> {
        let settings = self.settings.load_full();
        let (head, body) = request.into_parts();
        let Some(context) = head.extensions.get::<Arc<RequestContext>>().cloned() else {
            return RestError::NotIdentified.into_response(Disclosure::NOTHING);
        };
        let Some(caller) = context.caller.clone() else {
            return RestError::NotIdentified.into_response(Disclosure::NOTHING);
        };
        let mut exchange = Exchange {
            settings: &settings,
            context: &context,
            caller: &caller,
            conceals: false,
            trace_id: context.trace.as_ref().map(TraceContext::trace_id_text),
            timing: ServerTiming::new(context.identity_took),
        };
        let answer = self.answer(&mut exchange, &head, body).await;
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => {
                exchange.conceals |= self.is_about_protected(&error, &exchange);
                if let Some(cause) = error.fault() {
                    let request_id = context.request_id.as_str();
                    tracing::error!(
                        kind = "error",
                        request_id,
                        "a request failed inside the server: {cause}"
                    );
                }
                error.into_response(self.disclosure(&exchange))
            }
        };
        if settings.server_timing && response.status() != StatusCode::UNAUTHORIZED {
            exchange.timing.write(response.headers_mut());
        }
        response
            .headers_mut()
            .entry(header::VARY)
            .or_insert(HeaderValue::from_static("Accept, Prefer, Range"));
        response
    }

    /// Answers a GraphQL request by the database's own function, where it has one.
    pub async fn handle_graphql(self, request: Request<Body>) -> Response<Body> {
        graphql::handle(self, request).await
    }

    /// The catalog.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.current()
    }

    fn disclosure(&self, exchange: &Exchange<'_>) -> Disclosure {
        let role = &exchange.caller.role;
        let catalog = self.catalog.current();
        let bypasses = exchange.settings.access.bypasses(&catalog, role);
        // The detail of an error can quote a row of any table that a trigger, a function or a foreign key leads to.
        let quotes_rows =
            exchange.settings.verbose_errors && !self.policies.rules(&catalog).has_column_rules();
        Disclosure {
            authenticated: exchange.settings.access.anon_role.as_deref() != Some(&**role),
            verbose: quotes_rows || bypasses,
            minimal: exchange.settings.minimal_errors,
            conceals: exchange.conceals,
        }
    }

    /// Whether an error is about a table with columns that are protected from the caller, which the plan need not name: a
    /// function or a trigger may have written it.
    fn is_about_protected(&self, error: &RestError, exchange: &Exchange<'_>) -> bool {
        let RestError::Database(DbError::Sql(error)) = error else { return false };
        let (Some(schema), Some(table)) = (&error.schema, &error.table) else { return false };
        let name = QualifiedName::new(schema.as_str(), table.as_str());
        let caller = self.policy_caller(exchange);
        let view =
            self.policies.view(&self.catalog.current(), &caller, exchange.settings.access.star_by_grants);
        if let Some(relation) = view.catalog.relations.get(&name) {
            return relation.restriction.closed.is_some();
        }
        let mut rules = view.rules.governing(&name).map(|(_, rules)| rules);
        let has_column_rules = |rules: &TableRules| match rules {
            TableRules::InForce(rules) => rules.has_column_rules(),
            TableRules::Closed(_) => true,
        };
        !caller.bypasses && rules.any(has_column_rules)
    }

    async fn answer(
        &self,
        exchange: &mut Exchange<'_>,
        head: &http::request::Parts,
        body: Body,
    ) -> Result<Response<Body>, RestError> {
        let context = exchange.context;
        if !self.catalog.is_ready() {
            return Err(RestError::NoCatalog);
        }
        if is_encoded(&head.headers) {
            return Err(RestError::EncodedBody);
        }
        let deadline = context.body_deadline.min(context.deadline);
        let body = read_body(body, context.body_limit, deadline, &context.body_budget).await?;
        let started = Instant::now();
        let request = Self::parse(exchange.settings, head, body, context.prefix_length)?;
        exchange.timing.parse = Some(started.elapsed());

        let started = Instant::now();
        let policy_caller = self.policy_caller(exchange);
        let (plan, view) = self.plan(exchange.settings, &request, &policy_caller).await?;
        exchange.timing.plan = Some(started.elapsed());
        let origin = (context, &head.headers);
        let audit = RequestAudit::new(&self.audit, &plan, &view.rules, exchange.caller, origin);
        let run = self.run(exchange, &request, &plan, (&view, &policy_caller), &audit);
        let mut response = match run.await {
            Ok(response) => response,
            Err(error) => {
                audit.note(&error);
                return Err(error);
            }
        };
        response.extensions_mut().insert(route(&request.action));
        if let Some(warning) = warning(exchange.settings, &plan)
            && let Ok(value) = HeaderValue::try_from(warning)
        {
            response.headers_mut().insert(header::WARNING, value);
        }
        Ok(response)
    }

    /// Checks and runs a plan.
    async fn run(
        &self,
        exchange: &mut Exchange<'_>,
        request: &ApiRequest,
        plan: &Plan,
        (view, policy_caller): (&PolicyView, &PolicyCaller),
        audit: &RequestAudit<'_>,
    ) -> Result<Response<Body>, RestError> {
        let started = Instant::now();
        if let Some(scopes) = &exchange.caller.scopes {
            protect::in_scope(plan, scopes).map_err(refused)?;
        }
        let permit = protect::check(plan, view, policy_caller, exchange.settings.protect).map_err(refused)?;
        exchange.conceals = permit.conceals;
        if permit.ruled && !policy_caller.bypasses && self.catalog.is_stale() {
            // The rules may have become stricter since they were read.
            metrics::counter!("goforward_table_security_refusals_total", "rule" => "not_current")
                .increment(1);
            return Err(RestError::RulesMayBeOld);
        }
        self.count(&permit, exchange).await?;
        let inspection = input::inspect(plan)?;
        heed(&inspection, plan, view, exchange.context)?;
        let plan = inspection.cleaned.as_ref().unwrap_or(plan);
        exchange.timing.plan = exchange.timing.plan.map(|took| took + started.elapsed());

        let scope = Scope {
            caller: exchange.caller,
            request,
            catalog: &view.catalog,
            settings: exchange.settings,
            function: match plan {
                Plan::Call(action) => Some(&action.function),
                _ => None,
            },
            request_id: exchange.context.request_id.as_str(),
            trace_id: exchange.trace_id.as_deref(),
            audit,
        };
        let asked = Instant::now();
        let run = Run {
            lanes: &self.lanes,
            scope,
            written: &self.written,
            files: self.files.as_ref(),
            timing: &mut exchange.timing,
        };
        match plan {
            Plan::Inspect { schema, headers_only } => {
                let described = root::describe(run, schema, *headers_only, view, policy_caller).await?;
                exchange.timing.transaction = Some(asked.elapsed());
                Ok(described)
            }
            Plan::Info { allow } => {
                exchange.timing.transaction = Some(Duration::ZERO);
                Ok(run::allow(allow))
            }
            Plan::Read(_) | Plan::Mutate(_) | Plan::Call(_) => run.plan(plan).await,
        }
    }

    fn parse(
        settings: &RestSettings,
        head: &http::request::Parts,
        body: Bytes,
        prefix_length: usize,
    ) -> Result<ApiRequest, RestError> {
        let path = head.uri.path().get(prefix_length..).filter(|path| !path.is_empty()).unwrap_or("/");
        let parts = RequestParts {
            method: &head.method,
            resource_path: path,
            path,
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
        };
        Ok(parse(&parts, &settings.parse, body)?)
    }

    /// The plan and what the caller sees of the catalog it was made with. What the catalog does not know is looked for
    /// once more.
    async fn plan(
        &self,
        settings: &RestSettings,
        request: &ApiRequest,
        caller: &PolicyCaller,
    ) -> Result<(Plan, Arc<PolicyView>), RestError> {
        let catalog = self.catalog.current();
        let view = self.policies.view(&catalog, caller, settings.access.star_by_grants);
        let error = match plan(request, &view.catalog, &settings.plan) {
            Ok(plan) => return Ok((plan, view)),
            Err(error) => error,
        };
        if !is_unknown(&error) {
            return Err(error.into());
        }
        self.catalog.recheck().await;
        let newer = self.catalog.current();
        if newer.version == catalog.version {
            return Err(error.into());
        }
        let view = self.policies.view(&newer, caller, settings.access.star_by_grants);
        Ok((plan(request, &view.catalog, &settings.plan)?, view))
    }

    fn policy_caller(&self, exchange: &Exchange<'_>) -> PolicyCaller {
        let catalog = self.catalog.load();
        let access = &exchange.settings.access;
        let bypasses = access.bypasses(&catalog, &exchange.caller.role);
        let claim = access.verified_claim.as_ref();
        let address = Some(exchange.context.client_ip);
        let asks = (exchange.caller, exchange.context.account);
        PolicyCaller::new(asks, bypasses, claim, address, &catalog.roles)
    }

    /// Counts the request against the limits of the tables in it. A table's name is the catalog's, so there is one count
    /// however the request spells it.
    async fn count(&self, permit: &Permit, exchange: &Exchange<'_>) -> Result<(), RestError> {
        for (table, limit) in &permit.limits {
            let subject = LimitSubject::caller(exchange.caller.subject.as_ref(), exchange.context.client_ip);
            let key = LimitKey { rule: "table", object: Some(Arc::from(table.to_string())), subject };
            let per = Duration::from_secs(limit.window_seconds.into());
            let quota = Quota { requests: limit.requests, per, burst: limit.requests };
            if let Some(retry_after) = self.limiter.take(&key, quota).await.retry_after_seconds() {
                metrics::counter!("goforward_table_security_refusals_total", "rule" => "rate_limit")
                    .increment(1);
                return Err(RestError::OverTableLimit { limit: *limit, retry_after });
            }
        }
        Ok(())
    }
}

/// A refusal, counted by its rule.
fn refused(refusal: Refusal) -> RestError {
    let rule = match &refusal {
        Refusal::Rule(refusal) => Some(refusal.rule.name()),
        Refusal::Column { .. } | Refusal::MaskedColumn { .. } | Refusal::WholeRow(_) | Refusal::Explained => {
            Some("fields")
        }
        Refusal::GraphQl => Some("graphql"),
        Refusal::OutOfScope(_) => Some("scope"),
        Refusal::Unprotected(_) | Refusal::Unfiltered { .. } | Refusal::DefinerFunction(_) => None,
    };
    if let Some(rule) = rule {
        metrics::counter!("goforward_table_security_refusals_total", "rule" => rule).increment(1);
    }
    RestError::Refused(Box::new(refusal))
}

/// Counts and logs what was found in the values of a write, and refuses it where the rules of a column say so.
fn heed(
    inspection: &Inspection,
    plan: &Plan,
    view: &PolicyView,
    context: &RequestContext,
) -> Result<(), RestError> {
    let Plan::Mutate(MutateAction { target, .. }) = plan else { return Ok(()) };
    for InputFinding { column, class, policy, count, .. } in &inspection.findings {
        let (class, policy) = (class.as_str(), policy.as_str());
        metrics::counter!("goforward_input_findings_total", "class" => class, "policy" => policy)
            .increment(*count);
        let request_id = context.request_id.as_str();
        tracing::warn!(kind = "app", table = %target, %column, class, policy, count, request_id, "unwanted input");
    }
    let Some(refusal) = inspection.refusal() else { return Ok(()) };
    let known = view.catalog.relations.get(target).and_then(|relation| relation.column(&refusal.column));
    let column = known.filter(|column| column.access.read != ReadAccess::Hidden);
    Err(RestError::InputRefused {
        column: column.map(|column| Arc::clone(&column.name)),
        class: refusal.class.as_str(),
    })
}

/// Whether the body is compressed. It is never unpacked: a few bytes could become gigabytes.
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| !matches!(coding.trim_ascii(), b"" | b"identity"))
}

/// Whether a newer catalog might know what this one does not.
fn is_unknown(error: &PlanError) -> bool {
    matches!(
        error,
        PlanError::RelationNotFound { .. }
            | PlanError::ColumnNotFound { .. }
            | PlanError::NoRelationship { .. }
            | PlanError::FunctionNotFound { .. }
    )
}

/// The route for metrics: a constant whatever the name of the relation.
fn route(action: &Action) -> RouteTemplate {
    RouteTemplate(match action {
        Action::RelationRead { .. } | Action::RelationMutate { .. } | Action::RelationInfo { .. } => {
            "/{relation}"
        }
        Action::Call { .. } | Action::CallInfo { .. } => "/rpc/{function}",
        Action::SchemaRead { .. } | Action::SchemaInfo => "/",
    })
}

fn warning(settings: &RestSettings, plan: &Plan) -> Option<String> {
    if !settings.plan.target_names {
        return None;
    }
    let tree = match plan {
        Plan::Read(action) => &action.tree,
        Plan::Mutate(action) => &action.tree,
        Plan::Call(action) => &action.tree,
        Plan::Inspect { .. } | Plan::Info { .. } => return None,
    };
    target_name_warning(tree)
}
