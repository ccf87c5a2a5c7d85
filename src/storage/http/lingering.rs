//! Bodies that are read on when nobody wants them any more.
//!
//! An upload is answered as soon as it is refused. A client that still sends would find the connection cut off, and its user
//! a network error in place of the reason; so the rest is read and thrown away for a while, as the answer is on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
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
pub(super) async fn linger(State(state): State<StorageState>, request: Request) -> Request {
    request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Lingering { rest: Some(body), tracker: state.tracker.clone() })
    })
}

/// A body whose rest is thrown away when it is dropped before its end.
struct Lingering {
    rest: Option<Body>,
    tracker: TaskTracker,
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
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
        if let Some(rest) = self.rest.take().filter(|rest| !rest.is_end_stream()) {
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
