//! Files for the tests, good and hostile, made where they are needed.

use std::io::{Cursor, Write as _};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::encode::encode;
use super::negotiate::Format;

/// The formats that can be transformed.
pub(super) const SOURCES: [Format; 5] = [Format::Jpeg, Format::Png, Format::Gif, Format::Webp, Format::Bmp];

/// A picture with large and small features.
pub(super) fn photo(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        let [x, y, mixed] = [x, y, (x * 7) ^ (y * 13)].map(|value| u8::try_from(value % 256).unwrap());
        Rgb([x, y, mixed])
    })
    .into()
}

/// The picture as a file.
pub(super) fn encoded(format: Format, width: u32, height: u32) -> Vec<u8> {
    encode(photo(width, height), format, 80).unwrap()
}

/// Any picture as a file.
pub(super) fn encoded_as(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A JPEG whose Exif data says how it is to be turned.
pub(super) fn turned_jpeg(exif_orientation: u8, width: u32, height: u32) -> Vec<u8> {
    let mut jpeg = encoded(Format::Jpeg, width, height);
    // Big-endian TIFF with one entry: tag 0x0112, SHORT, one value.
    let mut exif = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([exif_orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let segment = [&[0xFF, 0xE1], length.as_slice(), &exif].concat();
    jpeg.splice(2..2, segment);
    jpeg
}

/// A PNG chunk with its checksum.
pub(super) fn png_chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(&kind);
    checksum.update(data);
    let length = u32::try_from(data.len()).unwrap();
    [&length.to_be_bytes(), kind.as_slice(), data, &checksum.sum().to_be_bytes()].concat()
}

/// The start of a PNG of 8-bit RGB, up to where its pixels would begin.
fn png_start(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes(), &height.to_be_bytes(), [8, 2, 0, 0, 0].as_slice()].concat();
    [b"\x89PNG\r\n\x1A\n".as_slice(), &png_chunk(*b"IHDR", &header)].concat()
}

/// A PNG that announces a size and has a pixel's worth of data.
pub(super) fn png_header(width: u32, height: u32) -> Vec<u8> {
    png_with(png_start(width, height), &[0; 4])
}

/// A small PNG whose data inflates to far more than its pixels.
pub(super) fn png_bomb(inflated: usize) -> Vec<u8> {
    png_with(png_start(8, 8), &vec![0; inflated])
}

/// A small PNG with a compressed text that inflates to far more than the picture.
pub(super) fn png_text_bomb(inflated: usize) -> Vec<u8> {
    let text = [b"Comment\0\0".as_slice(), &deflated(&vec![b' '; inflated])].concat();
    let start = [png_start(8, 8), png_chunk(*b"zTXt", &text)].concat();
    png_with(start, &[0; 8 * 25])
}

/// A small PNG with a colour profile that inflates to far more than the picture.
pub(super) fn png_profile_bomb(inflated: usize) -> Vec<u8> {
    let profile = [b"Profile\0\0".as_slice(), &deflated(&vec![0; inflated])].concat();
    let start = [png_start(8, 8), png_chunk(*b"iCCP", &profile)].concat();
    png_with(start, &[0; 8 * 25])
}

fn png_with(start: Vec<u8>, pixels: &[u8]) -> Vec<u8> {
    [start, png_chunk(*b"IDAT", &deflated(pixels)), png_chunk(*b"IEND", &[])].concat()
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// An animated GIF of one pixel.
pub(super) fn gif_of_frames(frames: usize) -> Vec<u8> {
    let frame = b"\x21\xF9\x04\0\x01\0\0\0\x2C\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
    let head = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF";
    [head.as_slice(), &frame.repeat(frames), b"\x3B"].concat()
}
