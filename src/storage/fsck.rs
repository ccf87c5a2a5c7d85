//! Compares the bytes in the backend, the rows about them and the objects, and mends what differs. Servers may run meanwhile:
//! what is younger than an upload may pause, or is being swept, is left alone, and nothing is said or done that is not so at
//! a second look.
//!
//! Memory is bounded: the database compares (`store::fsck`). What names bytes in another state than are known here, as parts
//! of uploads do, is in use.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use sqlx::PgConnection;
use uuid::Uuid;

use super::blobs::{Blobs, Listed, RemoveError, is_of_size};
use super::model::object;
use super::store::deeds;
use super::store::fsck::{self as store, Candidate, Found, Mend, MendError};

/// How many blobs are handed to the database at a time.
const BATCH: usize = 1_000;
/// How many candidates are looked at again at a time.
const PAGE: i64 = 200;
/// How many differences are told one by one.
const SHOWN: usize = 1_000;

/// How to go about it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What is younger may be an upload under way.
    pub grace: Duration,
    /// The time, in milliseconds since 1970.
    pub now: i64,
    /// Whether to mend what can be mended without loss.
    pub repairs: bool,
    /// Whether to remove objects without bytes too.
    pub removes_objects: bool,
    /// Whether there is a scanner, which is to see bytes that no row was about.
    pub scans: bool,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes that no row names. Mended by removing them.
    BlobWithoutRow,
    /// Bytes that are kept for an object, which there is not. Mended by removing both.
    BlobWithoutObject,
    /// A row about bytes that are not there, and that no object needs. Mended by removing it.
    RowWithoutBytes,
    /// An upload that nobody goes on with. Mended by removing what there is of it.
    UnfinishedUpload,
    /// A file that a writer has left which was killed. Mended by removing it.
    UnfinishedFile,
    /// Bytes of an object that was replaced or removed. Mended by removing them.
    UnsweptBlob,
    /// An object whose bytes are there, and that no row says so of. Mended by saying so.
    ObjectWithoutRow,
    /// An object whose bytes are about to be removed. Mended by keeping them.
    ObjectOfUnwantedBlob,
    /// An object that has other bytes than it says. Nobody knows which are right.
    ObjectOfOtherSize,
    /// An object that cannot be read. Mended only by removing it.
    ObjectWithoutBytes,
}

impl Kind {
    /// Its name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::BlobWithoutRow => "blob_without_row",
            Self::BlobWithoutObject => "blob_without_object",
            Self::RowWithoutBytes => "row_without_bytes",
            Self::UnfinishedUpload => "unfinished_upload",
            Self::UnfinishedFile => "unfinished_file",
            Self::UnsweptBlob => "unswept_blob",
            Self::ObjectWithoutRow => "object_without_row",
            Self::ObjectOfUnwantedBlob => "object_of_unwanted_blob",
            Self::ObjectOfOtherSize => "object_of_other_size",
            Self::ObjectWithoutBytes => "object_without_bytes",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub kind: Kind,
    /// The name of the bytes, or the file.
    pub version: Option<String>,
    /// Bucket and key of the object.
    pub object: Option<(String, String)>,
    /// How many bytes there are.
    pub bytes: Option<u64>,
    /// Whether it is no more.
    pub is_repaired: bool,
    /// Why it could not be mended.
    pub failure: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many blobs the backend has.
    pub blobs: i64,
    /// How many objects there are.
    pub objects: i64,
    /// Things in the backend that are not ours; nobody touches them.
    pub foreign: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub found: u64,
    /// How many of them are no more.
    pub repaired: u64,
    /// Whether not one blob is known to the database, so that it is likely the wrong one: then nothing is removed for want of
    /// the other side.
    pub is_wrong_pair: bool,
}

/// Why it could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// The database failed.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// The backend failed.
    #[error("{0}")]
    Backend(#[from] object_store::Error),
    /// The folder could not be read.
    #[error("{0}")]
    Folder(#[from] std::io::Error),
}

/// Compares everything on a connection of the owner of the tables, and mends what is asked for.
pub async fn run(connection: &mut PgConnection, blobs: &Blobs, check: Check) -> Result<Report, FsckError> {
    let mut pass = Pass { connection, blobs, check, report: Report::default() };
    store::prepare(pass.connection).await?;
    pass.note().await?;
    let counts = store::compare(pass.connection, check.grace).await?;
    pass.report.blobs = counts.blobs;
    pass.report.objects = counts.objects;
    pass.report.is_wrong_pair = counts.known == 0 && counts.blobs + counts.objects > 0;
    let all = pass.look_at_all(counts.candidates).await;
    if check.repairs && pass.report.repaired > 0 {
        deeds::repair(&pass.report).write_command(&mut *pass.connection).await?;
    }
    all.map(|()| pass.report)
}

struct Pass<'a> {
    connection: &'a mut PgConnection,
    blobs: &'a Blobs,
    check: Check,
    report: Report,
}

impl Pass<'_> {
    /// Tells the database what the backend has.
    async fn note(&mut self) -> Result<(), FsckError> {
        let grace = i64::try_from(self.check.grace.as_millis()).unwrap_or(i64::MAX);
        let old = self.check.now.saturating_sub(grace);
        let mut listed = self.blobs.list();
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(found) = listed.next().await {
            match found? {
                Listed::Foreign => self.report.foreign += 1,
                Listed::Blob { version, size, written_at } => {
                    batch.push(Found { version, size, is_old: written_at < old });
                }
            }
            if batch.len() == BATCH {
                store::note(self.connection, &batch).await?;
                batch.clear();
            }
        }
        Ok(store::note(self.connection, &batch).await?)
    }

    async fn unfinished_files(&mut self) -> Result<(), FsckError> {
        let now = Duration::from_millis(u64::try_from(self.check.now).unwrap_or_default());
        let before = UNIX_EPOCH + now.saturating_sub(self.check.grace);
        for file in self.blobs.unfinished(before, SHOWN).await? {
            let mut difference = Difference::new(Kind::UnfinishedFile, Some(file.display().to_string()));
            if self.check.repairs {
                difference.outcome(self.blobs.remove_file(PathBuf::clone(&file)).await.map(|()| true));
            }
            self.tell(difference);
        }
        Ok(())
    }

    async fn look_at_all(&mut self, candidates: i64) -> Result<(), FsckError> {
        self.unfinished_files().await?;
        let mut after = 0;
        while after < candidates {
            for candidate in store::candidates(self.connection, (after, PAGE), self.check.grace).await? {
                self.look_at(candidate).await?;
            }
            after += PAGE;
        }
        Ok(())
    }

    /// Looks at a candidate again, and mends it if that is asked for.
    async fn look_at(&mut self, candidate: Candidate) -> Result<(), FsckError> {
        let version = candidate.version.as_deref().and_then(object::version);
        let bytes = match version {
            Some(version) => self.blobs.size(version).await?,
            None => None,
        };
        let Some(kind) = judge(&candidate, bytes) else { return Ok(()) };
        let mut difference = Difference::new(kind, candidate.version.clone());
        difference.object = candidate.bucket.clone().zip(candidate.name.clone());
        difference.bytes = bytes;
        if self.may_mend(kind) {
            let mended = self.mend(kind, &candidate, version).await;
            difference.outcome(mended);
        }
        self.tell(difference);
        Ok(())
    }

    fn may_mend(&self, kind: Kind) -> bool {
        let check = self.check;
        match kind {
            Kind::ObjectOfOtherSize => false,
            Kind::ObjectWithoutBytes => check.repairs && check.removes_objects && !self.report.is_wrong_pair,
            Kind::BlobWithoutRow => check.repairs && !self.report.is_wrong_pair,
            _ => check.repairs,
        }
    }

    async fn mend(
        &mut self,
        kind: Kind,
        candidate: &Candidate,
        version: Option<Uuid>,
    ) -> Result<bool, MendError<RemoveError>> {
        let blobs = self.blobs;
        let remove = async move {
            match version {
                Some(version) => blobs.remove(version).await,
                None => Ok(()),
            }
        };
        let nothing = std::future::ready(Ok(()));
        let text = candidate.version.as_deref().unwrap_or_default();
        let state = candidate.state.as_deref().unwrap_or_default();
        match (kind, candidate.object_id) {
            (Kind::BlobWithoutRow, _) => remove.await.map(|()| true).map_err(MendError::Bytes),
            (Kind::ObjectWithoutRow | Kind::ObjectOfUnwantedBlob, _) => {
                store::mend(self.connection, Mend::Keep { version: text, scans: self.check.scans }, nothing)
                    .await
            }
            (Kind::ObjectWithoutBytes, Some(object)) => {
                let version = candidate.version.as_deref();
                let (bucket, name) = (candidate.bucket.as_deref(), candidate.name.as_deref());
                let place = (bucket.unwrap_or_default(), name.unwrap_or_default());
                store::mend(self.connection, Mend::Remove { object, version, place }, nothing).await
            }
            _ => store::mend(self.connection, Mend::Forget { version: text, state }, remove).await,
        }
    }

    fn tell(&mut self, difference: Difference) {
        self.report.found += 1;
        self.report.repaired += u64::from(difference.is_repaired);
        if self.report.differences.len() < SHOWN {
            self.report.differences.push(difference);
        }
    }
}

impl Difference {
    fn new(kind: Kind, version: Option<String>) -> Self {
        Self { kind, version, object: None, bytes: None, is_repaired: false, failure: None }
    }

    fn outcome<E: std::fmt::Display>(&mut self, mended: Result<bool, E>) {
        match mended {
            Ok(is_repaired) => self.is_repaired = is_repaired,
            Err(error) => self.failure = Some(error.to_string()),
        }
    }
}

/// What is wrong with a candidate, if the backend has so many bytes of it.
fn judge(candidate: &Candidate, bytes: Option<u64>) -> Option<Kind> {
    if candidate.is_fresh {
        return None;
    }
    let state = candidate.state.as_deref();
    let kind = match (candidate.object_id, state, bytes) {
        (Some(_), _, None) => Kind::ObjectWithoutBytes,
        (Some(_), None, Some(_)) => Kind::ObjectWithoutRow,
        (Some(_), Some("writing" | "dead"), Some(_)) => Kind::ObjectOfUnwantedBlob,
        (Some(_), Some(_), Some(bytes)) if fits(candidate.said, bytes) => return None,
        (Some(_), Some(_), Some(_)) => Kind::ObjectOfOtherSize,
        (None, None, Some(_)) => Kind::BlobWithoutRow,
        (None, Some("stored"), Some(_)) => Kind::BlobWithoutObject,
        (None, Some("stored"), None) => Kind::RowWithoutBytes,
        (None, Some("writing"), _) => Kind::UnfinishedUpload,
        (None, Some("dead"), _) => Kind::UnsweptBlob,
        (None, _, _) => return None,
    };
    Some(kind)
}

/// Whether a blob of an object of this size has so many bytes, encrypted or not.
fn fits(said: Option<i64>, bytes: u64) -> bool {
    said.and_then(|said| u64::try_from(said).ok()).is_some_and(|said| is_of_size(said, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(state: Option<&str>, said: Option<i64>) -> Candidate {
        Candidate {
            state: state.map(str::to_owned),
            object_id: said.map(|_| Uuid::from_u128(1)),
            said,
            ..Candidate::default()
        }
    }

    #[test]
    fn each_difference_is_told_as_what_it_is() {
        for (state, said, bytes, expected) in [
            (None, None, Some(3), Some(Kind::BlobWithoutRow)),
            (None, None, None, None),
            (Some("stored"), None, Some(3), Some(Kind::BlobWithoutObject)),
            (Some("stored"), None, None, Some(Kind::RowWithoutBytes)),
            (Some("writing"), None, None, Some(Kind::UnfinishedUpload)),
            (Some("dead"), None, Some(3), Some(Kind::UnsweptBlob)),
            (Some("part"), None, Some(3), None),
            (Some("part"), None, None, None),
            (Some("stored"), Some(3), Some(3), None),
            (Some("stored"), Some(3), Some(27), None),
            (Some("stored"), Some(65_537), Some(65_577), None),
            (Some("stored"), Some(3), Some(4), Some(Kind::ObjectOfOtherSize)),
            (Some("stored"), Some(3), None, Some(Kind::ObjectWithoutBytes)),
            (None, Some(3), None, Some(Kind::ObjectWithoutBytes)),
            (None, Some(3), Some(3), Some(Kind::ObjectWithoutRow)),
            (Some("dead"), Some(3), Some(3), Some(Kind::ObjectOfUnwantedBlob)),
        ] {
            assert_eq!(judge(&candidate(state, said), bytes), expected, "{state:?} {said:?} {bytes:?}");
            let fresh = Candidate { is_fresh: true, ..candidate(state, said) };
            assert_eq!(judge(&fresh, bytes), None, "what somebody has just touched is under way");
        }
    }
}
