//! What a file's structure says before anything is decoded: its format, and how many frames it has.
//!
//! The walks here only step over lengths. They allocate nothing and visit each byte at most once.

use super::negotiate::Format;

/// The format that the first bytes show; names and declared types are not asked, for they lie. 32 bytes are enough.
///
/// `None` for everything that is not one of the raster formats known here. SVG is text and never sniffed: it is not
/// rendered, so nothing that it refers to is ever fetched.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::Webp),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => Some(Format::Avif),
        // Two letters are no evidence: the reserved words are zero and the second header has one of the known lengths.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, _, _, _, _, 12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => {
            Some(Format::Bmp)
        }
        _ => None,
    }
}

/// Whether the file has more than `most` animation frames.
pub(super) fn has_more_frames_than(most: u32, format: Format, bytes: &[u8]) -> bool {
    let frames = match format {
        Format::Gif => gif_frames(bytes, most),
        Format::Png => png_frames(bytes),
        Format::Webp => webp_frames(bytes, most),
        Format::Jpeg | Format::Bmp | Format::Avif => Some(1),
    };
    frames.unwrap_or(1) > most
}

/// Frames of a GIF (GIF89a section 20), counted up to one more than `most`. A damaged file counts as far as it goes.
fn gif_frames(bytes: &[u8], most: u32) -> Option<u32> {
    let mut at = 13 + colour_table(*bytes.get(10)?);
    let mut frames = 0;
    while frames <= most {
        match bytes.get(at) {
            // An extension: introducer, label, sub-blocks.
            Some(0x21) => at += 2,
            // An image: descriptor of ten bytes, its own colours, the code size, sub-blocks.
            Some(0x2C) => {
                frames += 1;
                let Some(flags) = bytes.get(at + 9) else { break };
                at += 11 + colour_table(*flags);
            }
            _ => break,
        }
        while let Some(&length) = bytes.get(at) {
            at += 1 + usize::from(length);
            if length == 0 {
                break;
            }
        }
    }
    Some(frames)
}

/// Bytes of the colour table that a GIF's packed field announces.
fn colour_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Frames that a PNG announces in its animation chunk, which stands before the picture (PNG third edition, `acTL`).
fn png_frames(bytes: &[u8]) -> Option<u32> {
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        match bytes.get(at + 4..at + 8)? {
            b"acTL" => return Some(u32::from_be_bytes(*bytes.get(at + 8..)?.first_chunk()?)),
            b"IDAT" | b"IEND" => return None,
            _ => at = at.checked_add(12)?.checked_add(usize::try_from(length).ok()?)?,
        }
    }
}

/// Frames of a WebP, counted up to one more than `most` (RFC 9649 section 2.7, `ANMF`).
fn webp_frames(bytes: &[u8], most: u32) -> Option<u32> {
    let mut at = 12;
    let mut frames = 0;
    while frames <= most {
        let Some(header) = bytes.get(at..at + 8) else { break };
        let length = u32::from_le_bytes(*header.last_chunk()?);
        frames += u32::from(header.starts_with(b"ANMF"));
        // Chunks are padded to an even length.
        at = at.checked_add(8)?.checked_add(usize::try_from(length).ok()?.next_multiple_of(2))?;
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let cases: &[(&[u8], Option<Format>)] = &[
            (b"\xFF\xD8\xFF\xE0rest", Some(Format::Jpeg)),
            (b"\x89PNG\r\n\x1A\nrest", Some(Format::Png)),
            (b"GIF89a", Some(Format::Gif)),
            (b"GIF87a", Some(Format::Gif)),
            (b"GIF88a", None),
            (b"RIFF\x00\x00\x00\x00WEBPVP8 ", Some(Format::Webp)),
            (b"RIFF\x00\x00\x00\x00WAVE", None),
            (b"\x00\x00\x00\x20ftypavif", Some(Format::Avif)),
            (b"\x00\x00\x00\x20ftypheic", None),
            (b"BMW is a maker of cars and motorcycles", None),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", None),
            (b"", None),
        ];
        for (bytes, format) in cases {
            assert_eq!(sniff(bytes), *format, "{bytes:?}");
        }
        assert_eq!(sniff(&samples::encoded(Format::Bmp, 2, 2)), Some(Format::Bmp));
    }

    #[test]
    fn the_frames_of_a_gif_are_counted_without_decoding_them() {
        let gif = samples::gif_of_frames(7);
        assert_eq!(gif_frames(&gif, 100), Some(7));
        assert!(!has_more_frames_than(7, Format::Gif, &gif));
        assert!(has_more_frames_than(6, Format::Gif, &gif));
        assert_eq!(gif_frames(&samples::gif_of_frames(100_000), 50), Some(51), "counting stops at the limit");
    }

    #[test]
    fn the_frames_of_a_png_are_those_that_it_announces() {
        let mut png = samples::encoded(Format::Png, 2, 2);
        assert!(!has_more_frames_than(1, Format::Png, &png));
        // After the signature and the header chunk.
        png.splice(33..33, samples::png_chunk(*b"acTL", &[0, 0, 0, 9, 0, 0, 0, 0]));
        assert_eq!(png_frames(&png), Some(9));
        assert!(has_more_frames_than(8, Format::Png, &png));
    }

    #[test]
    fn the_frames_of_a_webp_are_its_chunks() {
        let mut webp = b"RIFF\0\0\0\0WEBP".to_vec();
        webp.extend(b"VP8X\x03\0\0\0abc\0");
        for _ in 0..3 {
            webp.extend(b"ANMF\x01\0\0\0a\0");
        }
        assert_eq!(webp_frames(&webp, 10), Some(3));
        assert!(has_more_frames_than(2, Format::Webp, &webp));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_confuse_the_walks(bytes: Vec<u8>, most in 0..4_u32) {
            for format in [Format::Gif, Format::Png, Format::Webp] {
                let _ = has_more_frames_than(most, format, &bytes);
            }
            let _ = sniff(&bytes);
        }
    }
}
