//! Makes pictures in the configured sizes as soon as an object may be read, so that the first who asks need not wait.

use std::time::Duration;

use futures_util::stream;
use uuid::Uuid;

use super::{OfVersion, SettingError};
use crate::kernel::jobs::{Job, JobHandler, JobOutcome, RunningJob};
use crate::storage::error::StorageError;
use crate::storage::flow::download::Readable;
use crate::storage::image::{Target, TransformLimits, TransformOptions};
use crate::storage::state::StorageState;
use crate::storage::store::thumbnails::{self, THUMBNAILS_JOB};

/// What clients accept for whom pictures are made: the format of the original for all, and WebP for browsers.
const ACCEPTED: [&str; 2] = ["", "image/webp"];

/// The longest that one attempt may take; the next goes on with what is missing.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// Makes the pictures of one version.
pub struct MakeThumbnails {
    state: StorageState,
    sizes: Vec<TransformOptions>,
}

impl MakeThumbnails {
    /// In the configured sizes; none where there are none.
    pub fn new(state: StorageState) -> Result<Option<Self>, SettingError> {
        let sizes = state.config.thumbnails.iter().map(|text| size(text, &state.renderer.limits));
        let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
        Ok((!sizes.is_empty()).then_some(Self { state, sizes }))
    }

    async fn make_all(&self, version: Uuid) -> Result<(), StorageError> {
        let Some(object) = thumbnails::object(&self.state.pool, version).await? else { return Ok(()) };
        let object = self.state.readable(object).await?;
        for options in &self.sizes {
            for accepted in ACCEPTED {
                let target = Target::negotiate(options.format, accepted);
                if !self.make(version, &object, (options, target)).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Makes one; whether it is a picture at all.
    async fn make(
        &self,
        version: Uuid,
        object: &Readable,
        (options, target): (&TransformOptions, Target),
    ) -> Result<bool, StorageError> {
        let key = options.cache_key(target, &version.to_string());
        if thumbnails::find(&self.state.pool, &version.to_string(), &key).await?.is_some() {
            return Ok(true);
        }
        let Some(picture) = self.state.make_picture(object, options.clone(), target).await? else {
            return Ok(false);
        };
        let size = picture.bytes.len() as u64;
        let staged = self.state.stage_blob(stream::iter([Ok(picture.bytes)]), size).await?;
        let blob = (staged.version(), staged.size());
        if thumbnails::keep(&self.state.pool, (version, &key), blob, picture.content_type).await? {
            staged.keep();
        }
        Ok(true)
    }
}

/// What a setting says, as in `400x300`, `400x` or `400x300 contain`.
fn size(text: &str, limits: &TransformLimits) -> Result<TransformOptions, SettingError> {
    let wrong = |reason: String| SettingError::new("storage.thumbnails", format!("`{text}`: {reason}"));
    let mut words = text.split_whitespace();
    let sides = words.next().and_then(|word| word.split_once('x'));
    let (width, height) = sides.ok_or_else(|| wrong("must be like 400x300 or 400x300 contain".to_owned()))?;
    let resize = words.next().unwrap_or_default();
    let pairs = [("width", width), ("height", height), ("resize", resize)];
    let options = TransformOptions::from_pairs(pairs, limits).map_err(|error| wrong(error.to_string()))?;
    if (options.width.is_none() && options.height.is_none()) || words.next().is_some() {
        return Err(wrong("must be like 400x300 or 400x300 contain".to_owned()));
    }
    Ok(options)
}

impl JobHandler for MakeThumbnails {
    fn kind(&self) -> &'static str {
        THUMBNAILS_JOB
    }

    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }

    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a> {
        Box::pin(async move {
            let OfVersion { version } = match OfVersion::read(job) {
                Ok(payload) => payload,
                Err(outcome) => return outcome,
            };
            match self.make_all(version).await {
                // Whoever asks for one of it is told.
                Ok(()) | Err(StorageError::InvalidImage(_)) => JobOutcome::Done,
                Err(error) => JobOutcome::Retry(error.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_write_them() {
        let limits = TransformLimits::default();
        for (text, expected) in [
            ("400x300", Some("height:300,width:400,resizing_type:fill")),
            ("400x", Some("width:400,resizing_type:fill")),
            ("x300", Some("height:300,resizing_type:fill")),
            (" 400x300  contain ", Some("height:300,width:400,resizing_type:fit")),
            ("", None),
            ("400", None),
            ("x", None),
            ("0x0", None),
            ("axb", None),
            ("400x300 zoom", None),
            ("400x300 contain 80", None),
        ] {
            let read = size(text, &limits).ok().map(|options| options.header());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
