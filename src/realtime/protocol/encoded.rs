//! Pure: a message for many sockets, written at most once a version, and the broadcasts of users.

use std::sync::OnceLock;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::binary::{self, Payload};
use super::text::{self, quoted};
use super::{Frame, Version};

/// The longest name of an event, in bytes: JSON frames have room for any, binary ones for what one byte can count.
const LONGEST_EVENT: usize = 1024;
const LONGEST_BINARY_EVENT: usize = 255;
/// What metadata says of messages that the database holds: nobody else may.
const RESERVED: [&str; 2] = ["id", "replayed"];

/// What a user sends to everybody on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::realtime) struct UserBroadcast {
    event: String,
    /// A JSON object, or empty.
    metadata: String,
    /// What it is known by where it may be stored.
    id: Option<Uuid>,
    content: Content,
}

/// The payload of a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::realtime) enum Content {
    /// JSON text.
    Json(String),
    /// Anything, for clients of protocol 2.0.0.
    Bytes(Bytes),
}

/// What a broadcast consists of.
#[derive(Clone, Copy, Debug)]
pub(in crate::realtime) struct BroadcastParts<'a> {
    /// The event that its sender named.
    pub(in crate::realtime) event: &'a str,
    /// A JSON object, or empty.
    pub(in crate::realtime) metadata: &'a str,
    /// Whether the payload is JSON.
    pub(in crate::realtime) is_json: bool,
    /// The payload.
    pub(in crate::realtime) payload: &'a [u8],
}

impl UserBroadcast {
    /// One whose payload is JSON text; none if it is not, or the event's name is too long.
    pub(in crate::realtime) fn json(event: String, payload: Bytes) -> Option<Self> {
        // An empty payload is what clients send for none.
        let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
        serde_json::from_slice::<&RawValue>(&payload).ok()?;
        let text = String::from_utf8(payload.into()).ok()?;
        Self::new(event, Content::Json(text))
    }

    /// One whose payload is bytes; none if the event's name is too long for the only frames that have room for them.
    pub(in crate::realtime) fn bytes(event: String, payload: Bytes) -> Option<Self> {
        Self::new(event, Content::Bytes(payload))
    }

    fn new(event: String, content: Content) -> Option<Self> {
        let longest = match content {
            Content::Json(_) => LONGEST_EVENT,
            Content::Bytes(_) => LONGEST_BINARY_EVENT,
        };
        (event.len() <= longest).then(|| Self { event, metadata: String::new(), id: None, content })
    }

    /// Reads the payload of the event `broadcast`: `{"type":"broadcast","event","payload"}`.
    pub(super) fn from_payload(payload: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Shape {
            event: String,
            #[serde(default)]
            payload: Option<Box<RawValue>>,
        }
        let shape: Shape = serde_json::from_str(payload.get()).ok()?;
        let content =
            shape.payload.map_or_else(|| "{}".to_owned(), |payload| String::from(Box::<str>::from(payload)));
        Self::new(shape.event, Content::Json(content))
    }

    /// Keeps what a client says about its message, but for what only the server says.
    pub(super) fn with_client_metadata(mut self, metadata: &str) -> Self {
        let object: Option<Map<String, Value>> = serde_json::from_str(metadata).ok();
        if let Some(mut object) = object {
            object.retain(|name, _| !RESERVED.contains(&name.as_str()));
            if !object.is_empty() {
                self.metadata = Value::Object(object).to_string();
            }
        }
        self
    }

    /// Says which stored message it is, and whether it is sent again.
    #[must_use]
    pub(in crate::realtime) fn with_id(mut self, id: Uuid, replayed: bool) -> Self {
        let again = if replayed { r#","replayed":true"# } else { "" };
        self.metadata = format!(r#"{{"id":"{id}"{again}}}"#);
        self.id = Some(id);
        self
    }

    /// What it consists of, for another node.
    pub(in crate::realtime) fn parts(&self) -> BroadcastParts<'_> {
        let (is_json, payload) = match &self.content {
            Content::Json(text) => (true, text.as_bytes()),
            Content::Bytes(bytes) => (false, &**bytes),
        };
        BroadcastParts { event: &self.event, metadata: &self.metadata, is_json, payload }
    }

    /// The broadcast of another node; none where it is not one.
    pub(in crate::realtime) fn from_parts(parts: BroadcastParts<'_>) -> Option<Self> {
        let (event, payload) = (parts.event.to_owned(), Bytes::copy_from_slice(parts.payload));
        let broadcast =
            if parts.is_json { Self::json(event, payload)? } else { Self::bytes(event, payload)? };
        if parts.metadata.is_empty() {
            return Some(broadcast);
        }
        let metadata: Map<String, Value> = serde_json::from_str(parts.metadata).ok()?;
        let id = metadata.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
        Some(Self { metadata: parts.metadata.to_owned(), id, ..broadcast })
    }

    /// What it is known by where it may be stored.
    pub(in crate::realtime) fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// The event's name.
    pub(in crate::realtime) fn event(&self) -> &str {
        &self.event
    }

    /// The payload.
    pub(in crate::realtime) fn content(&self) -> &Content {
        &self.content
    }

    /// The size that limits speak of: of event and payload.
    pub(in crate::realtime) fn size(&self) -> usize {
        self.event.len()
            + match &self.content {
                Content::Json(text) => text.len(),
                Content::Bytes(bytes) => bytes.len(),
            }
    }

    /// The payload of `broadcast` as JSON; none where it is bytes.
    fn as_json(&self) -> Option<String> {
        let Content::Json(payload) = &self.content else { return None };
        let event = quoted(&self.event);
        let meta =
            if self.metadata.is_empty() { String::new() } else { format!(r#","meta":{}"#, self.metadata) };
        Some(format!(r#"{{"type":"broadcast","event":{event},"payload":{payload}{meta}}}"#))
    }

    fn frame(&self, version: Version, topic: &str) -> Option<Frame> {
        if version == Version::Two {
            let payload = match &self.content {
                Content::Json(text) => Payload::Json(text),
                Content::Bytes(bytes) => Payload::Bytes(bytes),
            };
            if let Some(frame) = binary::user_broadcast(topic, &self.event, &self.metadata, &payload) {
                return Some(Frame::Binary(frame));
            }
        }
        Some(text::push(version, topic, None, "broadcast", &self.as_json()?))
    }
}

/// A message for all sockets on a topic.
#[derive(Debug)]
pub(in crate::realtime) struct Encoded {
    topic: String,
    message: Message,
    /// By version; none where the version has no way to say it.
    frames: [OnceLock<Option<Frame>>; 2],
}

#[derive(Debug)]
enum Message {
    Broadcast(UserBroadcast),
    Event { event: &'static str, payload: String },
}

impl Encoded {
    /// A broadcast on a topic (with `realtime:`).
    pub(in crate::realtime) fn broadcast(topic: String, broadcast: UserBroadcast) -> Self {
        Self { topic, message: Message::Broadcast(broadcast), frames: Default::default() }
    }

    /// Another event of the server. `payload` is JSON.
    pub(in crate::realtime) fn event(topic: String, event: &'static str, payload: String) -> Self {
        Self { topic, message: Message::Event { event, payload }, frames: Default::default() }
    }

    /// What the message is known by where it may be stored.
    pub(in crate::realtime) fn id(&self) -> Option<Uuid> {
        match &self.message {
            Message::Broadcast(broadcast) => broadcast.id,
            Message::Event { .. } => None,
        }
    }

    /// The frame for sockets of a version; none where it cannot be said to them (bytes under 1.0.0).
    pub(in crate::realtime) fn frame(&self, version: Version) -> Option<Frame> {
        let place = match version {
            Version::One => 0,
            Version::Two => 1,
        };
        self.frames[place]
            .get_or_init(|| match &self.message {
                Message::Broadcast(broadcast) => broadcast.frame(version, &self.topic),
                Message::Event { event, payload } => {
                    Some(text::push(version, &self.topic, None, event, payload))
                }
            })
            .clone()
    }
}
