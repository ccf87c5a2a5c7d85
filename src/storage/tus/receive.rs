//! Takes the bytes that a request brings: as parts, each of which counts as soon as it is stored.

use uuid::Uuid;

use super::arriving::Arriving;
use crate::storage::error::StorageError;
use crate::storage::flow::upload::{Staged, Target, check_content};
use crate::storage::model::sniff;
use crate::storage::state::StorageState;
use crate::storage::store::tus::{self, Hold, Part, Standing};

/// The most bytes of a part: what a server that dies takes with it.
const LARGEST_PART: u64 = 50 << 20;

/// What a request says of the bytes that it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bringing {
    /// Where its bytes belong.
    pub(super) offset: u64,
    /// How long the upload is to be, if that is said only now.
    pub(super) length: Option<u64>,
    /// How many bytes are announced.
    pub(super) announced: Option<u64>,
}

/// Where an upload stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// How much of it there is.
    pub(super) offset: u64,
    /// Whether that is all, and its object is there.
    pub(super) is_finished: bool,
}

/// What has arrived with a request.
pub(super) struct Received {
    /// How much of the upload there is now.
    pub(super) offset: u64,
    /// The last part of all. It counts with the object alone: a client that sees all bytes counted asks for no more.
    pub(super) last: Option<Staged>,
}

impl StorageState {
    /// Takes bytes, and makes the object if they are the last.
    pub(super) async fn take(
        &self,
        version: Uuid,
        target: &Target,
        bringing: Bringing,
        bytes: Arriving,
    ) -> Result<Progress, StorageError> {
        let wanted = bytes.wanted();
        self.holding(version, &wanted, |hold, before| async move {
            let standing = self.begin(version, before, target, bringing).await?;
            let received = self.receive(hold, standing, target, bytes).await?;
            let progress =
                Progress { offset: received.offset, is_finished: standing.length == Some(received.offset) };
            match standing.length {
                _ if progress.is_finished => self.finish(hold, target, received).await?,
                Some(length) if before.length.is_none() => tus::set_length(&self.pool, hold, length).await?,
                _ => {}
            }
            Ok(progress)
        })
        .await
    }

    /// What can be refused before a byte is read. Where the upload stands, with a length that was not said before.
    async fn begin(
        &self,
        version: Uuid,
        mut standing: Standing,
        target: &Target,
        bringing: Bringing,
    ) -> Result<Standing, StorageError> {
        if bringing.offset != standing.received {
            return Err(StorageError::OffsetConflict(standing.received));
        }
        if let Some(length) = bringing.length.filter(|length| standing.length != Some(*length)) {
            if standing.length.is_some() || length < standing.received {
                let reason = "Upload-Length is another than before, or less than what has arrived";
                return Err(StorageError::InvalidRequest(reason.to_owned()));
            }
            if length > self.limit(target) {
                return Err(StorageError::EntityTooLarge);
            }
            self.has_room(Some(version), target, length).await?;
            standing.length = Some(length);
        }
        if bringing.announced.is_some_and(|bytes| bytes > self.room(standing, target)) {
            return Err(StorageError::EntityTooLarge);
        }
        Ok(standing)
    }

    /// How many bytes may follow.
    fn room(&self, standing: Standing, target: &Target) -> u64 {
        let limit = self.limit(target);
        standing.length.map_or(limit, |length| length.min(limit)).saturating_sub(standing.received)
    }

    /// Stores the bytes as parts.
    async fn receive(
        &self,
        hold: Hold,
        mut standing: Standing,
        target: &Target,
        mut bytes: Arriving,
    ) -> Result<Received, StorageError> {
        if standing.received == 0 {
            check_content(target.looked_at(), &bytes.first(sniff::ENOUGH).await)?;
        }
        // Of a body with a checksum nothing counts before all of it is there.
        let most = if bytes.has_checksum() { u64::MAX } else { LARGEST_PART };
        let mut last = None;
        while bytes.has_more().await {
            let room = self.room(standing, target);
            if room == 0 {
                return Err(StorageError::EntityTooLarge);
            }
            let staged = self.stage_blob(bytes.part(most), room).await?;
            if most == u64::MAX && (bytes.is_broken() || !bytes.checksum_holds()) {
                return Err(StorageError::ChecksumMismatch);
            }
            let starts = standing.received;
            standing.received += staged.size();
            if standing.length == Some(standing.received) {
                last = Some(staged);
                continue;
            }
            let part = Part { starts, size: staged.size(), blob: staged.version() };
            if !tus::add_part(&self.pool, hold, part).await? {
                return Err(StorageError::Locked);
            }
            staged.keep();
        }
        if bytes.is_broken() && last.is_none() {
            return Err(StorageError::Aborted);
        }
        // Nothing has a checksum too.
        if !bytes.checksum_holds() {
            return Err(StorageError::ChecksumMismatch);
        }
        Ok(Received { offset: standing.received, last })
    }
}
