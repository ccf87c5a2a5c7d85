//! A body as a stream of content that is checked by its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

use super::super::error::S3Error;
use super::checksum::Checksum;
use super::decoder::Decoder;

/// Why a body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError<E> {
    /// The connection, or a limit on the way.
    #[error("the body cannot be read")]
    Transport(E),
    /// The body is not what the request says.
    #[error(transparent)]
    Refused(#[from] S3Error),
}

/// The checksums of a body that came to its regular end; for the answer's headers.
#[derive(Debug, Clone, Default)]
pub struct Receipt(Arc<OnceLock<Vec<Checksum>>>);

impl Receipt {
    /// The checksums, once the body is whole; `None` before, and for ever where it was refused.
    pub fn checksums(&self) -> Option<&[Checksum]> {
        self.0.get().map(Vec::as_slice)
    }
}

/// Content of a body. It ends regularly only when everything holds; after an error it is over.
#[derive(Debug)]
pub struct VerifiedBody<S> {
    body: S,
    decoder: Option<Decoder>,
    ready: VecDeque<Bytes>,
    receipt: Receipt,
}

impl<S> VerifiedBody<S> {
    /// Reads the body through the decoder.
    pub fn new(body: S, decoder: Decoder) -> Self {
        Self { body, decoder: Some(decoder), ready: VecDeque::new(), receipt: Receipt::default() }
    }

    /// The same over another source; of this one nothing may have been read yet.
    pub fn with_source<T>(self, body: T) -> VerifiedBody<T> {
        VerifiedBody { body, decoder: self.decoder, ready: self.ready, receipt: self.receipt }
    }

    /// Tells the checksums when the body is whole.
    pub fn receipt(&self) -> Receipt {
        self.receipt.clone()
    }
}

impl<S, E> VerifiedBody<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// One step: content, the end, or why not.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError<E>>> {
        loop {
            if let Some(content) = self.ready.pop_front() {
                return Poll::Ready(Ok(Some(content)));
            }
            let Some(decoder) = &mut self.decoder else { return Poll::Ready(Ok(None)) };
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(input)) => self.ready.extend(decoder.push(input)?),
                Some(Err(error)) => return Poll::Ready(Err(BodyError::Transport(error))),
                None => {
                    let checksums = self.decoder.take().map_or(Ok(Vec::new()), Decoder::finish)?;
                    // A body ends once, so nothing can be there yet.
                    let _ = self.receipt.0.set(checksums);
                }
            }
        }
    }
}

impl<S, E> Stream for VerifiedBody<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, BodyError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let step = ready!(self.step(cx));
        if step.is_err() {
            self.decoder = None;
            self.ready.clear();
        }
        Poll::Ready(step.transpose())
    }
}
