//! The bytes of objects, on any `object_store` backend, each under the random name of its version: what they are called
//! by users never gets near a path.
//!
//! A blob is complete or not there: local files are written beside, brought to disk and renamed; elsewhere a multipart
//! upload is completed. Memory is one part a writer and one step a reader, whatever the size, and a fixed number of parts for
//! all writers to a service.

mod at_work;
mod backend;
mod file;
mod list;
mod memory;
mod read;
mod seal;
mod write;

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use uuid::Uuid;

use crate::kernel::config::Encryption;

use at_work::AtWork;
use file::Buffers;
use memory::Memory;

pub use backend::{BackendError, open};
pub(in crate::storage) use list::Listed;
pub(in crate::storage) use read::{BlobBytes, ReadError};
pub use seal::BlobKeys;
pub(in crate::storage) use seal::is_of_size;
pub(in crate::storage) use write::{WriteError, Written};

/// Where the bytes are. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// What is written at a time, in bytes.
    part: usize,
    /// Bounds what all writers hold, where a part is large.
    memory: Option<Memory>,
    encryption: Encryption,
    keys: Option<BlobKeys>,
    /// Where the files are, if they are here.
    folder: Option<Arc<FilePath>>,
    /// The blobs that are being written here.
    at_work: AtWork,
    /// What files are read into.
    buffers: Buffers,
}

/// How long a removal waits for a writer to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a blob was not removed.
#[derive(Debug, thiserror::Error)]
pub(in crate::storage) enum RemoveError {
    /// Somebody is still writing it.
    #[error("it is still being written")]
    AtWork,
    /// The backend failed.
    #[error("{0}")]
    Backend(#[from] object_store::Error),
    /// A file that its writer left cannot be removed.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl Blobs {
    /// On a backend that takes parts of at least this many bytes.
    pub fn new(store: Arc<dyn ObjectStore>, part: usize) -> Self {
        Self {
            store,
            part,
            memory: None,
            encryption: Encryption::Off,
            keys: None,
            folder: None,
            at_work: AtWork::default(),
            buffers: Buffers::default(),
        }
    }

    /// The same, with keys: what is encrypted can be read, and what is new is encrypted as `encryption` says.
    #[must_use]
    pub fn encrypted(self, encryption: Encryption, keys: BlobKeys) -> Self {
        Self { encryption, keys: Some(keys), ..self }
    }

    /// The same, where all writers together hold about so many bytes, and wait for each other no longer than `patience`.
    fn within(self, bytes: u64, patience: Duration) -> Self {
        Self { memory: Some(Memory::new(bytes, self.part, patience)), ..self }
    }

    /// The same, where the backend is this folder.
    fn in_folder(self, folder: &FilePath) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    /// Waits until nothing of a blob is on its way to the backend any more: what was begun for a client who hung up goes on
    /// to its end, and would come after a removal.
    pub(in crate::storage) async fn settled(&self, version: Uuid) {
        self.at_work.ended(version).await;
    }

    /// Removes a blob, and what a writer that was killed left of it; that there is none is fine.
    pub(in crate::storage) async fn remove(&self, version: Uuid) -> Result<(), RemoveError> {
        tokio::time::timeout(PATIENCE, self.settled(version)).await.map_err(|_| RemoveError::AtWork)?;
        match self.store.delete(&path(version)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.remove_unfinished(version).await?)
    }

    /// How many bytes a blob has, if it is there.
    pub(in crate::storage) async fn size(&self, version: Uuid) -> Result<Option<u64>, object_store::Error> {
        match self.store.head(&path(version)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Spread over 256 folders, for file systems that do not like large ones.
fn path(version: Uuid) -> Path {
    let name = version.as_simple().to_string();
    Path::from_iter([&name[..2], &name[..]])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{FutureExt, stream};
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;

    #[tokio::test]
    async fn bytes_that_are_on_their_way_when_a_client_hangs_up_do_not_come_after_their_removal() {
        let slow =
            ThrottleConfig { wait_put_per_call: Duration::from_millis(50), ..ThrottleConfig::default() };
        let blobs = Blobs::new(Arc::new(ThrottledStore::new(InMemory::new(), slow)), 1 << 20);
        let version = Uuid::from_u128(7);
        let source = || stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"late"))]);
        assert!(Box::pin(blobs.write(version, source(), 100)).now_or_never().is_none());
        blobs.remove(version).await.unwrap();
        blobs.settled(version).await;
        assert_eq!(blobs.size(version).await.unwrap(), None);
        blobs.write(version, source(), 100).await.unwrap();
        assert_eq!(blobs.size(version).await.unwrap(), Some(4));
    }
}
