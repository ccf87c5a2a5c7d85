//! A connection that is cut when its client says nothing at its start, or takes nothing of an answer, for too long; and
//! whose request targets are made readable on the way ([`super::request_target`]).
//!
//! hyper times a request's head, but not the bytes by which HTTP/2 is told from HTTP/1.1, nor HTTP/2's first frame; and
//! it never times writing. A client that reads slowly goes on; one that does not read at all would hold memory for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::request_target::RequestTargets;

/// RFC 9113 section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of the SETTINGS frame that must follow the preface.
const FIRST_FRAME_HEAD: usize = 9;

pub(super) struct GuardedStream<S> {
    stream: S,
    opening: Option<Opening>,
    targets: RequestTargets,
    /// What has been read and did not fit after encoding.
    encoded: Vec<u8>,
    write_limit: Duration,
    /// Made at the first write that has to wait, and used again for the next.
    write_timer: Option<Pin<Box<Sleep>>>,
    write_waits: bool,
}

/// Until it is known which protocol is spoken.
struct Opening {
    timer: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<S> GuardedStream<S> {
    pub(super) fn new(stream: S, opening_limit: Duration, write_limit: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(opening_limit));
        let opening = Some(Opening { timer, bytes: 0 });
        Self {
            stream,
            opening,
            targets: RequestTargets::default(),
            encoded: Vec::new(),
            write_limit,
            write_timer: None,
            write_waits: false,
        }
    }

    /// Hands on as much of the encoded bytes as there is room for.
    fn give_encoded(&mut self, buf: &mut ReadBuf<'_>) {
        let fitting = self.encoded.len().min(buf.remaining());
        buf.put_slice(self.encoded.get(..fitting).unwrap_or_default());
        self.encoded = self.encoded.split_off(fitting);
    }

    /// Passes the outcome of a write on, but lets one that waits too long fail.
    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_waits = false;
            return outcome;
        }
        let deadline = Instant::now() + self.write_limit;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.write_waits {
            self.write_waits = true;
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| Err(timed_out("the client does not read")))
    }
}

impl Opening {
    /// Whether these bytes, the next after those seen, end the opening.
    fn ends_with(&mut self, read: &[u8]) -> bool {
        let expected = HTTP2_PREFACE.get(self.bytes..).unwrap_or_default();
        let compared = read.len().min(expected.len());
        let is_http2 = read.get(..compared) == expected.get(..compared);
        self.bytes += read.len();
        !is_http2 || self.bytes >= HTTP2_PREFACE.len() + FIRST_FRAME_HEAD
    }
}

fn timed_out(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.encoded.is_empty() {
            self.give_encoded(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if outcome.is_pending() {
            let Some(opening) = &mut self.opening else { return outcome };
            return opening
                .timer
                .as_mut()
                .poll(cx)
                .map(|()| Err(timed_out("the client does not begin a request")));
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        if let Some(opening) = &mut self.opening
            && (read.is_empty() || opening.ends_with(read))
        {
            self.opening = None;
        }
        if let Some(encoded) = self.targets.encode(read) {
            buf.set_filled(before);
            self.encoded = encoded;
            self.give_encoded(buf);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, outcome)
    }
}
