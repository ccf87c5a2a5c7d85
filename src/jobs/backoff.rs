//! Pure: how long a failed job waits for its next attempt.

use std::time::Duration;

use crate::kernel::pauses::pause;

/// The wait after the first attempt, at most.
const FIRST: Duration = Duration::from_secs(5);
/// The longest wait.
const LONGEST: Duration = Duration::from_hours(1);

/// The wait after `attempt` (from 1): twice that of the one before, up to an hour. `random` takes up to half of it away, so
/// that jobs that failed together do not come back together.
pub(super) fn wait(attempt: u16, random: u32) -> Duration {
    pause((FIRST, LONGEST), u32::from(attempt.saturating_sub(1)), random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::jobs::NewJob;

    #[test]
    fn waits_double_up_to_an_hour() {
        let longest = |attempt| wait(attempt, u32::MAX).as_secs();
        assert_eq!([1, 2, 3, 10, 11, u16::MAX].map(longest), [5, 10, 20, 2560, 3600, 3600]);
        assert_eq!(wait(1, 0), Duration::from_millis(2500));
    }

    #[test]
    fn the_usual_attempts_outlast_the_maintenance_of_a_mail_server() {
        let waits =
            |random| (1..NewJob::DEFAULT_ATTEMPTS).map(|attempt| wait(attempt, random)).sum::<Duration>();
        assert!(waits(0) > Duration::from_hours(2), "{:?}", waits(0));
        assert!(waits(u32::MAX) < Duration::from_hours(8), "{:?}", waits(u32::MAX));
    }
}
