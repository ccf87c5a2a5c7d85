//! What one transform may cost, and how it is refused.
//!
//! A picture of a few kilobytes can announce gigabytes of pixels. Every limit here is checked on the file's structure,
//! before the memory is asked for.

use image::error::ImageError as CodecError;

/// The longest side that every output format can express: WebP counts its sides in 14 bits.
pub(super) const MAX_OUTPUT_SIDE: u32 = 16_383;

/// Memory for the metadata before the pixels.
const MAX_HEADER_BYTES: u64 = 8 * 1024 * 1024;

/// Bounds of a source, of a result and of the sizes that a caller may ask for.
///
/// The memory of one transform stays below about `2 * max_source_bytes + 10 * max_pixels` bytes (a progressive JPEG
/// without subsampling is the worst case), so the number of parallel transforms is the caller's to bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformLimits {
    /// Largest `width` and `height` that count; a larger wish is taken as this one.
    pub max_side: u32,
    /// Largest source file, in bytes.
    pub max_source_bytes: usize,
    /// Largest source picture, in pixels (width times height). Four bytes are allowed for each, so that pictures of
    /// 16 bits a channel may have half of it.
    pub max_pixels: u64,
    /// Most frames of an animated source. Only the first one is ever decoded.
    pub max_frames: u32,
    /// Largest result, in pixels. Where a side follows from the aspect ratio the result is made smaller to fit.
    pub max_output_pixels: u64,
}

impl Default for TransformLimits {
    fn default() -> Self {
        Self {
            max_side: 2_000,
            max_source_bytes: 25 * 1024 * 1024,
            max_pixels: 50_000_000,
            max_frames: 1_000,
            max_output_pixels: 16_000_000,
        }
    }
}

impl TransformLimits {
    /// What decoding the pixels may allocate, in the codecs' form.
    pub(super) fn for_pixels(&self) -> image::Limits {
        allocating(self.max_decoded_bytes())
    }

    /// What reading a header may allocate, in the codecs' form: a few kilobytes of a PNG's profile can inflate to
    /// anything.
    pub(super) fn for_headers() -> image::Limits {
        allocating(MAX_HEADER_BYTES)
    }

    /// Bytes that the decoded picture may take.
    pub(super) fn max_decoded_bytes(&self) -> u64 {
        self.max_pixels.saturating_mul(4)
    }
}

fn allocating(bytes: u64) -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

/// Tells between the stages of a transform whether to go on.
///
/// Opening, decoding, resizing and encoding are one stage each and run to their end: a stage is bounded by the limits,
/// not by time. The caller decides what ends the work: a clock, a client that has gone away, a shutdown.
#[derive(Clone, Copy)]
pub struct Deadline<'a>(&'a dyn Fn() -> bool);

impl<'a> Deadline<'a> {
    /// A deadline that has passed once `expired` says so.
    pub fn new(expired: &'a dyn Fn() -> bool) -> Self {
        Self(expired)
    }

    /// No deadline.
    pub fn never() -> Self {
        Self(&|| false)
    }

    /// Refuses to go on when the deadline has passed.
    pub(super) fn check(self) -> Result<(), ImageError> {
        if (self.0)() { Err(ImageError::TimedOut) } else { Ok(()) }
    }
}

/// Why a picture was not transformed. Each is the source's fault, answered with 422, but for [`Self::TimedOut`] and
/// [`Self::Encoding`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// More pixels, or more memory for them, than allowed.
    #[error("the image has more pixels than can be transformed")]
    TooManyPixels,
    /// The file is larger than allowed.
    #[error("the image file is larger than can be transformed")]
    TooLarge,
    /// More animation frames than allowed.
    #[error("the image has more frames than can be transformed")]
    TooManyFrames,
    /// The file does not follow its format, or ends too early.
    #[error("the image is damaged")]
    Corrupt,
    /// A known format in a variant that the decoders do not read, such as arithmetic coding in JPEG.
    #[error("the image uses a variant of its format that cannot be transformed")]
    Unsupported,
    /// The deadline passed between two stages.
    #[error("the image took too long to transform")]
    TimedOut,
    /// The result could not be encoded. Never the source's fault.
    #[error("the transformed image could not be encoded")]
    Encoding,
}

impl ImageError {
    /// What a decoder's error means. Texts of the codecs are dropped: they are for developers, and change.
    pub(super) fn from_decoder(error: &CodecError) -> Self {
        match error {
            CodecError::Limits(_) => Self::TooManyPixels,
            CodecError::Unsupported(_) => Self::Unsupported,
            _ => Self::Corrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_has_passed_stops_the_work() {
        assert_eq!(Deadline::never().check(), Ok(()));
        assert_eq!(Deadline::new(&|| true).check(), Err(ImageError::TimedOut));
    }

    #[test]
    fn codecs_may_allocate_four_bytes_for_each_allowed_pixel() {
        let limits = TransformLimits { max_pixels: 10, ..TransformLimits::default() };
        assert_eq!(limits.for_pixels().max_alloc, Some(40));
        let endless = TransformLimits { max_pixels: u64::MAX, ..limits };
        assert_eq!(endless.max_decoded_bytes(), u64::MAX);
    }
}
