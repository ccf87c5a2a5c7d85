//! Removes bytes that no object has: left by overwriting, removing, writers that are gone, and uploads that have expired.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::kernel::db::pool;
use crate::storage::blobs::Blobs;
use crate::storage::metrics;
use crate::storage::store::{blobs, s3_uploads, tus};

/// How often it is looked for what others left.
const LOOK: Duration = Duration::from_mins(1);
/// How many are removed in one transaction.
const BATCH: i64 = 100;

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
}

/// Why a round of sweeping ended early.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    #[error("{0}")]
    Backend(#[from] object_store::Error),
}

impl Sweeper {
    /// Sweeps until `stop`.
    pub(in crate::storage) async fn run(self, stop: CancellationToken) {
        loop {
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                swept = self.sweep() => swept,
            };
            match swept {
                Ok(true) => continue,
                Ok(false) => {}
                // What is not removed now is tried again: the rows are still there.
                Err(error) => tracing::warn!("bytes that nobody wants cannot be removed yet: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.litter.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Removes a batch; whether there may be more. The rows go when the bytes are gone.
    async fn sweep(&self) -> Result<bool, SweepError> {
        let are_more_expired = tus::expire(&self.pool, BATCH).await?;
        // Their parts are unwanted with them.
        s3_uploads::remove_expired(&self.pool, self.upload_lifetime, BATCH).await?;
        let mut transaction = pool::begin(&self.pool).await?;
        let unwanted = blobs::take_unwanted(&mut transaction, self.grace, BATCH).await?;
        for version in &unwanted {
            self.blobs.remove(*version).await?;
        }
        transaction.commit().await?;
        metrics::swept(unwanted.len() as u64);
        Ok(are_more_expired || i64::try_from(unwanted.len()).is_ok_and(|swept| swept == BATCH))
    }
}
