//! A picture as a camera makes them, and how long it takes to decode alone: by the server's own decoder, on one thread.

use std::io::Cursor;
use std::time::Instant;

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{DynamicImage, RgbImage};

use crate::Outcome;

/// Waves of all lengths with some noise, at quality 90: about as many bytes per pixel as a photograph has.
pub fn write(file: &str, width: u32, height: u32) -> Outcome<f64> {
    let mut noise = 1_u32;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (x, y, grain) = (x as f32, y as f32, (noise >> 28) as f32);
        let wave = |length: f32, turn: f32| ((x * turn.cos() + y * turn.sin()) / length).sin();
        let level = |shift: f32| {
            let sum = 60.0 * wave(700.0, shift) + 30.0 * wave(60.0, 1.0 + shift) + 15.0 * wave(5.0, 2.0 - shift);
            (120.0 + sum + grain) as u8
        };
        image::Rgb([level(0.0), level(0.7), level(1.9)])
    });
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90))?;
    std::fs::write(file, &bytes)?;
    Ok(bytes.len() as f64)
}

pub fn decode(file: &str, rounds: usize) -> Outcome<f64> {
    let bytes = std::fs::read(file)?;
    let mut times = Vec::new();
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        let picture = DynamicImage::from_decoder(JpegDecoder::new(Cursor::new(&bytes))?)?;
        std::hint::black_box(picture);
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
