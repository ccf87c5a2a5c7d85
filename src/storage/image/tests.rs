//! The whole transform: what comes out of good files, and how hostile ones are refused.

use std::cell::Cell;

use image::GenericImageView as _;
use proptest::prelude::*;

use super::*;

fn render(source: &[u8], query: &str, accept: &str) -> Result<Rendered, ImageError> {
    let limits = TransformLimits::default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let options = TransformOptions::from_pairs(pairs, &limits).unwrap();
    let target = Target::negotiate(options.format, accept);
    transform(source, &options, target, &limits, Deadline::never())
}

fn transformed(source: &[u8], query: &str, accept: &str) -> Transformed {
    match render(source, query, accept).unwrap() {
        Rendered::Image(transformed) => transformed,
        Rendered::Original => panic!("served as it is"),
    }
}

#[test]
fn every_source_becomes_a_picture_of_the_size_asked_for() {
    for format in samples::SOURCES {
        let source = samples::encoded(format, 64, 48);
        let result = transformed(&source, "width=16&height=16", "");
        let read = image::load_from_memory(&result.bytes).unwrap();
        assert_eq!(read.dimensions(), (16, 16), "{format:?}");
    }
}

#[test]
fn the_content_type_is_that_of_the_bytes() {
    let jpeg = samples::encoded(Format::Jpeg, 8, 8);
    let cases = [
        ("", "*/*", Format::Jpeg),
        ("", "image/webp,*/*", Format::Webp),
        ("format=origin", "image/webp,*/*", Format::Jpeg),
        ("format=png", "", Format::Png),
    ];
    for (query, accept, format) in cases {
        let result = transformed(&jpeg, query, accept);
        assert_eq!(result.content_type, format.media_type(), "{query} {accept}");
        assert_eq!(sniff(&result.bytes), Some(format), "{query} {accept}");
    }
}

#[test]
fn a_turned_photo_comes_out_upright_and_without_metadata() {
    let result = transformed(&samples::turned_jpeg(6, 64, 32), "width=16", "");
    let read = image::load_from_memory(&result.bytes).unwrap();
    assert_eq!(read.dimensions(), (16, 32), "looked at, the photo is 32 wide and 64 high");
    assert!(!result.bytes.windows(4).any(|window| window == b"Exif"));
}

#[test]
fn what_cannot_be_transformed_is_served_as_it_is() {
    let svg =
        br#"<svg xmlns="http://www.w3.org/2000/svg"><image href="http://169.254.169.254/latest"/></svg>"#;
    let sources: [&[u8]; 5] = [svg, b"<?xml version='1.0'?>", b"%PDF-1.7", b"", b"\0\0\0\x20ftypavifmif1"];
    for source in sources {
        assert_eq!(render(source, "width=10", "image/webp"), Ok(Rendered::Original));
    }
}

#[test]
fn h13_hostile_files_are_refused_by_what_they_announce() {
    let cases = [
        (samples::png_header(50_000, 50_000), ImageError::TooManyPixels),
        (samples::png_header(u32::MAX, u32::MAX), ImageError::TooManyPixels),
        (samples::png_header(7_000, 7_000), ImageError::Corrupt),
        (samples::png_header(0, 5), ImageError::Corrupt),
        (samples::gif_of_frames(100_000), ImageError::TooManyFrames),
        (b"\xFF\xD8\xFF\xE0\0\x10JFIF".to_vec(), ImageError::Corrupt),
        (gif_of(65_535), ImageError::TooManyPixels),
        (vec![0xFF; TransformLimits::default().max_source_bytes + 1], ImageError::TooLarge),
    ];
    for (mut source, error) in cases {
        if error == ImageError::TooLarge {
            source[1] = 0xD8;
        }
        let start = source[..source.len().min(40)].to_vec();
        assert_eq!(render(&source, "width=10", ""), Err(error), "{start:?}");
    }
}

/// A GIF of one pixel in a frame of this many on each side.
fn gif_of(side: u16) -> Vec<u8> {
    let mut gif = samples::gif_of_frames(1);
    let [low, high] = side.to_le_bytes();
    gif.splice(6..10, [low, high, low, high]);
    gif
}

#[test]
fn h13_data_that_inflates_beyond_the_picture_is_left_alone() {
    // All are readable pictures of 8 by 8: what is beyond their pixels is not inflated, or not to its end.
    let size = 64 << 20;
    for bomb in [samples::png_bomb(size), samples::png_text_bomb(size), samples::png_profile_bomb(size)] {
        assert!(bomb.len() < 128 * 1024);
        let result = transformed(&bomb, "width=4", "");
        assert_eq!(image::load_from_memory(&result.bytes).unwrap().dimensions(), (4, 4));
    }
}

#[test]
fn a_file_that_lies_about_its_format_is_read_by_its_bytes() {
    let png = samples::encoded(Format::Png, 8, 8);
    let mut lying = b"GIF89a".to_vec();
    lying.extend(&png);
    assert!(render(&lying, "width=4", "").is_err());
    assert_eq!(transformed(&png, "width=4", "").content_type, "image/png");
}

#[test]
fn the_deadline_is_asked_before_each_stage() {
    let source = samples::encoded(Format::Png, 8, 8);
    let limits = TransformLimits::default();
    let run = |stages: u32| {
        let left = Cell::new(stages);
        let expired = || left.replace(left.get().saturating_sub(1)) == 0;
        transform(&source, &TransformOptions::default(), Target::Origin, &limits, Deadline::new(&expired))
    };
    for stages in 0..4 {
        assert_eq!(run(stages), Err(ImageError::TimedOut), "{stages} stages");
    }
    assert!(run(4).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        format in prop::sample::select(samples::SOURCES.to_vec()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(), cuts: bool,
    ) {
        let mut file = samples::encoded(format, 24, 16);
        for (at, value) in damage {
            let at = at.index(file.len());
            file[at] = value;
        }
        if cuts {
            file.truncate(cut.index(file.len()));
        }
        // Small limits keep announced sizes from making the test slow; they are what refuses most of these files.
        let limits = TransformLimits { max_pixels: 10_000, ..TransformLimits::default() };
        let options = TransformOptions { width: Some(8), ..TransformOptions::default() };
        let _ = transform(&file, &options, Target::Portable, &limits, Deadline::never());
    }

    #[test]
    fn bytes_behind_a_signature_never_panic(
        signature in prop::sample::select(vec![
            b"\xFF\xD8\xFF".as_slice(), b"\x89PNG\r\n\x1A\n", b"GIF89a", b"RIFF\xFF\0\0\0WEBPVP8 ",
            b"RIFF\xFF\0\0\0WEBPVP8L", b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        ]),
        rest: Vec<u8>,
    ) {
        let limits = TransformLimits { max_pixels: 10_000, ..TransformLimits::default() };
        let file = [signature, &rest].concat();
        let _ = transform(&file, &TransformOptions::default(), Target::Portable, &limits, Deadline::never());
    }
}
