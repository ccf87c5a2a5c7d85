//! Random choices for tests that try many cases: seeded, so that a failure can be run again.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A reproducible source of choices.
pub struct Walk {
    seed: u64,
    random: StdRng,
}

impl Walk {
    /// Seeded by `GOFORWARD_TEST_SEED`, else by the clock; print [`Walk::seed`] in a failure.
    pub fn new() -> Self {
        let given = std::env::var("GOFORWARD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::try_from(super::now()).unwrap());
        Self::seeded(seed)
    }

    /// Seeded by this number.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, random: StdRng::seed_from_u64(seed) }
    }

    /// What to set `GOFORWARD_TEST_SEED` to for the same walk.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below the bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    /// One of the items.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
