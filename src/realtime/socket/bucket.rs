//! Pure: so many events in such a time, counted for one socket or channel.

use std::time::{Duration, Instant};

/// A bucket that holds as many events as one period allows, and fills evenly.
#[derive(Debug)]
pub(super) struct Bucket {
    most: u32,
    per_event: Duration,
    /// When it would be full; what lies ahead of now is used up.
    full_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(events: u32, period: Duration, now: Instant) -> Self {
        Self { most: events, per_event: period / events.max(1), full_at: now }
    }

    /// Takes one event out; `false` if there is none.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.per_event;
        let fits = full_at.duration_since(now) <= self.per_event * self.most;
        if fits {
            self.full_at = full_at;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_s_events_may_come_at_once_and_then_one_at_a_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(5, Duration::from_secs(10), start);
        assert!((0..5).all(|_| bucket.take(start)));
        assert!(!bucket.take(start));
        assert!(!bucket.take(start + Duration::from_millis(1999)));
        assert!(bucket.take(start + Duration::from_secs(2)));
        assert!(!bucket.take(start + Duration::from_secs(2)));
        let later = start + Duration::from_mins(1);
        assert_eq!((0..9).filter(|_| bucket.take(later)).count(), 5);
    }
}
