//! From the source's pixels to the result's: cropping and scaling in one pass, then turning what is left.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, Pixel};

use super::geometry::{Area, Plan};
use super::limits::ImageError;

/// Carries out a plan that was made for the picture as it is looked at.
///
/// Only the result is turned, which is cheap: the plan is turned the other way instead. Transparent pixels weigh
/// nothing in the mixture, so that their colour does not bleed into their neighbours.
pub(super) fn resample(
    picture: DynamicImage,
    plan: Plan,
    orientation: Orientation,
    viewed: (u32, u32),
) -> Result<DynamicImage, ImageError> {
    let stored = plan.before(orientation, viewed);
    let mut result = if viewed == (plan.width, plan.height) { picture } else { scale(&picture, stored)? };
    result.apply_orientation(orientation);
    Ok(result)
}

/// Crops and scales in one pass, for the two layouts that decoding gives.
///
/// The resizer is generic and is compiled here, a second for each layout named; greys are not worth two more.
fn scale(picture: &DynamicImage, plan: Plan) -> Result<DynamicImage, ImageError> {
    let mut result = DynamicImage::new(plan.width, plan.height, picture.color());
    match (picture, &mut result) {
        (DynamicImage::ImageRgb8(from), DynamicImage::ImageRgb8(to)) => {
            scale_pixels::<_, U8x3>(from, to, plan)
        }
        (DynamicImage::ImageRgba8(from), DynamicImage::ImageRgba8(to)) => {
            scale_pixels::<_, U8x4>(from, to, plan)
        }
        _ => None,
    }
    .ok_or(ImageError::Unsupported)?;
    Ok(result)
}

/// `None` never happens: the layouts agree, and a plan stays inside its picture.
fn scale_pixels<P, L>(
    from: &ImageBuffer<P, Vec<u8>>,
    to: &mut ImageBuffer<P, Vec<u8>>,
    plan: Plan,
) -> Option<()>
where
    P: Pixel<Subpixel = u8>,
    L: PixelTrait,
{
    let from = TypedImageRef::<L>::from_buffer(from.width(), from.height(), from).ok()?;
    let mut to = TypedImage::<L>::from_buffer(to.width(), to.height(), to).ok()?;
    let Area { left, top, width, height } = plan.area;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(left, top, width, height);
    Resizer::new().resize_typed(&from, &mut to, &options).ok()
}

#[cfg(test)]
mod tests {
    use image::{GenericImageView, Rgba, RgbaImage};

    use super::super::limits::TransformLimits;
    use super::super::options::TransformOptions;
    use super::*;

    const RED: Rgba<u8> = Rgba([255, 0, 0, 255]);
    const BLUE: Rgba<u8> = Rgba([0, 0, 255, 255]);

    /// A picture whose left half is red and whose right half is blue.
    fn halves(width: u32, height: u32) -> DynamicImage {
        RgbaImage::from_fn(width, height, |x, _| if x < width / 2 { RED } else { BLUE }).into()
    }

    fn resampled(picture: DynamicImage, query: &str, orientation: Orientation) -> DynamicImage {
        let limits = TransformLimits::default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let options = TransformOptions::from_pairs(pairs, &limits).unwrap();
        let mut viewed = picture.clone();
        viewed.apply_orientation(orientation);
        let plan = Plan::new(viewed.dimensions(), &options, &limits);
        resample(picture, plan, orientation, viewed.dimensions()).unwrap()
    }

    #[test]
    fn a_crop_shows_the_part_that_gravity_names() {
        for (gravity, colour) in [("we", RED), ("ea", BLUE)] {
            let query = format!("width=8&height=16&gravity={gravity}");
            let result = resampled(halves(64, 32), &query, Orientation::NoTransforms);
            assert_eq!(result.dimensions(), (8, 16));
            assert_eq!(result.get_pixel(4, 8), colour, "{gravity}");
        }
    }

    #[test]
    fn a_turned_picture_is_cropped_as_it_is_looked_at() {
        // Turned clockwise, the red left half is on top; counter-clockwise, at the bottom.
        let cases = [
            (Orientation::Rotate90, "no", RED),
            (Orientation::Rotate90, "so", BLUE),
            (Orientation::Rotate270, "no", BLUE),
            (Orientation::Rotate270, "so", RED),
            (Orientation::Rotate90FlipH, "no", RED),
            (Orientation::Rotate270FlipH, "no", BLUE),
        ];
        for (orientation, gravity, colour) in cases {
            let query = format!("width=16&height=8&gravity={gravity}");
            let result = resampled(halves(64, 32), &query, orientation);
            assert_eq!(result.dimensions(), (16, 8), "{orientation:?}");
            assert_eq!(result.get_pixel(8, 4), colour, "{orientation:?} {gravity}");
        }
        let mirrored = resampled(halves(64, 32), "width=8&height=16&gravity=we", Orientation::FlipHorizontal);
        assert_eq!(mirrored.get_pixel(4, 8), BLUE);
        let upside_down = resampled(halves(64, 32), "width=8&height=16&gravity=we", Orientation::Rotate180);
        assert_eq!(upside_down.get_pixel(4, 8), BLUE);
    }

    #[test]
    fn a_picture_of_the_right_size_is_not_touched() {
        let picture = halves(7, 5);
        assert_eq!(resampled(picture.clone(), "width=7", Orientation::NoTransforms), picture);
        assert_eq!(resampled(picture.clone(), "width=100&height=100", Orientation::NoTransforms), picture);
    }

    #[test]
    fn a_crop_without_scaling_stays_sharp() {
        // The middle of an odd rest is half a pixel: it must not become a mixture.
        let result = resampled(halves(8, 4), "width=3&height=4", Orientation::NoTransforms);
        assert!((0..3).all(|x| [RED, BLUE].contains(&result.get_pixel(x, 0))));
    }

    #[test]
    fn the_colour_of_transparent_pixels_does_not_bleed() {
        let clear_green = Rgba([0, 255, 0, 0]);
        let picture = RgbaImage::from_fn(64, 64, |x, y| if (x + y) % 2 == 0 { RED } else { clear_green });
        let result = resampled(picture.into(), "width=8", Orientation::NoTransforms);
        let Rgba([red, green, ..]) = result.get_pixel(4, 4);
        assert!(red > 250 && green < 5, "{red} {green}");
    }

    #[test]
    fn both_layouts_are_resampled() {
        for picture in [DynamicImage::new_rgb8(9, 9), DynamicImage::new_rgba8(9, 9)] {
            let colour = picture.color();
            let result = resampled(picture, "width=3", Orientation::NoTransforms);
            assert_eq!((result.dimensions(), result.color()), ((3, 3), colour));
        }
    }
}
