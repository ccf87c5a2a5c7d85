//! Copying an object: read by one right, written by another, and the bytes are stored anew.

use serde_json::{Map, Value};

use super::download::Readable;
use super::upload::{Target, Uploaded};
use crate::storage::error::StorageError;
use crate::storage::model::key::ObjectKey;
use crate::storage::model::options::UploadOptions;
use crate::storage::state::StorageState;
use crate::storage::store::caller::Acting;
use crate::storage::store::objects::{self, At};

/// Where something is copied to, and how.
pub(in crate::storage) struct Copy {
    pub(in crate::storage) to: (String, ObjectKey),
    pub(in crate::storage) upsert: bool,
    /// What takes the place of the source's metadata.
    pub(in crate::storage) options: UploadOptions,
    /// Whether the source's own metadata goes along.
    pub(in crate::storage) with_user_metadata: bool,
}

impl StorageState {
    /// What is to be copied, if the caller sees it and may read it.
    pub(in crate::storage) async fn copied(
        &self,
        acting: &Acting,
        (bucket, key): (&str, &ObjectKey),
    ) -> Result<Readable, StorageError> {
        let at = At { bucket, name: key.as_str() };
        let found = objects::find(&self.callers, acting, at).await?.ok_or(StorageError::NoSuchKey)?;
        self.readable(found).await
    }

    /// Copies it to where the caller may write.
    pub(in crate::storage) async fn copy(
        &self,
        acting: &Acting,
        source: &Readable,
        copy: Copy,
    ) -> Result<Uploaded, StorageError> {
        let stored = source.stored();
        let kept: Option<Map<String, Value>> =
            source.user_metadata.clone().filter(|_| copy.with_user_metadata);
        let mut target = Target {
            bucket: self.bucket(&copy.to.0).await?,
            key: copy.to.1,
            owner: acting.caller.subject.as_deref().map(str::to_owned),
            options: UploadOptions {
                content_type: copy.options.content_type.or(Some(stored.mimetype)),
                cache_control: copy.options.cache_control.or(Some(stored.cache_control)),
                user_metadata: copy.options.user_metadata.or(kept),
                robots: stored.x_robots_tag,
                // It is of the bytes, which stay as they are.
                content_encoding: copy.options.content_encoding.or(stored.content_encoding),
            },
            upsert: copy.upsert,
            replaceable: None,
        };
        self.admit(Some(acting), &mut target, Some(stored.size)).await?;
        let bytes = self.bytes(source, 0..stored.size).await?.ok_or(StorageError::BytesMissing)?;
        self.store(&target, bytes).await
    }
}
