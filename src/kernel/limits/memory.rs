//! Counters in this process's memory, by the generic cell rate algorithm: one time stamp per subject.
//!
//! Bounded: where a shard is full, subjects whose count has run out are dropped, and if there is none, the one that is
//! nearest to it, which then starts anew. So memory never grows and nobody is refused for lack of it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Deciding, Decision, GivingBack, LimitKey, Limiter, Quota};
use crate::kernel::clock::Clock;

const SHARDS: usize = 16;

/// Counters of one process.
#[derive(Debug)]
pub struct MemoryLimiter {
    /// By subject: when its count will have run out, in microseconds since the epoch.
    shards: [Mutex<HashMap<u64, i64>>; SHARDS],
    subjects_per_shard: usize,
    hasher: RandomState,
    clock: Clock,
}

impl MemoryLimiter {
    /// Counts up to about this many subjects at a time (about 32 bytes each).
    pub fn new(subjects: usize, clock: Clock) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            subjects_per_shard: subjects.div_ceil(SHARDS).max(1),
            hasher: RandomState::new(),
            clock,
        }
    }

    /// Counts one request; see [`Limiter::take`].
    pub fn decide(&self, key: &LimitKey, quota: Quota) -> Decision {
        let hash = self.hasher.hash_one(key);
        let now = self.clock.unix_millis().saturating_mul(1000);
        let (step, tolerance) = quota.step_and_tolerance();
        let place = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let mut shard = self.shards[place].lock().unwrap_or_else(PoisonError::into_inner);
        // No count runs out later than the tolerance allows, unless the clock was set back: then it starts anew.
        let latest = now.saturating_add(tolerance);
        let counted = shard.get(&hash).copied().filter(|at| *at <= latest);
        let runs_out = counted.map_or(now, |at| at.max(now)).saturating_add(step);
        let too_early = runs_out.saturating_sub(now).saturating_sub(tolerance);
        if too_early > 0 {
            return Decision::Refused { retry_after: Duration::from_micros(too_early.unsigned_abs()) };
        }
        if shard.len() >= self.subjects_per_shard && !shard.contains_key(&hash) {
            make_room(&mut shard, now);
        }
        shard.insert(hash, runs_out);
        Decision::Allowed
    }

    /// Counts one request less; see [`Limiter::give_back`].
    pub fn forget_one(&self, key: &LimitKey, quota: Quota) {
        let hash = self.hasher.hash_one(key);
        let (step, _) = quota.step_and_tolerance();
        let place = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let mut shard = self.shards[place].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runs_out) = shard.get_mut(&hash) {
            *runs_out = runs_out.saturating_sub(step);
        }
    }

    /// How many subjects are being counted.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether nobody is being counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Limiter for MemoryLimiter {
    fn take<'a>(&'a self, key: &'a LimitKey, quota: Quota) -> Deciding<'a> {
        Box::pin(std::future::ready(self.decide(key, quota)))
    }

    fn give_back<'a>(&'a self, key: &'a LimitKey, quota: Quota) -> GivingBack<'a> {
        self.forget_one(key, quota);
        Box::pin(std::future::ready(()))
    }
}

fn make_room(shard: &mut HashMap<u64, i64>, now: i64) {
    let before = shard.len();
    shard.retain(|_, runs_out| *runs_out > now);
    if shard.len() == before
        && let Some(nearest) = shard.iter().take(64).min_by_key(|(_, at)| **at).map(|(hash, _)| *hash)
    {
        shard.remove(&nearest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::limits::LimitSubject;

    fn key(address: &str) -> LimitKey {
        LimitKey { rule: "test", object: None, subject: LimitSubject::ip(address.parse().unwrap()) }
    }

    #[test]
    fn a_burst_passes_then_requests_pass_at_the_rate() {
        let clock = Clock::manual(1000);
        let limiter = MemoryLimiter::new(100, clock.clone());
        let quota = Quota { requests: 10, per: Duration::from_secs(10), burst: 3 };
        let ask = || limiter.decide(&key("203.0.113.7"), quota);
        assert_eq!([ask(), ask(), ask()], [Decision::Allowed; 3]);

        let refused = ask();
        clock.advance(Duration::from_secs(1));

        assert_eq!(refused.retry_after_seconds(), Some(1));
        assert_eq!(ask(), Decision::Allowed);
        assert!(matches!(ask(), Decision::Refused { .. }));
        assert_eq!(limiter.decide(&key("203.0.113.8"), quota), Decision::Allowed);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more_than_that() {
        let limiter = MemoryLimiter::new(100, Clock::manual(1000));
        let quota = Quota { requests: 10, per: Duration::from_secs(10), burst: 2 };
        let ask = || limiter.decide(&key("203.0.113.7"), quota);
        for _ in 0..20 {
            assert_eq!(ask(), Decision::Allowed);
            limiter.forget_one(&key("203.0.113.7"), quota);
        }
        limiter.forget_one(&key("203.0.113.7"), quota);
        limiter.forget_one(&key("203.0.113.8"), quota);

        assert_eq!([ask(), ask()], [Decision::Allowed; 2]);
        assert!(matches!(ask(), Decision::Refused { .. }));
    }

    #[test]
    fn an_ipv6_client_cannot_evade_by_changing_addresses_in_its_network() {
        let limiter = MemoryLimiter::new(100, Clock::manual(1000));
        let quota = Quota::per_minute(1);
        assert_eq!(limiter.decide(&key("2001:db8::1"), quota), Decision::Allowed);
        assert!(matches!(limiter.decide(&key("2001:db8::ffff:1"), quota), Decision::Refused { .. }));
        assert_eq!(limiter.decide(&key("2001:db8:0:1::1"), quota), Decision::Allowed);
        assert_eq!(limiter.decide(&key("203.0.113.7"), quota), Decision::Allowed);
        assert!(matches!(limiter.decide(&key("::ffff:203.0.113.7"), quota), Decision::Refused { .. }));
    }

    #[test]
    fn a_clock_that_jumps_locks_nobody_out_and_opens_nothing_for_good() {
        let noon = 1_800_000_000;
        for jump in [-3600, 3600, -10 * 365 * 86_400, 10 * 365 * 86_400, i64::MAX / 10_000_000, -noon - 5] {
            let clock = Clock::manual(noon);
            let limiter = MemoryLimiter::new(100, clock.clone());
            let quota = Quota { requests: 10, per: Duration::from_secs(10), burst: 3 };
            let ask = || limiter.decide(&key("203.0.113.7"), quota);
            assert_eq!([ask(), ask(), ask()], [Decision::Allowed; 3]);

            clock.set(noon + jump);

            let after: Vec<Decision> = (0..10).map(|_| ask()).collect();
            let allowed = after.iter().filter(|decision| **decision == Decision::Allowed).count();
            assert!(allowed <= 3, "{jump}: {after:?}");
            assert!(after.last().unwrap().retry_after_seconds().unwrap() <= 1, "{jump}: {after:?}");
            clock.advance(Duration::from_secs(1));
            assert_eq!(ask(), Decision::Allowed, "{jump}");
            clock.set(noon);
            clock.advance(Duration::from_secs(20));
            assert_eq!([ask(), ask(), ask()], [Decision::Allowed; 3], "{jump} and back");
        }
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_memory() {
        let clock = Clock::manual(1000);
        let limiter = MemoryLimiter::new(1000, clock.clone());
        for number in 0_u32..20_000 {
            let subject = LimitSubject::Ip(std::net::Ipv4Addr::from(number).into());
            assert_eq!(
                limiter.decide(&LimitKey { rule: "t", object: None, subject }, Quota::per_minute(5)),
                Decision::Allowed
            );
        }
        assert!(limiter.len() <= 1008);
        clock.advance(Duration::from_hours(1));
        assert_eq!(limiter.decide(&key("203.0.113.7"), Quota::per_minute(5)), Decision::Allowed);
    }
}
