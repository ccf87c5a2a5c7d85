//! Removes bytes that no object has: left by overwriting, removing, writers that are gone, and uploads that have expired.
//!
//! What the backend does not remove holds up nothing else: it is tried again after pauses that grow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::kernel::clock::Clock;
use crate::kernel::pauses::Pauses;
use crate::kernel::random::Random;
use crate::storage::blobs::{Blobs, RemoveError};
use crate::storage::metrics;
use crate::storage::store::{blobs, s3_uploads, tus};

/// How often it is looked for what others left.
const LOOK: Duration = Duration::from_mins(1);
/// How often it is looked for files that no row names.
const LOOK_FOR_FILES: Duration = Duration::from_hours(1);
/// How many are removed at a time.
const BATCH: i64 = 100;
/// How long no other node tries to remove what one has begun to remove. One that dies leaves it behind for as long.
const LEASE: Duration = Duration::from_mins(2);
/// How many of them at a time.
const AT_ONCE: usize = 8;
/// The pauses after which a removal that failed is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(10));
/// How many failures are known one by one; with more, the backend is down, and everything waits.
const MOST_FAILING: usize = 500;

/// The task; one a node.
pub(in crate::storage) struct Sweeper {
    pub(in crate::storage) pool: PgPool,
    pub(in crate::storage) blobs: Blobs,
    /// How long a writer may say nothing.
    pub(in crate::storage) grace: Duration,
    /// How long an upload in parts may take.
    pub(in crate::storage) upload_lifetime: Duration,
    /// Is notified when there is something to do.
    pub(in crate::storage) litter: Arc<Notify>,
    pub(in crate::storage) clock: Clock,
    pub(in crate::storage) random: Random,
}

/// Removals that failed: when each is tried again.
#[derive(Default)]
struct Failing(HashMap<Uuid, (Instant, Pauses)>);

impl Failing {
    /// Those whose time has not come.
    fn waiting(&self) -> Vec<Uuid> {
        let now = Instant::now();
        self.0.iter().filter(|(_, (at, _))| *at > now).map(|(version, _)| *version).collect()
    }

    /// Until the first one is tried again.
    fn pause(&self) -> Duration {
        let first = self.0.values().map(|(at, _)| *at).min();
        first.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()).min(LOOK))
    }

    fn failed(&mut self, version: Uuid, random: &Random) {
        let (at, pauses) = self
            .0
            .entry(version)
            .or_insert_with(|| (Instant::now(), Pauses::new(PAUSES.0, PAUSES.1, random)));
        *at = Instant::now() + pauses.take();
    }
}

impl Sweeper {
    /// Sweeps until `stop`.
    pub(in crate::storage) async fn run(self, stop: CancellationToken) {
        let mut failing = Failing::default();
        let mut look_for_files = tokio::time::interval(LOOK_FOR_FILES);
        loop {
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                swept = self.sweep(&mut failing) => swept,
            };
            match swept {
                Ok(true) => continue,
                Ok(false) => {}
                // What is not removed now is tried again: the rows are still there.
                Err(error) => tracing::warn!("bytes that nobody wants cannot be removed yet: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.litter.notified(), if failing.0.len() < MOST_FAILING => {}
                _ = look_for_files.tick() => self.remove_files().await,
                () = tokio::time::sleep(failing.pause()) => {}
            }
        }
    }

    /// Removes a batch; whether there may be more. The rows go when the bytes are gone. No connection is held while the
    /// backend is at it.
    async fn sweep(&self, failing: &mut Failing) -> Result<bool, sqlx::Error> {
        let waiting = failing.waiting();
        if waiting.len() >= MOST_FAILING {
            return Ok(false);
        }
        let mut are_more_expired = tus::forget(&self.pool, BATCH).await?;
        are_more_expired |= tus::expire(&self.pool).await?;
        // Their parts are unwanted with them.
        are_more_expired |= s3_uploads::remove_expired(&self.pool, self.upload_lifetime).await?;
        let unwanted = blobs::claim_unwanted(&self.pool, (self.grace, &waiting), (BATCH, LEASE)).await?;
        let removing = unwanted.clone().into_iter().map(|version| {
            let blobs = self.blobs.clone();
            async move { (version, blobs.remove(version).await) }
        });
        let done: Vec<(Uuid, Result<(), RemoveError>)> =
            stream::iter(removing).buffer_unordered(AT_ONCE).collect().await;
        let (mut gone, mut stay) = (Vec::new(), Vec::new());
        for (version, outcome) in done {
            match outcome {
                Ok(()) => {
                    failing.0.remove(&version);
                    gone.push(version);
                }
                Err(error) => {
                    tracing::warn!(%version, "bytes that nobody wants cannot be removed yet: {error}");
                    failing.failed(version, &self.random);
                    stay.push(version);
                }
            }
        }
        blobs::swept(&self.pool, &gone, &stay).await?;
        metrics::swept(gone.len() as u64);
        // Another node may have removed what failed here.
        failing.0.retain(|version, _| waiting.contains(version) || unwanted.contains(version));
        // What was made of blobs that are gone is unwanted with them.
        let is_full = i64::try_from(unwanted.len()).is_ok_and(|swept| swept == BATCH);
        Ok(are_more_expired || is_full || !gone.is_empty())
    }

    /// Removes files of writers that were killed whose row is gone, a batch a time.
    async fn remove_files(&self) {
        let now = Duration::from_millis(u64::try_from(self.clock.unix_millis()).unwrap_or_default());
        let before = UNIX_EPOCH + now.saturating_sub(self.grace);
        let removed = async {
            for file in self.blobs.unfinished(before, usize::try_from(BATCH).unwrap_or(1)).await? {
                self.blobs.remove_file(file).await?;
            }
            Ok::<(), std::io::Error>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!("unfinished files cannot be removed yet: {error}");
        }
    }
}
