//! What travels: who sends, what it is, and the number by which a receiver notices what it missed. Pure.
//!
//! A byte of the version, a byte of the kind, eight bytes of the node. Then a message has its number (eight bytes) and its
//! payload; `hello`, `here` and `beat` have the numbers of the last message of every subject (eight bytes each).

use bytes::{Buf, BufMut, Bytes};

use super::{MAX_PAYLOAD, NodeId, Subject};

const VERSION: u8 = 1;

/// How much longer a frame is than its payload, at most.
pub(super) const OVERHEAD: usize = 10 + SUBJECTS * 8;

/// How many subjects there are.
pub(super) const SUBJECTS: usize = Subject::ALL.len();

/// The numbers of the last message of every subject, 0 for none.
pub(super) type Sent = [u64; SUBJECTS];

const HELLO: u8 = 0x10;
const HERE: u8 = 0x11;
const BEAT: u8 = 0x12;
const BYE: u8 = 0x13;

/// What a node says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// A message of a service. Numbers of a subject begin with 1.
    Message { subject: Subject, number: u64, payload: Bytes },
    /// It has come, or come back: everybody answers with `Here`.
    Hello(Sent),
    /// It is there.
    Here(Sent),
    /// It is still there.
    Beat(Sent),
    /// It stops.
    Bye,
}

impl Said {
    /// About how much it weighs in a queue.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Message { payload, .. } => OVERHEAD + payload.len(),
            _ => OVERHEAD,
        }
    }
}

/// Writes a frame at the end of a buffer.
pub(super) fn encode(from: NodeId, said: &Said, into: &mut Vec<u8>) {
    into.put_u8(VERSION);
    into.put_u8(kind(said));
    into.put_u64(from.get());
    match said {
        Said::Message { number, payload, .. } => {
            into.put_u64(*number);
            into.put_slice(payload);
        }
        Said::Hello(sent) | Said::Here(sent) | Said::Beat(sent) => {
            for number in sent {
                into.put_u64(*number);
            }
        }
        Said::Bye => {}
    }
}

/// Reads a frame; none for anything else.
pub(super) fn decode(mut bytes: Bytes) -> Option<(NodeId, Said)> {
    if bytes.len() < 10 || bytes.len() > MAX_PAYLOAD + OVERHEAD || bytes.get_u8() != VERSION {
        return None;
    }
    let kind = bytes.get_u8();
    let from = NodeId::new(bytes.get_u64())?;
    let said = match kind {
        HELLO => Said::Hello(sent(bytes)?),
        HERE => Said::Here(sent(bytes)?),
        BEAT => Said::Beat(sent(bytes)?),
        BYE => bytes.is_empty().then_some(Said::Bye)?,
        place => {
            let subject = *Subject::ALL.get(usize::from(place))?;
            let number = bytes.try_get_u64().ok().filter(|number| *number > 0)?;
            Said::Message { subject, number, payload: bytes }
        }
    };
    Some((from, said))
}

fn kind(said: &Said) -> u8 {
    match said {
        Said::Message { subject, .. } => u8::try_from(subject.place()).unwrap_or(u8::MAX),
        Said::Hello(_) => HELLO,
        Said::Here(_) => HERE,
        Said::Beat(_) => BEAT,
        Said::Bye => BYE,
    }
}

fn sent(mut bytes: Bytes) -> Option<Sent> {
    let mut sent = Sent::default();
    for number in &mut sent {
        *number = bytes.try_get_u64().ok()?;
    }
    bytes.is_empty().then_some(sent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said() -> impl Strategy<Value = Said> {
        let message = (0..SUBJECTS, 1_u64.., proptest::collection::vec(any::<u8>(), 0..100)).prop_map(
            |(subject, number, payload)| Said::Message {
                subject: Subject::ALL[subject],
                number,
                payload: payload.into(),
            },
        );
        prop_oneof![
            message,
            any::<Sent>().prop_map(Said::Hello),
            any::<Sent>().prop_map(Said::Here),
            any::<Sent>().prop_map(Said::Beat),
            Just(Said::Bye),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(said in said(), node in 1_u64..) {
            let node = NodeId::new(node).unwrap();
            let mut bytes = Vec::new();
            encode(node, &said, &mut bytes);
            prop_assert!(bytes.len() <= said.bytes());
            prop_assert_eq!(decode(bytes.into()), Some((node, said)));
        }

        #[test]
        fn anything_else_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some((node, said)) = decode(bytes.clone().into()) {
                let mut again = Vec::new();
                encode(node, &said, &mut again);
                prop_assert_eq!(bytes, again);
            }
        }
    }

    #[test]
    fn other_versions_and_nodes_without_a_name_are_refused() {
        let mut bytes = Vec::new();
        encode(NodeId::new(1).unwrap(), &Said::Bye, &mut bytes);
        assert!(decode(bytes.clone().into()).is_some());
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(decode(newer.into()), None);
        let mut nobody = bytes.clone();
        nobody[9] = 0;
        assert_eq!(decode(nobody.into()), None);
        bytes.push(0);
        assert_eq!(decode(bytes.into()), None);
    }
}
