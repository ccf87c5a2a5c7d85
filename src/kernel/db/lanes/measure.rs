//! The lanes' metrics, registered once: names begin with `goforward_db_`. What they mean stands in the table of
//! `kernel::telemetry::metrics`.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles of all metrics.
pub(super) struct Measures {
    /// Groups that waited too long for a connection.
    pub(super) pool_timeouts: Counter,
    /// Groups that found the queue full.
    pub(super) queue_full: Counter,
    /// Groups that got no answer in time.
    pub(super) answer_timeouts: Counter,
    /// Reads sent again because their connection was lost, or with a statement prepared anew.
    pub(super) retries: Counter,
    /// Reads moved from a slow shared connection to another.
    pub(super) reissues: Counter,
    /// Cancel requests sent.
    pub(super) cancels: Counter,
    /// Connections that could not be opened.
    pub(super) connect_errors: Counter,
    /// Connections lost while open.
    pub(super) lost: Counter,
    /// From a group's turn on its connection to its end.
    pub(super) seconds: [Histogram; 2],
    /// Connections by lane: in use, idle.
    pub(super) busy: [Gauge; 2],
    pub(super) idle: [Gauge; 2],
    /// Groups in flight and waiting by lane.
    pub(super) in_flight: [Gauge; 2],
    pub(super) waiting: [Gauge; 2],
}

const LANES: [&str; 2] = ["shared", "exclusive"];

impl Measures {
    pub(super) fn new() -> Self {
        let timeouts = |kind: &'static str| counter!("goforward_db_timeouts_total", "kind" => kind);
        let connections = |state: &'static str| {
            LANES.map(|lane| gauge!("goforward_db_connections", "lane" => lane, "state" => state))
        };
        Self {
            pool_timeouts: timeouts("acquire"),
            queue_full: timeouts("queue_full"),
            answer_timeouts: timeouts("answer"),
            retries: counter!("goforward_db_retries_total"),
            reissues: counter!("goforward_db_reissues_total"),
            cancels: counter!("goforward_db_cancels_total"),
            connect_errors: counter!("goforward_db_connect_errors_total"),
            lost: counter!("goforward_db_connections_lost_total"),
            seconds: LANES.map(|lane| histogram!("goforward_db_seconds", "lane" => lane)),
            busy: connections("busy"),
            idle: connections("idle"),
            in_flight: LANES.map(|lane| gauge!("goforward_db_in_flight", "lane" => lane)),
            waiting: LANES.map(|lane| gauge!("goforward_db_waiting", "lane" => lane)),
        }
    }
}
