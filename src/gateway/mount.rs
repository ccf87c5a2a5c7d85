//! A service at its place: prefix, limits, CORS, what it wants to know of callers, and how to reach it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use tower::ServiceExt;

use super::cors::CorsPolicy;
use super::rate_limits::RateLimits;
use super::refusal::{self, ErrorShape};
use super::request_metrics::RequestMetrics;
use crate::kernel::identity::Caller;
use crate::kernel::identity::scope::Service;

/// A future that answers a request.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A service that takes requests as they are, without axum's routing: for hot paths.
///
/// The path still has the mount's prefix; `RequestContext::prefix_length` tells how long it is.
pub trait RequestHandler: Send + Sync {
    /// Answers a request.
    fn call(&self, request: Request<Body>) -> Answering;
}

impl<F, A> RequestHandler for F
where
    F: Fn(Request<Body>) -> A + Send + Sync,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    fn call(&self, request: Request<Body>) -> Answering {
        Box::pin(self(request))
    }
}

/// What stands around a service: it may look at, change or refuse requests, and change answers.
pub trait Middleware: Send + Sync {
    /// Answers a request, by `next` unless it is refused. The caller is in the request's `RequestContext`.
    fn call(&self, request: Request<Body>, next: Arc<dyn RequestHandler>) -> Answering;
}

impl<F, A> Middleware for F
where
    F: Fn(Request<Body>, Arc<dyn RequestHandler>) -> A + Send + Sync,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    fn call(&self, request: Request<Body>, next: Arc<dyn RequestHandler>) -> Answering {
        Box::pin(self(request, next))
    }
}

async fn answer_by(router: Router, request: Request<Body>) -> Response<Body> {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// What a service may be sent, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct ServiceLimits {
    /// The largest request body, in bytes; beyond it 413.
    pub body_bytes: usize,
    /// How long the service may take until the head of its answer; then 504. None for sockets and long transfers.
    pub timeout: Option<Duration>,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self { body_bytes: 1 << 20, timeout: Some(Duration::from_mins(1)) }
    }
}

/// Who finds out who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The gateway, which refuses what is wrong.
    Gateway,
    /// The service: it gets requests without a caller.
    Service,
}

#[derive(Clone)]
pub(super) enum Target {
    Router(Router),
    Handler(Arc<dyn RequestHandler>),
}

/// A service at its place.
#[derive(Clone)]
pub struct Mount {
    pub(super) name: &'static str,
    pub(super) prefix: String,
    pub(super) target: Target,
    pub(super) limits: ServiceLimits,
    pub(super) cors: Option<CorsPolicy>,
    pub(super) authentication: Authentication,
    pub(super) key_in_query: bool,
    pub(super) rate_limits: RateLimits,
    pub(super) errors: ErrorShape,
    pub(super) compress: bool,
    pub(super) vary: bool,
    pub(super) metrics: Arc<RequestMetrics>,
}

impl Mount {
    /// An axum router below a prefix such as `/auth/v1`; its own routes are written without the prefix.
    pub fn router(name: &'static str, prefix: &str, router: Router) -> Self {
        let prefix = tidy(prefix);
        let router = if prefix.is_empty() { router } else { Router::new().nest(&prefix, router) };
        Self::new(name, prefix, Target::Router(router))
    }

    /// A handler below a prefix such as `/rest/v1`; an empty prefix takes every path that no other mount takes.
    pub fn handler(name: &'static str, prefix: &str, handler: Arc<dyn RequestHandler>) -> Self {
        Self::new(name, tidy(prefix), Target::Handler(handler))
    }

    /// An axum router whose routes are written whole, prefix included.
    pub fn whole_router(name: &'static str, prefix: &str, router: Router) -> Self {
        Self::new(name, tidy(prefix), Target::Router(router))
    }

    /// A place where clients expect a service that this server does not have: 404 for everything below the prefix.
    pub fn absent(name: &'static str, prefix: &str) -> Self {
        let nothing = |_| async { refusal::NOT_FOUND.answer(ErrorShape::Goforward) };
        Self::handler(name, prefix, Arc::new(nothing)).authentication(Authentication::Service)
    }

    /// Routes that everybody may ask and that ask nobody who they are: probes. Nothing is compressed.
    pub fn open(name: &'static str, prefix: &str, router: Router) -> Self {
        Self::whole_router(name, prefix, router).authentication(Authentication::Service).compress(false)
    }

    /// Puts middleware around the service; what it is put around later is outside.
    #[must_use]
    pub fn through(mut self, middleware: Arc<dyn Middleware>) -> Self {
        let target = self.target.clone();
        let next: Arc<dyn RequestHandler> = match target {
            Target::Handler(handler) => handler,
            Target::Router(router) => Arc::new(move |request| answer_by(router.clone(), request)),
        };
        self.target = Target::Handler(Arc::new(move |request| middleware.call(request, Arc::clone(&next))));
        self
    }

    fn new(name: &'static str, prefix: String, target: Target) -> Self {
        Self {
            name,
            prefix,
            target,
            limits: ServiceLimits::default(),
            cors: None,
            authentication: Authentication::Gateway,
            key_in_query: false,
            rate_limits: RateLimits::default(),
            errors: ErrorShape::Goforward,
            compress: true,
            vary: true,
            metrics: Arc::new(RequestMetrics::new(name)),
        }
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: ServiceLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers preflights and adds CORS headers by this policy. Without one, browsers on other sites get nothing.
    #[must_use]
    pub fn cors(mut self, policy: CorsPolicy) -> Self {
        self.cors = Some(policy);
        self
    }

    /// Sets who finds out who calls.
    #[must_use]
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Whether the query parameter `apikey` is a key here; it never reaches the service.
    #[must_use]
    pub fn key_in_query(mut self, allowed: bool) -> Self {
        self.key_in_query = allowed;
        self
    }

    /// Sets the rate limits.
    #[must_use]
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.rate_limits = limits;
        self
    }

    /// Sets how the gateway's own refusals look here.
    #[must_use]
    pub fn errors(mut self, shape: ErrorShape) -> Self {
        self.errors = shape;
        self
    }

    /// Whether answers may be compressed. Not for services whose answers carry tokens beside reflected input.
    #[must_use]
    pub fn compress(mut self, allowed: bool) -> Self {
        self.compress = allowed;
        self
    }

    /// Whether the gateway adds to `Vary` what it looked at itself (PostgREST's answers carry an exact list).
    #[must_use]
    pub fn vary(mut self, added: bool) -> Self {
        self.vary = added;
        self
    }

    /// Whether the path is this mount's: the prefix itself or something below it.
    pub(super) fn takes(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether the caller's API key, if the caller is here by one with scopes, is for anything of this service. The service
    /// itself holds the caller to the rest of a scope.
    pub(super) fn is_in_scope(&self, caller: &Caller) -> bool {
        let service = match self.name {
            "graphql" => Some(Service::Rest),
            name => Service::named(name),
        };
        caller.scopes.as_ref().is_none_or(|scopes| scopes.touch(service))
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match &self.target {
            Target::Handler(handler) => handler.call(request).await,
            Target::Router(router) => answer_by(router.clone(), request).await,
        }
    }
}

/// Without a slash at the end, and with one at the start unless it is empty.
fn tidy(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        inner => format!("/{inner}"),
    }
}
