//! Connections: accepting them, speaking HTTP/1.1 and HTTP/2 on them within limits, and ending them in order.
//!
//! Nothing here knows routes. Stopping goes in three steps: no new connections, every answer asks the client to close,
//! and after a short notice idle connections are closed; so that no request that reached this server is lost.

mod connection;
mod guarded_stream;
mod listener;
mod request_target;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub use listener::Listener;

use super::exchange::Gateway;

/// How long accepting pauses when the process has no descriptors or memory left.
const EXHAUSTION_PAUSE: Duration = Duration::from_millis(100);

/// What hyper takes without being told; another number costs it an allocation per request.
const HYPERS_HEADER_LINES: usize = 100;

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// How long a request's head may take, and as long a kept connection may stay idle.
    pub header_read_timeout: Duration,
    /// How long a client may take nothing of an answer before the connection is cut.
    pub write_stall_timeout: Duration,
    /// How many connections at a time; more wait unaccepted.
    pub max_connections: usize,
    /// The most that a request's head may take in all, in bytes; beyond it 431.
    pub max_head_bytes: usize,
    /// How many header lines a request may have; beyond it 431.
    pub max_header_lines: usize,
    /// How many requests at a time on one HTTP/2 connection.
    pub max_streams: u32,
    /// How long answers ask clients to close before idle connections are closed.
    pub closing_notice: Duration,
    /// How long requests may go on after the start of a stop.
    pub stop_grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(30),
            write_stall_timeout: Duration::from_mins(1),
            max_connections: 10_000,
            max_head_bytes: 144 * 1024,
            max_header_lines: HYPERS_HEADER_LINES,
            max_streams: 128,
            closing_notice: Duration::from_millis(500),
            stop_grace: Duration::from_secs(30),
        }
    }
}

/// The two ways to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// In order: what is in flight is finished.
    pub soft: CancellationToken,
    /// At once.
    pub hard: CancellationToken,
}

/// What answers requests.
pub trait App: Clone + Send + Sync + 'static {
    /// Answers one request of the peer.
    fn answer(&self, request: Request<Body>, peer: SocketAddr)
    -> impl Future<Output = Response<Body>> + Send;
}

impl App for Arc<Gateway> {
    async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        self.handle(request, peer).await
    }
}

impl App for Router {
    async fn answer(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        match self.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Serves the listener until a stop; returns when all connections have ended. Returns how many had to be cut.
pub async fn serve<A: App>(listener: impl Listener, app: A, options: ServerOptions, stop: Stop) -> usize {
    let places = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    let start = |stream, peer: SocketAddr, place: OwnedSemaphorePermit| {
        let serving = connection::serve(stream, peer, app.clone(), options, stop.clone());
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    };
    loop {
        let Some(place) =
            stopping_first(&stop, Arc::clone(&places).acquire_owned()).await.and_then(Result::ok)
        else {
            break;
        };
        match stopping_first(&stop, listener.accept()).await {
            None => break,
            Some(Ok((stream, peer))) => start(stream, peer, place),
            Some(Err(error)) => after_accept_error(&stop, &error).await,
        }
    }
    // What the kernel has accepted for us already would be reset with the listener.
    while let Ok(place) = Arc::clone(&places).try_acquire_owned()
        && let Some(Ok((stream, peer))) = listener.accept().now_or_never()
    {
        start(stream, peer, place);
    }
    drop(listener);
    connections.close();
    tokio::select! {
        () = connections.wait() => return 0,
        () = stop.hard.cancelled() => {}
        () = tokio::time::sleep(options.stop_grace) => stop.hard.cancel(),
    }
    let cut = connections.len();
    connections.wait().await;
    cut
}

/// The outcome of the future, or `None` once a stop has been asked for.
async fn stopping_first<T>(stop: &Stop, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.soft.cancelled() => None,
        () = stop.hard.cancelled() => None,
        outcome = future => Some(outcome),
    }
}

/// Exhaustion of descriptors or memory persists, so trying again at once would only burn the processor.
async fn after_accept_error(stop: &Stop, error: &io::Error) {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    if error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code)) {
        metrics::counter!("goforward_accept_pauses_total").increment(1);
        tracing::warn!(
            kind = "app",
            "cannot accept connections for a moment: {error}; raise the limit of open files (ulimit -n) if this lasts"
        );
        stopping_first(stop, tokio::time::sleep(EXHAUSTION_PAUSE)).await;
    } else {
        tracing::debug!(kind = "app", "a connection ended before it was accepted: {error}");
        tokio::task::yield_now().await;
    }
}
