//! Signals of the operating system: stop in order, stop hard, read the schema and the log levels again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::reload::CatalogHandle;
use crate::cli::Reload;
use crate::kernel::telemetry::LogLevels;

/// The signals that stop the server: SIGTERM and SIGINT.
pub(super) struct StopSignals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl StopSignals {
    /// Takes over the signals. Where one cannot be taken over it keeps its default effect.
    pub(super) fn take() -> Self {
        Self { terminate: take(SignalKind::terminate()), interrupt: take(SignalKind::interrupt()) }
    }

    /// Waits for either.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            () = next(&mut self.terminate) => {}
            () = next(&mut self.interrupt) => {}
        }
    }
}

/// Reads the schema again at SIGUSR1 and SIGHUP, until `stop`.
pub(super) fn reload_on_signal(catalog: CatalogHandle, tracker: &TaskTracker, stop: CancellationToken) {
    let mut user = take(SignalKind::user_defined1());
    let mut hangup = take(SignalKind::hangup());
    tracker.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = next(&mut user) => {}
                () = next(&mut hangup) => {}
            }
            tracing::info!("reading the schema again because of a signal");
            catalog.request_reload();
        }
    });
}

/// Reads the levels of the logs again at SIGHUP; never returns. A configuration that is wrong by then changes nothing.
pub(super) async fn follow_log_levels(levels: &LogLevels, reload: &Reload) {
    let mut hangup = take(SignalKind::hangup());
    loop {
        next(&mut hangup).await;
        let level = reload().map_err(|error| error.to_string()).and_then(|loaded| {
            levels.set(&loaded.config.log).map_err(|error| error.to_string())?;
            Ok(loaded.config.log.level)
        });
        match level {
            Ok(level) => tracing::info!(%level, "the log levels were read again"),
            Err(error) => tracing::error!("the log levels stay as they are: {error}"),
        }
    }
}

fn take(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::warn!("cannot listen for signal {}: {error}", kind.as_raw_value()))
        .ok()
}

/// The next signal, or never where it could not be taken over.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
