//! Jobs at regular times: which are due by this node's clock, and whether the database agrees that they are.

use std::time::Duration;

use serde_json::json;
use sqlx::PgPool;

use super::store;
use crate::kernel::jobs::{NewJob, Schedule};

/// The schedules of this node.
pub(super) struct Timetable(Vec<Entry>);

struct Entry {
    schedule: Schedule,
    /// When to ask the database next, in milliseconds since the Unix epoch.
    next: i64,
}

impl Timetable {
    pub(super) fn new(schedules: Vec<Schedule>) -> Self {
        // Asked at once: a time may have passed while no node ran.
        Self(schedules.into_iter().map(|schedule| Entry { schedule, next: i64::MIN }).collect())
    }

    /// Enqueues the jobs of schedules that are due and that no other node has enqueued; whether there were any.
    pub(super) async fn enqueue_due(&mut self, pool: &PgPool, now: i64) -> Result<bool, sqlx::Error> {
        let mut any = false;
        for entry in self.0.iter_mut().filter(|entry| entry.next <= now) {
            let Schedule { name, kind, every } = entry.schedule;
            let next = following(now, every);
            if entry.next == i64::MIN {
                store::announce(pool, name, next).await?;
            }
            let job = NewJob { dedupe_key: Some(format!("schedule {name}")), ..NewJob::new(kind, json!({})) };
            any |= store::advance(pool, name, &job, now, next).await?;
            entry.next = next;
        }
        Ok(any)
    }
}

/// The first full multiple of `every` after `now`.
fn following(now: i64, every: Duration) -> i64 {
    let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
    (now.div_euclid(every) + 1).saturating_mul(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_full_multiples_of_the_interval_whenever_a_node_started() {
        let ten_minutes = Duration::from_mins(10);
        assert_eq!(
            [0, 1, 599_999, 600_000].map(|now| following(now, ten_minutes)),
            [600_000, 600_000, 600_000, 1_200_000]
        );
        assert_eq!(following(5, Duration::ZERO), 6, "an interval of nothing is the shortest there is");
    }
}
