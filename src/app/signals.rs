//! Signals of the operating system: stop in order, stop hard, read the schema again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::reload::CatalogHandle;

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
