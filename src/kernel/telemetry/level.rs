//! Which events are logged: one level for us, quieter ones for the libraries, changeable while the server runs.

use std::collections::BTreeMap;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload;

use crate::kernel::config::{LogConfig, LogLevel};

/// The levels in force. Clones act on the same logs.
#[derive(Debug, Clone)]
pub struct LogLevels {
    handle: reload::Handle<Targets, Registry>,
}

/// The target of access log lines.
const ACCESS_TARGET: &str = "goforward::access";

/// The logs are gone, as happens only while the process ends.
#[derive(Debug, thiserror::Error)]
#[error("the logs are closed")]
pub struct LogsClosed;

impl LogLevels {
    /// The filter to put before the logs, and the handle that changes it.
    pub(super) fn new(config: &LogConfig) -> (reload::Layer<Targets, Registry>, Self) {
        let (filter, handle) = reload::Layer::new(asked_for(config));
        (filter, Self { handle })
    }

    /// Changes the levels from the next event on, as `log.level`, `log.targets` and `log.access` say.
    pub fn set(&self, config: &LogConfig) -> Result<(), LogsClosed> {
        self.handle.reload(asked_for(config)).map_err(|_| LogsClosed)
    }
}

/// What the configuration asks for.
fn asked_for(config: &LogConfig) -> Targets {
    let mut of_targets = config.targets.clone();
    if !config.access {
        of_targets.insert(ACCESS_TARGET.to_owned(), LogLevel::Off);
    }
    targets(config.level, &of_targets)
}

/// Libraries are heard from warnings on; below our own level they are never louder than we are.
fn targets(level: LogLevel, of_targets: &BTreeMap<String, LogLevel>) -> Targets {
    let ours = filter(level);
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target("goforward", ours)
        .with_targets(of_targets.iter().map(|(target, level)| (target.clone(), filter(*level))))
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quieter_than_we_are_unless_they_are_named() {
        let named = [("hyper".to_owned(), LogLevel::Debug)].into();
        let filter = targets(LogLevel::Info, &named);
        assert!(filter.would_enable("goforward::rest", &tracing::Level::INFO));
        assert!(!filter.would_enable("goforward::rest", &tracing::Level::DEBUG));
        assert!(filter.would_enable("sqlx::query", &tracing::Level::WARN));
        assert!(!filter.would_enable("sqlx::query", &tracing::Level::INFO));
        assert!(filter.would_enable("hyper::proto", &tracing::Level::DEBUG));
        assert!(!targets(LogLevel::Error, &BTreeMap::new()).would_enable("sqlx", &tracing::Level::WARN));
    }
}
