//! What travels through a database or a Redis is sealed: whoever may use those can neither read what nodes tell each other
//! nor speak for a node, and a frame counts once, within a minute, on the channel it was made for.
//!
//! A byte of the version, four of the key's id, twelve by which the frame's own key derives, twelve of the nonce; then,
//! encrypted (AES-256-GCM, with the channel as associated data), eight of the time and the frame, and the tag. Every frame
//! has a key of its own because one key would be safe for 2^32 random nonces only (NIST SP 800-38D section 8.3), which
//! busy nodes use up in days.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{MAX_PAYLOAD, NodeId, frame};
use crate::kernel::clock::Clock;
use crate::kernel::random::Random;
use crate::kernel::vault::RootSecrets;

/// The label of the keys. It belongs to this form of frames.
const PURPOSE: &str = "bus frames";

/// Not that of a bare frame.
const VERSION: u8 = 2;

const ID: usize = 4;
const SALT: usize = 12;
const HEAD: usize = 1 + ID + SALT + NONCE_LEN;
const STAMP: usize = 8;
const TAG: usize = 16;

/// How much longer a sealed frame is.
const OVERHEAD: usize = HEAD + STAMP + TAG;

/// How far a frame's time may be from ours, in microseconds: transport, and clocks that differ.
const WINDOW: u64 = 60_000_000;

/// Seals frames under a key that derives from the root secret in force, and opens those of every listed one.
pub struct Seal {
    current: Key,
    previous: Vec<Key>,
    clock: Clock,
    random: Random,
    stamps: Mutex<Stamps>,
    has_warned: AtomicBool,
}

struct Key {
    id: [u8; ID],
    key: hmac::Key,
}

/// The times of frames, in microseconds since the Unix epoch, each later than the one before of the same node.
#[derive(Default)]
struct Stamps {
    last: i64,
    /// The last of every node of the last minute. Only who has the key gets in.
    heard: BTreeMap<NodeId, i64>,
}

/// What was sealed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// To be shown to [`Seal::is_new`].
    pub(super) stamp: i64,
    pub(super) frame: Bytes,
}

impl Seal {
    /// For nodes that have these secrets, and clocks less than a minute apart.
    pub fn new(roots: &RootSecrets, clock: Clock, random: Random) -> Self {
        let keys = roots.mac_keys(PURPOSE);
        Self {
            current: Key::new(keys.current()),
            previous: keys.all().skip(1).map(Key::new).collect(),
            clock,
            random,
            stamps: Mutex::default(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Seals a frame for a channel, to be sent after those that were sealed before. None where the cipher refuses, which
    /// it does for more than 64 GiB only.
    pub(super) fn seal(&self, channel: &str, frame: &[u8]) -> Option<Vec<u8>> {
        let (salt, nonce) = (self.random.bytes::<SALT>(), self.random.bytes::<NONCE_LEN>());
        let mut sealed = Vec::with_capacity(OVERHEAD + frame.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.current.id);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&self.stamp().to_be_bytes());
        sealed.extend_from_slice(frame);
        let key = self.current.of_frame(&salt)?;
        let (nonce, context) = (Nonce::assume_unique_for_key(nonce), Aad::from(channel.as_bytes()));
        let tag = key.seal_in_place_separate_tag(nonce, context, &mut sealed[HEAD..]).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// Opens a frame that came by a channel; none where it was not sealed for that, or under no secret of ours.
    pub(super) fn open(&self, channel: &str, bytes: Bytes) -> Option<Opened> {
        let opened = self.try_open(channel, bytes);
        if opened.is_none() {
            self.warn("it was not sealed under a root secret of ours (auth.root_secret or auth.jwt_secret)");
        }
        opened
    }

    fn try_open(&self, channel: &str, bytes: Bytes) -> Option<Opened> {
        if bytes.len() < OVERHEAD || bytes.len() > MAX_PAYLOAD + frame::OVERHEAD + OVERHEAD {
            return None;
        }
        let mut bytes = Vec::from(bytes);
        let (head, body) = bytes.split_first_chunk_mut::<HEAD>()?;
        let (version, rest) = head.split_first()?;
        let (id, rest) = rest.split_first_chunk::<ID>()?;
        let (salt, nonce) = rest.split_first_chunk::<SALT>()?;
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        let key = keys.find(|key| *version == VERSION && key.id == *id)?.of_frame(salt)?;
        let nonce = Nonce::assume_unique_for_key(nonce.try_into().ok()?);
        let opened = key.open_in_place(nonce, Aad::from(channel.as_bytes()), body).ok()?;
        let stamp = i64::from_be_bytes(*opened.first_chunk()?);
        let end = HEAD + opened.len();
        Some(Opened { stamp, frame: Bytes::from(bytes).slice(HEAD + STAMP..end) })
    }

    /// Whether a node's frame is of now, and none of before once more: what was recorded brings nobody back.
    pub(super) fn is_new(&self, from: NodeId, stamp: i64) -> bool {
        let now = self.now();
        let is_near = |stamp: i64| stamp.abs_diff(now) <= WINDOW;
        if !is_near(stamp) {
            self.warn("it was made more than a minute before or after the time of our clock");
            return false;
        }
        let heard = &mut self.stamps.lock().unwrap_or_else(PoisonError::into_inner).heard;
        if let Some(last) = heard.get_mut(&from) {
            let is_later = stamp > *last;
            *last = stamp.max(*last);
            return is_later;
        }
        // Frames older than these are refused by their time.
        heard.retain(|_, last| is_near(*last));
        heard.insert(from, stamp);
        true
    }

    /// The time, and later than before. A clock that was far ahead and was put right is followed.
    fn stamp(&self) -> i64 {
        let now = self.now();
        let last = &mut self.stamps.lock().unwrap_or_else(PoisonError::into_inner).last;
        *last = if last.abs_diff(now) > WINDOW { now } else { now.max(*last + 1) };
        *last
    }

    fn now(&self) -> i64 {
        self.clock.unix_millis().saturating_mul(1_000)
    }

    /// Says so once: all are counted.
    fn warn(&self, why: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("a message of another node, or of a forger, was refused: {why}");
        }
    }
}

impl Key {
    fn new(key: &hmac::Key) -> Self {
        let mut id = [0; ID];
        id.copy_from_slice(&hmac::sign(key, b"key id").as_ref()[..ID]);
        Self { id, key: key.clone() }
    }

    /// The key of one frame.
    fn of_frame(&self, salt: &[u8; SALT]) -> Option<LessSafeKey> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"frame key");
        context.update(salt);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(context.sign().as_ref());
        UnboundKey::new(&AES_256_GCM, &*key).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::kernel::secret::Secret;

    const START: i64 = 1_800_000_000;

    fn seal_at(current: &str, previous: &[&str], clock: &Clock) -> Seal {
        let previous: Vec<_> = previous.iter().map(|text| Secret::new(*text)).collect();
        let roots = RootSecrets::new(&Secret::new(current), &previous);
        Seal::new(&roots, clock.clone(), Random::system())
    }

    fn seal(current: &str, previous: &[&str]) -> Seal {
        seal_at(current, previous, &Clock::manual(START))
    }

    fn opens(seal: &Seal, channel: &str, sealed: &[u8]) -> bool {
        seal.open(channel, Bytes::copy_from_slice(sealed)).is_some_and(|opened| opened.frame == "a frame")
    }

    fn node() -> NodeId {
        NodeId::new(1).unwrap()
    }

    #[test]
    fn a_frame_opens_on_its_channel_alone_and_shows_nothing() {
        let (one, two) = (seal("root", &[]), seal("root", &[]));
        let sealed = one.seal("broadcast", b"a frame").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"a frame"));
        assert_eq!(sealed.len(), 7 + OVERHEAD);
        assert!(opens(&two, "broadcast", &sealed));
        for other in ["presence", "", "broadcast2"] {
            assert!(!opens(&two, other, &sealed), "{other}");
        }
        assert_ne!(one.seal("broadcast", b"a frame").unwrap()[HEAD..], sealed[HEAD..]);
    }

    #[test]
    fn nodes_on_both_sides_of_a_rotation_hear_each_other() {
        let (before, after) = (seal("old", &["new"]), seal("new", &["older", "old"]));
        assert!(opens(&after, "c", &before.seal("c", b"a frame").unwrap()));
        assert!(opens(&before, "c", &after.seal("c", b"a frame").unwrap()));
        assert!(!opens(&seal("old", &[]), "c", &after.seal("c", b"a frame").unwrap()));
    }

    #[test]
    fn what_another_project_sealed_is_refused_even_under_our_keys_name() {
        let ours = seal("ours", &[]);
        let mut theirs = seal("theirs", &[]).seal("c", b"a frame").unwrap();
        assert!(!opens(&ours, "c", &theirs));
        theirs[1..=ID].copy_from_slice(&ours.current.id);
        assert!(!opens(&ours, "c", &theirs));
    }

    #[test]
    fn a_bare_frame_is_refused() {
        let mut bare = Vec::new();
        frame::encode(node(), &frame::Said::Hello([0; frame::SUBJECTS]), &mut bare);
        bare.resize(200, 0);
        assert_eq!(seal("root", &[]).open("c", bare.into()), None);
    }

    #[test]
    fn a_frame_counts_once_and_none_counts_that_is_older_than_one_heard() {
        let seal = seal("root", &[]);
        let stamp = || {
            let sealed = seal.seal("c", b"a frame").unwrap();
            seal.open("c", sealed.into()).unwrap().stamp
        };
        let (first, second) = (stamp(), stamp());
        assert!(first < second, "though the clock stands still");
        assert!(seal.is_new(node(), second));
        assert!(!seal.is_new(node(), second));
        assert!(!seal.is_new(node(), first));
        assert!(seal.is_new(NodeId::new(2).unwrap(), first));
    }

    #[test]
    fn what_is_more_than_a_minute_off_is_refused_whoever_said_it() {
        let clock = Clock::manual(START);
        let (seal, of_now) = (seal_at("root", &[], &clock), START * 1_000_000);
        assert!(seal.is_new(node(), of_now));
        clock.advance(Duration::from_secs(61));
        assert!(seal.is_new(NodeId::new(2).unwrap(), of_now + 2_000_000));
        assert_eq!(seal.stamps.lock().unwrap().heard.len(), 1, "the first is forgotten");
        assert!(!seal.is_new(node(), of_now), "and still refused");
        for wrong in [of_now + 121_000_001, 0, i64::MIN, i64::MAX] {
            assert!(!seal.is_new(node(), wrong), "{wrong}");
        }
    }

    #[test]
    fn a_clock_that_was_put_right_is_followed() {
        let clock = Clock::manual(START);
        let seal = seal_at("root", &[], &clock);
        let first = seal.stamp();
        clock.set(START - 30);
        assert_eq!(seal.stamp(), first + 1);
        clock.set(START - 3_600);
        assert_eq!(seal.stamp(), (START - 3_600) * 1_000_000);
    }

    proptest! {
        #[test]
        fn every_frame_comes_back(frame: Vec<u8>, channel: String) {
            let seal = seal("root", &[]);
            let sealed = seal.seal(&channel, &frame).unwrap();
            prop_assert_eq!(seal.open(&channel, sealed.into()).unwrap().frame, Bytes::from(frame));
        }

        #[test]
        fn a_changed_byte_is_refused(at in 0..7 + OVERHEAD, bit in 0..8_u8) {
            let seal = seal("root", &[]);
            let mut sealed = seal.seal("c", b"a frame").unwrap();
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(seal.open("c", sealed.into()), None);
        }

        #[test]
        fn anything_else_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            prop_assert_eq!(seal("root", &[]).open("c", bytes.into()), None);
        }
    }
}
