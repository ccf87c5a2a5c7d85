//! The body of a request that brings bytes of an upload. That it breaks off is an end like another: what came, came.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::checksum::Checksum;
use crate::storage::error::StorageError;

/// The same for a body whose upload another client wants to go on with.
const SHORT_PAUSE: Duration = Duration::from_secs(2);

/// Bytes on their way.
pub(super) struct Arriving {
    body: axum::body::BodyDataStream,
    /// What has been read and not been taken.
    ahead: Option<Bytes>,
    /// The longest time between two pieces.
    pause: Duration,
    checksum: Option<Checksum>,
    /// Cancelled when another client wants to go on with the upload.
    wanted: CancellationToken,
    is_over: bool,
    is_broken: bool,
}

impl Arriving {
    /// The bytes of a body.
    pub(super) fn new(body: Body, pause: Duration, checksum: Option<Checksum>) -> Self {
        let body = body.into_data_stream();
        let wanted = CancellationToken::new();
        Self { body, ahead: None, pause, checksum, wanted, is_over: false, is_broken: false }
    }

    /// To be cancelled when another client wants to go on with the upload: a body that pauses ends then.
    pub(super) fn wanted(&self) -> CancellationToken {
        self.wanted.clone()
    }

    /// Whether a checksum was announced for the body as a whole.
    pub(super) fn has_checksum(&self) -> bool {
        self.checksum.is_some()
    }

    /// Whether the body ended before its end.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether all bytes that were taken are those that were meant; asked once, at the end.
    pub(super) fn checksum_holds(&mut self) -> bool {
        self.checksum.take().is_none_or(Checksum::holds)
    }

    /// Waits for more; whether there is any.
    pub(super) async fn has_more(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.next().await;
        }
        self.ahead.is_some()
    }

    /// The first bytes, at least so many if there are; they are not taken.
    pub(super) async fn first(&mut self, enough: usize) -> Bytes {
        let mut first = BytesMut::new();
        while first.len() < enough {
            let Some(piece) = self.next().await else { break };
            if first.is_empty() && piece.len() >= enough {
                self.ahead = Some(piece.clone());
                return piece;
            }
            first.extend_from_slice(&piece);
        }
        let first = first.freeze();
        self.ahead = Some(first.clone()).filter(|first| !first.is_empty());
        first
    }

    /// The next bytes, at most so many. Never an error: see [`Self::is_broken`].
    pub(super) fn part(&mut self, most: u64) -> impl Stream<Item = Result<Bytes, StorageError>> + Send {
        stream::unfold((self, most), |(arriving, most)| async move {
            if most == 0 {
                return None;
            }
            let mut piece = arriving.next().await?;
            if usize::try_from(most).is_ok_and(|most| piece.len() > most) {
                arriving.ahead = Some(piece.split_off(usize::try_from(most).unwrap_or(usize::MAX)));
            }
            let left = most - piece.len() as u64;
            Some((Ok(piece), (arriving, left)))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(ahead) = self.ahead.take() {
            return Some(ahead);
        }
        while !self.is_over {
            let pause = async {
                tokio::select! {
                    () = tokio::time::sleep(self.pause) => {}
                    () = self.wanted.cancelled() => tokio::time::sleep(SHORT_PAUSE.min(self.pause)).await,
                }
            };
            tokio::select! {
                biased;
                piece = self.body.next() => match piece {
                    Some(Ok(piece)) if piece.is_empty() => {}
                    Some(Ok(piece)) => {
                        if let Some(checksum) = &mut self.checksum {
                            checksum.update(&piece);
                        }
                        return Some(piece);
                    }
                    Some(Err(_)) => (self.is_over, self.is_broken) = (true, true),
                    None => self.is_over = true,
                },
                () = pause => (self.is_over, self.is_broken) = (true, true),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    fn arriving(pieces: &[&'static str], breaks: bool) -> Arriving {
        let mut pieces: Vec<Result<Bytes, std::io::Error>> =
            pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
        if breaks {
            pieces.push(Err(std::io::Error::other("gone")));
        }
        Arriving::new(Body::from_stream(stream::iter(pieces)), Duration::from_secs(1), None)
    }

    async fn part(arriving: &mut Arriving, most: u64) -> String {
        let pieces: Vec<Bytes> = arriving.part(most).try_collect().await.unwrap();
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn parts_are_as_long_as_they_may_be_and_lose_nothing() {
        let mut body = arriving(&["abc", "", "defgh", "i"], false);
        assert_eq!(body.first(4).await, "abcdefgh");
        let mut parts = Vec::new();
        while body.has_more().await {
            parts.push(part(&mut body, 4).await);
        }
        assert_eq!(parts, ["abcd", "efgh", "i"]);
        assert!(!body.is_broken() && body.checksum_holds());
    }

    #[tokio::test]
    async fn what_came_before_the_end_came() {
        let mut body = arriving(&["abc", "de"], true);
        assert!(body.has_more().await);
        assert_eq!(part(&mut body, 100).await, "abcde");
        assert!(!body.has_more().await && body.is_broken());
    }

    #[tokio::test]
    async fn a_body_that_pauses_for_too_long_is_broken() {
        let pieces = stream::iter([Ok::<_, std::io::Error>("abc")]).chain(stream::pending());
        let mut body = Arriving::new(Body::from_stream(pieces), Duration::from_millis(20), None);
        assert_eq!(part(&mut body, 100).await, "abc");
        assert!(body.is_broken());
    }
}
