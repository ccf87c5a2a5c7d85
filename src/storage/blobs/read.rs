//! Reading a blob, or a part of it, as a stream.

use std::fs::File;
use std::ops::Range;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectStoreExt};
use uuid::Uuid;

use super::file::{file_bytes, open_at_hand};
use super::seal::{HEAD, OpenError, Opener, PIECE, SEALED_PIECE, sealed_range, sealed_size};
use super::{Blobs, Encryption, path};

/// The bytes, in order. An error ends them.
pub(in crate::storage) type BlobBytes = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub(in crate::storage) enum ReadError {
    /// There is no such blob.
    #[error("there is no such blob")]
    Missing,
    /// There is one of another size.
    #[error("a blob has not the size that it was written with")]
    OtherSize,
    /// It is encrypted and cannot be opened, or is not encrypted and must be.
    #[error("{0}")]
    Sealed(#[from] OpenError),
    /// The backend failed.
    #[error("{0}")]
    Backend(object_store::Error),
}

impl Blobs {
    /// The bytes of a blob of `size` within `range`. An empty range has none, and is not looked up.
    ///
    /// Whether a blob is encrypted is told by its length, which is another one then; first it is looked for as it is written now.
    pub(in crate::storage) async fn read(
        &self,
        version: Uuid,
        size: u64,
        range: Range<u64>,
    ) -> Result<BlobBytes, ReadError> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let seals = self.encryption != Encryption::Off;
        match self.try_read(version, size, &range, seals).await {
            Err(ReadError::OtherSize) if self.encryption != Encryption::Always => {
                self.try_read(version, size, &range, !seals).await
            }
            other => other,
        }
    }

    async fn try_read(
        &self,
        version: Uuid,
        size: u64,
        range: &Range<u64>,
        is_sealed: bool,
    ) -> Result<BlobBytes, ReadError> {
        if !is_sealed {
            if let Some(file) = self.at_hand(version, size).filter(|_| range.end <= size) {
                return Ok(file_bytes(file, range.clone(), &self.buffers));
            }
            let found = self.get(version, range.clone(), size).await?;
            return Ok(self.bytes_of(found));
        }
        let keys = self.keys.as_ref().ok_or(ReadError::OtherSize)?;
        let length = sealed_size(size);
        let within = sealed_range(range, size);
        let pieces = self.get(version, within, length).await?;
        let head = read_whole(self.bytes_of(self.get(version, 0..HEAD, length).await?)).await?;
        let opener = keys.opener(version, &head, size)?;
        Ok(open_pieces(self.bytes_of(pieces), opener, range.clone()))
    }

    /// The file of a blob that is not encrypted, where files are here and nothing of it must be waited for.
    fn at_hand(&self, version: Uuid, size: u64) -> Option<File> {
        open_at_hand(&self.folder.as_ref()?.join(path(version).to_string()), size)
    }

    /// A part of what the backend has, if that has the length it should have.
    async fn get(&self, version: Uuid, range: Range<u64>, length: u64) -> Result<GetResult, ReadError> {
        let path = path(version);
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        match self.store.get_opts(&path, options).await {
            Ok(found) if found.meta.size == length && found.range == range => Ok(found),
            Ok(_) => Err(ReadError::OtherSize),
            Err(object_store::Error::NotFound { .. }) => Err(ReadError::Missing),
            // Backends say in their own ways that a range is beyond the end.
            Err(error) => match self.store.head(&path).await {
                Ok(found) if found.size != length => Err(ReadError::OtherSize),
                _ => Err(ReadError::Backend(error)),
            },
        }
    }

    fn bytes_of(&self, found: GetResult) -> BlobBytes {
        match found.payload {
            GetResultPayload::File(file, _) => file_bytes(file, found.range, &self.buffers),
            GetResultPayload::Stream(bytes) => {
                bytes.map(|bytes| bytes.map_err(std::io::Error::other)).boxed()
            }
        }
    }
}

async fn read_whole(mut bytes: BlobBytes) -> Result<Bytes, ReadError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|error| {
            ReadError::Backend(object_store::Error::Generic { store: "blobs", source: Box::new(error) })
        })?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Opens piece by piece, and cuts off what is around the range.
fn open_pieces(bytes: BlobBytes, opener: Opener, range: Range<u64>) -> BlobBytes {
    let state = (bytes, BytesMut::new(), range.start / PIECE, false);
    let pieces = stream::unfold((state, opener), move |((mut bytes, mut held, number, ended), opener)| {
        let range = range.clone();
        async move {
            if ended {
                return None;
            }
            let mut is_end = false;
            while held.len() < SEALED_PIECE && !is_end {
                match bytes.next().await {
                    Some(Ok(more)) => held.extend_from_slice(&more),
                    Some(Err(error)) => return Some((Err(error), ((bytes, held, number, true), opener))),
                    None => is_end = true,
                }
            }
            if held.is_empty() {
                return None;
            }
            let sealed = held.split_to(held.len().min(SEALED_PIECE));
            let piece = opener.open(number, &sealed).map_err(std::io::Error::other);
            let ended = piece.is_err();
            let cut = piece.map(|piece| {
                let start = number * PIECE;
                let within = |at: u64| {
                    usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(piece.len())
                };
                piece.slice(within(range.start)..within(range.end))
            });
            Some((cut, ((bytes, held, number + 1, ended), opener)))
        }
    });
    pieces.boxed()
}
