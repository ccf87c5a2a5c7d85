//! What a client says of the bytes that it uploads (contract section 5).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::object::{NO_CACHE, UNKNOWN_TYPE};

/// The most bytes of custom metadata.
pub(in crate::storage) const LARGEST_METADATA: usize = 1 << 20;
/// The longest value that goes into a header again.
const LONGEST_HEADER: usize = 255;

/// What is kept with the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct UploadOptions {
    /// The declared type.
    pub(in crate::storage) content_type: Option<String>,
    /// `Cache-Control` of downloads.
    pub(in crate::storage) cache_control: Option<String>,
    /// What the client keeps with it.
    pub(in crate::storage) user_metadata: Option<Map<String, Value>>,
    /// What robots are told.
    pub(in crate::storage) robots: Option<String>,
    /// How the bytes are encoded already.
    pub(in crate::storage) content_encoding: Option<String>,
}

/// A field that cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct InvalidOption(pub(in crate::storage) String);

impl UploadOptions {
    /// By the headers of a request whose body is the bytes.
    pub(in crate::storage) fn of_headers(headers: &HeaderMap) -> Result<Self, InvalidOption> {
        let mut options = Self::beside_a_form(headers)?;
        options.content_type = text(headers, CONTENT_TYPE.as_str())?.map(str::to_owned);
        options.cache_control = text(headers, CACHE_CONTROL.as_str())?.map(str::to_owned);
        Ok(options)
    }

    /// What the headers say where the bytes come in a form, whose fields say the rest.
    pub(in crate::storage) fn beside_a_form(headers: &HeaderMap) -> Result<Self, InvalidOption> {
        let user_metadata = match text_of(headers, "x-metadata", LARGEST_METADATA * 4 / 3 + 4)? {
            Some(encoded) => Some(decoded_metadata(encoded)?),
            None => None,
        };
        let robots = text(headers, "x-robots-tag")?.map(str::to_owned);
        Ok(Self { user_metadata, robots, ..Self::default() })
    }

    /// Takes a field of a form; others are passed over.
    pub(in crate::storage) fn take_field(&mut self, name: &str, value: &str) -> Result<(), InvalidOption> {
        match name {
            "cacheControl" => self.cache_control = Some(cache_control(value)?),
            "contentType" => self.content_type = Some(header_value(value, "contentType")?.to_owned()),
            "metadata" | "userMetadata" => self.user_metadata = Some(metadata(value.as_bytes())?),
            _ => {}
        }
        Ok(())
    }

    /// The declared type, or that of bytes of which nobody said anything.
    pub(in crate::storage) fn mime(&self) -> &str {
        self.content_type.as_deref().filter(|mime| !mime.is_empty()).unwrap_or(UNKNOWN_TYPE)
    }

    /// What caches are told.
    pub(in crate::storage) fn caching(&self) -> &str {
        self.cache_control.as_deref().filter(|text| !text.is_empty()).unwrap_or(NO_CACHE)
    }
}

/// `Cache-Control` for a field that says for how many seconds, or says it whole.
pub(in crate::storage) fn cache_control(value: &str) -> Result<String, InvalidOption> {
    let value = header_value(value.trim(), "cacheControl")?;
    let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    Ok(if is_number { format!("max-age={value}") } else { value.to_owned() })
}

/// Custom metadata as it stands in a header.
pub(in crate::storage) fn decoded_metadata(encoded: &str) -> Result<Map<String, Value>, InvalidOption> {
    let bytes = STANDARD
        .decode(encoded.trim())
        .or_else(|_| STANDARD_NO_PAD.decode(encoded.trim()))
        .map_err(|_| InvalidOption("x-metadata must be base64 of a JSON object".to_owned()))?;
    metadata(&bytes)
}

/// Custom metadata: a JSON object of limited size.
pub(in crate::storage) fn metadata(json: &[u8]) -> Result<Map<String, Value>, InvalidOption> {
    if json.len() > LARGEST_METADATA {
        return Err(InvalidOption(format!("metadata must be at most {LARGEST_METADATA} bytes")));
    }
    serde_json::from_slice(json).map_err(|_| InvalidOption("metadata must be a JSON object".to_owned()))
}

fn header_value<'a>(value: &'a str, name: &str) -> Result<&'a str, InvalidOption> {
    let is_fit = value.len() <= LONGEST_HEADER && http::HeaderValue::from_str(value).is_ok();
    if is_fit { Ok(value) } else { Err(InvalidOption(format!("{name} cannot stand in a header"))) }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, InvalidOption> {
    text_of(headers, name, LONGEST_HEADER)
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str, most: usize) -> Result<Option<&'a str>, InvalidOption> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= most => Ok(Some(text)),
        _ => Err(InvalidOption(format!("the header {name} is too long or not plain text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_the_bytes_are() {
        let headers: HeaderMap = [
            ("content-type", "text/plain;charset=UTF-8"),
            ("cache-control", "max-age=3600"),
            ("x-metadata", "eyJhIjoxfQ=="),
            ("x-robots-tag", "noindex"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
        let options = UploadOptions::of_headers(&headers).unwrap();
        assert_eq!(options.mime(), "text/plain;charset=UTF-8");
        assert_eq!(options.caching(), "max-age=3600");
        assert_eq!(options.robots.as_deref(), Some("noindex"));
        assert_eq!(options.user_metadata.unwrap()["a"], 1);
        assert_eq!(UploadOptions::default().mime(), UNKNOWN_TYPE);
        assert_eq!(UploadOptions::default().caching(), NO_CACHE);
    }

    #[test]
    fn fields_say_the_same_in_a_form() {
        let mut options = UploadOptions::default();
        for (name, value) in
            [("cacheControl", "60"), ("contentType", "a/b"), ("metadata", "{\"b\":2}"), ("other", "x")]
        {
            options.take_field(name, value).unwrap();
        }
        assert_eq!((options.mime(), options.caching()), ("a/b", "max-age=60"));
        assert_eq!(cache_control("private, max-age=1").unwrap(), "private, max-age=1");
        assert_eq!(cache_control("").unwrap(), "");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let mut options = UploadOptions::default();
        for (name, value) in
            [("metadata", "[1]"), ("metadata", "x"), ("contentType", "a\r\nb: c"), ("cacheControl", "a\nb")]
        {
            assert!(options.take_field(name, value).is_err(), "{name} {value:?}");
        }
        assert!(metadata(format!("{{\"a\":\"{}\"}}", "x".repeat(LARGEST_METADATA)).as_bytes()).is_err());
        assert!(decoded_metadata("?").is_err());
    }
}
