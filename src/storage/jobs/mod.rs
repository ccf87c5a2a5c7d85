//! What is done after a request, by the job queue: what was uploaded is scanned, pictures of it are made ahead, and caches in
//! front of the server are told of what changed.

mod clamd;
mod hook;
mod purge;
mod scan;
mod scanner;
mod thumbnails;

use serde::Deserialize;
use uuid::Uuid;

use crate::kernel::jobs::{Job, JobOutcome};

pub use purge::TellCaches;
pub use scan::{LOOK_AGAIN, LookAgain, ScanObject};
pub use scanner::Scanner;
pub use thumbnails::MakeThumbnails;

/// What a job about an object's bytes says.
#[derive(Deserialize)]
struct OfVersion {
    version: Uuid,
}

impl OfVersion {
    fn read(job: &Job) -> Result<Self, JobOutcome> {
        Self::deserialize(&job.payload).map_err(|error| JobOutcome::Dead(error.to_string()))
    }
}

/// A setting that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct SettingError {
    key: &'static str,
    reason: String,
}

impl SettingError {
    fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}
