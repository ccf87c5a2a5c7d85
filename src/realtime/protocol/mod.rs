//! Pure: the frames of both protocol versions, read and written (contract section 2; Phoenix Channels' serializers).
//!
//! Version 1.0.0 is JSON objects; 2.0.0 is JSON arrays, and binary frames for broadcasts. A message that goes to many sockets
//! is written once a version ([`Encoded`]), whoever reads it.

mod binary;
mod encoded;
mod text;

pub(super) use encoded::{BroadcastParts, Content, Encoded, UserBroadcast};
pub(super) use text::{push, quoted, reply};

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// The protocol that a socket speaks (`vsn` in its address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `1.0.0`
    One,
    /// `2.0.0`
    Two,
}

impl Version {
    /// The version that an address asks for: none is 1.0.0, and any of a known major one will do.
    pub(super) fn asked_for(vsn: Option<&str>) -> Option<Self> {
        let Some(text) = vsn.filter(|text| !text.is_empty()) else { return Some(Self::One) };
        let mut numbers = text.split('.');
        let major = numbers.next()?;
        let is_version = numbers.clone().count() <= 2 && numbers.all(|part| part.parse::<u16>().is_ok());
        match major {
            "1" if is_version => Some(Self::One),
            "2" if is_version => Some(Self::Two),
            _ => None,
        }
    }
}

/// What goes over the wire; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Frame {
    /// Its size in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// A message of a client.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Names the join of the channel that it belongs to.
    pub(super) join_ref: Option<String>,
    /// Comes back in the reply.
    pub(super) reference: Option<String>,
    /// The topic, with `realtime:` before the name; `phoenix` for the socket itself.
    pub(super) topic: String,
    /// What it wants.
    pub(super) event: Event,
}

/// What a client's message wants, by its event.
#[derive(Debug)]
pub(super) enum Event {
    /// `phx_join` with the join payload.
    Join(Box<RawValue>),
    /// `phx_leave`
    Leave,
    /// `heartbeat`
    Heartbeat,
    /// `access_token` with its payload.
    AccessToken(Box<RawValue>),
    /// `broadcast`; none where the payload is not one.
    Broadcast(Option<UserBroadcast>),
    /// `presence` with its payload.
    Presence(Box<RawValue>),
    /// Anything else.
    Unknown,
}

/// A frame that is no message: it is passed over, and the socket stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a client's frame.
pub(super) fn read(version: Version, frame: Frame) -> Result<Incoming, Malformed> {
    match (version, frame) {
        (Version::One, Frame::Text(text)) => text::read_object(&text),
        (Version::Two, Frame::Text(text)) => text::read_array(&text),
        (Version::Two, Frame::Binary(bytes)) => binary::read(&bytes),
        (Version::One, Frame::Binary(_)) => Err(Malformed),
    }
}

/// Whose reply it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyTo<'a> {
    /// The topic of the message.
    pub(super) topic: &'a str,
    /// Its join reference.
    pub(super) join_ref: Option<&'a str>,
    /// Its reference.
    pub(super) reference: Option<&'a str>,
}

/// Whether a message was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// `ok`
    Ok,
    /// `error`
    Error,
}

/// Writes the event `system` to one channel of a topic: how something about it stands. `more` is said beside the message.
pub(super) fn system(
    version: Version,
    (topic, join_ref): (&str, Option<&str>),
    (extension, status): (&str, Status),
    message: &str,
    more: &[(&str, Value)],
) -> Frame {
    let channel = topic.strip_prefix("realtime:").unwrap_or(topic);
    let status = match status {
        Status::Ok => "ok",
        Status::Error => "error",
    };
    let mut payload = json!({
        "extension": extension, "status": status, "message": message, "channel": channel,
    });
    for (name, value) in more {
        payload[*name] = value.clone();
    }
    push(version, topic, join_ref, "system", &payload.to_string())
}

#[cfg(test)]
mod tests;
