//! Blobs that are encrypted: whoever reads or changes the backend learns nothing and is noticed.
//!
//! Eight bytes of a head (three of a mark, the version of the form, four of the key's id), then pieces of 64 KiB, each with a tag
//! (AES-256-GCM), so that any part can be read without the rest. Every blob has a key of its own, which derives from its
//! version, so that the number of a piece is a nonce that never comes again, and no blob passes for another. The nonce of
//! the last piece says that it is the last: a blob that was cut is none.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::kernel::vault::{RootSecret, RootSecrets};

/// How many bytes have one tag.
pub(super) const PIECE: u64 = 64 * 1024;
/// What a tag takes.
const TAG: u64 = 16;
/// What comes before the pieces.
pub(super) const HEAD: u64 = 8;
const MARK: [u8; 4] = *b"gfb\x01";
const PURPOSE: &str = "storage blobs";
const ID_PURPOSE: &str = "storage blobs id";

/// The keys: one seals, all open.
#[derive(Clone)]
pub struct BlobKeys {
    current: BlobKey,
    previous: Vec<BlobKey>,
}

#[derive(Clone)]
struct BlobKey {
    id: [u8; 4],
    key: hmac::Key,
}

/// A blob that cannot be opened: another key sealed it, or it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::storage) enum OpenError {
    /// None of the keys has the id.
    #[error("a blob was sealed with a key that is not configured")]
    UnknownKey,
    /// The bytes are not those that were sealed.
    #[error("a blob was altered, or is not complete")]
    Altered,
}

impl BlobKeys {
    /// The keys that derive from the root secrets.
    pub fn new(roots: &RootSecrets) -> Self {
        let key = |root: &RootSecret| BlobKey {
            id: first_four(root.derive(ID_PURPOSE)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &root.derive(PURPOSE)),
        };
        Self { current: key(roots.current()), previous: roots.previous().iter().map(key).collect() }
    }

    /// Seals a blob.
    pub(super) fn sealer(&self, version: Uuid) -> Option<Sealer> {
        let mut head = BytesMut::from(&MARK[..]);
        head.extend_from_slice(&self.current.id);
        Some(Sealer {
            key: self.current.of(version)?,
            next: 0,
            held: BytesMut::new(),
            head: Some(head.freeze()),
        })
    }

    /// Opens pieces of the blob with this head.
    pub(super) fn opener(&self, version: Uuid, head: &[u8], size: u64) -> Result<Opener, OpenError> {
        let (mark, id) = head.split_at_checked(MARK.len()).ok_or(OpenError::Altered)?;
        if mark != MARK {
            return Err(OpenError::Altered);
        }
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        let key = keys.find(|key| key.id == id).ok_or(OpenError::UnknownKey)?;
        Ok(Opener { key: key.of(version).ok_or(OpenError::Altered)?, last: pieces(size) - 1 })
    }
}

impl fmt::Debug for BlobKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobKeys")
    }
}

impl BlobKey {
    fn of(&self, version: Uuid) -> Option<LessSafeKey> {
        let derived = hmac::sign(&self.key, version.as_bytes());
        UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok().map(LessSafeKey::new)
    }
}

fn first_four(bytes: [u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = bytes;
    [a, b, c, d]
}

/// How many pieces so many bytes have: an empty blob has one, which says that it is empty.
fn pieces(size: u64) -> u64 {
    size.div_ceil(PIECE).max(1)
}

/// How long a blob of so many bytes is.
pub(super) fn sealed_size(size: u64) -> u64 {
    HEAD + size + TAG * pieces(size)
}

/// Whether so many bytes are a blob of this size, encrypted or not.
pub(in crate::storage) fn is_of_size(size: u64, bytes: u64) -> bool {
    bytes == size || bytes == sealed_size(size)
}

/// Where the pieces are that have these bytes, in the sealed blob.
pub(super) fn sealed_range(range: &Range<u64>, size: u64) -> Range<u64> {
    let (first, behind) = (range.start / PIECE, range.end.div_ceil(PIECE));
    let start = HEAD + first * (PIECE + TAG);
    start..(HEAD + behind * (PIECE + TAG)).min(sealed_size(size))
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[0] = u8::from(is_last);
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Seals a stream. One piece is held back, as the last one is sealed in its own way.
pub(super) struct Sealer {
    key: LessSafeKey,
    next: u64,
    held: BytesMut,
    head: Option<Bytes>,
}

impl Sealer {
    /// What can be written once these bytes have come.
    pub(super) fn push(&mut self, bytes: &[u8], mut write: impl FnMut(Bytes)) -> Option<()> {
        if let Some(head) = self.head.take() {
            write(head);
        }
        let piece = usize::try_from(PIECE).unwrap_or(usize::MAX);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.held.len() == piece {
                write(self.seal(false)?);
            }
            let (now, later) = rest.split_at(rest.len().min(piece - self.held.len()));
            self.held.extend_from_slice(now);
            rest = later;
        }
        Some(())
    }

    /// What is left at the end.
    pub(super) fn finish(mut self, mut write: impl FnMut(Bytes)) -> Option<()> {
        if let Some(head) = self.head.take() {
            write(head);
        }
        write(self.seal(true)?);
        Some(())
    }

    fn seal(&mut self, is_last: bool) -> Option<Bytes> {
        let mut piece = std::mem::take(&mut self.held).to_vec();
        self.key.seal_in_place_append_tag(nonce(self.next, is_last), Aad::empty(), &mut piece).ok()?;
        self.next += 1;
        Some(piece.into())
    }
}

/// Opens the pieces of a blob.
pub(super) struct Opener {
    key: LessSafeKey,
    last: u64,
}

impl Opener {
    /// The bytes of a piece with its number.
    pub(super) fn open(&self, number: u64, sealed: &[u8]) -> Result<Bytes, OpenError> {
        let mut piece = sealed.to_vec();
        let nonce = nonce(number, number == self.last);
        let length =
            self.key.open_in_place(nonce, Aad::empty(), &mut piece).map_err(|_| OpenError::Altered)?.len();
        piece.truncate(length);
        Ok(piece.into())
    }
}

/// How long a sealed piece is but for the last.
pub(super) const SEALED_PIECE: usize = 64 * 1024 + 16;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "sizes here are small")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::secret::Secret;

    fn keys(secret: &str, previous: &[&str]) -> BlobKeys {
        let previous: Vec<Secret> = previous.iter().map(|&text| Secret::new(text)).collect();
        BlobKeys::new(&RootSecrets::new(&Secret::new(secret), &previous))
    }

    fn sealed(keys: &BlobKeys, version: Uuid, bytes: &[u8], step: usize) -> Vec<u8> {
        let (mut sealer, mut whole) = (keys.sealer(version).unwrap(), Vec::new());
        for part in bytes.chunks(step.max(1)) {
            sealer.push(part, |bytes| whole.extend_from_slice(&bytes)).unwrap();
        }
        sealer.finish(|bytes| whole.extend_from_slice(&bytes)).unwrap();
        whole
    }

    fn opened(keys: &BlobKeys, version: Uuid, whole: &[u8], size: u64) -> Result<Vec<u8>, OpenError> {
        let opener = keys.opener(version, &whole[..8], size)?;
        let mut bytes = Vec::new();
        for (number, piece) in whole[8..].chunks(SEALED_PIECE).enumerate() {
            bytes.extend_from_slice(&opener.open(number as u64, piece)?);
        }
        Ok(bytes)
    }

    #[test]
    fn a_blob_opens_under_its_version_and_key_and_only_whole() {
        let (keys, version) = (keys("a", &[]), Uuid::from_u128(1));
        let bytes = vec![7; 150_000];
        let whole = sealed(&keys, version, &bytes, 1000);
        assert_eq!(whole.len() as u64, sealed_size(150_000));
        assert_eq!(opened(&keys, version, &whole, 150_000), Ok(bytes));
        assert_eq!(opened(&keys, Uuid::from_u128(2), &whole, 150_000), Err(OpenError::Altered));
        assert_eq!(
            opened(&super::tests::keys("b", &[]), version, &whole, 150_000),
            Err(OpenError::UnknownKey)
        );
        let cut = &whole[..8 + 2 * SEALED_PIECE];
        assert_eq!(
            opened(&keys, version, cut, 2 * PIECE),
            Err(OpenError::Altered),
            "the last piece is missing"
        );
        let mut other = whole.clone();
        other.swap(20, 21);
        other[30] ^= 1;
        assert_eq!(opened(&keys, version, &other, 150_000), Err(OpenError::Altered));
    }

    #[test]
    fn a_replaced_secret_goes_on_opening_while_it_is_listed() {
        let version = Uuid::from_u128(1);
        let whole = sealed(&keys("old", &[]), version, b"hello", 5);
        assert_eq!(opened(&keys("new", &["old"]), version, &whole, 5).unwrap(), b"hello");
    }

    proptest! {
        #[test]
        fn any_part_is_where_its_range_says(size in 0_u64..400_000, a in 0_u64..400_000, b in 0_u64..400_000, step in 1_usize..100_000) {
            let (keys, version) = (keys("a", &[]), Uuid::from_u128(9));
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let whole = sealed(&keys, version, &bytes, step);
            prop_assert_eq!(whole.len() as u64, sealed_size(size));
            let (start, end) = (a.min(b).min(size), a.max(b).min(size));
            if start < end {
                let within = sealed_range(&(start..end), size);
                let opener = keys.opener(version, &whole[..8], size).unwrap();
                let first = start / PIECE;
                let mut part = Vec::new();
                let pieces = whole[within.start as usize..within.end as usize].chunks(SEALED_PIECE);
                for (number, piece) in (first..).zip(pieces) {
                    part.extend_from_slice(&opener.open(number, piece).unwrap());
                }
                let from = (start - first * PIECE) as usize;
                prop_assert_eq!(&part[from..from + (end - start) as usize], &bytes[start as usize..end as usize]);
            }
        }
    }
}
