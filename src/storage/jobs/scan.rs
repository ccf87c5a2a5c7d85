//! Scans objects before anybody reads them. What the scanner says is written of the version that it was shown; where it says
//! nothing, the object stays closed and the job comes again.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::OfVersion;
use super::scanner::{About, ScanError, Scanner, UNREACHABLE};
use crate::kernel::config::Oversized;
use crate::kernel::db::jobs::hasten;
use crate::kernel::jobs::{Job, JobHandler, JobOutcome, RunningJob, Schedule};
use crate::storage::blobs::{ReadError, is_of_size};
use crate::storage::metrics;
use crate::storage::model::object::StoredMetadata;
use crate::storage::model::scan::{SCAN_JOB, Verdict};
use crate::storage::state::StorageState;
use crate::storage::store::scans::{self, Mark, Subject};

/// What a job may take beside the scan.
const AROUND: Duration = Duration::from_secs(30);
/// How many jobs are called back at once when the scanner is there again.
const CALLED_BACK: u32 = 10_000;
/// How long it is at least from one time to the next, in milliseconds.
const CALLED_BACK_EVERY: i64 = 60_000;
/// The jobs that wait for the scanner, not for another look at their object.
const WAITING: (&str, &str) = (SCAN_JOB, UNREACHABLE);

/// Once a minute.
pub const LOOK_AGAIN: Schedule =
    Schedule { name: "storage.scan_again", kind: LookAgain::KIND, every: Duration::from_mins(1) };

/// Scans one version.
pub struct ScanObject {
    state: StorageState,
    scanner: Scanner,
    /// Whether it could not be reached the last time.
    is_away: AtomicBool,
    /// Whether there may be jobs that wait for it: at first too, as those of the server that ran before.
    is_awaited: AtomicBool,
    /// When they were called back last, in milliseconds since the Unix epoch.
    called_back_at: AtomicI64,
}

impl ScanObject {
    /// With this scanner.
    pub fn new(state: StorageState, scanner: Scanner) -> Self {
        Self {
            state,
            scanner,
            is_away: AtomicBool::new(false),
            is_awaited: AtomicBool::new(true),
            called_back_at: AtomicI64::new(0),
        }
    }

    async fn attempt(&self, job: &Job) -> Result<(), JobOutcome> {
        let OfVersion { version } = OfVersion::read(job)?;
        let database = |error: sqlx::Error| JobOutcome::Retry(error.to_string());
        let subject = scans::subject(&self.state.pool, version).await.map_err(database)?;
        let Some(subject) = subject else { return Ok(()) };
        let (said, by_scanner) = match self.scan(version, &subject).await {
            Ok(said) => said,
            Err(ScanError::Missing) => {
                let is_there = scans::subject(&self.state.pool, version).await.map_err(database)?;
                return if is_there.is_some() { Err(self.failed(&ScanError::Missing)) } else { Ok(()) };
            }
            Err(error) => return Err(self.failed(&error)),
        };
        metrics::scanned(said.name());
        let mark = match &said {
            Verdict::Clean => Mark::Clean,
            Verdict::Infected(found) => Mark::Quarantined(found),
            Verdict::TooLarge if self.state.config.scan.oversized == Oversized::Allow => Mark::Skipped,
            Verdict::TooLarge => Mark::Quarantined("too large to be scanned"),
        };
        let wants_pictures = self.state.has_thumbnails(&StoredMetadata::read(subject.metadata.as_ref()));
        let pictures_at = wants_pictures.then(|| self.state.clock.unix_millis());
        let is_marked = scans::settle(&self.state.pool, version, mark, pictures_at).await;
        let is_marked = is_marked.map_err(database)?;
        if let (true, Mark::Quarantined(found)) = (is_marked, mark) {
            let Subject { bucket_id, name, .. } = &subject;
            tracing::warn!(bucket = bucket_id, name, found, "an object is in quarantine");
        }
        if by_scanner { self.worked().await.map_err(database) } else { Ok(()) }
    }

    /// What is to be said of it, and whether the scanner says so.
    async fn scan(&self, version: Uuid, subject: &Subject) -> Result<(Verdict, bool), ScanError> {
        let config = &self.state.config.scan;
        let size = StoredMetadata::read(subject.metadata.as_ref()).size;
        let unreadable = |error: ReadError| ScanError::Unreadable(std::io::Error::other(error));
        // What the row says can be changed by SQL, what is there cannot.
        let stored =
            self.state.blobs.size(version).await.map_err(|error| unreadable(ReadError::Backend(error)))?;
        if !is_of_size(size, stored.ok_or(ScanError::Missing)?) {
            return Err(ScanError::OtherSize);
        }
        if size > config.max_size.get() {
            return Ok((Verdict::TooLarge, false));
        }
        let bytes = self.state.blobs.read(version, size, 0..size).await;
        let bytes = bytes.map_err(|error| match error {
            ReadError::Missing => ScanError::Missing,
            error => unreadable(error),
        })?;
        let about = About { version, bucket: &subject.bucket_id, name: &subject.name, size };
        let scan = tokio::time::timeout(config.time_limit.get(), self.scanner.scan(about, bytes));
        let said = scan.await.unwrap_or_else(|_| Err(ScanError::Io(std::io::ErrorKind::TimedOut.into())))?;
        Ok((said, true))
    }

    fn failed(&self, error: &ScanError) -> JobOutcome {
        metrics::scanned("failed");
        match error {
            ScanError::Unreachable(_) => {
                self.is_awaited.store(true, Ordering::Relaxed);
                if !self.is_away.swap(true, Ordering::Relaxed) {
                    tracing::warn!("uploaded objects stay closed until they can be scanned: {error}");
                }
            }
            // The fault of this object alone, as far as anybody knows: the others need not hear of it.
            error => tracing::warn!("an uploaded object stays closed until it can be scanned: {error}"),
        }
        JobOutcome::Retry(error.to_string())
    }

    /// The scanner has answered: what waits for it need not wait any longer.
    async fn worked(&self) -> Result<(), sqlx::Error> {
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("uploaded objects are scanned again");
        }
        let now = self.state.clock.unix_millis();
        let is_soon = now.saturating_sub(self.called_back_at.load(Ordering::Relaxed)) < CALLED_BACK_EVERY;
        if is_soon || !self.is_awaited.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.called_back_at.store(now, Ordering::Relaxed);
        let called = hasten(&self.state.pool, WAITING, CALLED_BACK, now).await;
        called.inspect_err(|_| self.is_awaited.store(true, Ordering::Relaxed))
    }
}

impl JobHandler for ScanObject {
    fn kind(&self) -> &'static str {
        SCAN_JOB
    }

    fn time_limit(&self) -> Duration {
        self.state.config.scan.time_limit.get() + AROUND
    }

    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a> {
        Box::pin(async move { self.attempt(job).await.err().unwrap_or(JobOutcome::Done) })
    }
}

/// Finds out whether a scanner that was away is there again, by one of the scans that wait, and asks for scans that were lost.
pub struct LookAgain {
    state: StorageState,
}

impl LookAgain {
    const KIND: &str = "storage.scan_again";

    /// For the objects of this service.
    pub fn new(state: StorageState) -> Self {
        Self { state }
    }

    async fn look(&self) -> Result<(), sqlx::Error> {
        let now = self.state.clock.unix_millis();
        scans::ask_again(&self.state.pool, now).await?;
        hasten(&self.state.pool, WAITING, 1, now).await
    }
}

impl JobHandler for LookAgain {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn run<'a>(&'a self, _: &'a Job) -> RunningJob<'a> {
        Box::pin(async move {
            self.look().await.map_or_else(|error| JobOutcome::Retry(error.to_string()), |()| JobOutcome::Done)
        })
    }
}
