//! Pure: the messages between nodes, as bytes.
//!
//! The first byte is the version of the format; what is of another one, or not whole, is refused. Numbers are big-endian and
//! lengths stand before what they measure. Nodes of one project trust each other, as they share a database; what is read
//! is checked all the same, because a bus can be shared by mistake.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::kernel::bus::NodeId;
use crate::realtime::presence::{Payload, Presence};
use crate::realtime::protocol::{BroadcastParts, UserBroadcast};
use crate::realtime::request::Topic;

/// The version of the format.
const VERSION: u8 = 1;

/// Bits of a broadcast's, and of an entry's flags.
const PRIVATE: u8 = 1;
const JSON: u8 = 2;
const PRESENT: u8 = 2;

/// Kinds of messages about presence.
const CHANGE: u8 = 1;
const BEGIN: u8 = 2;
const PART: u8 = 3;
const END: u8 = 4;
const BEAT: u8 = 5;
const ASK: u8 = 6;

/// Most entries of one part.
pub(super) const MOST_ENTRIES: usize = 1_000;

/// A message that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A message about presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PresenceMessage {
    /// One of the numbered messages of a node: whoever has all of them knows all presences of the node.
    Numbered {
        /// One more than that of the one before; the first is 1.
        number: u64,
        /// What it says.
        news: News,
    },
    /// The number of the latest numbered message; 0 before the first.
    Beat(u64),
    /// Somebody asks a node for its presences.
    Ask {
        /// Who is asked.
        of: NodeId,
        /// The number up to which everything is known to who asks; 0 where nothing is.
        known: u64,
    },
}

/// What a numbered message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A channel's entry has changed.
    Change(Entry),
    /// From here on all entries of the node are told, between its changes.
    Begin,
    /// Some of the entries.
    Part(Vec<Entry>),
    /// All were told.
    End,
}

/// How it stands with a channel of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::realtime) struct Entry {
    /// The channel.
    pub(in crate::realtime) channel: u64,
    /// Its topic.
    pub(in crate::realtime) topic: Topic,
    /// What it says of itself; none where it is not present.
    pub(in crate::realtime) presence: Option<Arc<Presence>>,
}

impl Entry {
    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let presence = self.presence.as_ref().map_or(0, |presence| presence.amount().bytes + 24);
        self.topic.name().len() + presence + 10
    }

    fn write(&self, to: &mut BytesMut) {
        let is_present = if self.presence.is_some() { PRESENT } else { 0 };
        to.put_u64(self.channel);
        write_topic(&self.topic, is_present, to);
        if let Some(presence) = &self.presence {
            to.put_u64(presence.reference.get());
            to.put_u64(presence.previous.map_or(0, NonZeroU64::get));
            write_short(&presence.key, to);
            let payload = presence.payload.as_str();
            to.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
            to.put_slice(payload.as_bytes());
        }
    }

    fn read(from: &mut Bytes) -> Result<Self, Malformed> {
        let channel = number(from)?;
        let (topic, flags) = read_topic(from, PRESENT)?;
        if flags & PRESENT == 0 {
            return Ok(Self { channel, topic, presence: None });
        }
        let reference = NonZeroU64::new(number(from)?).ok_or(Malformed)?;
        let previous = NonZeroU64::new(number(from)?);
        let key = read_short(from)?.into();
        let length = from.try_get_u32().map_err(|_| Malformed)?;
        let payload = text(from, usize::try_from(length).map_err(|_| Malformed)?)?;
        let payload = Payload::parse(&payload).ok_or(Malformed)?;
        Ok(Self { channel, topic, presence: Some(Arc::new(Presence { key, payload, reference, previous })) })
    }
}

impl PresenceMessage {
    /// As bytes.
    pub(super) fn encode(&self) -> Bytes {
        let mut to = BytesMut::new();
        to.put_u8(VERSION);
        match self {
            Self::Numbered { number, news } => {
                to.put_u8(match news {
                    News::Change(_) => CHANGE,
                    News::Begin => BEGIN,
                    News::Part(_) => PART,
                    News::End => END,
                });
                to.put_u64(*number);
                match news {
                    News::Change(entry) => entry.write(&mut to),
                    News::Part(entries) => entries.iter().for_each(|entry| entry.write(&mut to)),
                    News::Begin | News::End => {}
                }
            }
            Self::Beat(number) => {
                to.put_u8(BEAT);
                to.put_u64(*number);
            }
            Self::Ask { of, known } => {
                to.put_u8(ASK);
                to.put_u64(of.get());
                to.put_u64(*known);
            }
        }
        to.freeze()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(super) fn decode(mut from: Bytes) -> Result<Self, Malformed> {
        version(&mut from)?;
        let kind = byte(&mut from)?;
        let first = number(&mut from)?;
        let message = match kind {
            BEAT => Self::Beat(first),
            ASK => {
                let of = NodeId::new(first).ok_or(Malformed)?;
                Self::Ask { of, known: number(&mut from)? }
            }
            _ if first == 0 => return Err(Malformed),
            _ => Self::Numbered { number: first, news: News::read(kind, &mut from)? },
        };
        if from.is_empty() { Ok(message) } else { Err(Malformed) }
    }
}

impl News {
    fn read(kind: u8, from: &mut Bytes) -> Result<Self, Malformed> {
        match kind {
            CHANGE => Ok(Self::Change(Entry::read(from)?)),
            BEGIN => Ok(Self::Begin),
            END => Ok(Self::End),
            PART => {
                let mut entries = Vec::new();
                while !from.is_empty() {
                    let entry = Entry::read(from)?;
                    if entry.presence.is_none() || entries.len() == MOST_ENTRIES {
                        return Err(Malformed);
                    }
                    entries.push(entry);
                }
                Ok(Self::Part(entries))
            }
            _ => Err(Malformed),
        }
    }
}

/// A broadcast on its way, of which only the topic was looked at.
#[derive(Debug)]
pub(super) struct Sent {
    /// Where it is for.
    pub(super) topic: Topic,
    is_json: bool,
    rest: Bytes,
}

/// Writes a broadcast on a topic; none where a part is longer than its length can say, which no client can send.
pub(super) fn encode_broadcast(topic: &Topic, broadcast: &UserBroadcast) -> Option<Bytes> {
    let parts = broadcast.parts();
    let (event, metadata) =
        (u16::try_from(parts.event.len()).ok()?, u16::try_from(parts.metadata.len()).ok()?);
    let mut to = BytesMut::with_capacity(
        topic.name().len() + parts.event.len() + parts.metadata.len() + parts.payload.len() + 7,
    );
    to.put_u8(VERSION);
    write_topic(topic, if parts.is_json { JSON } else { 0 }, &mut to);
    to.put_u16(event);
    to.put_u16(metadata);
    for part in [parts.event.as_bytes(), parts.metadata.as_bytes(), parts.payload] {
        to.put_slice(part);
    }
    Some(to.freeze())
}

impl Sent {
    /// Reads the topic of a broadcast.
    pub(super) fn read(mut from: Bytes) -> Result<Self, Malformed> {
        version(&mut from)?;
        let (topic, flags) = read_topic(&mut from, JSON)?;
        Ok(Self { topic, is_json: flags & JSON != 0, rest: from })
    }

    /// Reads the rest.
    pub(super) fn open(self) -> Result<UserBroadcast, Malformed> {
        let mut from = self.rest;
        let event_length = usize::from(from.try_get_u16().map_err(|_| Malformed)?);
        let metadata_length = usize::from(from.try_get_u16().map_err(|_| Malformed)?);
        let event = text(&mut from, event_length)?;
        let metadata = text(&mut from, metadata_length)?;
        let parts =
            BroadcastParts { event: &event, metadata: &metadata, is_json: self.is_json, payload: &from };
        UserBroadcast::from_parts(parts).ok_or(Malformed)
    }
}

fn version(from: &mut Bytes) -> Result<(), Malformed> {
    if byte(from)? == VERSION { Ok(()) } else { Err(Malformed) }
}

fn byte(from: &mut Bytes) -> Result<u8, Malformed> {
    from.try_get_u8().map_err(|_| Malformed)
}

fn number(from: &mut Bytes) -> Result<u64, Malformed> {
    from.try_get_u64().map_err(|_| Malformed)
}

fn text(from: &mut Bytes, length: usize) -> Result<String, Malformed> {
    if from.len() < length {
        return Err(Malformed);
    }
    String::from_utf8(from.split_to(length).into()).map_err(|_| Malformed)
}

/// A text of at most 255 bytes.
fn write_short(text: &str, to: &mut BytesMut) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    to.put_u8(length);
    to.put_slice(&text.as_bytes()[..usize::from(length)]);
}

fn read_short(from: &mut Bytes) -> Result<String, Malformed> {
    let length = usize::from(byte(from)?);
    text(from, length)
}

fn write_topic(topic: &Topic, flags: u8, to: &mut BytesMut) {
    to.put_u8(flags | if topic.is_private() { PRIVATE } else { 0 });
    write_short(topic.name(), to);
}

/// A topic and the flags before it, of which `known` may be set.
fn read_topic(from: &mut Bytes, known: u8) -> Result<(Topic, u8), Malformed> {
    let flags = byte(from)?;
    if flags & !(known | PRIVATE) != 0 {
        return Err(Malformed);
    }
    let name = read_short(from)?;
    let topic = Topic::named(&name, flags & PRIVATE != 0).map_err(|_| Malformed)?;
    Ok((topic, flags))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn topics() -> impl Strategy<Value = Topic> {
        ("[a-zäß:* ]{1,40}", any::<bool>())
            .prop_map(|(name, is_private)| Topic::named(&name, is_private).unwrap())
    }

    fn presences() -> impl Strategy<Value = Arc<Presence>> {
        let payload = prop::collection::btree_map("[a-zé\"]{0,8}", "\\PC{0,20}", 0..4);
        ("\\PC{0,20}", payload, 1..=u64::MAX, any::<u64>()).prop_map(|(key, payload, reference, previous)| {
            let object = payload.into_iter().map(|(name, value)| (name, value.into())).collect();
            Arc::new(Presence {
                key: key.into(),
                payload: Payload::of(&object),
                reference: NonZeroU64::new(reference).unwrap(),
                previous: NonZeroU64::new(previous),
            })
        })
    }

    fn entries() -> impl Strategy<Value = Entry> {
        (any::<u64>(), topics(), presences()).prop_map(|(channel, topic, presence)| Entry {
            channel,
            topic,
            presence: Some(presence),
        })
    }

    fn messages() -> impl Strategy<Value = PresenceMessage> {
        let news = prop_oneof![
            (entries(), any::<bool>()).prop_map(|(mut entry, is_present)| {
                entry.presence = entry.presence.filter(|_| is_present);
                News::Change(entry)
            }),
            prop::collection::vec(entries(), 0..5).prop_map(News::Part),
            Just(News::Begin),
            Just(News::End),
        ];
        prop_oneof![
            (1..=u64::MAX, news).prop_map(|(number, news)| PresenceMessage::Numbered { number, news }),
            any::<u64>().prop_map(PresenceMessage::Beat),
            (1..=u64::MAX, any::<u64>())
                .prop_map(|(of, known)| PresenceMessage::Ask { of: NodeId::new(of).unwrap(), known }),
        ]
    }

    fn broadcasts() -> impl Strategy<Value = UserBroadcast> {
        let id = prop::option::of(any::<u128>().prop_map(Uuid::from_u128));
        ("\\PC{0,60}", prop::collection::vec(any::<u8>(), 0..200), any::<bool>(), id).prop_map(
            |(event, payload, is_json, id)| {
                let payload = if is_json { serde_json::to_vec(&payload).unwrap() } else { payload };
                let broadcast = if is_json {
                    UserBroadcast::json(event, payload.into())
                } else {
                    UserBroadcast::bytes(event, payload.into())
                };
                let broadcast = broadcast.unwrap();
                match id {
                    Some(id) => broadcast.with_id(id, false),
                    None => broadcast,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(message in messages()) {
            prop_assert_eq!(PresenceMessage::decode(message.encode()), Ok(message));
        }

        #[test]
        fn a_message_that_is_cut_or_longer_is_refused_unless_it_is_a_part(message in messages(), at in any::<prop::sample::Index>()) {
            let bytes = message.encode();
            let cut = PresenceMessage::decode(bytes.slice(..at.index(bytes.len())));
            // The entries of a part stand one behind the other.
            let is_part = matches!(message, PresenceMessage::Numbered { news: News::Part(_), .. });
            prop_assert!(cut.is_err() || is_part);
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            prop_assert!(PresenceMessage::decode(longer).is_err());
        }

        #[test]
        fn broadcasts_cross_as_they_are(topic in topics(), broadcast in broadcasts()) {
            let sent = Sent::read(encode_broadcast(&topic, &broadcast).unwrap()).unwrap();
            prop_assert_eq!(&sent.topic, &topic);
            prop_assert_eq!(sent.open(), Ok(broadcast));
        }

        #[test]
        fn anything_may_come(garbage in prop::collection::vec(any::<u8>(), 0..100), is_ours in any::<bool>()) {
            let mut garbage = garbage;
            if is_ours && !garbage.is_empty() {
                garbage[0] = VERSION;
            }
            let garbage = Bytes::from(garbage);
            let _ = PresenceMessage::decode(garbage.clone());
            let _ = Sent::read(garbage).map(Sent::open);
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = PresenceMessage::Beat(7).encode().to_vec();
        bytes[0] = 2;
        assert_eq!(PresenceMessage::decode(bytes.into()), Err(Malformed));
    }

    #[test]
    fn a_broadcast_whose_payload_is_not_what_it_says_is_refused() {
        let topic = Topic::named("room", false).unwrap();
        let broadcast = UserBroadcast::bytes("e".to_owned(), Bytes::from_static(b"no json")).unwrap();
        let mut bytes = encode_broadcast(&topic, &broadcast).unwrap().to_vec();
        bytes[1] |= JSON;
        assert_eq!(Sent::read(bytes.into()).unwrap().open(), Err(Malformed));
    }
}
