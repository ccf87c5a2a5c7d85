//! Bodies that are read on when nobody wants them any more.
//!
//! An upload is answered as soon as it is refused. A client that still sends would find the connection cut off, and its user
//! a network error in place of the reason; so the rest is read and thrown away for a while, as the answer is on its way.
//! Not so where the client waits to be told to send (`Expect: 100-continue`, RFC 9110 section 10.1.1) and never was: it sends
//! nothing more of this request, and to wait for it would take the next request of the connection for the missing body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::storage::state::StorageState;

/// How many bytes are thrown away at most.
const MOST: usize = 64 << 20;
/// For how long, in all and between two pieces.
const LONGEST: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(5);

/// Has the body of a request read to its end, whatever becomes of the request.
pub(super) async fn linger(State(state): State<StorageState>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let one_at_a_time = request.version() <= Version::HTTP_11;
    let sends = Arc::new(AtomicBool::new(!request.headers().contains_key(EXPECT)));
    let request = request.map(|body| {
        Body::new(Lingering { rest: Some(body), sends: sends.clone(), tracker: state.tracker.clone() })
    });
    let mut response = next.run(request).await;
    if one_at_a_time && !sends.load(Ordering::Relaxed) {
        // Nobody can tell any more where the next request begins.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A body whose rest is thrown away when it is dropped before its end.
struct Lingering {
    rest: Option<Body>,
    /// Whether the client sends the body: at once, or since the first piece was asked for.
    sends: Arc<AtomicBool>,
    tracker: TaskTracker,
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.sends.store(true, Ordering::Relaxed);
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(rest).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let sends = self.sends.load(Ordering::Relaxed);
        if let Some(rest) = self.rest.take().filter(|rest| sends && !rest.is_end_stream()) {
            self.tracker.spawn(timeout(LONGEST, discard(rest)));
        }
    }
}

async fn discard(mut rest: Body) {
    let mut left = MOST;
    while let Ok(Some(Ok(frame))) = timeout(PAUSE, rest.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}
