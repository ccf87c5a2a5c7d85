//! Transformed pictures: who may see the original sees them; each is made once and kept in memory for a while.
//!
//! A picture is kept under the version of the object's bytes, so that what is written anew is never shown as it was, and
//! under no more than a fixed number of bytes, whatever sizes are asked for (threat H14).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::download::Readable;
use crate::storage::blobs::{BlobBytes, ReadError};
use crate::storage::error::StorageError;
use crate::storage::image::{
    Deadline, Format, ImageError, Rendered, Target, TransformLimits, TransformOptions, sniff, transform,
};
use crate::storage::state::StorageState;
use crate::storage::store::thumbnails;

/// How long a picture may take, with what it waits for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many may wait, for each that is made at a time.
const QUEUE: usize = 16;
/// What stands for the size of a picture that is about to be made.
const USUAL_SIZE: u64 = 16 * 1024;
/// As many of the first bytes as tell the format.
const FIRST: u64 = 32;

/// A picture that was made.
#[derive(Clone)]
pub(in crate::storage) struct Picture {
    /// The file.
    pub(in crate::storage) bytes: Bytes,
    /// Its type.
    pub(in crate::storage) content_type: &'static str,
}

/// Counts a picture by its bytes.
#[derive(Clone)]
struct BySize;

impl Weighter<String, Picture> for BySize {
    fn weight(&self, key: &String, picture: &Picture) -> u64 {
        (key.len() + picture.bytes.len()) as u64
    }
}

/// What makes pictures.
pub(in crate::storage) struct Renderer {
    /// The bounds of one.
    pub(in crate::storage) limits: TransformLimits,
    cache: Cache<String, Picture, BySize>,
    /// A picture takes a processor, and at its worst half a gigabyte.
    turns: Arc<Semaphore>,
    /// Who makes one or waits for a turn; more are told to come again.
    queue: Semaphore,
}

impl Renderer {
    /// That keeps pictures of so many bytes, and makes so many at a time.
    pub(in crate::storage) fn new(limits: TransformLimits, kept: u64, at_once: usize) -> Self {
        let expected = usize::try_from(kept / USUAL_SIZE).unwrap_or(usize::MAX).max(1);
        Self {
            limits,
            cache: Cache::with_weighter(expected, kept, BySize),
            turns: Arc::new(Semaphore::new(at_once)),
            queue: Semaphore::new(at_once * QUEUE),
        }
    }
}

impl Renderer {
    /// Forgets all pictures.
    pub(in crate::storage) fn forget(&self) {
        self.cache.clear();
    }
}

impl StorageState {
    /// The picture that is made of an object; none where its format is none that can be transformed, so that the original is
    /// to be served.
    pub(in crate::storage) async fn picture(
        &self,
        object: &Readable,
        options: &TransformOptions,
        target: Target,
    ) -> Result<Option<Picture>, StorageError> {
        let version = object.version.as_deref().unwrap_or_default();
        let key = options.cache_key(target, version);
        let making = async {
            if let Some(kept) = self.kept_picture(object, &key).await? {
                return Ok(kept);
            }
            let made = self.make_picture(object, options.clone(), target).await?;
            made.ok_or(Made::Original)
        };
        match tokio::time::timeout(PATIENCE, self.renderer.cache.get_or_insert_async(&key, making)).await {
            Ok(Ok(picture)) => Ok(Some(picture)),
            Ok(Err(Made::Original)) => Ok(None),
            Ok(Err(Made::Failed(error))) => Err(error),
            Err(_) => Err(StorageError::Unavailable),
        }
    }

    /// The picture, if it was made ahead.
    async fn kept_picture(&self, object: &Readable, key: &str) -> Result<Option<Picture>, StorageError> {
        let Some(version) = object.version.as_deref().filter(|_| self.has_thumbnails(&object.stored()))
        else {
            return Ok(None);
        };
        let Some(kept) = thumbnails::find(&self.pool, version, key).await? else { return Ok(None) };
        let content_type =
            Format::ALL.map(Format::media_type).into_iter().find(|name| *name == kept.content_type);
        let (Some(content_type), Ok(blob)) = (content_type, Uuid::try_parse(&kept.blob)) else {
            return Ok(None);
        };
        let size = u64::try_from(kept.size).unwrap_or_default();
        match self.blobs.read(blob, size, 0..size).await {
            Ok(bytes) => Ok(Some(Picture { bytes: collect(bytes, size).await?, content_type })),
            // It goes with the original, which is about to be looked at.
            Err(ReadError::Missing) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it; none where its format is none that can be transformed.
    pub(in crate::storage) async fn make_picture(
        &self,
        object: &Readable,
        options: TransformOptions,
        target: Target,
    ) -> Result<Option<Picture>, StorageError> {
        let size = object.stored().size;
        let limits = self.renderer.limits.clone();
        let first = self.whole(object, size.min(FIRST)).await?;
        if !sniff(&first).is_some_and(Format::is_source) {
            return Ok(None);
        }
        if size > limits.max_source_bytes as u64 {
            return Err(StorageError::InvalidImage(ImageError::TooLarge.to_string()));
        }
        let _place = self.renderer.queue.try_acquire().map_err(|_| StorageError::TooManyConnections)?;
        let patience = i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX);
        let until = self.clock.unix_millis().saturating_add(patience);
        let turn =
            Arc::clone(&self.renderer.turns).acquire_owned().await.map_err(|_| StorageError::Unavailable)?;
        let source = self.whole(object, size).await?;
        let clock = self.clock.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let has_ended = || clock.unix_millis() >= until;
            transform(&source, &options, target, &limits, Deadline::new(&has_ended))
        });
        // A decoder that panics says nothing else than that it cannot read this.
        match work.await.unwrap_or(Err(ImageError::Corrupt)) {
            Ok(Rendered::Image(made)) => {
                Ok(Some(Picture { bytes: made.bytes, content_type: made.content_type }))
            }
            Ok(Rendered::Original) => Ok(None),
            Err(ImageError::TimedOut) => Err(StorageError::Unavailable),
            Err(ImageError::Encoding) => Err(StorageError::Internal),
            Err(error) => Err(StorageError::InvalidImage(error.to_string())),
        }
    }

    /// The first bytes of an object in memory. For sizes that have been looked at.
    async fn whole(&self, object: &Readable, size: u64) -> Result<Bytes, StorageError> {
        let bytes = self.bytes(object, 0..size).await?.ok_or(StorageError::BytesMissing)?;
        Ok(collect(bytes, size).await?)
    }
}

async fn collect(mut bytes: BlobBytes, size: u64) -> std::io::Result<Bytes> {
    let mut whole = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
    while let Some(piece) = bytes.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole.freeze())
}

/// Why there is no picture to keep.
enum Made {
    /// The original is to be served.
    Original,
    /// It cannot be made.
    Failed(StorageError),
}

impl From<StorageError> for Made {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h14_ten_thousand_sizes_take_no_more_memory_than_is_set_aside() {
        let kept = 256 * 1024;
        let renderer = Renderer::new(TransformLimits::default(), kept, 1);
        for width in 0..10_000 {
            let picture = Picture { bytes: vec![0; 2_000].into(), content_type: "image/png" };
            renderer.cache.insert(format!("width:{width}"), picture);
            assert!(renderer.cache.weight() <= kept, "{width}");
        }
        assert!(renderer.cache.len() > 50, "and what is asked for again is there");
    }
}
