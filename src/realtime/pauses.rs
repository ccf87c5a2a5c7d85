//! Pauses between tries while the database cannot be asked.

use std::time::Duration;

use crate::kernel::pauses::Pauses;
use crate::kernel::random::Random;

/// The first pause.
const FIRST: Duration = Duration::from_millis(50);

/// The longest pause.
pub(super) const LONGEST: Duration = Duration::from_secs(2);

/// The pauses of a row of failures.
pub(super) fn pauses(random: &Random) -> Pauses {
    Pauses::new(FIRST, LONGEST, random)
}
