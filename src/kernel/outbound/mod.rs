//! The one HTTP client for requests that leave the server: hooks, webhooks, SMS, identity providers, key sets.
//!
//! URLs come from configuration and from users, so none is trusted. Every request has a time limit and a size limit.
//! Addresses are checked when they are dialled ([`resolver`]) or, where the URL holds one, before ([`target`]); each
//! redirect passes the same checks. Nothing is taken from the environment: no proxy, no certificates of the machine.

mod address;
mod message;
mod resolver;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod webhook;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::header::{ACCEPT, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use ipnet::IpNet;
use rustls::RootCertStore;
use url::Url;

pub use address::{AddressGuard, AddressKind};
pub use message::{Request, Response};
pub use resolver::{Resolver, SystemResolver};
pub use target::TargetError;
pub use webhook::{WebhookSecretError, WebhookSigner};

/// How the client behaves for every request.
pub struct OutboundOptions {
    /// Networks that may be reached besides the internet: development, hooks inside of one's own network.
    pub allow_networks: Vec<IpNet>,
    /// Whether plain `http` is refused.
    pub https_only: bool,
    /// The time for one TCP and TLS connection; the request's own limit still holds.
    pub connect_time_limit: Duration,
    /// Certificate authorities; Mozilla's unless set.
    pub roots: Option<RootCertStore>,
    /// Looks names up.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for OutboundOptions {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            https_only: false,
            connect_time_limit: Duration::from_secs(5),
            roots: None,
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// Why there is no answer. The texts name neither URL nor address, so they may be shown.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The URL, a redirect or a resolved address is not allowed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The request's time limit, or the one for connections, has passed.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The body is larger than the request's size limit.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// More redirects than the request follows, or one without a usable target.
    #[error("the server redirects too often or to nowhere")]
    Redirect,
    /// The name does not resolve, or nobody takes the connection, or not with a valid certificate.
    #[error("cannot connect to the server: {0}")]
    Connect(String),
    /// The connection broke, or what came over it is not HTTP.
    #[error("the exchange with the server failed: {0}")]
    Exchange(String),
    /// The client could not be made.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

/// The client: cheap to clone, shares its connections.
#[derive(Clone)]
pub struct OutboundClient {
    http: reqwest::Client,
    guard: Arc<AddressGuard>,
    https_only: bool,
}

impl OutboundClient {
    /// Makes a client; fails only where TLS cannot be set up.
    pub fn new(options: OutboundOptions) -> Result<Self, OutboundError> {
        let guard = Arc::new(AddressGuard::new(options.allow_networks));
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(options.roots)?)
            .dns_resolver(resolver::GuardedResolver::new(options.resolver, Arc::clone(&guard)))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(options.connect_time_limit)
            .pool_max_idle_per_host(8)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("goforward/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| OutboundError::Setup(innermost(&error)))?;
        Ok(Self { http, guard, https_only: options.https_only })
    }

    /// Sends the request and reads the whole answer, within the request's limits. An answer of any status is `Ok`.
    pub async fn send(&self, request: Request) -> Result<Response, OutboundError> {
        let limit = request.time_limit;
        tokio::time::timeout(limit, self.follow(request)).await.unwrap_or(Err(OutboundError::TimedOut))
    }

    /// The same with a body that is read as it is sent, in place of the request's own. Redirects are not followed: the body is
    /// there once.
    pub async fn send_stream(
        &self,
        request: Request,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<Response, OutboundError> {
        let limit = request.time_limit;
        let sent = async {
            let answer = self.exchange(&request, reqwest::Body::wrap_stream(body)).await?;
            read(answer, request).await
        };
        tokio::time::timeout(limit, sent).await.unwrap_or(Err(OutboundError::TimedOut))
    }

    async fn follow(&self, mut request: Request) -> Result<Response, OutboundError> {
        let follows = request.redirects > 0 && request.method == Method::GET;
        loop {
            let answer = self.exchange(&request, request.body.clone().into()).await?;
            if !follows || !is_redirect(answer.status()) {
                return read(answer, request).await;
            }
            request.redirects = request.redirects.checked_sub(1).ok_or(OutboundError::Redirect)?;
            let next = next_url(&request.url, answer.headers()).ok_or(OutboundError::Redirect)?;
            if next.scheme() != "https" && request.url.scheme() == "https" {
                return Err(TargetError::Scheme.into());
            }
            if next.origin() != request.url.origin() {
                // Credentials were meant for the first host.
                request.headers =
                    request.headers.remove(ACCEPT).map(|value| (ACCEPT, value)).into_iter().collect();
            }
            request.url = next;
        }
    }

    async fn exchange(
        &self,
        request: &Request,
        body: reqwest::Body,
    ) -> Result<reqwest::Response, OutboundError> {
        target::check(&request.url, &self.guard, self.https_only)?;
        self.http
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(body)
            .send()
            .await
            .map_err(|error| failure(&error))
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The target of a redirect, relative ones included.
fn next_url(from: &Url, headers: &HeaderMap) -> Option<Url> {
    from.join(headers.get(LOCATION)?.to_str().ok()?).ok()
}

async fn read(mut answer: reqwest::Response, request: Request) -> Result<Response, OutboundError> {
    let limit = request.size_limit;
    if answer.content_length().is_some_and(|length| length > limit as u64) {
        return Err(OutboundError::TooLarge(limit));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(OutboundError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response {
        url: request.url,
        status: answer.status(),
        headers: std::mem::take(answer.headers_mut()),
        body: Bytes::from(body),
    })
}

fn tls(roots: Option<RootCertStore>) -> Result<rustls::ClientConfig, OutboundError> {
    let roots = roots.unwrap_or_else(|| webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundError::Setup(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Sorts an error of the HTTP client. The guard's own error, deep inside of it, comes first.
fn failure(error: &reqwest::Error) -> OutboundError {
    if let Some(denied) = causes(error).find_map(|cause| cause.downcast_ref::<TargetError>()) {
        return OutboundError::Target(*denied);
    }
    match error {
        _ if error.is_timeout() => OutboundError::TimedOut,
        _ if error.is_connect() => OutboundError::Connect(innermost(error)),
        _ => OutboundError::Exchange(innermost(error)),
    }
}

/// The text of the first cause: the outer ones repeat the URL, which may hold a secret.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "unknown reason".to_owned(), ToString::to_string)
}

/// What is behind an error, the outermost first, itself left out.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
