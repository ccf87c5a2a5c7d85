//! Logs and metrics of the process: sets them up from the configuration and hands out what may be changed or
//! read while the server runs. What is logged and counted is the business of those who do it.

mod level;
mod line;
mod metrics;
mod process;
mod queue;
mod rotation;
mod sink;

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::clock::Clock;
use super::config::{LogConfig, LogFormat};

pub use level::{LogLevels, LogsClosed};
pub use line::{KINDS, LineFormat, LineLayer};
pub use metrics::{METRICS, MetricInfo, MetricKind, Metrics, names};
pub use process::{ProcessUsage, Traffic};
pub use sink::LogSink;

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log file cannot be written.
    #[error("log.file {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the log writer: {0}")]
    Thread(String),
    /// Somebody else has set up logs in this process before.
    #[error("logs are set up already")]
    Twice,
}

/// The logs of the process. Keep it until the end: dropping it writes what is still queued.
#[derive(Debug)]
pub struct Logs {
    /// Levels, changeable at run time.
    pub levels: LogLevels,
    /// Where lines go.
    pub sink: LogSink,
}

/// Sets up the logs of this process, once.
pub fn start_logs(config: &LogConfig, clock: Clock) -> Result<Logs, TelemetryError> {
    let sink = LogSink::open(config)?;
    let to_terminal = config.file.is_none() && std::io::stdout().is_terminal();
    let format = match (config.format, to_terminal) {
        (LogFormat::Human, _) | (LogFormat::Auto, true) => LineFormat::Human,
        (LogFormat::Json, _) | (LogFormat::Auto, false) => LineFormat::Json,
    };
    let (filter, levels) = LogLevels::new(config);
    let lines = LineLayer::new(format, clock, sink.writer());
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| TelemetryError::Twice)?;
    Ok(Logs { levels, sink })
}
