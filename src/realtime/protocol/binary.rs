//! Pure: binary frames of version 2.0.0. Every length is one byte, so every string has at most 255 bytes.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use super::encoded::UserBroadcast;
use super::{Event, Incoming, Malformed, text};

/// Kind 0: a message with data.
const PUSH: u8 = 0;
/// Kind 3: a broadcast of a client.
const USER_BROADCAST_PUSH: u8 = 3;
/// Kind 4: a broadcast for clients.
const USER_BROADCAST: u8 = 4;
/// The encoding of a payload that is JSON; 0 is bytes.
const JSON: u8 = 1;

/// The rest of a frame that is read from the front.
struct Reader<'a> {
    rest: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.rest.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        self.byte().map(usize::from)
    }

    fn text(&mut self, length: usize) -> Result<String, Malformed> {
        let bytes = self.rest.get(self.at..self.at + length).ok_or(Malformed)?;
        self.at += length;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed)
    }

    /// A reference; empty is none.
    fn reference(&mut self, length: usize) -> Result<Option<String>, Malformed> {
        Ok(Some(self.text(length)?).filter(|text| !text.is_empty()))
    }

    fn remainder(&self) -> Bytes {
        self.rest.slice(self.at..)
    }
}

/// Reads a client's binary frame: kinds 0 and 3.
pub(super) fn read(frame: &Bytes) -> Result<Incoming, Malformed> {
    let mut reader = Reader { rest: frame, at: 0 };
    match reader.byte()? {
        PUSH => read_push(reader),
        USER_BROADCAST_PUSH => read_broadcast(reader),
        _ => Err(Malformed),
    }
}

fn read_push(mut reader: Reader<'_>) -> Result<Incoming, Malformed> {
    let (join_length, ref_length) = (reader.length()?, reader.length()?);
    let (topic_length, event_length) = (reader.length()?, reader.length()?);
    let join_ref = reader.reference(join_length)?;
    let reference = reader.reference(ref_length)?;
    let topic = reader.text(topic_length)?;
    let name = reader.text(event_length)?;
    // The events that we know have JSON payloads; another payload is of an event that nobody knows.
    let data = reader.remainder();
    let payload: Option<&RawValue> = serde_json::from_slice(&data).ok();
    let event = payload.map_or(Event::Unknown, |payload| text::event(&name, payload));
    Ok(Incoming { join_ref, reference, topic, event })
}

fn read_broadcast(mut reader: Reader<'_>) -> Result<Incoming, Malformed> {
    let (join_length, ref_length) = (reader.length()?, reader.length()?);
    let (topic_length, event_length) = (reader.length()?, reader.length()?);
    let metadata_length = reader.length()?;
    let encoding = reader.byte()?;
    let join_ref = reader.reference(join_length)?;
    let reference = reader.reference(ref_length)?;
    let topic = reader.text(topic_length)?;
    let event = reader.text(event_length)?;
    let metadata = reader.text(metadata_length)?;
    let payload = reader.remainder();
    let broadcast = match encoding {
        JSON => UserBroadcast::json(event, payload).ok_or(Malformed)?,
        0 => UserBroadcast::bytes(event, payload).ok_or(Malformed)?,
        _ => return Err(Malformed),
    };
    let broadcast = broadcast.with_client_metadata(&metadata);
    Ok(Incoming { join_ref, reference, topic, event: Event::Broadcast(Some(broadcast)) })
}

/// Writes kind 4; none where a part is longer than its length can say.
pub(super) fn user_broadcast(
    topic: &str,
    event: &str,
    metadata: &str,
    payload: &Payload<'_>,
) -> Option<Bytes> {
    let lengths = [topic, event, metadata].map(|part| u8::try_from(part.len()));
    let [Ok(topic_length), Ok(event_length), Ok(metadata_length)] = lengths else { return None };
    let (encoding, data) = match payload {
        Payload::Json(text) => (JSON, text.as_bytes()),
        Payload::Bytes(bytes) => (0, bytes.as_ref()),
    };
    let mut frame = BytesMut::with_capacity(5 + topic.len() + event.len() + metadata.len() + data.len());
    frame.put_slice(&[USER_BROADCAST, topic_length, event_length, metadata_length, encoding]);
    for part in [topic.as_bytes(), event.as_bytes(), metadata.as_bytes(), data] {
        frame.put_slice(part);
    }
    Some(frame.freeze())
}

/// The payload of a broadcast as it is written.
pub(super) enum Payload<'a> {
    /// JSON.
    Json(&'a str),
    /// Bytes.
    Bytes(&'a Bytes),
}
