//! Which format a transformed picture is answered in.

use super::options::RequestedFormat;

/// A raster format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Baseline or progressive JPEG.
    Jpeg,
    /// PNG; of an animated one the default picture.
    Png,
    /// GIF; of an animated one the first frame.
    Gif,
    /// WebP; of an animated one the first frame.
    Webp,
    /// Windows bitmap.
    Bmp,
    /// AVIF: an output only, where built with the feature `avif`.
    Avif,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp, Self::Bmp, Self::Avif];

    /// The media type, for `Content-Type`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Avif => "image/avif",
        }
    }

    /// Whether a source of this format can be transformed. The others are served as they are.
    pub const fn is_source(self) -> bool {
        !matches!(self, Self::Avif)
    }

    /// Whether this build can write the format.
    pub const fn is_output(self) -> bool {
        !matches!(self, Self::Avif) || cfg!(feature = "avif")
    }
}

/// What the request decides about the output format, before the source is known.
///
/// Together with the source it determines the format, so it can stand in a cache's key in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The source's format, whichever it is.
    Origin,
    /// The source's format where every client can show it, else JPEG, or PNG for pictures with transparency.
    Portable,
    /// This format.
    Exactly(Format),
}

impl Target {
    /// The target for the parameter `format` and the header `Accept` (several joined by commas, empty where missing).
    ///
    /// AVIF and WebP are taken only where the client names them: `*/*` is sent by clients that cannot show them. A
    /// named format that this build cannot write is passed over, so that links made for another build keep working.
    pub fn negotiate(requested: Option<RequestedFormat>, accept: &str) -> Self {
        let named = match requested {
            Some(RequestedFormat::Origin) => return Self::Origin,
            Some(RequestedFormat::Avif) => Some(Format::Avif),
            Some(RequestedFormat::Webp) => Some(Format::Webp),
            Some(RequestedFormat::Jpeg) => Some(Format::Jpeg),
            Some(RequestedFormat::Png) => Some(Format::Png),
            None => None,
        };
        named
            .into_iter()
            .chain(
                [Format::Avif, Format::Webp]
                    .into_iter()
                    .filter(|format| accepts(accept, format.media_type())),
            )
            .find(|format| format.is_output())
            .map_or(Self::Portable, Self::Exactly)
    }

    /// The output format for a source.
    pub fn resolve(self, source: Format, has_alpha: bool) -> Format {
        match (self, source) {
            (Self::Exactly(format), _) => format,
            (Self::Portable, Format::Webp | Format::Bmp | Format::Avif) if has_alpha => Format::Png,
            (Self::Portable, Format::Webp | Format::Bmp | Format::Avif) => Format::Jpeg,
            (Self::Origin | Self::Portable, _) => source,
        }
    }

    /// A name for cache keys.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Portable => "portable",
            Self::Exactly(format) => format.media_type(),
        }
    }
}

/// Whether an `Accept` header names the media type with a weight above zero (RFC 9110 section 12.5.1).
fn accepts(accept: &str, media_type: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        named && !parts.any(is_zero_weight)
    })
}

fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";

    #[test]
    fn webp_is_answered_where_the_client_names_it() {
        let cases = [
            ("", Target::Portable),
            ("*/*", Target::Portable),
            ("image/*", Target::Portable),
            ("image/webp", Target::Exactly(Format::Webp)),
            ("IMAGE/WEBP ; q=0.5", Target::Exactly(Format::Webp)),
            ("image/webp;q=0", Target::Portable),
            ("image/webp;q=0.000, image/png", Target::Portable),
            ("image/webpx", Target::Portable),
            (BROWSER, Target::Exactly(Format::Webp)),
        ];
        for (accept, target) in cases {
            assert_eq!(Target::negotiate(None, accept), target, "{accept}");
        }
    }

    #[test]
    fn the_parameter_goes_before_the_header() {
        assert_eq!(Target::negotiate(Some(RequestedFormat::Origin), BROWSER), Target::Origin);
        assert_eq!(Target::negotiate(Some(RequestedFormat::Png), BROWSER), Target::Exactly(Format::Png));
        assert_eq!(Target::negotiate(Some(RequestedFormat::Jpeg), ""), Target::Exactly(Format::Jpeg));
        assert_eq!(Target::negotiate(Some(RequestedFormat::Webp), ""), Target::Exactly(Format::Webp));
    }

    #[test]
    fn avif_is_passed_over_where_it_is_not_built_in() {
        let (asked, accepted) = if cfg!(feature = "avif") {
            (Target::Exactly(Format::Avif), Target::Exactly(Format::Avif))
        } else {
            (Target::Portable, Target::Exactly(Format::Webp))
        };
        assert_eq!(Target::negotiate(Some(RequestedFormat::Avif), ""), asked);
        assert_eq!(Target::negotiate(None, "image/avif,image/webp"), accepted);
    }

    #[test]
    fn without_a_wish_the_source_keeps_a_format_that_every_client_shows() {
        let cases = [
            (Target::Portable, Format::Jpeg, false, Format::Jpeg),
            (Target::Portable, Format::Png, true, Format::Png),
            (Target::Portable, Format::Gif, true, Format::Gif),
            (Target::Portable, Format::Webp, false, Format::Jpeg),
            (Target::Portable, Format::Webp, true, Format::Png),
            (Target::Portable, Format::Bmp, false, Format::Jpeg),
            (Target::Origin, Format::Webp, false, Format::Webp),
            (Target::Origin, Format::Bmp, false, Format::Bmp),
            (Target::Exactly(Format::Webp), Format::Jpeg, false, Format::Webp),
        ];
        for (target, source, has_alpha, output) in cases {
            assert_eq!(target.resolve(source, has_alpha), output, "{target:?} of {source:?}");
        }
    }
}
