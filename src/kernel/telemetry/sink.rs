//! Where log lines go: the standard output or a file, through a bounded queue and a thread of its own, so that
//! a slow terminal or disk never holds up a request. Lines that find the queue full are dropped and counted.

use std::path::Path;
use std::sync::Arc;

use tracing_appender::rolling::{RollingFileAppender, Rotation};

use super::TelemetryError;
use super::queue::{self, QueueWorker, QueueWriter};
use super::rotation::SizeRotatingFile;
use crate::kernel::config::{LogConfig, LogRotation};

/// The way of lines to their place. Dropping the last clone writes what is queued.
#[derive(Debug, Clone)]
pub struct LogSink {
    writer: QueueWriter,
    _worker: Arc<QueueWorker>,
}

impl LogSink {
    /// Opens the place that the configuration names.
    pub(super) fn open(config: &LogConfig) -> Result<Self, TelemetryError> {
        let Some(path) = &config.file else {
            return Self::to(std::io::stdout());
        };
        let fail = |reason: String| TelemetryError::File { path: path.display().to_string(), reason };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| fail(error.to_string()))?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| fail("is not the name of a file".to_owned()))?;
        let rotation = match config.rotation {
            LogRotation::Size => {
                let file = SizeRotatingFile::open(path, config.max_file_bytes.get(), config.keep_files);
                return Self::to(file.map_err(|error| fail(error.to_string()))?);
            }
            LogRotation::Daily => Rotation::DAILY,
            LogRotation::Hourly => Rotation::HOURLY,
            LogRotation::Never => Rotation::NEVER,
        };
        let file = RollingFileAppender::builder()
            .rotation(rotation)
            .filename_prefix(name)
            .max_log_files(config.keep_files)
            .build(folder)
            .map_err(|error| fail(error.to_string()))?;
        Self::to(file)
    }

    fn to(place: impl std::io::Write + Send + 'static) -> Result<Self, TelemetryError> {
        let started = queue::start(place).map_err(|error| TelemetryError::Thread(error.to_string()))?;
        let (writer, worker) = started;
        Ok(Self { writer, _worker: Arc::new(worker) })
    }

    /// What the logs write to.
    pub(super) fn writer(&self) -> QueueWriter {
        self.writer.clone()
    }

    /// Lines that were dropped because the queue was full or the place took none.
    pub fn dropped_lines(&self) -> u64 {
        self.writer.dropped()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_reach_the_file_when_the_sink_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("logs/goforward.log"));
        let config = LogConfig { file, rotation: LogRotation::Never, ..LogConfig::default() };
        let sink = LogSink::open(&config).unwrap();
        sink.writer().write_all(b"one\n").unwrap();
        assert_eq!(sink.dropped_lines(), 0);
        drop(sink);
        let text = std::fs::read_to_string(folder.path().join("logs/goforward.log")).unwrap();
        assert_eq!(text, "one\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let file = Some(folder.path().join("file/goforward.log"));
        let error = LogSink::open(&LogConfig { file, ..LogConfig::default() }).unwrap_err();
        assert!(error.to_string().starts_with("log.file "), "{error}");
    }
}
