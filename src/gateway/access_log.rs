//! One line and one count for every request, however it ends: answered, streamed to the end, or left by the client.
//!
//! The record writes itself when it is dropped, so that no way out of the gateway can forget it. Secrets and control
//! characters never get in.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use metrics::Gauge;

use super::request_metrics::RouteMetrics;
use crate::kernel::http::query_secrets::{log_text, redacted};
use crate::kernel::http::{RequestId, RouteTemplate, TraceContext};
use crate::kernel::identity::Caller;

use super::mount::Mount;

/// What is written about a request.
pub(super) struct AccessRecord {
    pub(super) method: Method,
    pub(super) target: Option<PathAndQuery>,
    pub(super) log_query: bool,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) client_ip: IpAddr,
    pub(super) request_id: RequestId,
    pub(super) trace: Option<TraceContext>,
    pub(super) started: Instant,
    pub(super) caller: Option<Arc<Caller>>,
    pub(super) route: Arc<RouteMetrics>,
    pub(super) in_flight: Gauge,
    pub(super) service: &'static str,
    /// None until there is an answer; and again none if the client did not stay for all of it.
    pub(super) status: Option<StatusCode>,
    pub(super) bytes: u64,
}

impl AccessRecord {
    /// Puts the record in charge of the answer: it is written now if the size is known, else after the last byte.
    pub(super) fn follow(mut self, mount: &Mount, response: Response<Body>) -> Response<Body> {
        self.status = Some(response.status());
        if let Some(RouteTemplate(template)) = response.extensions().get() {
            self.route = mount.metrics.route(Some(template));
        }
        if let Some(size) = response.body().size_hint().exact() {
            self.bytes = if self.method == Method::HEAD { 0 } else { size };
            return response;
        }
        let length = response.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        response.map(|body| Body::new(FollowedBody { body, record: self, length, ended: length == Some(0) }))
    }

    fn write(&self) {
        let took = self.started.elapsed();
        self.route.count(&self.method, self.status, took);
        let (path, query) = match &self.target {
            Some(target) => (target.path(), target.query().filter(|_| self.log_query)),
            None => ("*", None),
        };
        let user_agent = self.user_agent.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()));
        tracing::info!(
            target: "goforward::access",
            kind = "access",
            service = self.service,
            method = self.method.as_str(),
            route = self.route.template(),
            path = &*log_text(path, 2048),
            query = query.map(|query| log_text(&redacted(query), 2048).into_owned()),
            // 499: the client went away, as other servers write it.
            status = self.status.map_or(499, |status| status.as_u16()),
            duration_ms = took.as_secs_f64() * 1000.0,
            bytes = self.bytes,
            request_id = self.request_id.as_str(),
            trace_id = self.trace.as_ref().map(TraceContext::trace_id_text),
            ip = %self.client_ip,
            role = self.caller.as_ref().map(|caller| log_text(&caller.role, 128).into_owned()),
            user_agent = user_agent.as_deref().map(|text| log_text(text, 256).into_owned()),
            "request"
        );
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
        self.write();
    }
}

/// A body of unknown size that counts what it gives.
struct FollowedBody {
    body: Body,
    record: AccessRecord,
    /// How much was announced: with the last byte nobody asks for more.
    length: Option<u64>,
    ended: bool,
}

impl http_body::Body for FollowedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let size = frame.data_ref().map_or(0, Bytes::len);
                self.record.bytes += size as u64;
                self.ended |= self.length == Some(self.record.bytes);
            }
            Some(Err(_)) => {}
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for FollowedBody {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.record.status = None;
        }
    }
}
