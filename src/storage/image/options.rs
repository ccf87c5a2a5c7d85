//! What a caller asks of a transform: parsed once, from a query, from JSON, or from the claim of a signed URL.
//!
//! The contract is section 8 of the storage contract. Sizes above the limit are taken as the limit, as clients are used
//! to; everything else that is out of range is refused by the parameter's name. Unknown parameters are ignored.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::gravity::{Anchor, Gravity, Offset};
use super::limits::TransformLimits;
use super::negotiate::Target;

/// Quality of lossy output where none is asked for.
const DEFAULT_QUALITY: u8 = 80;

/// A transform, within its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TransformOptions {
    /// Width of the result in pixels; `None` follows from the height.
    pub width: Option<u32>,
    /// Height of the result in pixels; `None` follows from the width.
    pub height: Option<u32>,
    /// How the picture is brought to the size. Without effect where no size is given.
    pub resize: Resize,
    /// Quality of lossy output, 20 to 100, where the caller named one.
    pub quality: Option<u8>,
    /// Output format, where the caller named one.
    pub format: Option<RequestedFormat>,
    /// Which part is kept when [`Resize::Cover`] crops, where the caller named one.
    pub gravity: Option<Gravity>,
}

/// How a picture is brought to a size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resize {
    /// Fills the size and crops what stands out.
    #[default]
    Cover,
    /// Fits into the size, keeping the aspect ratio.
    Contain,
    /// Takes the size as it is and distorts.
    Fill,
}

impl Resize {
    const ALL: [Self; 3] = [Self::Cover, Self::Contain, Self::Fill];

    const fn name(self) -> &'static str {
        match self {
            Self::Cover => "cover",
            Self::Contain => "contain",
            Self::Fill => "fill",
        }
    }

    /// The name in the header `X-Transformations`.
    const fn resizing_type(self) -> &'static str {
        match self {
            Self::Cover => "fill",
            Self::Contain => "fit",
            Self::Fill => "force",
        }
    }
}

/// A value of the parameter `format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestedFormat {
    /// The source's own format, whatever the client accepts.
    Origin,
    /// AVIF, where this build can write it.
    Avif,
    /// WebP.
    Webp,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

impl RequestedFormat {
    const ALL: [Self; 5] = [Self::Origin, Self::Avif, Self::Webp, Self::Jpeg, Self::Png];

    /// The value as written, for the token's claim `format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Avif => "avif",
            Self::Webp => "webp",
            Self::Jpeg => "jpeg",
            Self::Png => "png",
        }
    }
}

/// A parameter that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} must be {expected}")]
pub struct OptionError {
    /// The parameter's name, as the client writes it.
    pub parameter: &'static str,
    /// What it must be, in words that follow "must be".
    pub expected: &'static str,
}

impl TransformOptions {
    /// Reads the decoded pairs of a query. Of a repeated parameter the last one counts, an empty one is none.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        limits: &TransformLimits,
    ) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut gravity = GravityPairs::default();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name {
                "width" => options.width = side("width", value, limits)?,
                "height" => options.height = side("height", value, limits)?,
                "resize" => options.resize = one_of(&Resize::ALL, Resize::name, value).ok_or(RESIZE)?,
                "quality" => options.quality = Some(quality(value)?),
                "format" => {
                    let format = one_of(&RequestedFormat::ALL, RequestedFormat::name, value).ok_or(FORMAT)?;
                    options.format = Some(format);
                }
                "gravity" => gravity.anchor = Some(one_of(&Anchor::ALL, Anchor::name, value).ok_or(GRAVITY)?),
                "x_offset" => gravity.x = Some(Offset::parse(value).ok_or(X_OFFSET)?),
                "y_offset" => gravity.y = Some(Offset::parse(value).ok_or(Y_OFFSET)?),
                _ => {}
            }
        }
        options.gravity = gravity.finish()?;
        Ok(options)
    }

    /// Reads the object `transform` of a signing request: the same names, as numbers or text.
    pub fn from_json(transform: &Map<String, Value>, limits: &TransformLimits) -> Result<Self, OptionError> {
        let texts: Vec<(&str, String)> = transform
            .iter()
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some((name.as_str(), text.clone())),
                Value::Null => None,
                other => Some((name.as_str(), other.to_string())),
            })
            .collect();
        Self::from_pairs(texts.iter().map(|(name, text)| (*name, text.as_str())), limits)
    }

    /// Reads [`Self::claim`] back. `format` is the token's claim of that name.
    ///
    /// Limits are applied again: they may have become narrower since the URL was signed.
    pub fn from_claim(
        claim: &str,
        format: Option<&str>,
        limits: &TransformLimits,
    ) -> Result<Self, OptionError> {
        let pairs = claim.split(',').filter_map(|pair| pair.split_once(':'));
        Self::from_pairs(pairs.chain(format.map(|format| ("format", format))), limits)
    }

    /// The text of the claim `transformations`. The format `origin` is not part of it: it stands in the claim `format`
    /// ([`RequestedFormat::name`]).
    pub fn claim(&self) -> String {
        let mut text = Listing::default();
        self.list_common(&mut text, "resize", self.resize.name());
        if let Some(gravity) = self.gravity {
            text.add("gravity", gravity.anchor.name());
            if gravity.has_offset() {
                text.add("x_offset", gravity.x);
                text.add("y_offset", gravity.y);
            }
        }
        text.0
    }

    /// The value of the response header `X-Transformations`; empty where nothing was asked for.
    pub fn header(&self) -> String {
        let mut text = Listing::default();
        self.list_common(&mut text, "resizing_type", self.resize.resizing_type());
        if let Some(Gravity { anchor, x, y }) = self.gravity {
            let anchor = anchor.name();
            if x == Offset::ZERO && y == Offset::ZERO {
                text.add("gravity", anchor);
            } else {
                text.add("gravity", format_args!("{anchor}:{x}:{y}"));
            }
        }
        text.0
    }

    /// The part that claim and header share, in the contract's order.
    fn list_common(&self, text: &mut Listing, resize_name: &str, resize: &str) {
        if let Some(height) = self.height {
            text.add("height", height);
        }
        if let Some(width) = self.width {
            text.add("width", width);
        }
        if self.has_size() {
            text.add(resize_name, resize);
        }
        if let Some(quality) = self.quality {
            text.add("quality", quality);
        }
        if let Some(format) = self.format.filter(|format| *format != RequestedFormat::Origin) {
            text.add("format", format.name());
        }
    }

    /// A name for the result in a cache: 32 hex digits, equal only for equal results.
    ///
    /// `version` names the bytes of the object, so that an overwritten object finds nothing old. Options without effect
    /// do not make another key. The number of keys is not bounded: the cache must be, by bytes.
    pub fn cache_key(&self, target: Target, version: &str) -> String {
        let effective = Self {
            quality: Some(self.quality()),
            format: None,
            gravity: self.crop_gravity(),
            ..self.clone()
        };
        let mut digest = Sha256::new();
        for part in [effective.claim().as_str(), target.name(), version] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex::encode(&digest.finalize()[..16])
    }

    /// The quality of lossy output, 20 to 100.
    pub fn quality(&self) -> u8 {
        self.quality.unwrap_or(DEFAULT_QUALITY)
    }

    /// The gravity, where something can be cropped at all.
    pub(super) fn crop_gravity(&self) -> Option<Gravity> {
        let crops = self.resize == Resize::Cover && self.width.is_some() && self.height.is_some();
        crops.then(|| self.gravity.unwrap_or_default())
    }

    fn has_size(&self) -> bool {
        self.width.is_some() || self.height.is_some()
    }
}

/// A list `name:value,name:value`.
#[derive(Default)]
struct Listing(String);

impl Listing {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let comma = if self.0.is_empty() { "" } else { "," };
        let _ = write!(self.0, "{comma}{name}:{value}");
    }
}

/// The three parameters of a gravity, which may come in any order.
#[derive(Default)]
struct GravityPairs {
    anchor: Option<Anchor>,
    x: Option<Offset>,
    y: Option<Offset>,
}

impl GravityPairs {
    fn finish(self) -> Result<Option<Gravity>, OptionError> {
        if self.anchor == Some(Anchor::FocusPoint) {
            let share = |offset: Option<Offset>| offset.filter(|offset| offset.is_share());
            share(self.x).ok_or(OptionError { expected: FOCUS, ..X_OFFSET })?;
            share(self.y).ok_or(OptionError { expected: FOCUS, ..Y_OFFSET })?;
        }
        if self.anchor.is_none() && self.x.is_none() && self.y.is_none() {
            return Ok(None);
        }
        let zero = Offset::ZERO;
        Ok(Some(Gravity {
            anchor: self.anchor.unwrap_or_default(),
            x: self.x.unwrap_or(zero),
            y: self.y.unwrap_or(zero),
        }))
    }
}

const RESIZE: OptionError = OptionError { parameter: "resize", expected: "cover, contain or fill" };
const QUALITY: OptionError = OptionError { parameter: "quality", expected: "a whole number from 20 to 100" };
const FORMAT: OptionError = OptionError { parameter: "format", expected: "origin, avif, webp, jpeg or png" };
const GRAVITY: OptionError =
    OptionError { parameter: "gravity", expected: "no, so, ea, we, noea, nowe, soea, sowe, ce, sm or fp" };
const X_OFFSET: OptionError = OptionError { parameter: "x_offset", expected: "a number" };
const Y_OFFSET: OptionError = OptionError { parameter: "y_offset", expected: "a number" };
const FOCUS: &str = "a number from 0 to 1 with the gravity fp";

/// A width or height: 0 is the same as none, as clients send it.
fn side(parameter: &'static str, value: &str, limits: &TransformLimits) -> Result<Option<u32>, OptionError> {
    let expected = "a whole number, 0 or more";
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(OptionError { parameter, expected });
    }
    // Only digits: what does not parse is larger than any limit.
    let side = value.parse().unwrap_or(u32::MAX).min(limits.max_side);
    Ok((side > 0).then_some(side))
}

fn quality(value: &str) -> Result<u8, OptionError> {
    value.parse().ok().filter(|quality| (20..=100).contains(quality)).ok_or(QUALITY)
}

fn one_of<T: Copy>(all: &[T], name: fn(T) -> &'static str, value: &str) -> Option<T> {
    all.iter().copied().find(|candidate| name(*candidate) == value)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
