//! Pure: a place in the feed, and its text for clients.
//!
//! Transactions become visible in another order than they begin, so no number tells what was seen; a snapshot of
//! PostgreSQL does (<https://www.postgresql.org/docs/current/functions-info.html>, `pg_snapshot`). A cursor names the batch
//! that a change came in, by the snapshots before and after it, and the place in the batch: missed is the rest of the batch
//! and all that came later.
//!
//! The text of a cursor is unpadded URL-safe base64 of: a version byte, the epoch, then numbers as LEB128. Snapshots are
//! written as differences, as all of them are near each other: a usual cursor takes about 40 characters.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The first byte of a cursor.
const VERSION: u8 = 1;
/// The longest text of a cursor.
pub const MAX_TEXT: usize = 4096;

/// The life of a database in which transaction numbers mean the same: ends with a restore or a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 8]);

impl Epoch {
    /// The epoch of a database that is `identity`, whatever tells it from others.
    pub fn of(identity: &str) -> Self {
        let digest = Sha256::digest(identity);
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        Self(short)
    }
}

/// Which transactions are visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// All below are visible.
    xmin: u64,
    /// This one and all above are not.
    xmax: u64,
    /// Those between that are not, ascending.
    running: Vec<u64>,
}

/// Why a text is no snapshot or cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this server")]
pub struct CursorError;

impl Snapshot {
    fn new(xmin: u64, xmax: u64, running: Vec<u64>) -> Result<Self, CursorError> {
        let ascends = running.is_sorted_by(|one, next| one < next);
        let within = running.first().is_none_or(|first| *first >= xmin)
            && running.last().is_none_or(|last| *last < xmax);
        if xmin == 0 || xmin > xmax || !ascends || !within {
            return Err(CursorError);
        }
        Ok(Self { xmin, xmax, running })
    }

    /// Whether what this transaction did is visible, if it was committed.
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.running.binary_search(&xid).is_err())
    }

    /// Whether everything that `other` sees is visible here too.
    pub fn covers(&self, other: &Self) -> bool {
        self.xmax >= other.xmax && !self.running.iter().any(|xid| other.sees(*xid))
    }
}

impl FromStr for Snapshot {
    type Err = CursorError;

    /// Reads the text of a `pg_snapshot`: `xmin:xmax:running,running`.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| CursorError);
        let mut parts = text.splitn(3, ':');
        let (Some(xmin), Some(xmax), Some(list)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CursorError);
        };
        let running = if list.is_empty() {
            Vec::new()
        } else {
            list.split(',').map(number).collect::<Result<_, _>>()?
        };
        Self::new(number(xmin)?, number(xmax)?, running)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (index, xid) in self.running.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{xid}")?;
        }
        Ok(())
    }
}

/// What was removed of the history: nothing of transactions above `horizon`, and nothing of any that `removed` does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The highest transaction of which anything was removed; 0 if nothing was.
    pub horizon: u64,
    /// What was visible when the last was removed.
    pub removed: Snapshot,
}

impl Horizon {
    /// Whether something may be gone that `seen` does not see.
    pub fn hides_from(&self, seen: &Snapshot) -> bool {
        let is_gone = |xid: u64| xid <= self.horizon && self.removed.sees(xid);
        self.horizon >= seen.xmax || seen.running.iter().any(|xid| is_gone(*xid))
    }
}

/// A place in the feed: everything visible in `before` was seen, and of what is visible in `after` that up to
/// (`order`, `seq`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the database that the numbers belong to.
    pub epoch: Epoch,
    /// Before the batch.
    pub before: Snapshot,
    /// After it.
    pub after: Snapshot,
    /// The transaction in the batch.
    pub order: i64,
    /// The change in the transaction.
    pub seq: i64,
}

impl Cursor {
    /// The text for clients; `None` where thousands of transactions were open at that moment, which no text holds.
    pub fn text(&self) -> Option<String> {
        let text = URL_SAFE_NO_PAD.encode(self.bytes());
        (text.len() <= MAX_TEXT).then_some(text)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.epoch.0);
        let mut base = 0;
        for snapshot in [&self.before, &self.after] {
            // Later ones have a higher xmin; where one has not, the difference wraps.
            push(&mut bytes, snapshot.xmin.wrapping_sub(base));
            push(&mut bytes, snapshot.xmax - snapshot.xmin);
            push(&mut bytes, snapshot.running.len() as u64);
            let mut last = snapshot.xmin;
            for xid in &snapshot.running {
                push(&mut bytes, xid - last);
                last = *xid;
            }
            base = snapshot.xmin;
        }
        push(&mut bytes, self.order.cast_unsigned());
        push(&mut bytes, self.order.wrapping_sub(self.seq).cast_unsigned());
        bytes
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Accepts exactly what [`Cursor::text`] gives.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > MAX_TEXT {
            return Err(CursorError);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (head, mut rest) = bytes.split_first_chunk::<9>().ok_or(CursorError)?;
        let (version, epoch) = head.split_first().ok_or(CursorError)?;
        let epoch = Epoch(epoch.try_into().map_err(|_| CursorError)?);
        let before = snapshot(&mut rest, 0)?;
        let after = snapshot(&mut rest, before.xmin)?;
        let order = pull(&mut rest)?.cast_signed();
        let seq = order.wrapping_sub(pull(&mut rest)?.cast_signed());
        let cursor = Self { epoch, before, after, order, seq };
        let makes_sense = seq >= 0 && seq <= order && cursor.after.covers(&cursor.before);
        // One text for each cursor: numbers have other encodings too.
        if *version != VERSION || !rest.is_empty() || !makes_sense || cursor.bytes() != bytes {
            return Err(CursorError);
        }
        Ok(cursor)
    }
}

fn snapshot(rest: &mut &[u8], base: u64) -> Result<Snapshot, CursorError> {
    let xmin = base.wrapping_add(pull(rest)?);
    let xmax = xmin.checked_add(pull(rest)?).ok_or(CursorError)?;
    let count = usize::try_from(pull(rest)?).map_err(|_| CursorError)?;
    // Each takes a byte at least.
    if count > rest.len() {
        return Err(CursorError);
    }
    let mut running = Vec::with_capacity(count);
    let mut last = xmin;
    for _ in 0..count {
        last = last.checked_add(pull(rest)?).ok_or(CursorError)?;
        running.push(last);
    }
    Snapshot::new(xmin, xmax, running)
}

/// Appends a number as LEB128.
fn push(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f).to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// Takes a number off the front.
fn pull(rest: &mut &[u8]) -> Result<u64, CursorError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, tail) = rest.split_first().ok_or(CursorError)?;
        *rest = tail;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(CursorError)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    #[test]
    fn a_snapshot_is_read_as_postgresql_writes_it() {
        for text in ["10:10:", "10:20:10,14,15", "1:18446744073709551615:5"] {
            assert_eq!(parsed(text).to_string(), text);
        }
        for text in [
            "",
            "1:2",
            "0:1:",
            "20:10:",
            "10:20:20",
            "10:20:9",
            "10:20:15,14",
            "10:20:14,14",
            "a:b:",
            "1:2:,",
        ] {
            assert_eq!(text.parse::<Snapshot>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn a_snapshot_sees_what_had_ended() {
        let snapshot = parsed("10:20:10,14");
        for (xid, seen) in [(9, true), (10, false), (11, true), (14, false), (19, true), (20, false)] {
            assert_eq!(snapshot.sees(xid), seen, "{xid}");
        }
    }

    #[test]
    fn what_was_removed_matters_to_those_who_have_not_seen_it() {
        let horizon = Horizon { horizon: 15, removed: parsed("12:30:12,20") };
        for (seen, hides) in [
            ("16:16:", false),
            ("15:15:", true),    // 15 itself
            ("12:20:12", false), // 12 was still open when the others were removed
            ("13:20:13", true),  // 13 ended in between
            ("10:12:", true),
            ("18:40:18,20", false), // above the horizon
        ] {
            assert_eq!(horizon.hides_from(&parsed(seen)), hides, "{seen}");
        }
        let nothing = Horizon { horizon: 0, removed: parsed("12:30:12") };
        assert!(!nothing.hides_from(&parsed("1:2:1")));
    }

    #[test]
    fn a_usual_cursor_is_short() {
        let cursor = Cursor {
            epoch: Epoch::of("a database"),
            before: parsed("4294967000:4294967010:4294967000,4294967003"),
            after: parsed("4294967000:4294967012:4294967000"),
            order: 1_000_000,
            seq: 1_000_000,
        };
        assert!(cursor.text().unwrap().len() <= 40, "{:?}", cursor.text());
    }

    #[test]
    fn a_cursor_that_no_text_holds_has_none() {
        let running: Vec<String> = (0..4000).map(|xid| (10 + xid * 2).to_string()).collect();
        let crowded = parsed(&format!("10:9000:{}", running.join(",")));
        let cursor =
            Cursor { epoch: Epoch::of(""), before: crowded.clone(), after: crowded, order: 1, seq: 1 };
        assert_eq!(cursor.text(), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = Cursor {
            epoch: Epoch::of("x"),
            before: parsed("10:20:10"),
            after: parsed("10:30:10"),
            order: 7,
            seq: 5,
        };
        let text = |cursor: Cursor| cursor.text().unwrap().parse::<Cursor>();
        assert_eq!(text(good.clone()), Ok(good.clone()));
        assert!(text(Cursor { seq: 8, ..good.clone() }).is_err(), "after its transaction");
        assert!(text(Cursor { after: parsed("10:19:10"), ..good.clone() }).is_err(), "back in time");
        assert!(
            text(Cursor { after: parsed("10:30:10,12"), ..good.clone() }).is_err(),
            "12 was visible before"
        );
        let mut longer = good.bytes();
        longer.push(0);
        assert!(URL_SAFE_NO_PAD.encode(longer).parse::<Cursor>().is_err());
        let mut other = good.bytes();
        other[0] = 2;
        assert!(URL_SAFE_NO_PAD.encode(other).parse::<Cursor>().is_err());
        assert!("A".repeat(MAX_TEXT + 1).parse::<Cursor>().is_err());
    }

    /// A course of a database: the transactions that end, one after the other, out of `1..=count`.
    fn course() -> impl Strategy<Value = (Vec<u64>, usize, usize)> {
        (2_u64..60).prop_flat_map(|count| {
            (Just((1..=count).collect::<Vec<_>>()).prop_shuffle(), 0..=60_usize, 0..=60_usize)
        })
    }

    /// The snapshot after the first `ended` of them, as PostgreSQL makes it.
    fn after(course: &[u64], ended: usize) -> Snapshot {
        let done: BTreeSet<u64> = course.iter().take(ended).copied().collect();
        let xmax = done.last().map_or(1, |last| last + 1);
        let running: Vec<u64> = (1..xmax).filter(|xid| !done.contains(xid)).collect();
        Snapshot::new(running.first().copied().unwrap_or(xmax), xmax, running).unwrap()
    }

    proptest! {
        #[test]
        fn a_snapshot_sees_exactly_what_ended((course, ended, _) in course()) {
            let snapshot = after(&course, ended);
            for (place, xid) in course.iter().enumerate() {
                prop_assert_eq!(snapshot.sees(*xid), place < ended);
            }
            prop_assert_eq!(snapshot.to_string().parse::<Snapshot>(), Ok(snapshot));
        }

        #[test]
        fn of_two_snapshots_the_later_covers_the_earlier((course, one, other) in course()) {
            let (first, second) = (after(&course, one), after(&course, other));
            let sees_all = course.iter().all(|xid| !first.sees(*xid) || second.sees(*xid));
            prop_assert_eq!(second.covers(&first), sees_all);
        }

        #[test]
        fn a_cursor_survives_its_text((course, one, other) in course(), order in 0..i64::MAX, back in 0..i64::MAX) {
            let (first, second) = (one.min(other), one.max(other));
            let cursor = Cursor {
                epoch: Epoch::of("x"),
                before: after(&course, first),
                after: after(&course, second),
                order,
                seq: order.saturating_sub(back).max(0),
            };
            prop_assert_eq!(cursor.text().unwrap().parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn a_text_is_refused_or_is_the_text_of_its_cursor(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let text = URL_SAFE_NO_PAD.encode(bytes);
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.text(), Some(text));
            }
        }
    }
}
