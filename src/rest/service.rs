//! The service: one request from its HTTP form to its answer, in five visible steps.
//!
//! parse, plan, check and render are pure; only the run of the statement group waits. Errors become answers in one
//! place ([`RestService::answer`]).

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};

use crate::catalog::Catalog;
use crate::catalog::reload::CatalogHandle;
use crate::kernel::db::lanes::Lanes;
use crate::kernel::http::{RequestContext, RouteTemplate, TraceContext, read_body};
use crate::kernel::identity::Caller;
use crate::policy::book::PolicyBook;
use crate::rest::audit::{RequestAudit, RestAudit};
use crate::rest::core::parse::{RequestParts, parse};
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::Plan;
use crate::rest::core::plan::plan;
use crate::rest::core::protect;
use crate::rest::core::request::{Action, ApiRequest};
use crate::rest::core::response::target_name_warning;
use crate::rest::error::{Disclosure, RestError};
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
}

/// One request on its way.
struct Exchange<'a> {
    settings: &'a RestSettings,
    caller: &'a Caller,
    trace_id: Option<String>,
    timing: ServerTiming,
}

impl RestService {
    /// A service on these lanes, whose settings can be swapped by the caller.
    pub fn new(
        catalog: CatalogHandle,
        lanes: Lanes,
        settings: Arc<ArcSwap<RestSettings>>,
        audit: RestAudit,
    ) -> Self {
        Self { catalog, lanes, settings, policies: Arc::default(), audit }
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
            caller: &caller,
            trace_id: context.trace.as_ref().map(TraceContext::trace_id_text),
            timing: ServerTiming::new(context.identity_took),
        };
        let disclosure = self.disclosure(&exchange);
        let mut response = match self.answer(&mut exchange, &head, body, &context).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(cause) = error.fault() {
                    let request_id = context.request_id.as_str();
                    tracing::error!(
                        kind = "error",
                        request_id,
                        "a request failed inside the server: {cause}"
                    );
                }
                error.into_response(disclosure)
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
        let bypasses = is_trusted(&self.catalog.load(), exchange.settings, role);
        Disclosure {
            authenticated: exchange.settings.anon_role.as_deref() != Some(&**role),
            verbose: exchange.settings.verbose_errors || bypasses,
            minimal: exchange.settings.minimal_errors,
        }
    }

    async fn answer(
        &self,
        exchange: &mut Exchange<'_>,
        head: &http::request::Parts,
        body: Body,
        context: &RequestContext,
    ) -> Result<Response<Body>, RestError> {
        if !self.catalog.is_ready() {
            return Err(RestError::NoCatalog);
        }
        let body = read_body(body, context.body_limit, context.body_deadline.min(context.deadline)).await?;
        let started = Instant::now();
        let request = Self::parse(exchange.settings, head, body, context.prefix_length)?;
        exchange.timing.parse = Some(started.elapsed());

        let started = Instant::now();
        let (plan, catalog) = self.plan(exchange.settings, &request).await?;
        exchange.timing.plan = Some(started.elapsed());
        let rules = self.policies.rules(&catalog);
        let origin = (context, &head.headers);
        let audit = RequestAudit::new(&self.audit, &plan, &rules, exchange.caller, origin);
        let mut response = match self.run(exchange, &request, &plan, &catalog, &audit).await {
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
        catalog: &Catalog,
        audit: &RequestAudit<'_>,
    ) -> Result<Response<Body>, RestError> {
        let started = Instant::now();
        if !is_trusted(catalog, exchange.settings, &exchange.caller.role) {
            protect::check(plan, catalog, &exchange.caller.role, exchange.settings.protect)
                .map_err(|refusal| RestError::Refused(Box::new(refusal)))?;
        }
        exchange.timing.plan = exchange.timing.plan.map(|took| took + started.elapsed());

        let scope = Scope {
            caller: exchange.caller,
            request,
            catalog,
            settings: exchange.settings,
            function: match plan {
                Plan::Call(action) => Some(&action.function),
                _ => None,
            },
            trace_id: exchange.trace_id.as_deref(),
            audit,
        };
        let asked = Instant::now();
        let run = Run { lanes: &self.lanes, scope, timing: &mut exchange.timing };
        match plan {
            Plan::Inspect { schema, headers_only } => {
                let described = root::describe(run, schema, *headers_only).await?;
                exchange.timing.transaction = Some(asked.elapsed());
                Ok(described)
            }
            Plan::Info { allow } => Ok(run::allow(allow)),
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

    /// The plan and the catalog it was made with. What the catalog does not know is looked for once more.
    async fn plan(
        &self,
        settings: &RestSettings,
        request: &ApiRequest,
    ) -> Result<(Plan, Arc<Catalog>), RestError> {
        let catalog = self.catalog.current();
        let error = match plan(request, &catalog, &settings.plan) {
            Ok(plan) => return Ok((plan, catalog)),
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
        Ok((plan(request, &newer, &settings.plan)?, newer))
    }
}

/// Whether row-level security does not bind the role, or is not meant to: the service role where BYPASSRLS cannot be had.
fn is_trusted(catalog: &Catalog, settings: &RestSettings, role: &str) -> bool {
    settings.service_role == Some(role) || catalog.roles.get(role).is_some_and(|role| role.bypass_rls)
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
