//! From pixels to a file. Results carry no metadata of their source: neither places nor cameras.
//!
//! WebP is written by libwebp, compiled from its C source: there is no lossy encoder in safe Rust. It sees pixels that
//! were decoded and measured here, never a file. Its decoder is not used.

use image::codecs::bmp::BmpEncoder;
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ImageResult, Rgb, RgbImage, Rgba};

use super::limits::ImageError;
use super::negotiate::Format;

/// How long the search for a GIF's 256 colours may take, from 1 (best) to 30 (fastest).
const GIF_SPEED: i32 = 10;

/// Writes a picture of RGB or RGBA of eight bits a channel. `quality`, 1 to 100, counts for the lossy formats.
pub(super) fn encode(picture: DynamicImage, format: Format, quality: u8) -> Result<Vec<u8>, ImageError> {
    if format == Format::Webp {
        return webp(&picture, quality);
    }
    let mut file = Vec::new();
    let written = match format {
        Format::Jpeg => opaque(picture).write_with_encoder(JpegEncoder::new_with_quality(&mut file, quality)),
        Format::Png => picture.write_with_encoder(PngEncoder::new(&mut file)),
        Format::Bmp => picture.write_with_encoder(BmpEncoder::new(&mut file)),
        Format::Gif => gif(picture, &mut file),
        Format::Avif | Format::Webp => avif(&picture, &mut file, quality),
    };
    written.map_err(|_| ImageError::Encoding)?;
    Ok(file)
}

/// One frame with a palette of its own.
fn gif(picture: DynamicImage, file: &mut Vec<u8>) -> ImageResult<()> {
    let pixels = picture.into_rgba8();
    let (width, height) = pixels.dimensions();
    GifEncoder::new_with_speed(file, GIF_SPEED).encode(
        &pixels,
        width,
        height,
        image::ExtendedColorType::Rgba8,
    )
}

fn webp(picture: &DynamicImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let (width, height) = (picture.width(), picture.height());
    let encode = |pixels: &[u8], layout| {
        webp::Encoder::new(pixels, layout, width, height)
            .encode_simple(false, f32::from(quality))
            .map(|file| file.to_vec())
            .map_err(|_| ImageError::Encoding)
    };
    match picture {
        DynamicImage::ImageRgb8(pixels) => encode(pixels, webp::PixelLayout::Rgb),
        DynamicImage::ImageRgba8(pixels) => encode(pixels, webp::PixelLayout::Rgba),
        _ => Err(ImageError::Encoding),
    }
}

/// At the fastest setting: half a second of a processor for 400 by 300 pixels, and four times that at the next ones.
#[cfg(feature = "avif")]
fn avif(picture: &DynamicImage, file: &mut Vec<u8>, quality: u8) -> ImageResult<()> {
    const SPEED: u8 = 10;
    let encoder = image::codecs::avif::AvifEncoder::new_with_speed_quality(file, SPEED, quality);
    picture.write_with_encoder(encoder.with_num_threads(Some(1)))
}

/// Never chosen: [`Format::is_output`] knows.
#[cfg(not(feature = "avif"))]
fn avif(_: &DynamicImage, _: &mut Vec<u8>, _: u8) -> ImageResult<()> {
    let format = image::error::ImageFormatHint::Exact(image::ImageFormat::Avif);
    Err(image::ImageError::Unsupported(format.into()))
}

/// The picture on white where it is transparent, as JPEG knows no transparency.
fn opaque(picture: DynamicImage) -> DynamicImage {
    if !picture.color().has_alpha() {
        return picture;
    }
    let pixels = picture.into_rgba8();
    let mut flat = RgbImage::new(pixels.width(), pixels.height());
    for (flat, Rgba([red, green, blue, alpha])) in flat.pixels_mut().zip(pixels.pixels()) {
        *flat = Rgb([red, green, blue].map(|channel| on_white(*channel, *alpha)));
    }
    flat.into()
}

fn on_white(channel: u8, alpha: u8) -> u8 {
    let (channel, alpha) = (u16::from(channel), u16::from(alpha));
    let mixed = (channel * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use image::{GenericImageView, RgbaImage};

    use super::super::samples;
    use super::super::structure::sniff;
    use super::*;

    #[test]
    fn every_output_is_a_file_of_its_format_and_size() {
        let pictures = [DynamicImage::new_rgb8(9, 7), DynamicImage::new_rgba8(9, 7)];
        for format in samples::SOURCES {
            for picture in &pictures {
                let file = encode(picture.clone(), format, 80).unwrap();
                assert_eq!(sniff(&file), Some(format));
                let read = image::load_from_memory(&file).unwrap();
                assert_eq!(read.dimensions(), (9, 7), "{format:?} of {:?}", picture.color());
            }
        }
    }

    #[test]
    fn transparent_pixels_become_white_in_jpeg() {
        assert_eq!(
            [on_white(0, 0), on_white(0, 255), on_white(255, 255), on_white(0, 128)],
            [255, 0, 255, 127]
        );
        let clear = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 0]));
        let file = encode(clear.into(), Format::Jpeg, 90).unwrap();
        let read = image::load_from_memory(&file).unwrap().to_rgb8();
        assert!(read.get_pixel(4, 4).0.iter().all(|channel| *channel > 250));
    }

    #[test]
    fn transparency_survives_where_the_format_knows_it() {
        let clear = RgbaImage::from_pixel(8, 8, Rgba([200, 0, 0, 0]));
        for format in [Format::Png, Format::Webp, Format::Gif] {
            let file = encode(clear.clone().into(), format, 80).unwrap();
            let read = image::load_from_memory(&file).unwrap().to_rgba8();
            assert_eq!(read.get_pixel(4, 4).0[3], 0, "{format:?}");
        }
    }

    #[test]
    fn a_lower_quality_makes_a_smaller_file() {
        for format in [Format::Jpeg, Format::Webp] {
            let size = |quality| encode(samples::photo(64, 64), format, quality).unwrap().len();
            assert!(size(20) < size(95), "{format:?}");
        }
    }

    #[test]
    fn avif_is_written_only_where_it_is_built_in() {
        let file = encode(DynamicImage::new_rgb8(16, 16), Format::Avif, 80);
        if Format::Avif.is_output() {
            assert_eq!(sniff(&file.unwrap()), Some(Format::Avif));
        } else {
            assert_eq!(file, Err(ImageError::Encoding));
        }
    }
}
