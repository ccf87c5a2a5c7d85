//! Pauses between tries while the database cannot be asked: each is twice as long as the one before, up to a limit.

use std::time::Duration;

use tokio::time::sleep;

/// The first pause.
const FIRST: Duration = Duration::from_millis(50);

/// The pauses of one row of failures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pauses {
    taken: u32,
}

impl Pauses {
    /// The longest pause.
    pub(super) const LONGEST: Duration = Duration::from_secs(2);

    /// How many there were.
    pub(super) fn taken(self) -> u32 {
        self.taken
    }

    /// Waits for the next one.
    pub(super) async fn sit_out(&mut self) {
        let pause = FIRST.saturating_mul(1 << self.taken.min(10)).min(Self::LONGEST);
        self.taken = self.taken.saturating_add(1);
        sleep(pause).await;
    }
}
