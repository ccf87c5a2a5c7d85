//! Reading a whole body within bounds of size, time and the memory that all bodies share.

use std::time::Instant;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError};

use super::body_budget::{BodyBudget, Full, Share};

/// What is taken of the shared memory, and reserved, before anything has arrived: at most this.
const FIRST_STEP: usize = 64 * 1024;

/// Why a body could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than the limit: 413.
    #[error("the request body is larger than {0} bytes")]
    TooLarge(usize),
    /// Not all of it in time: 408.
    #[error("the request body did not arrive in time")]
    TimedOut,
    /// The client went away or broke the framing: 400, though nobody may read it.
    #[error("the request body ended early or is not framed as announced")]
    Broken,
    /// No memory for it, as others take what there is for bodies: 503.
    #[error("too many request bodies are in memory at the moment")]
    NoMemory,
}

impl From<Full> for BodyError {
    fn from(_: Full) -> Self {
        Self::NoMemory
    }
}

impl BodyError {
    /// The HTTP status of the refusal.
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::TooLarge(_) => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => http::StatusCode::REQUEST_TIMEOUT,
            Self::Broken => http::StatusCode::BAD_REQUEST,
            Self::NoMemory => http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Reads the body, at most `limit` bytes of it, only until `deadline`, and as far as `budget` has room.
///
/// A body that announces more than the limit is refused at once; nothing is reserved on the word of a client beyond
/// 64 KiB.
pub async fn read_body(
    body: Body,
    limit: usize,
    deadline: Instant,
    budget: &BodyBudget,
) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    let expected = body.size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
    let share = budget.share(expected.min(FIRST_STEP));
    let mut share = match tokio::time::timeout_at(deadline.into(), share).await {
        Ok(share) => share?,
        Err(_) => return Err(BodyError::NoMemory),
    };
    match tokio::time::timeout_at(deadline.into(), collect(body, limit, &mut share)).await {
        Ok(outcome) => outcome.map(|body| share.keep(body)),
        Err(_) => Err(BodyError::TimedOut),
    }
}

async fn collect(mut body: Body, limit: usize, share: &mut Share) -> Result<Bytes, BodyError> {
    let Some(first) = next_data(&mut body, limit).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(BodyError::TooLarge(limit));
    }
    share.grow(first.len())?;
    if body.is_end_stream() {
        return Ok(first);
    }
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX).min(FIRST_STEP);
    let mut all = BytesMut::with_capacity(first.len() + expected);
    all.extend_from_slice(&first);
    while let Some(data) = next_data(&mut body, limit).await? {
        let length = all.len() + data.len();
        if length > limit {
            return Err(BodyError::TooLarge(limit));
        }
        share.grow(length)?;
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// The next piece of data; trailers are passed over.
async fn next_data(body: &mut Body, limit: usize) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.into_inner().downcast::<LengthLimitError>() {
            Ok(_) => BodyError::TooLarge(limit),
            Err(_) => BodyError::Broken,
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;

    use super::*;

    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(pieces.iter().map(|piece| Ok::<_, std::io::Error>(*piece))))
    }

    fn ample() -> BodyBudget {
        BodyBudget::new(1 << 20)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_and_one_byte_more_is_refused() {
        for body in [|| Body::from("12345"), || pieces(&["12", "3", "45"])] {
            assert_eq!(read_body(body(), 5, soon(), &ample()).await.unwrap(), "12345");
            assert_eq!(read_body(body(), 4, soon(), &ample()).await, Err(BodyError::TooLarge(4)));
        }
        assert_eq!(read_body(Body::empty(), 0, soon(), &ample()).await.unwrap(), "");
        assert_eq!(BodyError::TooLarge(4).status(), 413);
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let deadline = Instant::now() + Duration::from_millis(20);

        assert_eq!(read_body(never, 5, deadline, &ample()).await, Err(BodyError::TimedOut));
    }

    #[tokio::test]
    async fn bodies_share_a_memory_and_what_finds_no_room_is_told_so() {
        let budget = BodyBudget::new(2048);
        let small = || read_body(pieces(&["1", "2"]), 1024, soon(), &budget);
        let held = small().await.unwrap();

        let second = small().await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(read_body(pieces(&["1"]), 1024, deadline, &budget).await, Err(BodyError::NoMemory));
        drop((held, second));
        assert_eq!(small().await.unwrap(), "12");

        // One that grows finds no room after its first step.
        let (limit, budget) = (2 * FIRST_STEP, BodyBudget::new(FIRST_STEP + 1024));
        let growing =
            Body::from_stream(stream::iter((0..70).map(|_| Ok::<_, std::io::Error>(vec![0; 1024]))));
        assert_eq!(read_body(growing, limit, soon(), &budget).await, Err(BodyError::NoMemory));
        assert_eq!(BodyError::NoMemory.status(), 503);
    }
}
