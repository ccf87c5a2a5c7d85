//! The way of one request through the edge, and of its answer back.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, ORIGIN, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version};
use http_body::Body as _;
use http_body_util::Limited;

use super::access_log::AccessRecord;
use super::compression::{self, Coding};
use super::mount::{Authentication, Mount};
use super::options::GatewayOptions;
use super::refusal;
use super::request_metrics::{count_panic, count_refusal};
use super::security_headers;
use crate::kernel::http::query_secrets::take_api_key;
use crate::kernel::http::request_id::X_REQUEST_ID;
use crate::kernel::http::{BodyBudget, RequestContext, RequestIds, TraceContext};
use crate::kernel::identity::{
    Account, Caller, Credentials, HeldKeys, Identity, IdentityError, NoHeldKeys, SessionRefusal, Sessions,
    Stateless, Via,
};
use crate::kernel::limits::Limiter;
use crate::kernel::random::Random;

const APIKEY: HeaderName = HeaderName::from_static("apikey");
/// For mounts without a timeout: their requests have a deadline for reading bodies all the same.
const ONE_DAY: Duration = Duration::from_hours(24);

/// The edge of the server: all mounts and what they share.
pub struct Gateway {
    options: GatewayOptions,
    identity: Arc<Identity>,
    sessions: Arc<dyn Sessions>,
    held_keys: Arc<dyn HeldKeys>,
    limiter: Arc<dyn Limiter>,
    request_ids: RequestIds,
    body_budget: BodyBudget,
    /// Longest prefix first.
    mounts: Vec<Mount>,
    unmounted: Mount,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.mounts.iter().map(|mount| (mount.name, &mount.prefix))).finish()
    }
}

/// What is kept of a request for its answer.
struct Kept {
    origin: Option<HeaderValue>,
    coding: Option<Coding>,
    echo: Option<HeaderValue>,
    version: Version,
}

impl Gateway {
    /// A gateway without services.
    pub fn new(
        options: GatewayOptions,
        identity: Arc<Identity>,
        limiter: Arc<dyn Limiter>,
        random: &Random,
    ) -> Self {
        let unmounted = Mount::absent("none", "");
        let request_ids = RequestIds::new(random);
        let body_budget = BodyBudget::new(options.body_memory);
        let sessions = Arc::new(Stateless);
        let held_keys = Arc::new(NoHeldKeys);
        let mounts = Vec::new();
        Self { options, identity, sessions, held_keys, limiter, request_ids, body_budget, mounts, unmounted }
    }

    /// Asks about the session behind every token; without this a token counts until it expires.
    #[must_use]
    pub fn sessions(mut self, sessions: Arc<dyn Sessions>) -> Self {
        self.sessions = sessions;
        self
    }

    /// Asks about API keys of users and of other backends; without this all are refused.
    #[must_use]
    pub fn held_keys(mut self, held_keys: Arc<dyn HeldKeys>) -> Self {
        self.held_keys = held_keys;
        self
    }

    /// Adds a service. Of two that take a path, the one with the longer prefix gets it.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self.mounts.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
        self
    }

    /// Answers one request. Never panics, whatever a service does.
    pub async fn handle(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        let started = Instant::now();
        let path = request.uri().path();
        let mount = self.mounts.iter().find(|mount| mount.takes(path)).unwrap_or(&self.unmounted);
        let headers = request.headers();
        let errors = mount.errors.asked_for(headers);
        let kept = Kept {
            origin: headers.get(ORIGIN).cloned(),
            coding: if mount.compress { Coding::asked_for(headers) } else { None },
            echo: self.options.echo_header.as_ref().and_then(|name| headers.get(name).cloned()),
            version: request.version(),
        };
        let mut record = self.open_record(mount, &request, peer, started);
        let passing = AssertUnwindSafe(self.pass(mount, request, peer, &mut record)).catch_unwind();
        let response = passing.await.unwrap_or_else(|_| {
            // The panic hook has logged what and where.
            count_panic(mount.name);
            tracing::error!(
                kind = "error",
                service = mount.name,
                request_id = record.request_id.as_str(),
                "a request handler panicked; the request was answered with 500"
            );
            refusal::INTERNAL.answer(errors)
        });
        self.finish(mount, response, kept, record).await
    }

    fn open_record(
        &self,
        mount: &Mount,
        request: &Request<Body>,
        peer: SocketAddr,
        started: Instant,
    ) -> AccessRecord {
        let in_flight = mount.metrics.in_flight();
        in_flight.increment(1);
        AccessRecord {
            method: request.method().clone(),
            target: request.uri().path_and_query().cloned(),
            log_query: self.options.log_query,
            user_agent: request.headers().get(USER_AGENT).cloned(),
            client_ip: self.options.trusted_proxies.client_ip(peer.ip(), request.headers()),
            request_id: self.request_ids.for_request(request.headers()),
            trace: TraceContext::from_headers(request.headers()),
            started,
            caller: None,
            route: mount.metrics.route(None),
            in_flight,
            service: mount.name,
            status: None,
            bytes: 0,
        }
    }

    /// Everything up to the service's answer, or a refusal on the way.
    async fn pass(
        &self,
        mount: &Mount,
        mut request: Request<Body>,
        peer: SocketAddr,
        record: &mut AccessRecord,
    ) -> Response<Body> {
        let errors = mount.errors.asked_for(request.headers());
        if let Some(refusal) = self.check_size(mount, &request) {
            count_refusal(mount.name, "size");
            return close_unread(refusal.answer(errors), &request);
        }
        if let Some(policy) = &mount.cors
            && let Some(response) = policy.preflight(request.method(), request.headers())
        {
            return response;
        }
        let identity_started = Instant::now();
        let mut account = None;
        if mount.authentication == Authentication::Gateway {
            match self.identify(mount, &mut request, record.client_ip).await {
                Ok(caller) => record.caller = Some(caller),
                Err(error) => {
                    count_refusal(mount.name, "credentials");
                    tracing::debug!(
                        kind = "security",
                        service = mount.name,
                        request_id = record.request_id.as_str(),
                        "credentials refused: {error}"
                    );
                    return close_unread(refusal::unidentified(errors, &error), &request);
                }
            }
            if record.caller.as_deref().is_some_and(|caller| !mount.is_in_scope(caller)) {
                count_refusal(mount.name, "scope");
                return close_unread(refusal::OUT_OF_SCOPE.answer(errors), &request);
            }
            match self.account(record.caller.as_deref()).await {
                Ok(known) => account = known,
                Err(error) => {
                    count_refusal(mount.name, "session");
                    return close_unread(refusal::by_session(errors, error), &request);
                }
            }
        }
        let timeout = mount.limits.timeout;
        let context = RequestContext {
            caller: record.caller.clone(),
            account,
            client_ip: record.client_ip,
            is_from_proxy: self.options.trusted_proxies.trusts(peer.ip().to_canonical()),
            request_id: record.request_id.clone(),
            trace: record.trace,
            body_limit: mount.limits.body_bytes,
            body_budget: self.body_budget.clone(),
            started: record.started,
            deadline: record.started + timeout.unwrap_or(ONE_DAY),
            body_deadline: record.started + self.options.body_timeout,
            identity_took: identity_started.elapsed(),
            prefix_length: mount.prefix.len(),
        };
        if let Some(seconds) = mount.rate_limits.check(mount.name, &context, &self.limiter).await {
            count_refusal(mount.name, "rate");
            return close_unread(refusal::rate_limited(errors, seconds), &request);
        }
        let deadline = context.deadline;
        request.extensions_mut().insert(Arc::new(context));
        let request = limit_body(request, mount.limits.body_bytes);
        if timeout.is_none() {
            return mount.answer(request).await;
        }
        match tokio::time::timeout_at(deadline.into(), mount.answer(request)).await {
            Ok(response) => response,
            Err(_) => refusal::TIMED_OUT.answer(errors),
        }
    }

    fn check_size(&self, mount: &Mount, request: &Request<Body>) -> Option<refusal::Refusal> {
        let url = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if url > self.options.max_url_bytes {
            return Some(refusal::URL_TOO_LONG);
        }
        let headers = request.headers();
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > self.options.max_header_bytes {
            return Some(refusal::HEADERS_TOO_LARGE);
        }
        let announced = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok()?;
        (announced > mount.limits.body_bytes as u64).then_some(refusal::BODY_TOO_LARGE)
    }

    /// Finds out who calls; takes a key out of the query, so that no filter and no log ever sees it.
    async fn identify(
        &self,
        mount: &Mount,
        request: &mut Request<Body>,
        address: IpAddr,
    ) -> Result<Arc<Caller>, IdentityError> {
        let from_query = match request.uri().query().filter(|_| mount.key_in_query).and_then(take_api_key) {
            None => None,
            Some((key, rest)) => {
                if let Some(uri) = with_query(request.uri(), &rest) {
                    *request.uri_mut() = uri;
                }
                Some(key)
            }
        };
        let headers = request.headers();
        let credentials = Credentials {
            authorization: text_of(headers, &AUTHORIZATION),
            api_key: text_of(headers, &APIKEY).or(from_query.as_deref()),
        };
        self.identity.recognise(credentials, address, &*self.held_keys).await
    }

    /// The account behind a token of ours, as long as its session goes on.
    async fn account(&self, caller: Option<&Caller>) -> Result<Option<Account>, SessionRefusal> {
        let Some(caller) = caller.filter(|caller| caller.via == Via::Token) else { return Ok(None) };
        let state = match self.sessions.remembered(caller) {
            Some(state) => state,
            None => self.sessions.look_up(caller).await?,
        };
        state.admit(caller)
    }

    /// Everything after the service's answer.
    async fn finish(
        &self,
        mount: &Mount,
        mut response: Response<Body>,
        kept: Kept,
        record: AccessRecord,
    ) -> Response<Body> {
        let eligible = mount.compress && compression::is_eligible(&record.method, &response);
        if eligible && mount.vary {
            compression::vary(&mut response);
        }
        if let Some(coding) = kept.coding.filter(|_| eligible) {
            response = compression::compress(coding, response).await;
        }
        let headers = response.headers_mut();
        if self.options.security_headers {
            security_headers::add(headers, self.options.https);
        }
        let vary = mount.vary && mount.authentication == Authentication::Gateway;
        security_headers::keep_private(headers, record.caller.as_deref(), vary);
        if let Some(policy) = &mount.cors {
            policy.apply(kept.origin.as_ref(), headers, mount.vary);
        }
        headers.entry(X_REQUEST_ID).or_insert_with(|| record.request_id.header_value());
        if let Some((name, value)) = self.options.echo_header.clone().zip(kept.echo) {
            headers.insert(name, value);
        }
        if kept.version > Version::HTTP_11 {
            headers.remove(CONNECTION);
        }
        record.follow(mount, response)
    }
}

/// A header as text; one that is not text is no better than a wrong one.
fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("Bearer ?"))
}

fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let target = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// Holds a body of unannounced size to the limit; an announced one was checked.
fn limit_body(request: Request<Body>, limit: usize) -> Request<Body> {
    if request.body().size_hint().exact().is_some() {
        return request;
    }
    request.map(|body| Body::new(Limited::new(body, limit)))
}

/// Ends the connection after an answer that was given before the body was read, as reading it all would be work for
/// nothing and leaving it unread would be taken for the next request.
fn close_unread(mut response: Response<Body>, request: &Request<Body>) -> Response<Body> {
    if !request.body().is_end_stream() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
