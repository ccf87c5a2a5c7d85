//! The metrics: their names in one table, the recorder, and the text for Prometheus. Whoever counts uses the
//! names of this table with the `metrics` macros; labels hold templates and words of ours, never what clients send.

use std::fmt::{Display, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::process::ProcessUsage;
use super::sink::LogSink;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts per range of values, seconds unless the name says otherwise.
    Histogram,
}

/// One metric of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name, as Prometheus shows it.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! metric_table {
    ($( $constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal; )*) => {
        /// Names of all metrics.
        pub mod names {
            $(
                #[doc = $help]
                pub const $constant: &str = $name;
            )*
        }

        /// All metrics with their labels and meaning.
        pub const METRICS: &[MetricInfo] = &[
            $( MetricInfo { name: $name, kind: MetricKind::$kind, labels: &[$($label),*], help: $help }, )*
        ];
    };
}

metric_table! {
    BUILD_INFO = "goforward_build_info", Gauge, ["version"], "Always 1, with the version as its label.";
    HTTP_REQUESTS = "goforward_http_requests_total", Counter, ["service", "route", "method", "status"],
        "Requests that were answered.";
    HTTP_DURATION = "goforward_http_request_duration_seconds", Histogram, ["service", "route", "method"],
        "Time from the head of a request to the end of its answer.";
    HTTP_IN_FLIGHT = "goforward_http_requests_in_flight", Gauge, [], "Requests being worked on.";
    HTTP_ERRORS = "goforward_http_errors_total", Counter, ["service", "code"],
        "Answers that were errors, by error code.";
    HTTP_CONNECTIONS = "goforward_http_connections", Gauge, [], "Open sockets of clients.";
    HTTP_RATE_LIMITED = "goforward_http_rate_limited_total", Counter, ["scope"],
        "Requests refused by a rate limit (scope: ip, key or user).";
    AUTH_FAILURES = "goforward_auth_failures_total", Counter, ["reason"], "Credentials that were refused.";
    DATABASE_QUERY_DURATION = "goforward_database_query_duration_seconds", Histogram, ["lane"],
        "Time of a statement group in the database.";
    DATABASE_CONNECTIONS = "goforward_database_connections", Gauge, ["pool", "state"],
        "Connections to the database by pool or lane (state: open, busy).";
    DATABASE_CONNECTION_BUDGET = "goforward_database_connection_budget", Gauge, [],
        "Connections that all pools and lanes may have together.";
    DATABASE_QUEUE = "goforward_database_queue_length", Gauge, ["pool"], "Requests waiting for a connection.";
    DATABASE_QUEUE_WAIT = "goforward_database_queue_wait_seconds", Histogram, ["pool"],
        "Time that requests waited for a connection.";
    DATABASE_REFUSED = "goforward_database_refused_total", Counter, ["pool", "reason"],
        "Requests that got no connection (reason: queue_full, timeout, down).";
    DATABASE_CANCELS = "goforward_database_cancels_total", Counter, [], "Queries cancelled because their client left.";
    DATABASE_RECONNECTS = "goforward_database_reconnects_total", Counter, ["pool"],
        "Connections that were lost and made again.";
    DATABASE_UP = "goforward_database_up", Gauge, [], "1 while the database answers, 0 otherwise.";
    LANE_MOVES = "goforward_lane_moves_total", Counter, ["to"], "Query shapes that changed lanes.";
    CATALOG_RELATIONS = "goforward_catalog_relations", Gauge, [], "Relations in the catalog.";
    CATALOG_FUNCTIONS = "goforward_catalog_functions", Gauge, [], "Functions in the catalog.";
    CATALOG_VERSION = "goforward_catalog_version", Gauge, [], "Number of the catalog in force, from 1.";
    CATALOG_RELOADS = "goforward_catalog_reloads_total", Counter, ["result"],
        "Reloads of the catalog (result: changed, same, failed).";
    CATALOG_LOAD_DURATION = "goforward_catalog_load_duration_seconds", Histogram, [], "Time to load the catalog.";
    CACHE_REQUESTS = "goforward_cache_requests_total", Counter, ["cache", "result"],
        "Look-ups in a cache (cache: token, plan, statement; result: hit, miss).";
    CACHE_ENTRIES = "goforward_cache_entries", Gauge, ["cache"], "Entries of a cache.";
    LOG_DROPPED = "goforward_log_lines_dropped_total", Counter, [],
        "Log lines dropped because the log could not be written fast enough.";
    PROCESS_CPU = "process_cpu_seconds_total", Counter, [], "CPU time of the process in seconds.";
    PROCESS_RESIDENT = "process_resident_memory_bytes", Gauge, [], "Resident memory of the process.";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Gauge, [], "Virtual memory of the process.";
    PROCESS_OPEN_FDS = "process_open_fds", Gauge, [], "Open file descriptors.";
    PROCESS_MAX_FDS = "process_max_fds", Gauge, [], "Most file descriptors that may be open.";
    PROCESS_THREADS = "process_threads", Gauge, [], "Threads of the process.";
    PROCESS_START = "process_start_time_seconds", Gauge, [], "When the process was started, in seconds since 1970.";
}

/// Upper ends of the ranges of histograms, in seconds.
const BUCKETS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How often what was recorded is folded into the ranges, which bounds its memory.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The metrics of the process. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The metrics of this process; the first call installs their recorder. None if some other recorder was
    /// installed before.
    pub fn install() -> Option<Self> {
        static INSTALLED: OnceLock<Option<Metrics>> = OnceLock::new();
        INSTALLED
            .get_or_init(|| {
                let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?;
                let handle = builder.install_recorder().ok()?;
                describe();
                metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
                Some(Self { handle })
            })
            .clone()
    }

    /// All metrics as text for Prometheus (exposition format 0.0.4), those of the process read just now.
    pub fn render(&self, logs: Option<&LogSink>) -> String {
        if let Some(logs) = logs {
            metrics::counter!(names::LOG_DROPPED).absolute(logs.dropped_lines());
        }
        let mut text = self.handle.render();
        if let Some(usage) = ProcessUsage::read() {
            process_text(&mut text, &usage);
        }
        text
    }

    /// Keeps the memory of what was recorded bounded until the token is cancelled.
    pub fn spawn_upkeep(&self, tasks: &TaskTracker, stop: CancellationToken) {
        let handle = self.handle.clone();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                handle.run_upkeep();
            }
        });
    }
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// The metrics of the process itself as text; the recorder knows no counters with fractions.
fn process_text(text: &mut String, usage: &ProcessUsage) {
    let rows: [(&str, &dyn Display); 7] = [
        (names::PROCESS_CPU, &usage.cpu_seconds),
        (names::PROCESS_RESIDENT, &usage.resident_bytes),
        (names::PROCESS_VIRTUAL, &usage.virtual_bytes),
        (names::PROCESS_OPEN_FDS, &usage.open_descriptors),
        (names::PROCESS_MAX_FDS, &usage.max_descriptors),
        (names::PROCESS_THREADS, &usage.threads),
        (names::PROCESS_START, &usage.start_seconds),
    ];
    for (name, value) in rows {
        let Some(metric) = METRICS.iter().find(|metric| metric.name == name) else { continue };
        let kind = if metric.kind == MetricKind::Counter { "counter" } else { "gauge" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n{name} {value}\n", metric.help);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn metrics_are_rendered_with_their_help_and_the_use_of_the_process() {
        let metrics = Metrics::install().unwrap();
        assert!(Metrics::install().is_some(), "a second call gives the same");
        metrics::counter!(names::HTTP_REQUESTS, "service" => "rest", "route" => "/{relation}").increment(2);
        metrics::histogram!(names::HTTP_DURATION, "service" => "rest").record(0.003);
        let text = metrics.render(None);
        for line in [
            "# HELP goforward_http_requests_total Requests that were answered.",
            "# TYPE goforward_http_requests_total counter",
            "goforward_http_request_duration_seconds_bucket{service=\"rest\",le=\"0.005\"} 1",
            "# TYPE process_resident_memory_bytes gauge",
            "goforward_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions_of_prometheus() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in METRICS {
            assert!(seen.insert(metric.name), "{}", metric.name);
            assert_eq!(
                metric.kind == MetricKind::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
            if metric.kind == MetricKind::Histogram {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
            }
        }
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        const BEGIN: &str =
            "<!-- metrics: made from the code by UPDATE_DOCS=1 cargo test --lib telemetry -->\n";
        const END: &str = "<!-- end of metrics -->\n";
        let mut table = String::from("\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
        for metric in METRICS {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels =
                metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            writeln!(table, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help).unwrap();
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let expected = format!("{before}{BEGIN}{table}\n{END}{after}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        } else {
            assert!(
                text == expected,
                "docs/observability.md is out of date: run UPDATE_DOCS=1 cargo test --lib telemetry"
            );
        }
    }
}
