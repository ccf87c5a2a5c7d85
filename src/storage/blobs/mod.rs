//! The bytes of objects, on any `object_store` backend, each under the random name of its version: what they are called
//! by users never gets near a path.
//!
//! A blob is complete or not there: local files are written beside, brought to disk and renamed; elsewhere a multipart
//! upload is completed. Memory is one part a writer and one step a reader, whatever the size.

mod backend;
mod read;
mod seal;
mod write;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use uuid::Uuid;

use crate::kernel::config::Encryption;

pub use backend::{BackendError, open};
pub(in crate::storage) use read::{BlobBytes, ReadError};
pub use seal::BlobKeys;
pub(in crate::storage) use write::{WriteError, Written};

/// Where the bytes are. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// What is written at a time, in bytes.
    part: usize,
    encryption: Encryption,
    keys: Option<BlobKeys>,
}

impl Blobs {
    /// On a backend that takes parts of at least this many bytes.
    pub fn new(store: Arc<dyn ObjectStore>, part: usize) -> Self {
        Self { store, part, encryption: Encryption::Off, keys: None }
    }

    /// The same, with keys: what is encrypted can be read, and what is new is encrypted as `encryption` says.
    #[must_use]
    pub fn encrypted(self, encryption: Encryption, keys: BlobKeys) -> Self {
        Self { encryption, keys: Some(keys), ..self }
    }

    /// Removes a blob; that there is none is fine.
    pub(in crate::storage) async fn remove(&self, version: Uuid) -> Result<(), object_store::Error> {
        use object_store::ObjectStoreExt;
        match self.store.delete(&path(version)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

/// Spread over 256 folders, for file systems that do not like large ones.
fn path(version: Uuid) -> Path {
    let name = version.as_simple().to_string();
    Path::from_iter([&name[..2], &name[..]])
}
