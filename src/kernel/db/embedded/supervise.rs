//! The task that owns the server process: restarts it when it dies, stops it when told.
//!
//! The first restart is immediate, the next ones wait longer and longer up to a cap, and it never gives up: a full
//! disk that was cleared or memory that came back ends the outage without anybody's help.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::State;
use super::error::EmbeddedError;
use super::server::{Running, Server};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// After this long without a death the next one counts as the first.
const STABLE: Duration = Duration::from_mins(1);

/// Runs until `stopping` is cancelled, then stops the server and reports [`State::Stopped`].
pub(super) async fn supervise(
    server: Arc<Server>,
    mut running: Running,
    report: watch::Sender<State>,
    stopping: CancellationToken,
) {
    let mut deaths_in_a_row = 0;
    loop {
        let since = Instant::now();
        let status = tokio::select! {
            () = stopping.cancelled() => {
                running.stop().await;
                break;
            }
            status = running.ended() => status,
        };
        let died = Instant::now();
        report.send_replace(State::Restarting);
        deaths_in_a_row = if since.elapsed() >= STABLE { 1 } else { deaths_in_a_row + 1 };
        tracing::error!(status, "PostgreSQL died: starting it again");
        match start_again(&server, deaths_in_a_row, &stopping).await {
            Some(again) => running = again,
            None => break,
        }
        report.send_replace(State::Ready);
        tracing::info!(outage_ms = outage(died), "PostgreSQL is back");
    }
    report.send_replace(State::Stopped);
}

fn outage(died: Instant) -> u64 {
    u64::try_from(died.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Tries until it runs; `None` once `stopping` is cancelled.
async fn start_again(server: &Server, deaths: u32, stopping: &CancellationToken) -> Option<Running> {
    let mut failures = deaths;
    loop {
        let pause = pause(failures);
        tokio::select! {
            () = stopping.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        match server.launch(stopping).await {
            Ok(running) => return Some(running),
            Err(EmbeddedError::Cancelled) => return None,
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::error!(%error, "PostgreSQL could not be started again, trying further");
            }
        }
    }
}

/// Nothing before the first try, then doubling.
fn pause(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(more - 2)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_later_ones_wait_up_to_a_cap() {
        assert_eq!(pause(1), Duration::ZERO);
        assert_eq!(pause(2), FIRST_PAUSE);
        assert_eq!(pause(4), FIRST_PAUSE * 4);
        assert_eq!(pause(1000), LONGEST_PAUSE);
    }
}
