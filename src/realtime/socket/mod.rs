//! One WebSocket: its messages in, its queue out, and the clocks that end it.
//!
//! One task does all of it. What a client asks for is done before its next message is read, so that nothing overtakes.

mod bucket;
mod channel;
mod doubt;
mod join;
mod listen;

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WireError};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use self::bucket::Bucket;
use self::channel::Channel;
use super::credentials::{Credentials, CredentialsError};
use super::hub::Outbox;
use super::metrics;
use super::protocol::{Frame, Version};
use super::state::{RealtimeState, SocketPermit};

/// How often it is asked whether the sessions and rights behind the channels go on.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a client that is told goodbye may take to read it.
const FAREWELL: Duration = Duration::from_secs(1);

/// What clients are told when the server stops.
const STOPPING: &str = "the server stops";

/// The stream of one socket.
pub(super) type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// One socket.
pub(super) struct Socket {
    state: RealtimeState,
    version: Version,
    /// Who connected.
    key: Credentials,
    outbox: Arc<Outbox>,
    /// By topic, as it is on the wire.
    channels: HashMap<String, Channel>,
    joins: Bucket,
    /// Where the client is.
    address: IpAddr,
    /// Notified when something that a token here names has ended, so that it is looked at before its time.
    ended: Arc<Notify>,
    /// When that is looked at anyway.
    check_at: Instant,
}

/// Why a socket ends, with what its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client is gone.
    Gone,
    /// We end it.
    Close(CloseCode, &'static str),
}

impl Socket {
    pub(super) fn new(state: RealtimeState, version: Version, (key, address): (Credentials, IpAddr)) -> Self {
        let outbox = Arc::new(Outbox::new(state.config.max_queue.as_usize()));
        let now = Instant::now();
        let joins = Bucket::new(state.config.joins_per_second, Duration::from_secs(1), now);
        let check_at = now + CHECK_EVERY;
        let ended = Arc::new(Notify::new());
        state.sessions.watch(&key.caller, &ended);
        Self { state, version, key, outbox, channels: HashMap::new(), joins, address, ended, check_at }
    }

    /// The caller behind a token of a channel, whose end this socket is told of from now on.
    async fn caller(&self, token: &str) -> Result<Credentials, CredentialsError> {
        let who = self.state.credentials(Some(token), self.address).await?;
        self.state.sessions.watch(&who.caller, &self.ended);
        Ok(who)
    }

    /// Serves the socket until it ends.
    pub(super) async fn run(mut self, mut stream: Stream, permit: SocketPermit) {
        let end = self.serve(&mut stream).await;
        self.leave_all();
        // What was said last says why.
        let last = self.outbox.take().frames;
        if let End::Close(code, reason) = end {
            let farewell = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            // The client may be gone, or read nothing.
            let _ = tokio::time::timeout(FAREWELL, say_goodbye(&mut stream, last, farewell)).await;
        }
        drop(permit);
    }

    async fn serve(&mut self, stream: &mut Stream) -> End {
        let (outbox, stop, ended) =
            (Arc::clone(&self.outbox), self.state.stop.clone(), Arc::clone(&self.ended));
        let mut heard_at = Instant::now();
        // Waiting for them anew for every message would cost as much as to write it.
        let mut stopped = pin!(stop.cancelled());
        let mut clock = pin!(tokio::time::sleep_until(self.check_at.into()));
        loop {
            let silent_at = heard_at + self.state.config.idle_timeout.get();
            let due = silent_at.min(self.check_at).into();
            if clock.deadline() != due {
                clock.as_mut().reset(due);
            }
            let outcome = tokio::select! {
                message = stream.next() => {
                    heard_at = Instant::now();
                    self.hear(message).await
                }
                () = outbox.ready() => self.deliver(stream).await,
                () = &mut clock => {
                    if Instant::now() < silent_at {
                        Box::pin(self.check()).await;
                        Ok(())
                    } else {
                        Err(End::Close(CloseCode::Normal, "idle"))
                    }
                }
                () = ended.notified() => {
                    Box::pin(self.check()).await;
                    Ok(())
                }
                () = std::future::ready(()), if self.is_behind() => Box::pin(self.catch_up(stream)).await,
                () = &mut stopped => Err(End::Close(CloseCode::Away, STOPPING)),
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Takes one message of the client.
    async fn hear(&mut self, message: Option<Result<Message, WireError>>) -> Result<(), End> {
        let frame = match message {
            Some(Ok(Message::Text(text))) => Frame::Text(text),
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
            // Pings are answered by the stream.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return Ok(()),
            Some(Ok(Message::Close(_))) | None => return Err(End::Gone),
            Some(Err(error)) => return Err(broken(&error)),
        };
        self.take(frame).await
    }

    /// Writes what waits. Where it is time to look whether the channels go on, that comes first: none is given what was sent
    /// after its session or rights had ended.
    async fn deliver(&mut self, stream: &mut Stream) -> Result<(), End> {
        let has_ended = self.ended.notified().now_or_never().is_some();
        if has_ended || Instant::now() >= self.check_at {
            Box::pin(self.check()).await;
        }
        let waiting = self.outbox.take();
        if waiting.is_too_slow {
            return Err(too_slow());
        }
        self.write(stream, waiting.frames).await
    }

    /// Writes frames. A client that does not read stops no clock: its tokens and sessions are looked at meanwhile, and what it
    /// was still to get is not given to it after they have ended.
    async fn write(
        &mut self,
        stream: &mut Stream,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Result<(), End> {
        let (outbox, stop, ended) =
            (Arc::clone(&self.outbox), self.state.stop.clone(), Arc::clone(&self.ended));
        let given_up_at = Instant::now() + self.state.config.idle_timeout.get();
        let mut writing = pin!(write(stream, frames));
        loop {
            tokio::select! {
                biased;
                written = &mut writing => return written.map_err(|_| End::Gone),
                () = outbox.too_slow() => return Err(too_slow()),
                () = stop.cancelled() => return Err(End::Close(CloseCode::Away, STOPPING)),
                () = tokio::time::sleep_until(given_up_at.into()) => return Err(too_slow()),
                () = tokio::time::sleep_until(self.check_at.into()) => {}
                () = ended.notified() => {}
            }
            if Box::pin(self.check()).await {
                return Err(End::Close(CloseCode::Policy, "a channel has ended"));
            }
        }
    }

    /// Whether a channel is still to be told what it missed.
    fn is_behind(&self) -> bool {
        self.channels.values().any(|channel| channel.missed.is_some())
    }

    /// Writes a step for every channel that is behind.
    async fn catch_up(&mut self, stream: &mut Stream) -> Result<(), End> {
        let stop = self.state.stop.clone();
        let topics: Vec<String> = self.channels.keys().cloned().collect();
        for topic in topics {
            let Some(channel) = self.channels.get_mut(&topic).filter(|channel| channel.missed.is_some())
            else {
                continue;
            };
            let found = stop.run_until_cancelled(channel.catch_up(&self.state)).await;
            let frames = found.ok_or(End::Close(CloseCode::Away, STOPPING))?;
            // What was said before comes before.
            self.deliver(stream).await?;
            if self.channels.contains_key(&topic) {
                self.write(stream, frames).await?;
            }
        }
        Ok(())
    }

    fn leave_all(&mut self) {
        for (_, channel) in self.channels.drain() {
            channel.leave(&self.state);
        }
    }
}

impl Drop for Socket {
    /// However it ends: nobody is to stay present of whom nobody knows any more.
    fn drop(&mut self) {
        self.leave_all();
    }
}

async fn write(stream: &mut Stream, frames: impl IntoIterator<Item = Frame>) -> Result<(), WireError> {
    for frame in frames {
        let message = match frame {
            Frame::Text(text) => Message::Text(text),
            Frame::Binary(bytes) => Message::Binary(bytes),
        };
        stream.feed(message).await?;
    }
    stream.flush().await
}

fn too_slow() -> End {
    metrics::refused("slow_consumer");
    End::Close(CloseCode::Policy, "the client reads too slowly")
}

/// What a client is told whose frames break the protocol (RFC 6455 section 7.4.1).
fn broken(error: &WireError) -> End {
    match error {
        WireError::Capacity(CapacityError::MessageTooLong { .. }) => {
            metrics::refused("frame_size");
            End::Close(CloseCode::Size, "the message is too large")
        }
        WireError::Utf8(_) => End::Close(CloseCode::Invalid, "text must be UTF-8"),
        WireError::Protocol(_) => End::Close(CloseCode::Protocol, "the frame is not one"),
        _ => End::Gone,
    }
}

async fn say_goodbye(stream: &mut Stream, last: Vec<Frame>, farewell: CloseFrame) -> Result<(), WireError> {
    write(stream, last).await?;
    stream.close(Some(farewell)).await?;
    // Until the client has answered, closing the connection could take the message back.
    while let Some(message) = stream.next().await {
        message?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// What a socket does now and then has memory of its own while it lasts; what is here, every socket has all the time.
    #[test]
    fn a_socket_that_waits_takes_few_kilobytes() {
        let size = size_of_future(Socket::run);

        assert!(size <= 4096, "{size} bytes");
    }
}
