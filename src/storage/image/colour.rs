//! Colours of a picture with an ICC profile, brought to sRGB.
//!
//! Results carry no profile: they are sRGB, which is what everybody assumes without one. A profile that cannot be
//! read, or that is of another kind than the pixels, is ignored: slightly wrong colours are better than no picture.

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// Converts the pixels from the profile's colours to sRGB, where they are RGB.
pub(super) fn to_srgb(picture: &mut DynamicImage, profile: &[u8]) {
    let (pixels, layout) = match picture {
        DynamicImage::ImageRgb8(pixels) => (&mut **pixels, Layout::Rgb),
        DynamicImage::ImageRgba8(pixels) => (&mut **pixels, Layout::Rgba),
        _ => return,
    };
    if let Some(converted) = convert(pixels, layout, profile) {
        pixels.copy_from_slice(&converted);
    }
}

fn convert(pixels: &[u8], layout: Layout, profile: &[u8]) -> Option<Vec<u8>> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    if profile.color_space != DataColorSpace::Rgb {
        return None;
    }
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(layout, &srgb, layout, TransformOptions::default()).ok()?;
    let mut converted = vec![0; pixels.len()];
    transform.transform(pixels, &mut converted).ok()?;
    Some(converted)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn a_wide_colour_becomes_the_srgb_colour_that_looks_the_same() {
        let profile = ColorProfile::new_display_p3().encode().unwrap();
        let mut picture: DynamicImage = RgbImage::from_pixel(2, 2, Rgb([200, 100, 100])).into();
        to_srgb(&mut picture, &profile);
        let Rgb([red, green, blue]) = *picture.to_rgb8().get_pixel(1, 1);
        assert!(red > 205 && green < 100 && blue < 105, "{red} {green} {blue}");
    }

    #[test]
    fn transparency_is_no_colour() {
        let profile = ColorProfile::new_display_p3().encode().unwrap();
        let mut picture: DynamicImage = RgbaImage::from_pixel(2, 2, Rgba([200, 100, 100, 77])).into();
        to_srgb(&mut picture, &profile);
        assert_eq!(picture.to_rgba8().get_pixel(0, 0).0[3], 77);
    }

    #[test]
    fn a_profile_that_does_not_fit_is_ignored() {
        let grey = ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
        let colour: DynamicImage = RgbImage::from_pixel(2, 2, Rgb([200, 100, 100])).into();
        for profile in [b"nonsense".as_slice(), &[], &grey] {
            let mut picture = colour.clone();
            to_srgb(&mut picture, profile);
            assert_eq!(picture, colour);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_profile_is_too_strange(damage: Vec<(u16, u8)>) {
            let mut profile = ColorProfile::new_display_p3().encode().unwrap();
            for (at, value) in damage {
                let at = usize::from(at) % profile.len();
                profile[at] = value;
            }
            to_srgb(&mut DynamicImage::new_rgb8(2, 2), &profile);
        }
    }
}
