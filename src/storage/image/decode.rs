//! From a file to pixels, by decoders written in safe Rust.
//!
//! [`open`] reads the header alone; what it finds is held against the limits before [`Opened::decode`] asks for the
//! memory of the pixels. Of an animation only the first frame is decoded.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::geometry::swaps_sides;
use super::limits::{ImageError, TransformLimits};
use super::negotiate::Format;
use super::structure;

/// Profiles are a few hundred bytes to some kilobytes; larger ones belong to printers, or to nobody.
const MAX_PROFILE_BYTES: usize = 512 * 1024;

/// A file whose header was read and found within the limits.
pub(super) struct Opened<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    /// Whether the pixels have a channel of transparency.
    pub(super) has_alpha: bool,
    /// How the stored pixels are to be turned.
    pub(super) orientation: Orientation,
    /// The ICC profile of the colours.
    pub(super) profile: Option<Vec<u8>>,
}

/// Reads a file's header and refuses what is beyond the limits. Nothing of the size of the pixels is allocated.
pub(super) fn open<'a>(
    source: &'a [u8],
    format: Format,
    limits: &TransformLimits,
) -> Result<Opened<'a>, ImageError> {
    if source.len() > limits.max_source_bytes {
        return Err(ImageError::TooLarge);
    }
    if structure::has_more_frames_than(limits.max_frames, format, source) {
        return Err(ImageError::TooManyFrames);
    }
    let format = codec(format).ok_or(ImageError::Unsupported)?;
    let mut reader = ImageReader::with_format(Cursor::new(source), format);
    reader.limits(TransformLimits::for_headers());
    let mut decoder = reader.into_decoder().map_err(|error| ImageError::from_decoder(&error))?;

    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Corrupt);
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels || decoder.total_bytes() > limits.max_decoded_bytes() {
        return Err(ImageError::TooManyPixels);
    }
    decoder.set_limits(limits.for_pixels()).map_err(|error| ImageError::from_decoder(&error))?;
    Ok(Opened {
        has_alpha: decoder.color_type().has_alpha(),
        // Damaged metadata does not make a picture unreadable.
        orientation: decoder.orientation().unwrap_or(Orientation::NoTransforms),
        profile: decoder.icc_profile().ok().flatten().filter(|profile| profile.len() <= MAX_PROFILE_BYTES),
        decoder: Box::new(decoder),
    })
}

impl Opened<'_> {
    /// The size as the picture is looked at, its orientation applied.
    pub(super) fn viewed_size(&self) -> (u32, u32) {
        let (width, height) = self.decoder.dimensions();
        if swaps_sides(self.orientation) { (height, width) } else { (width, height) }
    }

    /// The pixels as they are stored, as RGB or RGBA of eight bits a channel.
    pub(super) fn decode(self) -> Result<DynamicImage, ImageError> {
        let decoded =
            DynamicImage::from_decoder(self.decoder).map_err(|error| ImageError::from_decoder(&error))?;
        Ok(if self.has_alpha { decoded.into_rgba8().into() } else { decoded.into_rgb8().into() })
    }
}

/// The decoder of a format. AVIF has none in safe Rust.
const fn codec(format: Format) -> Option<ImageFormat> {
    match format {
        Format::Jpeg => Some(ImageFormat::Jpeg),
        Format::Png => Some(ImageFormat::Png),
        Format::Gif => Some(ImageFormat::Gif),
        Format::Webp => Some(ImageFormat::WebP),
        Format::Bmp => Some(ImageFormat::Bmp),
        Format::Avif => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn refusal(source: &[u8], format: Format, limits: &TransformLimits) -> ImageError {
        open(source, format, limits).err().unwrap()
    }

    #[test]
    fn a_file_is_refused_by_its_header() {
        let limits = TransformLimits::default();
        let png = samples::png_header(50_000, 50_000);
        assert_eq!(refusal(&png, Format::Png, &limits), ImageError::TooManyPixels);

        let small = TransformLimits { max_pixels: 11, ..limits.clone() };
        for format in samples::SOURCES {
            let source = samples::encoded(format, 4, 3);
            assert_eq!(refusal(&source, format, &small), ImageError::TooManyPixels, "{format:?}");
            assert!(open(&source, format, &limits).is_ok(), "{format:?}");
        }
    }

    #[test]
    fn sixteen_bits_a_channel_count_double() {
        let wide: DynamicImage = image::ImageBuffer::<image::Rgba<u16>, _>::new(4, 4).into();
        let source = samples::encoded_as(&wide, ImageFormat::Png);
        let limits = |max_pixels| TransformLimits { max_pixels, ..TransformLimits::default() };
        assert_eq!(refusal(&source, Format::Png, &limits(31)), ImageError::TooManyPixels);
        let opened = open(&source, Format::Png, &limits(32)).unwrap();
        assert!(opened.has_alpha);
        assert!(matches!(opened.decode(), Ok(DynamicImage::ImageRgba8(_))));
    }

    #[test]
    fn a_large_file_is_refused_unread() {
        let limits = TransformLimits { max_source_bytes: 10, ..TransformLimits::default() };
        assert_eq!(refusal(&[0; 11], Format::Jpeg, &limits), ImageError::TooLarge);
    }

    #[test]
    fn only_the_first_frame_is_decoded() {
        let gif = samples::gif_of_frames(3);
        let opened = open(&gif, Format::Gif, &TransformLimits::default()).unwrap();
        assert_eq!(opened.viewed_size(), (1, 1));
        assert!(opened.decode().is_ok());

        let few = TransformLimits { max_frames: 2, ..TransformLimits::default() };
        assert_eq!(refusal(&gif, Format::Gif, &few), ImageError::TooManyFrames);
    }

    #[test]
    fn the_orientation_is_read_from_exif() {
        let jpeg = samples::turned_jpeg(6, 4, 2);
        let opened = open(&jpeg, Format::Jpeg, &TransformLimits::default()).unwrap();
        assert_eq!(opened.orientation, Orientation::Rotate90);
        assert_eq!(opened.viewed_size(), (2, 4));
    }
}
