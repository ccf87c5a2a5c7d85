//! Pauses between tries of what fails: each is twice as long as the one before, up to a longest, and chance takes up to half
//! of it away, so that those who failed together do not come back together.

use std::time::Duration;

use super::random::Random;

/// The pauses of one row of failures.
#[derive(Clone, Debug)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    taken: u32,
    random: Random,
}

impl Pauses {
    /// None was taken yet. The first is at most `first`, none is more than `longest`.
    pub fn new(first: Duration, longest: Duration, random: &Random) -> Self {
        Self { first, longest, taken: 0, random: random.clone() }
    }

    /// How many there were in this row.
    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// The next one.
    pub fn take(&mut self) -> Duration {
        let pause = pause((self.first, self.longest), self.taken, u32::from_be_bytes(self.random.bytes()));
        self.taken = self.taken.saturating_add(1);
        pause
    }

    /// Waits for the next one.
    pub async fn sit_out(&mut self) {
        tokio::time::sleep(self.take()).await;
    }

    /// What failed works: the next failure is the first of another row.
    pub fn end(&mut self) {
        self.taken = 0;
    }
}

/// Pure: the pause with this number (from 0), between the first and the longest; `random` takes up to half of it away.
pub fn pause((first, longest): (Duration, Duration), number: u32, random: u32) -> Duration {
    let whole = first.saturating_mul(1 << number.min(16)).min(longest);
    let half = whole / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAW: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_with_the_next_row() {
        let mut pauses = Pauses::new(LAW.0, LAW.1, &Random::seeded(1));
        for whole in [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let (pause, whole) = (pauses.take(), Duration::from_millis(whole));
            assert!((whole / 2..=whole).contains(&pause), "{pause:?} of {whole:?}");
        }
        assert_eq!(pauses.taken(), 9);
        pauses.end();
        assert!(pauses.take() <= LAW.0);
    }

    #[test]
    fn those_who_failed_together_do_not_come_back_together() {
        let [mut one, mut two] = [1, 2].map(|seed| Pauses::new(LAW.0, LAW.1, &Random::seeded(seed)));
        assert_ne!(one.take(), two.take());
    }

    proptest! {
        #[test]
        fn chance_takes_at_most_half(number: u32, random: u32) {
            let (shortest, longest) = (pause(LAW, number, 0), pause(LAW, number, u32::MAX));
            prop_assert_eq!(shortest, longest / 2);
            prop_assert!((shortest..=longest).contains(&pause(LAW, number, random)));
            prop_assert!((LAW.0..=LAW.1).contains(&longest));
        }
    }
}
