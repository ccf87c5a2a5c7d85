//! Reading a whole body within bounds of size and time.

use std::time::Instant;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError};

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
}

impl BodyError {
    /// The HTTP status of the refusal.
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::TooLarge(_) => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => http::StatusCode::REQUEST_TIMEOUT,
            Self::Broken => http::StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the body, at most `limit` bytes of it and only until `deadline`.
///
/// A body that announces its length is refused or stored in one piece; nothing is reserved on the word of a client
/// beyond 64 KiB.
pub async fn read_body(body: Body, limit: usize, deadline: Instant) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    match tokio::time::timeout_at(deadline.into(), collect(body, limit)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(BodyError::TimedOut),
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let Some(first) = next_data(&mut body, limit).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(BodyError::TooLarge(limit));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX).min(64 * 1024);
    let mut all = BytesMut::with_capacity(first.len() + expected);
    all.extend_from_slice(&first);
    while let Some(data) = next_data(&mut body, limit).await? {
        if all.len() + data.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
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

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_and_one_byte_more_is_refused() {
        for body in [|| Body::from("12345"), || pieces(&["12", "3", "45"])] {
            assert_eq!(read_body(body(), 5, soon()).await.unwrap(), "12345");
            assert_eq!(read_body(body(), 4, soon()).await, Err(BodyError::TooLarge(4)));
        }
        assert_eq!(read_body(Body::empty(), 0, soon()).await.unwrap(), "");
        assert_eq!(BodyError::TooLarge(4).status(), 413);
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let deadline = Instant::now() + Duration::from_millis(20);

        assert_eq!(read_body(never, 5, deadline).await, Err(BodyError::TimedOut));
    }
}
