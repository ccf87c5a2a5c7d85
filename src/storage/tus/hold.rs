//! Who writes to an upload: one at a time, by a lease that is renewed while they do and ends by itself when they are gone.
//!
//! Whoever finds an upload held says that it is wanted. A holder whose client says nothing then lets go: most often it is the
//! same client, whose old connection broke without anybody noticing.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::storage::error::StorageError;
use crate::storage::state::StorageState;
use crate::storage::store::tus::{self, Hold, Phase, Standing};

/// How long the upload of a node that is gone stays locked.
const LEASE: Duration = Duration::from_secs(30);
/// How often a lease is renewed, and its holder learns that it is wanted.
const RENEW: Duration = Duration::from_secs(4);

impl StorageState {
    /// Holds an upload while `work` goes on, which gets where the upload stands; `wanted` is cancelled when another wants to.
    /// The error says why it cannot be held: by another, finished, expired or gone.
    pub(super) async fn holding<T, F>(
        &self,
        version: Uuid,
        wanted: &CancellationToken,
        work: impl FnOnce(Hold, Standing) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let hold = Hold { version, holder: self.new_version() };
        let Some(standing) = tus::hold(&self.pool, hold, LEASE).await? else {
            return Err(self.why_not_held(version).await?);
        };
        let outcome = self.renewing(hold, wanted, work(hold, standing)).await;
        if let Err(error) = tus::release(&self.pool, hold).await {
            tracing::warn!("a resumable upload stays locked until its lease ends: {error}");
        }
        outcome
    }

    async fn renewing<T>(
        &self,
        hold: Hold,
        wanted: &CancellationToken,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let mut work = pin!(work);
        let mut turns = tokio::time::interval(RENEW);
        turns.tick().await;
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                _ = turns.tick() => match tus::renew(&self.pool, hold, LEASE).await {
                    Ok(Some(true)) => wanted.cancel(),
                    Ok(Some(false)) => {}
                    Ok(None) => return Err(StorageError::Locked),
                    // Whether it is still ours is asked again with everything that is written.
                    Err(error) => tracing::warn!("the lease of a resumable upload cannot be renewed: {error}"),
                },
            }
        }
    }

    async fn why_not_held(&self, version: Uuid) -> Result<StorageError, StorageError> {
        let phase = tus::find(&self.pool, version).await?.map(|upload| upload.phase);
        Ok(match phase {
            None => StorageError::NoSuchUpload,
            Some(Phase::Expired) => StorageError::UploadExpired,
            Some(Phase::Finished) => StorageError::UploadFinished,
            Some(Phase::Open) => {
                tus::want(&self.pool, version).await?;
                StorageError::Locked
            }
        })
    }
}
