//! How large the result becomes and which part of the source it shows: numbers only, no pixels.
//!
//! Sizes are those of imgproxy, which clients are used to: nothing is enlarged. A source smaller than asked for keeps
//! its size, and is then cropped (cover) or shrunk on one side (fill) to come closer to the shape that was asked for.

use image::metadata::Orientation;

use super::limits::{MAX_OUTPUT_SIDE, TransformLimits};
use super::options::{Resize, TransformOptions};

/// A part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// What to do: this part of the picture, brought to this size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) area: Area,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Plan {
    /// The plan for a picture of this size as it is looked at, its orientation applied.
    pub(super) fn new(source: (u32, u32), options: &TransformOptions, limits: &TransformLimits) -> Self {
        let size = (f64::from(source.0), f64::from(source.1));
        let (shrink_x, shrink_y) = bounded(size, shrink(size, options), limits);
        let scaled = (whole(size.0 / shrink_x), whole(size.1 / shrink_y));
        let Some(gravity) = options.crop_gravity() else {
            let area = Area { left: 0.0, top: 0.0, width: size.0, height: size.1 };
            return Self { area, width: scaled.0, height: scaled.1 };
        };
        let width = scaled.0.min(options.width.unwrap_or(scaled.0));
        let height = scaled.1.min(options.height.unwrap_or(scaled.1));
        // The part as large as its result is in the source's pixels; rounding must not let it stand out.
        let inner = ((f64::from(width) * shrink_x).min(size.0), (f64::from(height) * shrink_y).min(size.1));
        // Offsets are in pixels of the result.
        let (left, top) =
            gravity.place((inner.0 / shrink_x, inner.1 / shrink_y), (size.0 / shrink_x, size.1 / shrink_y));
        // In whole pixels of the result, so that a picture that is only cropped stays sharp.
        let left = (left.round() * shrink_x).min(size.0 - inner.0);
        let top = (top.round() * shrink_y).min(size.1 - inner.1);
        Self { area: Area { left, top, width: inner.0, height: inner.1 }, width, height }
    }

    /// The same plan for the pixels as they are stored, to be followed by applying the orientation.
    ///
    /// `viewed` is the size of the whole picture as it is looked at.
    pub(super) fn before(self, orientation: Orientation, viewed: (u32, u32)) -> Self {
        let Area { left, top, width, height } = self.area;
        let from_right = f64::from(viewed.0) - left - width;
        let from_bottom = f64::from(viewed.1) - top - height;
        let (left, top) = match orientation {
            Orientation::NoTransforms => (left, top),
            Orientation::FlipHorizontal => (from_right, top),
            Orientation::FlipVertical => (left, from_bottom),
            Orientation::Rotate180 => (from_right, from_bottom),
            Orientation::Rotate90 => (top, from_right),
            Orientation::Rotate270 => (from_bottom, left),
            Orientation::Rotate90FlipH => (top, left),
            Orientation::Rotate270FlipH => (from_bottom, from_right),
        };
        if swaps_sides(orientation) {
            let area = Area { left, top, width: height, height: width };
            Self { area, width: self.height, height: self.width }
        } else {
            Self { area: Area { left, top, width, height }, ..self }
        }
    }
}

/// Whether the orientation makes the stored width the height that is seen.
pub(super) fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// How many times each side becomes smaller; never less than 1.
fn shrink(size: (f64, f64), options: &TransformOptions) -> (f64, f64) {
    let wanted = |side: Option<u32>, whole: f64| side.map_or(1.0, |side| whole / f64::from(side));
    let (x, y) = (wanted(options.width, size.0), wanted(options.height, size.1));
    let (x, y) = match (options.resize, options.width, options.height) {
        (Resize::Cover | Resize::Contain, Some(_), None) => (x, x),
        (Resize::Cover | Resize::Contain, None, Some(_)) => (y, y),
        (Resize::Cover, ..) => (x.min(y), x.min(y)),
        (Resize::Contain, ..) => (x.max(y), x.max(y)),
        // A side that is not given keeps its length.
        (Resize::Fill, ..) => (x, y),
    };
    let enlargement = x.min(y).min(1.0);
    (x / enlargement, y / enlargement)
}

/// Shrinks further, both sides alike, where the result would be beyond the limits.
fn bounded(size: (f64, f64), (x, y): (f64, f64), limits: &TransformLimits) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "a limit needs no last digit")]
    let pixels = limits.max_output_pixels as f64;
    let (width, height) = (size.0 / x, size.1 / y);
    let excess =
        (width * height / pixels).sqrt().max(width.max(height) / f64::from(MAX_OUTPUT_SIDE)).max(1.0);
    (x * excess, y * excess)
}

/// A length in whole pixels, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive length below u32::MAX"
)]
fn whole(length: f64) -> u32 {
    (length.round() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(source: (u32, u32), query: &str) -> Plan {
        let limits = TransformLimits::default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Plan::new(source, &TransformOptions::from_pairs(pairs, &limits).unwrap(), &limits)
    }

    #[test]
    fn results_have_the_sizes_that_clients_know() {
        let cases = [
            // Nothing asked for: nothing changes.
            ((800, 600), "", (800, 600)),
            // One side: the other follows.
            ((800, 600), "width=400", (400, 300)),
            ((800, 600), "height=300", (400, 300)),
            ((800, 600), "width=400&resize=contain", (400, 300)),
            // Fill leaves the other side alone.
            ((800, 600), "width=400&resize=fill", (400, 600)),
            // Both sides.
            ((800, 600), "width=200&height=200", (200, 200)),
            ((800, 600), "width=200&height=200&resize=contain", (200, 150)),
            ((800, 600), "width=200&height=200&resize=fill", (200, 200)),
            // Nothing is enlarged.
            ((80, 60), "width=400", (80, 60)),
            ((80, 60), "width=400&height=400&resize=contain", (80, 60)),
            ((80, 60), "width=400&height=30", (80, 30)),
            ((100, 100), "width=200&height=50&resize=fill", (100, 25)),
            // Never less than a pixel.
            ((10_000, 1), "width=10", (10, 1)),
        ];
        for (source, query, size) in cases {
            let plan = plan(source, query);
            assert_eq!((plan.width, plan.height), size, "{source:?} {query}");
        }
    }

    #[test]
    fn cover_keeps_the_part_that_gravity_names() {
        let area = |query: &str| {
            let area = plan((800, 600), query).area;
            (area.left, area.top, area.width, area.height)
        };
        assert_eq!(area("width=300&height=300"), (100.0, 0.0, 600.0, 600.0));
        assert_eq!(area("width=300&height=300&gravity=we"), (0.0, 0.0, 600.0, 600.0));
        assert_eq!(area("width=300&height=300&gravity=ea"), (200.0, 0.0, 600.0, 600.0));
        // Ten pixels of the result are twenty of the source.
        assert_eq!(area("width=300&height=300&gravity=ea&x_offset=10"), (180.0, 0.0, 600.0, 600.0));
        assert_eq!(area("width=300&height=300&gravity=fp&x_offset=0&y_offset=0"), (0.0, 0.0, 600.0, 600.0));
    }

    #[test]
    fn a_result_beyond_the_limits_becomes_smaller() {
        let large = plan((7000, 7000), "quality=50");
        assert_eq!((large.width, large.height), (4000, 4000));
        let long = plan((60_000, 100), "quality=50");
        assert_eq!((long.width, long.height), (16_383, 27));
    }

    #[test]
    fn an_area_of_a_turned_picture_is_found_in_its_stored_pixels() {
        // Looked at, the picture is 40 by 30 and the part its left top corner.
        let corner = Area { left: 0.0, top: 0.0, width: 4.0, height: 3.0 };
        let plan = Plan { area: corner, width: 4, height: 3 };
        let cases = [
            (Orientation::NoTransforms, (0.0, 0.0)),
            (Orientation::FlipHorizontal, (36.0, 0.0)),
            (Orientation::Rotate180, (36.0, 27.0)),
            (Orientation::FlipVertical, (0.0, 27.0)),
            (Orientation::Rotate90FlipH, (0.0, 0.0)),
            (Orientation::Rotate90, (0.0, 36.0)),
            (Orientation::Rotate270FlipH, (27.0, 36.0)),
            (Orientation::Rotate270, (27.0, 0.0)),
        ];
        for (orientation, (left, top)) in cases {
            let stored = plan.before(orientation, (40, 30));
            assert_eq!((stored.area.left, stored.area.top), (left, top), "{orientation:?}");
            let size = if swaps_sides(orientation) { (3, 4) } else { (4, 3) };
            assert_eq!((stored.width, stored.height), size, "{orientation:?}");
        }
    }

    proptest! {
        #[test]
        fn a_plan_stays_inside_its_source_and_its_limits(
            source in (1..=65_535_u32, 1..=65_535_u32),
            width in 0..=2000_u32, height in 0..=2000_u32,
            resize in "cover|contain|fill", gravity in "no|so|ea|we|noea|nowe|soea|sowe|ce|sm",
            x in -50.0..50.0_f64, y in -50.0..50.0_f64,
        ) {
            let query =
                format!("width={width}&height={height}&resize={resize}&gravity={gravity}&x_offset={x}&y_offset={y}");
            let limits = TransformLimits::default();
            let plan = plan(source, &query);
            let Area { left, top, width: across, height: down } = plan.area;
            prop_assert!(left >= 0.0 && top >= 0.0 && across > 0.0 && down > 0.0, "{plan:?}");
            prop_assert!(left + across <= f64::from(source.0) && top + down <= f64::from(source.1), "{plan:?}");
            prop_assert!((1..=source.0).contains(&plan.width) && (1..=source.1).contains(&plan.height));
            prop_assert!(plan.width.max(plan.height) <= MAX_OUTPUT_SIDE);
            // Rounding adds at most half a pixel to each side.
            let most = limits.max_output_pixels + u64::from(plan.width) + u64::from(plan.height);
            prop_assert!(u64::from(plan.width) * u64::from(plan.height) <= most);
            for (asked, got) in [(width, plan.width), (height, plan.height)] {
                prop_assert!(asked == 0 || got <= asked, "{plan:?}");
            }
        }
    }
}
