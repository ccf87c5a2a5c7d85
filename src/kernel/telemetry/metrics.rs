//! The metrics: their names in one table, the recorder, and the text for Prometheus. Whoever counts something adds it to
//! this table, which a test compares with the code; labels hold templates and words of ours, never what clients send.

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
        "Requests that were answered (status: 1xx to 5xx, or gone where the client left first).";
    HTTP_DURATION = "goforward_http_request_duration_seconds", Histogram, ["service", "route"],
        "Time from the head of a request to the end of its answer.";
    HTTP_IN_FLIGHT = "goforward_http_requests_in_flight", Gauge, ["service"], "Requests being worked on.";
    HTTP_PANICS = "goforward_http_panics_total", Counter, ["service"], "Requests whose handler panicked.";
    HTTP_REFUSALS = "goforward_http_refusals_total", Counter, ["service", "reason"],
        "Requests that no service saw (reason: credentials, session, rate, size).";
    TOKEN_CHECKS = "goforward_token_checks_total", Counter, ["result"],
        "Tokens that came with requests (result: cached, verified, refused).";
    ACCEPT_PAUSES = "goforward_accept_pauses_total", Counter, [],
        "Times that no connection was accepted for a moment because descriptors or memory ran out.";
    DATABASE_SECONDS = "goforward_db_seconds", Histogram, ["lane"],
        "Time of a request's statements on their connection (lane: shared, exclusive).";
    DATABASE_CONNECTIONS = "goforward_db_connections", Gauge, ["lane", "state"],
        "Connections to the database (state: busy, idle).";
    DATABASE_IN_FLIGHT = "goforward_db_in_flight", Gauge, ["lane"], "Requests in flight on connections.";
    DATABASE_WAITING = "goforward_db_waiting", Gauge, ["lane"], "Requests waiting for a connection.";
    DATABASE_TIMEOUTS = "goforward_db_timeouts_total", Counter, ["kind"],
        "Requests that waited too long (kind: acquire, answer) or found the queue full (queue_full).";
    DATABASE_RETRIES = "goforward_db_retries_total", Counter, [],
        "Reads sent again after a lost connection or a stale statement.";
    DATABASE_REISSUES = "goforward_db_reissues_total", Counter, [], "Reads moved from a slow shared connection.";
    DATABASE_CANCELS = "goforward_db_cancels_total", Counter, [], "Cancel requests sent to PostgreSQL.";
    DATABASE_CONNECT_ERRORS = "goforward_db_connect_errors_total", Counter, [],
        "Connections that could not be opened.";
    DATABASE_LOST = "goforward_db_connections_lost_total", Counter, [], "Connections lost while open.";
    CATALOG_RELATIONS = "goforward_catalog_relations", Gauge, [], "Relations in the catalog.";
    CATALOG_FUNCTIONS = "goforward_catalog_functions", Gauge, [], "Functions in the catalog, overloads as one.";
    CATALOG_RELATIONSHIPS = "goforward_catalog_relationships", Gauge, [], "Relationships in the catalog.";
    CATALOG_VERSION = "goforward_catalog_version", Gauge, [], "Number of the catalog in force, from 1.";
    CATALOG_STALE = "goforward_catalog_stale", Gauge, [], "1 while a change of the schema is still to be loaded.";
    CATALOG_RELOADS = "goforward_catalog_reloads_total", Counter, ["result"],
        "Loads of the catalog (result: ok, error).";
    TABLE_SECURITY_CLOSED = "goforward_table_security_closed", Gauge, [],
        "Tables that are closed because their rules are off, unreadable or not enforced.";
    TABLE_SECURITY_REFUSALS = "goforward_table_security_refusals_total", Counter, ["rule"],
        "Requests that a rule of a table refused.";
    INPUT_FINDINGS = "goforward_input_findings_total", Counter, ["class", "policy"],
        "Texts with unwanted input in columns whose rules look for it (policy: monitor, clean, reject).";
    CATALOG_SECONDS = "goforward_catalog_load_seconds", Histogram, [], "Time to load the catalog.";
    AUDIT_RECORDS = "goforward_audit_records_total", Counter, ["result"],
        "Records of reads and refusals for the audit log (result: written, lost where it could not be written, dropped where too many waited).";
    AUTH_ACTIONS = "goforward_auth_actions_total", Counter, ["action", "outcome"],
        "Actions of accounts (outcome: done, refused, failed).";
    SECURITY_EVENTS = "goforward_security_events_total", Counter, ["kind"], "Security events that were recorded.";
    SANITISER_FINDINGS = "goforward_sanitiser_findings_total", Counter, ["class", "field"],
        "What looked wrong in the fields of accounts.";
    STORAGE_REFUSED = "goforward_storage_refused_total", Counter, ["code"], "Operations of storage that were refused.";
    STORAGE_UPLOADS = "goforward_storage_uploads_total", Counter, [], "Objects that were written.";
    STORAGE_UPLOADED = "goforward_storage_uploaded_bytes_total", Counter, [], "Bytes of objects that were written.";
    STORAGE_SWEPT = "goforward_storage_swept_blobs_total", Counter, [],
        "Bytes that no object has any more and that were removed, by pieces.";
    STORAGE_SCANS = "goforward_storage_scans_total", Counter, ["outcome"],
        "Scans of uploaded objects (outcome: clean, infected, too_large, failed).";
    STORAGE_PURGES = "goforward_storage_purges_total", Counter, ["outcome"],
        "Calls that told caches of changed objects (outcome: done, failed).";
    REALTIME_SOCKETS = "goforward_realtime_sockets", Gauge, [], "Open WebSockets.";
    REALTIME_CHANNELS = "goforward_realtime_channels", Gauge, [], "Joined channels.";
    REALTIME_DEFINITIONS_AGE = "goforward_realtime_definitions_age_seconds", Gauge, [],
        "Time since the definitions of channels were read; grows while the database cannot be asked or one makes no sense.";
    REALTIME_PRESENCES = "goforward_realtime_presences", Gauge, [],
        "Channels that say who they are, on all nodes, as this one knows them.";
    REALTIME_UNREADABLE = "goforward_realtime_unreadable_total", Counter, [],
        "Messages of other nodes that cannot be read, as another version may send.";
    REALTIME_RETOLD = "goforward_realtime_presences_retold_total", Counter, [],
        "Times that this node told others all of its presences, as they are new or missed something.";
    REALTIME_RECEIVED = "goforward_realtime_messages_received_total", Counter, ["kind"],
        "Messages of clients (kind: heartbeat, join, leave, access_token, broadcast, presence).";
    REALTIME_REFUSED = "goforward_realtime_refused_total", Counter, ["reason"],
        "Sockets, joins and messages that were refused or closed.";
    REALTIME_CHANGES = "goforward_realtime_changes_total", Counter, [], "Changes of tables that were read.";
    REALTIME_CHANGES_SENT = "goforward_realtime_changes_sent_total", Counter, [], "Changes that were sent to channels.";
    REALTIME_LAG = "goforward_realtime_lag_seconds", Histogram, [], "Time from writing a change to sending it.";
    REALTIME_UNDECIDED = "goforward_realtime_undecided_total", Counter, [],
        "Rows that nobody was told of because policies failed on them.";
    REALTIME_RESYNCS = "goforward_realtime_resyncs_total", Counter, [], "Times that everybody was told to read anew.";
    BUS_CONNECTED = "goforward_bus_connected", Gauge, ["carrier"],
        "1 while messages go to other nodes and come from them (carrier: redis, postgres, local).";
    BUS_PEERS = "goforward_bus_peers", Gauge, [], "Other nodes that are there.";
    BUS_PUBLISHED = "goforward_bus_published_total", Counter, ["subject"],
        "Messages to other nodes (subject: broadcast, presence, sessions).";
    BUS_RECEIVED = "goforward_bus_received_total", Counter, ["subject"],
        "Messages of other nodes (subject: broadcast, presence, sessions).";
    BUS_DROPPED = "goforward_bus_dropped_total", Counter, ["reason"],
        "Messages between nodes that were lost here (reason: disconnected, queue_full, too_large, too_much, slow_reader).";
    BUS_IGNORED = "goforward_bus_ignored_total", Counter, [],
        "What came over the bus without being a message of a node: forged, sealed under other secrets, or said before.";
    LIMITS_SHARED = "goforward_limits_shared", Gauge, [],
        "1 while rate limits are counted in Redis for all nodes, 0 while each counts for itself although Redis is configured.";
    JOBS = "goforward_jobs_total", Counter, ["kind", "result"],
        "Attempts at jobs (result: done, retry, dead, lost where the job was somebody else's by then).";
    JOB_SECONDS = "goforward_job_seconds", Histogram, ["kind"], "Time of one attempt at a job.";
    JOBS_RUNNING = "goforward_jobs_running", Gauge, [], "Jobs being done.";
    JOBS_TAKEN_BACK = "goforward_jobs_taken_back_total", Counter, [], "Jobs whose worker died.";
    LOG_DROPPED = "goforward_log_lines_dropped_total", Counter, [],
        "Log lines lost because the log could not be written, or not fast enough.";
    PROCESS_CPU = "process_cpu_seconds_total", Counter, [], "CPU time of the process in seconds.";
    PROCESS_RESIDENT = "process_resident_memory_bytes", Gauge, [], "Resident memory of the process.";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Gauge, [], "Virtual memory of the process.";
    PROCESS_OPEN_FDS = "process_open_fds", Gauge, [], "Open file descriptors.";
    PROCESS_MAX_FDS = "process_max_fds", Gauge, [], "Most file descriptors that may be open.";
    PROCESS_THREADS = "process_threads", Gauge, [], "Threads of the process.";
    PROCESS_READ = "process_disk_read_bytes_total", Counter, [], "Bytes that the process had read from disks.";
    PROCESS_WRITTEN = "process_disk_written_bytes_total", Counter, [], "Bytes that the process had written to disks.";
    PROCESS_RECEIVED = "process_network_receive_bytes_total", Counter, [],
        "Bytes received over the network interfaces that the process sees, without the loopback.";
    PROCESS_SENT = "process_network_transmit_bytes_total", Counter, [],
        "Bytes sent over the network interfaces that the process sees, without the loopback.";
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
    let mut rows: Vec<(&str, &dyn Display)> = vec![
        (names::PROCESS_CPU, &usage.cpu_seconds),
        (names::PROCESS_RESIDENT, &usage.resident_bytes),
        (names::PROCESS_VIRTUAL, &usage.virtual_bytes),
        (names::PROCESS_OPEN_FDS, &usage.open_descriptors),
        (names::PROCESS_MAX_FDS, &usage.max_descriptors),
        (names::PROCESS_THREADS, &usage.threads),
        (names::PROCESS_START, &usage.start_seconds),
    ];
    if let Some(disk) = &usage.disk {
        rows.push((names::PROCESS_READ, &disk.incoming));
        rows.push((names::PROCESS_WRITTEN, &disk.outgoing));
    }
    if let Some(network) = &usage.network {
        rows.push((names::PROCESS_RECEIVED, &network.incoming));
        rows.push((names::PROCESS_SENT, &network.outgoing));
    }
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
            "# HELP goforward_http_requests_total Requests that were answered (status: 1xx to 5xx, or gone where the client left first).",
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

    /// Every Rust file below a folder.
    fn sources(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| match path.extension() {
                Some(extension) if extension == "rs" => vec![std::fs::read_to_string(&path).unwrap()],
                _ if path.is_dir() => sources(&path),
                _ => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn the_table_holds_exactly_the_metrics_that_are_recorded() {
        let recorded: std::collections::BTreeSet<String> =
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
                .iter()
                .flat_map(|text| ["counter!(", "gauge!(", "histogram!("].map(|call| (text, call)))
                .flat_map(|(text, call)| text.split(call).skip(1))
                .filter_map(|rest| rest.trim_start().strip_prefix("\"goforward_")?.split('"').next())
                .map(|tail| format!("goforward_{tail}"))
                .collect();
        // Recorded here, by their constants.
        let by_constant = [names::BUILD_INFO, names::LOG_DROPPED];
        let listed = METRICS.iter().map(|metric| metric.name);
        let listed = listed.filter(|name| name.starts_with("goforward_") && !by_constant.contains(name));

        assert_eq!(recorded, listed.map(str::to_owned).collect());
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
