//! Gives out signed contexts, each for one transaction.

use bytes::Bytes;

use super::{AuditOrigin, ContextKey};
use crate::kernel::clock::Clock;
use crate::kernel::random::Random;

/// The signer of contexts: the key, the time and randomness.
#[derive(Debug)]
pub struct AuditContexts {
    key: ContextKey,
    clock: Clock,
    random: Random,
}

impl AuditContexts {
    /// A signer with the database's key.
    pub fn new(key: ContextKey, clock: Clock, random: Random) -> Self {
        Self { key, clock, random }
    }

    /// The value of [`CONTEXT_SETTING`](super::CONTEXT_SETTING) for one transaction that is about to begin.
    pub fn next(&self, origin: &AuditOrigin) -> Bytes {
        self.key.sign(origin, self.clock.unix_millis(), self.random.bytes())
    }
}
