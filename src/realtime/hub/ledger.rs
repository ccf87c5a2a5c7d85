//! How many are present altogether, and whether there is room for more.

use std::sync::Mutex;

use super::lock;
use crate::realtime::metrics;
use crate::realtime::presence::Amount;

/// What may be present.
#[derive(Clone, Copy, Debug)]
pub(in crate::realtime) struct PresenceLimits {
    /// On one topic.
    pub(in crate::realtime) topic: Amount,
    /// On all topics.
    pub(in crate::realtime) total: Amount,
}

/// There is no room for another presence; said to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::realtime) enum PresenceFull {
    /// On its topic.
    #[error("PresenceLimitReached: Too many presences on this channel")]
    Topic,
    /// On this server.
    #[error("PresenceLimitReached: Too many presences")]
    Total,
}

/// Counts the presences of all topics.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: PresenceLimits,
    held: Mutex<Amount>,
}

impl Ledger {
    /// Nobody is present.
    pub(super) fn new(limits: PresenceLimits) -> Self {
        Self { limits, held: Mutex::default() }
    }

    /// Counts a presence of this node in place of what its channel had, if there is room. `topic`: what is on its topic.
    pub(super) fn admit(&self, topic: Amount, old: Amount, new: Amount) -> Result<(), PresenceFull> {
        let grows = new.members > old.members || new.bytes > old.bytes;
        if grows && !topic.after(old, new).is_within(self.limits.topic) {
            return Err(PresenceFull::Topic);
        }
        let mut held = lock(&self.held);
        let after = held.after(old, new);
        if grows && !after.is_within(self.limits.total) {
            return Err(PresenceFull::Total);
        }
        *held = after;
        metrics::presences(after.members);
        Ok(())
    }

    /// Counts what has changed already: who left, and presences of other nodes, which have admitted them.
    pub(super) fn exchange(&self, old: Amount, new: Amount) {
        let mut held = lock(&self.held);
        *held = held.after(old, new);
        metrics::presences(held.members);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(members: usize, bytes: usize) -> Amount {
        Amount { members, bytes }
    }

    #[test]
    fn a_topic_and_all_together_hold_so_many_and_so_much() {
        let ledger = Ledger::new(PresenceLimits { topic: amount(2, 50), total: amount(3, 80) });
        let none = Amount::default();
        assert_eq!(ledger.admit(none, none, amount(1, 51)), Err(PresenceFull::Topic));
        assert_eq!(ledger.admit(none, none, amount(1, 50)), Ok(()));
        assert_eq!(ledger.admit(amount(2, 2), none, amount(1, 1)), Err(PresenceFull::Topic));
        assert_eq!(ledger.admit(none, none, amount(1, 31)), Err(PresenceFull::Total));
        assert_eq!(ledger.admit(none, none, amount(1, 30)), Ok(()));
        // Who grows needs room, who shrinks does not, even where others have taken too much.
        assert_eq!(ledger.admit(amount(1, 30), amount(1, 30), amount(1, 31)), Err(PresenceFull::Total));
        ledger.exchange(none, amount(9, 900));
        assert_eq!(ledger.admit(amount(1, 30), amount(1, 30), amount(1, 29)), Ok(()));
        ledger.exchange(amount(9, 900), none);
        assert_eq!(ledger.admit(none, none, amount(1, 1)), Ok(()));
        assert_eq!(ledger.admit(none, none, amount(1, 0)), Err(PresenceFull::Total));
    }
}
