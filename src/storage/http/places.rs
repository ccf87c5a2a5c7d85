//! Where a request wants something done: bucket and key of its path, which are read before anything else is.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use crate::storage::error::StorageError;
use crate::storage::model::key::ObjectKey;
use crate::storage::state::StorageState;

/// An object, by the path.
pub(in crate::storage) struct Place {
    /// The bucket's id. Nothing is made of it but a question to the database.
    pub(in crate::storage) bucket: String,
    /// The key.
    pub(in crate::storage) key: ObjectKey,
}

impl Place {
    /// `<bucket>/<key>`, as clients know it.
    pub(in crate::storage) fn full(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

impl FromRequestParts<StorageState> for Place {
    type Rejection = StorageError;

    async fn from_request_parts(parts: &mut Parts, state: &StorageState) -> Result<Self, StorageError> {
        let raw = parts.uri.path().to_owned();
        // A path that is no UTF-8 once it is decoded.
        let Path((bucket, key)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| StorageError::InvalidKey(raw))?;
        Ok(Self { bucket, key: state.key(&key)? })
    }
}

/// A bucket or an owner, by the path.
pub(in crate::storage) struct Named(pub(in crate::storage) String);

impl FromRequestParts<StorageState> for Named {
    type Rejection = StorageError;

    async fn from_request_parts(parts: &mut Parts, state: &StorageState) -> Result<Self, StorageError> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| StorageError::InvalidBucketName)?;
        Ok(Self(name))
    }
}
