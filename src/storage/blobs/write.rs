//! Writing a blob from a stream.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use md5::{Digest, Md5};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::at_work::Writing;
use super::memory::{Turn, in_time};
use super::seal::Sealer;
use super::{Blobs, Encryption, path};

/// A blob that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Written {
    /// In bytes.
    pub(in crate::storage) size: u64,
    /// The MD5 of the bytes, in hexadecimal: what clients know as `ETag`.
    pub(in crate::storage) md5: String,
}

/// Why there is no blob.
#[derive(Debug, thiserror::Error)]
pub(in crate::storage) enum WriteError<E> {
    /// The source failed.
    #[error("the bytes could not be read to their end")]
    Source(E),
    /// There were more bytes than allowed.
    #[error("more bytes than allowed")]
    TooLarge,
    /// The source was too slow for what it held of the memory of all.
    #[error("the bytes came too slowly")]
    Stalled,
    /// The memory of all was taken for too long.
    #[error("too many blobs are being written")]
    Busy,
    /// The backend failed.
    #[error("{0}")]
    Backend(#[from] object_store::Error),
}

impl Blobs {
    /// Writes the bytes of `source`, at most `limit`, as the blob `version`. What fails leaves nothing that a reader could see.
    pub(in crate::storage) async fn write<E>(
        &self,
        version: Uuid,
        source: impl Stream<Item = Result<Bytes, E>>,
        limit: u64,
    ) -> Result<Written, WriteError<E>> {
        let mut source = std::pin::pin!(source);
        let (mut digest, mut size) = (Md5::new(), 0_u64);
        let mut part = Part::new(self.part);
        let mut sealer = self.sealer(version)?;
        let mut writer = Writer {
            store: Arc::clone(&self.store),
            version,
            open: None,
            turn: None,
            tasks: self.at_work.tasks.clone(),
            writing: self.at_work.begin(version),
        };
        loop {
            let next = in_time(writer.turn.as_ref(), part.length, source.next());
            let Some(bytes) = next.await.map_err(|_| WriteError::Stalled)? else { break };
            let bytes = bytes.map_err(WriteError::Source)?;
            size += bytes.len() as u64;
            if size > limit {
                return Err(WriteError::TooLarge);
            }
            digest.update(&bytes);
            match &mut sealer {
                None => part.push(bytes),
                Some(sealer) => sealer.push(&bytes, |sealed| part.push(sealed)).ok_or_else(unsealable)?,
            }
            while let Some(full) = part.take_full() {
                writer.write(full).await?;
            }
            if let Some(memory) = &self.memory {
                let turn = memory.wait(&mut writer.turn, part.length, self.part);
                turn.await.map_err(|_| WriteError::Busy)?;
            }
        }
        if let Some(sealer) = sealer {
            sealer.finish(|sealed| part.push(sealed)).ok_or_else(unsealable)?;
        }
        // The rest may be more than a part by what sealing adds.
        while let Some(full) = part.take_full() {
            writer.write(full).await?;
        }
        // In a task of its own: once it is begun, hanging up does not break it off, and the backend would do it in any case.
        self.at_work.tasks.spawn(writer.finish(part.rest())).await.map_err(object_store::Error::from)??;
        Ok(Written { size, md5: hex::encode(digest.finalize()) })
    }
}

impl Blobs {
    fn sealer(&self, version: Uuid) -> Result<Option<Sealer>, object_store::Error> {
        match &self.keys {
            Some(keys) if self.encryption != Encryption::Off => {
                keys.sealer(version).map(Some).ok_or_else(unsealable)
            }
            _ => Ok(None),
        }
    }
}

/// The cipher takes no more: beyond what a blob can be.
fn unsealable() -> object_store::Error {
    object_store::Error::Generic { store: "blobs", source: "the cipher refused".into() }
}

/// Writes one blob. Dropped before it has finished, it takes back what the backend has.
struct Writer {
    store: Arc<dyn ObjectStore>,
    version: Uuid,
    /// The upload, once there is a part.
    open: Option<Box<dyn MultipartUpload>>,
    /// While a part is gathered and sent.
    turn: Option<Turn>,
    tasks: TaskTracker,
    /// Goes last: nobody removes the blob before.
    writing: Writing,
}

impl Writer {
    async fn write(&mut self, full: PutPayload) -> Result<(), object_store::Error> {
        let upload = match &mut self.open {
            Some(upload) => upload,
            None => self.open.insert(self.store.put_multipart(&path(self.version)).await?),
        };
        upload.put_part(full).await?;
        self.turn = None;
        Ok(())
    }

    async fn finish(mut self, rest: PutPayload) -> Result<(), object_store::Error> {
        let Some(upload) = &mut self.open else {
            return self.store.put(&path(self.version), rest).await.map(drop);
        };
        if rest.content_length() > 0 {
            upload.put_part(rest).await?;
        }
        upload.complete().await?;
        self.open = None;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(mut upload) = self.open.take() else { return };
        let writing = self.writing.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let abort = async move {
                // What cannot be taken back now is swept with the blob.
                let _ = upload.abort().await;
                drop(writing);
            };
            self.tasks.spawn_on(abort, &runtime);
        }
    }
}

/// Bytes that gather until they are as many as a part has. Nothing is copied but the pieces across the seam of two parts.
struct Part {
    size: usize,
    pieces: Vec<Bytes>,
    length: usize,
}

/// Below this size pieces are put together: a file is written piece by piece.
const SMALL: usize = 16 * 1024;

impl Part {
    fn new(size: usize) -> Self {
        Self { size, pieces: Vec::new(), length: 0 }
    }

    fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.length += bytes.len();
        match self.pieces.last_mut() {
            Some(last) if last.len() + bytes.len() <= SMALL => {
                let mut joined = BytesMut::from(std::mem::take(last));
                joined.extend_from_slice(&bytes);
                *last = joined.freeze();
            }
            _ => self.pieces.push(bytes),
        }
    }

    /// As many bytes as a part has, if they are there.
    fn take_full(&mut self) -> Option<PutPayload> {
        if self.length < self.size {
            return None;
        }
        let (mut taken, mut missing) = (Vec::new(), self.size);
        let mut pieces = std::mem::take(&mut self.pieces).into_iter();
        for mut piece in pieces.by_ref() {
            if piece.len() > missing {
                let rest = piece.split_off(missing);
                self.pieces.push(rest);
            }
            missing -= piece.len();
            taken.push(piece);
            if missing == 0 {
                break;
            }
        }
        self.pieces.extend(pieces);
        self.length -= self.size;
        Some(taken.into_iter().collect())
    }

    fn rest(&mut self) -> PutPayload {
        self.length = 0;
        std::mem::take(&mut self.pieces).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_of_one_size_and_lose_nothing(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), size in 1usize..50) {
            let mut part = Part::new(size);
            let mut written = Vec::new();
            for piece in &pieces {
                part.push(Bytes::from(piece.clone()));
                while let Some(full) = part.take_full() {
                    prop_assert_eq!(full.content_length(), size);
                    written.extend_from_slice(&Bytes::from(full));
                }
            }
            let rest = part.rest();
            prop_assert!(rest.content_length() < size);
            written.extend_from_slice(&Bytes::from(rest));
            prop_assert_eq!(written, pieces.concat());
        }
    }
}
