//! Verified tokens, remembered so that the signature is checked once.
//!
//! Bounded by entries and by bytes; what is full evicts the entry that was not used since the hand last passed (CLOCK).
//! A lookup goes by the end of the token (its signature) and then compares the whole token, so that one token can never
//! be taken for another. The cache knows no time: whoever takes an entry checks its time claims.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::caller::Caller;
use super::claims::TimeClaims;

const SHARDS: usize = 16;
const KEY_LENGTH: usize = 16;
/// Longer tokens are verified each time: they would push out many others.
const LONGEST_TOKEN: usize = 8 * 1024;

/// A token whose signature and claims were accepted.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    pub(super) token: Box<str>,
    pub(super) caller: Arc<Caller>,
    pub(super) times: TimeClaims,
}

impl VerifiedToken {
    /// An estimate of the memory that the entry holds, parsed claims included.
    fn weight(&self) -> usize {
        1024 + self.token.len() + self.caller.claims_json.len() * 5
    }
}

#[derive(Debug)]
pub(super) struct TokenCache {
    shards: [Mutex<Shard>; SHARDS],
    entries_per_shard: usize,
    bytes_per_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<[u8; KEY_LENGTH], usize>,
    slots: Vec<Slot>,
    bytes: usize,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    key: [u8; KEY_LENGTH],
    entry: Arc<VerifiedToken>,
    used: AtomicBool,
}

impl TokenCache {
    /// A cache of about `entries` tokens within about `bytes` of memory; with either 0 nothing is kept.
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            entries_per_shard: entries.div_ceil(SHARDS),
            bytes_per_shard: bytes / SHARDS,
        }
    }

    /// The entry of exactly this token.
    pub(super) fn get(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        let key = key_of(token)?;
        let shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let slot = shard.slots.get(*shard.places.get(&key)?)?;
        if *slot.entry.token != *token {
            return None;
        }
        slot.used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&slot.entry))
    }

    /// Remembers the entry, pushing out others as the bounds demand.
    pub(super) fn insert(&self, entry: Arc<VerifiedToken>) {
        let weight = entry.weight();
        let Some(key) = key_of(&entry.token) else { return };
        if entry.token.len() > LONGEST_TOKEN || self.entries_per_shard == 0 || weight > self.bytes_per_shard {
            return;
        }
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.remove(key);
        while shard.slots.len() >= self.entries_per_shard || shard.bytes + weight > self.bytes_per_shard {
            shard.evict_one();
        }
        let place = shard.slots.len();
        shard.slots.push(Slot { key, entry, used: AtomicBool::new(false) });
        shard.places.insert(key, place);
        shard.bytes += weight;
    }

    /// Forgets the token: it has expired.
    pub(super) fn remove(&self, token: &str) {
        if let Some(key) = key_of(token) {
            self.shard(key).lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
    }

    /// How many tokens are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).slots.len()).sum()
    }

    fn shard(&self, key: [u8; KEY_LENGTH]) -> &Mutex<Shard> {
        &self.shards[key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % SHARDS]
    }
}

impl Shard {
    fn remove(&mut self, key: [u8; KEY_LENGTH]) {
        if let Some(place) = self.places.remove(&key) {
            let gone = self.slots.swap_remove(place);
            self.bytes = self.bytes.saturating_sub(gone.entry.weight());
            if let Some(moved) = self.slots.get(place) {
                self.places.insert(moved.key, place);
            }
        }
    }

    /// The hand gives each used entry a second chance, so it ends after at most two rounds.
    fn evict_one(&mut self) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let Some(slot) = self.slots.get(self.hand) else { return };
            if slot.used.swap(false, Ordering::Relaxed) {
                self.hand += 1;
            } else {
                let key = slot.key;
                self.remove(key);
                return;
            }
        }
    }
}

/// The last characters of a token, which belong to its signature and so spread evenly.
fn key_of(token: &str) -> Option<[u8; KEY_LENGTH]> {
    token.as_bytes().last_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::super::caller::{Caller, Claims, Via};
    use super::super::claims::ClaimRules;
    use super::*;

    fn entry(token: String) -> Arc<VerifiedToken> {
        let times = ClaimRules::default().check(&Claims::new(), 0).unwrap();
        let caller = Arc::new(Caller::for_role("authenticated", false, Via::Token, None));
        Arc::new(VerifiedToken { token: token.into(), caller, times })
    }

    fn token(number: u64) -> String {
        format!("eyJhbGciOiJIUzI1NiJ9.payload{number}.{:043}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    #[test]
    fn a_million_different_tokens_stay_within_entries_and_bytes() {
        let cache = TokenCache::new(1000, 1_600_000);

        for number in 0..1_000_000 {
            cache.insert(entry(token(number)));
        }

        assert!(cache.len() <= 1008, "{}", cache.len());
        for shard in &cache.shards {
            let shard = shard.lock().unwrap();
            assert!(shard.bytes <= 100_000, "{}", shard.bytes);
            assert_eq!(shard.places.len(), shard.slots.len());
            assert_eq!(shard.bytes, shard.slots.iter().map(|slot| slot.entry.weight()).sum::<usize>());
        }
    }

    #[test]
    fn a_token_with_the_same_signature_but_another_payload_is_not_found() {
        let cache = TokenCache::new(100, 1 << 20);
        cache.insert(entry("header.one.0123456789abcdef".to_owned()));

        assert!(cache.get("header.one.0123456789abcdef").is_some());
        assert!(cache.get("header.two.0123456789abcdef").is_none());
    }

    #[test]
    fn what_is_used_outlives_what_is_not() {
        let cache = TokenCache::new(SHARDS * 4, 1 << 20);
        cache.insert(entry(token(1)));

        for number in 2..500 {
            assert!(cache.get(&token(1)).is_some(), "gone after {number}");
            cache.insert(entry(token(number)));
        }
    }

    #[test]
    fn a_removed_token_is_gone_and_the_others_stay() {
        let cache = TokenCache::new(1600, 16 << 20);
        for number in 0..50 {
            cache.insert(entry(token(number)));
        }

        cache.remove(&token(7));

        assert!(cache.get(&token(7)).is_none());
        assert!((0..50).filter(|number| *number != 7).all(|number| cache.get(&token(number)).is_some()));
    }
}
