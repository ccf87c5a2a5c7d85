//! Reading an object: who may, and its bytes, which may be replaced in the very moment.

use std::ops::Range;

use crate::storage::blobs::{BlobBytes, ReadError};
use crate::storage::error::StorageError;
use crate::storage::model::key::ObjectKey;
use crate::storage::model::object::{self, Object};
use crate::storage::model::scan::Hold;
use crate::storage::state::StorageState;
use crate::storage::store::caller::Acting;
use crate::storage::store::objects::{self, At};
use crate::storage::store::scans;

/// By what right an object is read.
#[derive(Clone)]
pub(in crate::storage) enum Right {
    /// It is in a public bucket; in any other there is nothing.
    Public,
    /// It is in a public bucket, or the caller sees it.
    Caller(Acting),
    /// A signed URL says so.
    Signed,
}

/// An object that no scanner holds: there is no other way to the bytes of one (threat H22).
#[derive(Clone, Debug)]
pub(in crate::storage) struct Readable(Object);

impl std::ops::Deref for Readable {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

impl StorageState {
    /// The object, if it may be read by this right.
    pub(in crate::storage) async fn object(
        &self,
        right: &Right,
        bucket: &str,
        key: &ObjectKey,
    ) -> Result<Readable, StorageError> {
        match self.known(right, bucket, key).await? {
            (_, Some(hold)) => Err(hold.into()),
            (object, None) => Ok(Readable(object)),
        }
    }

    /// The same of an object that is known already.
    pub(in crate::storage) async fn readable(&self, object: Object) -> Result<Readable, StorageError> {
        match self.hold(&object).await? {
            Some(hold) => Err(hold.into()),
            None => Ok(Readable(object)),
        }
    }

    async fn hold(&self, object: &Object) -> Result<Option<Hold>, StorageError> {
        match &object.version {
            Some(version) => Ok(scans::hold(&self.pool, version).await?),
            None => Ok(None),
        }
    }

    /// What is known by this right of the object, also where nobody may read it, and why so.
    pub(in crate::storage) async fn known(
        &self,
        right: &Right,
        bucket: &str,
        key: &ObjectKey,
    ) -> Result<(Object, Option<Hold>), StorageError> {
        let at = At { bucket, name: key.as_str() };
        let found = objects::public(&self.pool, at, matches!(right, Right::Signed)).await?;
        let found = found.ok_or(StorageError::NoSuchBucket)?;
        let object = match right {
            Right::Signed => found.object,
            _ if found.is_public => found.object,
            Right::Public => return Err(StorageError::NoSuchBucket),
            Right::Caller(acting) => objects::find(&self.callers, acting, at).await?,
        };
        let object = object.ok_or(StorageError::NoSuchKey)?;
        // Between two looks it may have been written anew.
        let hold = if object.version == found.version { found.hold } else { self.hold(&object).await? };
        Ok((object, hold))
    }

    /// The bytes of an object within a range. None where there are none under its version: it may have been replaced.
    pub(in crate::storage) async fn bytes(
        &self,
        object: &Readable,
        range: Range<u64>,
    ) -> Result<Option<BlobBytes>, StorageError> {
        let version = object.version.as_deref().and_then(object::version);
        let Some(version) = version else { return Ok(None) };
        match self.blobs.read(version, object.stored().size, range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ReadError::Missing) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
