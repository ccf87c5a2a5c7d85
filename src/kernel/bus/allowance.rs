//! How much may go by rows of a table: so much at once, and more as time passes.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a minute.
pub(super) const PER_MINUTE: u64 = 64 * 1024 * 1024;

/// What was not used in this time can be used at once.
const SAVED: Duration = Duration::from_secs(15);

/// What one node may still write.
#[derive(Debug)]
pub(super) struct Allowance {
    /// When everything that was written is paid for; the past where nothing is owed.
    paid_at: Instant,
}

impl Allowance {
    /// All that can be saved.
    pub(super) fn full(now: Instant) -> Self {
        Self { paid_at: now }
    }

    /// Takes so many bytes, if there are as many.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let price = Duration::from_nanos((bytes as u64).saturating_mul(60_000_000_000) / PER_MINUTE);
        let paid_at = self.paid_at.max(now) + price;
        let fits = paid_at <= now + SAVED;
        if fits {
            self.paid_at = paid_at;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn sixteen_mebibytes_pass_at_once_and_as_much_again_in_a_quarter_of_a_minute() {
        let start = Instant::now();
        let mut allowance = Allowance::full(start);
        for quarter in 0..4 {
            let now = start + SAVED * quarter;
            assert_eq!((0..100).filter(|_| allowance.take(MIB, now)).count(), 16);
        }
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let start = Instant::now();
        let mut allowance = Allowance::full(start);
        assert!(allowance.take(10 * MIB, start));
        assert!(!allowance.take(8 * MIB, start));
        assert!(allowance.take(6 * MIB, start));
    }

    proptest! {
        #[test]
        fn however_it_is_asked_no_more_passes_than_was_saved_and_came(
            asked in prop::collection::vec((0..8 * MIB, 0_u64..5_000), 1..200)
        ) {
            let start = Instant::now();
            let (mut allowance, mut now, mut passed) = (Allowance::full(start), start, 0);
            for (bytes, millis) in asked {
                now += Duration::from_millis(millis);
                passed += if allowance.take(bytes, now) { bytes as u64 } else { 0 };
            }
            let time = (SAVED + (now - start)).as_millis() + 1;
            prop_assert!(u128::from(passed) <= u128::from(PER_MINUTE) * time / 60_000);
        }
    }
}
