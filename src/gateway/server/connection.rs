//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};

use super::guarded_stream::GuardedStream;
use super::{App, HYPERS_HEADER_LINES, ServerOptions, Stop};

/// Serves the connection until the client ends it, a limit does, or a stop.
pub(super) async fn serve<A: App>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    app: A,
    options: ServerOptions,
    stop: Stop,
) {
    let stream = GuardedStream::new(stream, options.header_read_timeout, options.write_stall_timeout);
    let builder = builder(options);
    let stopping = stop.soft.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, stopping) = (app.clone(), stopping.clone());
        async move {
            let version = request.version();
            let mut response = app.answer(request.map(Body::new), peer).await;
            if version <= Version::HTTP_11 && stopping.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        outcome = serving.as_mut() => return log_end(outcome),
        () = stop.hard.cancelled() => return,
        () = stop.soft.cancelled() => {}
    }
    // Connections in use are closed by their next answer; a request may be on its way on the others.
    tokio::select! {
        outcome = serving.as_mut() => return log_end(outcome),
        () = stop.hard.cancelled() => return,
        () = tokio::time::sleep(options.closing_notice) => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        outcome = serving => log_end(outcome),
        () = stop.hard.cancelled() => {}
    }
}

fn builder(options: ServerOptions) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_read_timeout)
        // Not `pipeline_flush`: it lifts the bound on what is buffered of an answer.
        .max_buf_size(options.max_head_bytes.max(8192));
    if options.max_header_lines != HYPERS_HEADER_LINES {
        builder.http1().max_headers(options.max_header_lines);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .max_header_list_size(u32::try_from(options.max_head_bytes).unwrap_or(u32::MAX))
        // Streams that a client opens and resets at once cost it nothing and us something: a few, then GOAWAY.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Clients break off all the time; it is nothing that the operator could do about.
fn log_end(outcome: Outcome) {
    if let Err(error) = outcome {
        tracing::debug!(kind = "app", "a connection ended early: {error}");
    }
}
