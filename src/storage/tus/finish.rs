//! Makes the object of an upload that is whole: its parts are read as one stream and stored as every upload is, within the
//! same limits. The object is there, the upload finished and its parts given up in one transaction.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use uuid::Uuid;

use super::receive::Received;
use crate::kernel::db::pool;
use crate::storage::blobs::BlobBytes;
use crate::storage::error::StorageError;
use crate::storage::flow::upload::{Staged, Target};
use crate::storage::state::StorageState;
use crate::storage::store::tus::{self, Hold, Part};

/// How many parts are looked up at a time.
const LOOK: i64 = 500;

impl StorageState {
    /// Makes the object of an upload of which all bytes have arrived.
    pub(super) async fn finish(
        &self,
        hold: Hold,
        target: &Target,
        received: Received,
    ) -> Result<(), StorageError> {
        let made = self.make(hold, target, received).await;
        if matches!(made, Err(StorageError::InvalidMimeType(_) | StorageError::EntityTooLarge)) {
            // No other try could end otherwise.
            tus::remove(&self.pool, hold).await?;
        }
        self.litter.notify_one();
        made
    }

    async fn make(&self, hold: Hold, target: &Target, received: Received) -> Result<(), StorageError> {
        let size = received.offset;
        let last = received.last.as_ref().map_or(0, Staged::size);
        let staged = match received.last {
            // All came at once, and was looked at as it came.
            Some(whole) if last == size => whole,
            None => self.stage(target, joined(self.clone(), hold, None)).await?,
            // The last part is given up when it is joined.
            Some(last) => {
                let (blob, size) = (last.version(), last.size());
                let bytes = joined(self.clone(), hold, Some((blob, size)));
                self.touching(blob, self.stage(target, bytes)).await??
            }
        };
        if staged.size() != size {
            tracing::error!(upload = %hold.version, "parts of a resumable upload are missing");
            return Err(StorageError::Internal);
        }
        let mut transaction = pool::begin(&self.pool).await?;
        if !tus::finish(&mut transaction, hold, size, last).await? {
            return Err(StorageError::Locked);
        }
        self.place(transaction, target, staged).await.map(drop)
    }
}

/// The bytes of all parts, in order, and then those of a last one.
fn joined(
    state: StorageState,
    hold: Hold,
    last: Option<(Uuid, u64)>,
) -> impl Stream<Item = Result<Bytes, StorageError>> + Send + 'static {
    let found = (state, VecDeque::new(), 0, last);
    stream::try_unfold(found, move |(state, mut parts, starts, mut last)| async move {
        if parts.is_empty() {
            parts = tus::parts(&state.pool, hold.version, starts, LOOK).await?.into();
        }
        let last_part = || last.take().map(|(blob, size)| Part { starts, size, blob });
        let Some(part) = parts.pop_front().or_else(last_part) else { return Ok::<_, StorageError>(None) };
        let bytes = read(&state, part, starts).await?;
        Ok(Some((bytes.map_err(StorageError::from), (state, parts, starts + part.size, last))))
    })
    .try_flatten()
    .boxed()
}

async fn read(state: &StorageState, part: Part, starts: u64) -> Result<BlobBytes, StorageError> {
    if part.starts != starts {
        return Err(StorageError::BytesMissing);
    }
    Ok(state.blobs.read(part.blob, part.size, 0..part.size).await?)
}
