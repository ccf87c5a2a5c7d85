//! Image transforms: a file in, a smaller file out. Pure computation, no I/O.
//!
//! `options` parses what is asked for, `negotiate` chooses the output format, and [`transform`] does the work in
//! stages: `structure` and `decode` (header, limits, pixels), `geometry` (numbers), `resample`, `colour`,
//! `encode`. The decoders are safe Rust; every limit is checked before the memory is asked for (threat H13). SVG is
//! never rendered (H15).
//!
//! A transform takes from milliseconds to a second of a processor and, at its worst, half a gigabyte
//! ([`TransformLimits`]). Callers run it in `spawn_blocking` under a semaphore, and take a panic of a decoder (the task's
//! `JoinError`) as [`ImageError::Corrupt`].

mod colour;
mod decode;
mod encode;
mod geometry;
mod gravity;
mod limits;
mod negotiate;
mod options;
mod resample;
mod structure;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use gravity::{Anchor, Gravity, Offset};
pub use limits::{Deadline, ImageError, TransformLimits};
pub use negotiate::{Format, Target};
pub use options::{OptionError, RequestedFormat, Resize, TransformOptions};
pub use structure::sniff;

/// What became of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// The transformed picture.
    Image(Transformed),
    /// Not a format that can be transformed (SVG, AVIF, anything unknown): the original is to be served as it is, under
    /// the rules for downloads.
    Original,
}

/// A transformed picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformed {
    /// The file.
    pub bytes: Bytes,
    /// Its media type.
    pub content_type: &'static str,
}

/// Transforms a file, whatever its name and declared type say it is.
///
/// Blocks its thread. The source is refused by its first bytes and its header where they suffice; see [`Deadline`] for
/// what time can stop.
pub fn transform(
    source: &[u8],
    options: &TransformOptions,
    target: Target,
    limits: &TransformLimits,
    deadline: Deadline<'_>,
) -> Result<Rendered, ImageError> {
    let Some(format) = sniff(source).filter(|format| format.is_source()) else {
        return Ok(Rendered::Original);
    };
    deadline.check()?;
    let mut opened = decode::open(source, format, limits)?;
    let (viewed, orientation) = (opened.viewed_size(), opened.orientation);
    let (output, profile) = (target.resolve(format, opened.has_alpha), opened.profile.take());
    let plan = geometry::Plan::new(viewed, options, limits);
    deadline.check()?;
    let picture = opened.decode()?;
    deadline.check()?;
    let mut picture = resample::resample(picture, plan, orientation, viewed)?;
    if let Some(profile) = profile {
        colour::to_srgb(&mut picture, &profile);
    }
    deadline.check()?;
    let bytes = encode::encode(picture, output, options.quality())?.into();
    Ok(Rendered::Image(Transformed { bytes, content_type: output.media_type() }))
}
