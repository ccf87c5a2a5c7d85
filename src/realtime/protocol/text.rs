//! Pure: JSON frames, objects of version 1.0.0 and arrays of version 2.0.0.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::encoded::UserBroadcast;
use super::{Event, Frame, Incoming, Malformed, ReplyTo, Status, Version};

/// A reference: text, though some clients number them.
#[derive(Default)]
struct Reference(Option<String>);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Number(i64),
        }
        let any = Option::<Any>::deserialize(from)?;
        Ok(Self(any.map(|any| match any {
            Any::Text(text) => text,
            Any::Number(number) => number.to_string(),
        })))
    }
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(default)]
    join_ref: Reference,
    #[serde(rename = "ref")]
    reference: Reference,
    topic: String,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Array<'a>(Reference, Reference, String, #[serde(borrow)] Cow<'a, str>, #[serde(borrow)] &'a RawValue);

pub(super) fn read_object(text: &str) -> Result<Incoming, Malformed> {
    let object: Object<'_> = serde_json::from_str(text).map_err(|_| Malformed)?;
    Ok(Incoming {
        join_ref: object.join_ref.0,
        reference: object.reference.0,
        topic: object.topic,
        event: event(&object.event, object.payload),
    })
}

pub(super) fn read_array(text: &str) -> Result<Incoming, Malformed> {
    let Array(join_ref, reference, topic, name, payload) =
        serde_json::from_str(text).map_err(|_| Malformed)?;
    Ok(Incoming { join_ref: join_ref.0, reference: reference.0, topic, event: event(&name, payload) })
}

pub(super) fn event(name: &str, payload: &RawValue) -> Event {
    match name {
        "phx_join" => Event::Join(payload.to_owned()),
        "phx_leave" => Event::Leave,
        "heartbeat" => Event::Heartbeat,
        "access_token" => Event::AccessToken(payload.to_owned()),
        "broadcast" => Event::Broadcast(UserBroadcast::from_payload(payload)),
        "presence" => Event::Presence(payload.to_owned()),
        _ => Event::Unknown,
    }
}

/// A JSON string with its quotes.
pub(in crate::realtime) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn optional(text: Option<&str>) -> Cow<'static, str> {
    text.map_or(Cow::Borrowed("null"), |text| Cow::Owned(quoted(text)))
}

/// Writes `phx_reply`. `response` is JSON.
pub(in crate::realtime) fn reply(version: Version, to: ReplyTo<'_>, status: Status, response: &str) -> Frame {
    let status = match status {
        Status::Ok => "ok",
        Status::Error => "error",
    };
    let payload = format!(r#"{{"status":"{status}","response":{response}}}"#);
    message(version, to, "phx_reply", &payload)
}

/// Writes a message of the server to one channel. `payload` is JSON.
pub(in crate::realtime) fn push(
    version: Version,
    topic: &str,
    join_ref: Option<&str>,
    event: &str,
    payload: &str,
) -> Frame {
    message(version, ReplyTo { topic, join_ref, reference: None }, event, payload)
}

fn message(version: Version, to: ReplyTo<'_>, event: &str, payload: &str) -> Frame {
    let (topic, event, reference) = (quoted(to.topic), quoted(event), optional(to.reference));
    let text = match version {
        Version::One => {
            format!(r#"{{"topic":{topic},"event":{event},"payload":{payload},"ref":{reference}}}"#)
        }
        Version::Two => format!("[{},{reference},{topic},{event},{payload}]", optional(to.join_ref)),
    };
    Frame::Text(text.into())
}
