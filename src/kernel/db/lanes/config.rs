//! How many connections the lanes may hold and how long anything may wait.

use std::time::Duration;

/// Limits of the lanes. [`LaneConfig::default`] fits one small server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// All connections together, of both lanes. At least 1.
    pub max_connections: usize,
    /// How many of them are for proven reads, several groups in flight on each; at most a third of all. About two per
    /// core of this machine.
    pub shared_connections: usize,
    /// Groups in flight on a connection of the shared lane.
    pub shared_depth: usize,
    /// Groups that may wait in each lane; more are refused at once.
    pub queue_limit: usize,
    /// The longest wait for a connection.
    pub acquire_timeout: Duration,
    /// The longest wait for the first part of an answer, waiting for a connection included.
    pub answer_timeout: Duration,
    /// How long a reader may leave a large answer unread before it loses it.
    pub reader_timeout: Duration,
    /// A connection is replaced after this time.
    pub max_lifetime: Duration,
    /// A connection that was not needed for this time is closed, except the last.
    pub idle_timeout: Duration,
    /// Whether statements stay prepared. Off behind a pooler that hands connections round per transaction.
    pub prepared_statements: bool,
}

impl Default for LaneConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            max_connections: 20,
            shared_connections: 2 * cores,
            shared_depth: 4,
            queue_limit: 1000,
            acquire_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_mins(2),
            reader_timeout: Duration::from_secs(30),
            max_lifetime: Duration::from_mins(30),
            idle_timeout: Duration::from_mins(1),
            prepared_statements: true,
        }
    }
}

impl LaneConfig {
    /// Connections of the shared and of the exclusive lane.
    pub(super) fn split(&self) -> (usize, usize) {
        let all = self.max_connections.max(1);
        let shared = self.shared_connections.min(all / 3);
        (shared, all - shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lanes_together_stay_within_the_budget() {
        for max_connections in 1..40 {
            let config = LaneConfig { max_connections, shared_connections: 8, ..LaneConfig::default() };
            let (shared, exclusive) = config.split();
            assert_eq!(shared + exclusive, max_connections);
            assert!(exclusive >= 1);
        }
    }
}
