//! Pure: for how long nobody has been able to tell whether a session goes on.

use std::time::{Duration, Instant};

/// How long a channel goes on in doubt.
const LONGEST: Duration = Duration::from_secs(10);

/// Since when it is not known; not at all, as a rule.
#[derive(Debug, Default)]
pub(super) struct Doubt(Option<Instant>);

impl Doubt {
    /// It is known again.
    pub(super) fn settle(&mut self) {
        self.0 = None;
    }

    /// It is not known now; `true` if that has been so for too long.
    pub(super) fn has_lasted(&mut self, now: Instant) -> bool {
        let since = *self.0.get_or_insert(now);
        now.duration_since(since) > LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_goes_on_for_ten_seconds_in_which_nobody_can_tell_and_no_longer() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut doubt = Doubt::default();
        for passed in 0..=10 {
            assert!(!doubt.has_lasted(start + second * passed), "{passed} s");
        }
        assert!(doubt.has_lasted(start + second * 11));
    }

    #[test]
    fn what_was_found_out_meanwhile_begins_the_wait_anew() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut doubt = Doubt::default();
        assert!(!doubt.has_lasted(start));
        doubt.settle();
        assert!(!doubt.has_lasted(start + second * 11));
        assert!(!doubt.has_lasted(start + second * 21));
        assert!(doubt.has_lasted(start + second * 22));
    }
}
