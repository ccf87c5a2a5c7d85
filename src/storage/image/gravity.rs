//! Which part of a picture stays when it is cropped.

use std::fmt;

/// Where the kept part lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gravity {
    /// The edge, corner or point that is kept.
    pub anchor: Anchor,
    /// Distance from the anchor: inwards from an edge, to the right from the middle. For
    /// [`Anchor::FocusPoint`] the point's place, as a share of the width.
    pub x: Offset,
    /// As `x`, for the height: inwards from an edge, down from the middle.
    pub y: Offset,
}

impl Gravity {
    /// Whether offsets are part of the gravity's text.
    pub(super) fn has_offset(self) -> bool {
        self.anchor == Anchor::FocusPoint || self.x != Offset::ZERO || self.y != Offset::ZERO
    }

    /// The left top corner of the part `inner` (width, height) of a picture `outer`, neither of them rotated.
    ///
    /// The part never stands out: offsets beyond the edge stop there.
    pub(super) fn place(self, inner: (f64, f64), outer: (f64, f64)) -> (f64, f64) {
        let (right, down) = self.anchor.direction();
        if self.anchor == Anchor::FocusPoint {
            let around = |point: Offset, inner: f64, outer: f64| {
                (point.thousandths() * outer - inner / 2.0).clamp(0.0, (outer - inner).max(0.0))
            };
            return (around(self.x, inner.0, outer.0), around(self.y, inner.1, outer.1));
        }
        let along = |side: Side, offset: Offset, inner: f64, outer: f64| {
            let (free, offset) = ((outer - inner).max(0.0), offset.pixels(outer));
            let at = match side {
                Side::Start => offset,
                Side::Middle => free / 2.0 + offset,
                Side::End => free - offset,
            };
            at.clamp(0.0, free)
        };
        (along(right, self.x, inner.0, outer.0), along(down, self.y, inner.1, outer.1))
    }
}

/// The edge, corner or point that a crop keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// The top edge.
    North,
    /// The bottom edge.
    South,
    /// The right edge.
    East,
    /// The left edge.
    West,
    /// The right top corner.
    NorthEast,
    /// The left top corner.
    NorthWest,
    /// The right bottom corner.
    SouthEast,
    /// The left bottom corner.
    SouthWest,
    /// The middle.
    #[default]
    Centre,
    /// The most interesting part. Taken as the middle: finding it would cost more than the transform.
    Smart,
    /// A point, given by the offsets as shares of width and height.
    FocusPoint,
}

#[derive(Clone, Copy)]
enum Side {
    Start,
    Middle,
    End,
}

impl Anchor {
    pub(super) const ALL: [Self; 11] = [
        Self::North,
        Self::South,
        Self::East,
        Self::West,
        Self::NorthEast,
        Self::NorthWest,
        Self::SouthEast,
        Self::SouthWest,
        Self::Centre,
        Self::Smart,
        Self::FocusPoint,
    ];

    /// The value of the parameter `gravity`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::North => "no",
            Self::South => "so",
            Self::East => "ea",
            Self::West => "we",
            Self::NorthEast => "noea",
            Self::NorthWest => "nowe",
            Self::SouthEast => "soea",
            Self::SouthWest => "sowe",
            Self::Centre => "ce",
            Self::Smart => "sm",
            Self::FocusPoint => "fp",
        }
    }

    /// The sides kept, across and down.
    const fn direction(self) -> (Side, Side) {
        let across = match self {
            Self::West | Self::NorthWest | Self::SouthWest => Side::Start,
            Self::East | Self::NorthEast | Self::SouthEast => Side::End,
            _ => Side::Middle,
        };
        let down = match self {
            Self::North | Self::NorthEast | Self::NorthWest => Side::Start,
            Self::South | Self::SouthEast | Self::SouthWest => Side::End,
            _ => Side::Middle,
        };
        (across, down)
    }
}

/// A distance in thousandths: pixels from 1 on, a share of the whole side below. Finer differences move nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(i32);

impl Offset {
    /// No distance.
    pub const ZERO: Self = Self(0);

    /// A decimal number with a size below 100,000.
    #[expect(clippy::cast_possible_truncation, reason = "the number was found small enough")]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = text.parse::<f64>().ok().filter(|number| number.abs() < 100_000.0)?;
        Some(Self((number * 1000.0).round() as i32))
    }

    /// Whether it is a share from 0 to 1.
    pub(super) const fn is_share(self) -> bool {
        0 <= self.0 && self.0 <= 1000
    }

    fn thousandths(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The distance in pixels along a side.
    fn pixels(self, side: f64) -> f64 {
        let number = self.thousandths();
        if number.abs() < 1.0 { number * side } else { number }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest text that reads back as the same number.
        self.thousandths().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(anchor: Anchor, x: &str, y: &str) -> (f64, f64) {
        let gravity = Gravity { anchor, x: Offset::parse(x).unwrap(), y: Offset::parse(y).unwrap() };
        gravity.place((100.0, 50.0), (200.0, 150.0))
    }

    #[test]
    fn the_kept_part_lies_at_its_anchor() {
        let cases = [
            (Anchor::Centre, (50.0, 50.0)),
            (Anchor::Smart, (50.0, 50.0)),
            (Anchor::North, (50.0, 0.0)),
            (Anchor::South, (50.0, 100.0)),
            (Anchor::East, (100.0, 50.0)),
            (Anchor::West, (0.0, 50.0)),
            (Anchor::NorthEast, (100.0, 0.0)),
            (Anchor::NorthWest, (0.0, 0.0)),
            (Anchor::SouthEast, (100.0, 100.0)),
            (Anchor::SouthWest, (0.0, 100.0)),
        ];
        for (anchor, at) in cases {
            assert_eq!(place(anchor, "0", "0"), at, "{anchor:?}");
        }
    }

    #[test]
    fn offsets_go_inwards_in_pixels_or_shares_and_stop_at_the_edge() {
        assert_eq!(place(Anchor::NorthWest, "10", "0.1"), (10.0, 15.0));
        assert_eq!(place(Anchor::SouthEast, "10", "0.1"), (90.0, 85.0));
        assert_eq!(place(Anchor::Centre, "-10", "20"), (40.0, 70.0));
        assert_eq!(place(Anchor::NorthWest, "-10", "500"), (0.0, 100.0));
    }

    #[test]
    fn a_focus_point_is_in_the_middle_of_what_is_kept() {
        assert_eq!(place(Anchor::FocusPoint, "0.5", "0.5"), (50.0, 50.0));
        assert_eq!(place(Anchor::FocusPoint, "0.6", "0.4"), (70.0, 35.0));
        assert_eq!(place(Anchor::FocusPoint, "0", "1"), (0.0, 100.0));
    }

    #[test]
    fn an_offset_is_a_small_number() {
        for text in ["", "a", "nan", "inf", "100000", "1e9", "--1"] {
            assert_eq!(Offset::parse(text), None, "{text}");
        }
        for (text, written) in
            [("0.5", "0.5"), ("-12", "-12"), ("0.12345", "0.123"), ("1e2", "100"), ("-0", "0")]
        {
            assert_eq!(Offset::parse(text).unwrap().to_string(), written, "{text}");
        }
    }
}
