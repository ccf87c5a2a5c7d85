//! Configuration of logs and metrics. `kernel::telemetry` acts on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::schema::{choice, section};
use super::values::{ByteSize, TimeSpan};

choice! {
    /// How bad something must be to be logged.
    pub enum LogLevel {
        /// Only what stops the work.
        Error = "error",
        /// Also what somebody should look at.
        Warn = "warn",
        /// Also what happens in normal work.
        Info = "info",
        /// Also what helps to find faults.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
        /// Nothing.
        Off = "off",
    }
}

choice! {
    /// How a log line looks.
    pub enum LogFormat {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// One line of text.
        Human = "human",
        /// One JSON object per line.
        Json = "json",
    }
}

choice! {
    /// When a new log file is begun.
    pub enum LogRotation {
        /// Every day.
        Daily = "daily",
        /// Every hour.
        Hourly = "hourly",
        /// When the file has reached `log.max_file_bytes`.
        Size = "size",
        /// Never.
        Never = "never",
    }
}

section! {
    /// Logs.
    pub struct LogConfig {
        /// How bad something must be to be logged.
        pub level: LogLevel = LogLevel::Info, as "log-level";
        /// Levels of single parts, as in `goforward::rest: debug`.
        pub targets: BTreeMap<String, LogLevel> = BTreeMap::new();
        /// How a line looks.
        pub format: LogFormat = LogFormat::Auto;
        /// File to write to instead of the standard output.
        pub file: Option<PathBuf> = None;
        /// When a new file is begun.
        pub rotation: LogRotation = LogRotation::Daily;
        /// Size at which a new file is begun with `rotation: size`.
        pub max_file_bytes: ByteSize = ByteSize::mib(100), in ByteSize::kib(64), ByteSize::mib(102_400);
        /// Old files that are kept.
        pub keep_files: usize = 14, in 1, 10_000;
        /// Whether every request is logged.
        pub access: bool = true;
        /// Whether the SQL of every request is logged (without its values).
        pub queries: bool = false, as "log-query";
        /// Statements that take longer are logged; 0s for none.
        pub slow_query: TimeSpan = TimeSpan::seconds(1), in TimeSpan::seconds(0), TimeSpan::seconds(86_400);
    }
}

section! {
    /// Metrics for Prometheus at `/metrics`.
    pub struct MetricsConfig {
        /// Whether metrics are collected and served.
        pub enabled: bool = true;
        /// Whether `/metrics` is also on the public listener; unless set: only without an admin listener and
        /// only in development.
        pub public: Option<bool> = None;
    }
}
