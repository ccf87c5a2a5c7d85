//! The headers of TUS 1.0: what requests say with them. No I/O.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Method};

use super::checksum::Checksum;
use crate::storage::error::StorageError;

/// The version that is spoken.
pub(super) const VERSION: &str = "1.0.0";
/// What goes beyond the core of the protocol.
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum";
/// The type of bodies that are bytes of an upload.
const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// How long an upload is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// So many bytes.
    Known(u64),
    /// It is said later.
    Deferred,
}

/// Whether the version of the request is the one that is spoken.
pub(super) fn is_our_version(headers: &HeaderMap) -> bool {
    headers.get("tus-resumable").is_some_and(|value| value == VERSION)
}

/// The method that is meant, for clients that can send no other than POST.
pub(super) fn meant_method(headers: &HeaderMap) -> Method {
    let named = headers.get("x-http-method-override").and_then(|value| value.to_str().ok());
    named.and_then(|name| name.trim().to_ascii_uppercase().parse().ok()).unwrap_or(Method::POST)
}

/// `Upload-Length` or `Upload-Defer-Length` of a new upload.
pub(super) fn length(headers: &HeaderMap) -> Result<Length, StorageError> {
    match (number(headers, "upload-length")?, headers.get("upload-defer-length")) {
        (Some(length), None) => Ok(Length::Known(length)),
        (None, Some(value)) if value == "1" => Ok(Length::Deferred),
        _ => Err(invalid("either Upload-Length or Upload-Defer-Length: 1 is required")),
    }
}

/// `Upload-Length` of an upload whose length was not said.
pub(super) fn later_length(headers: &HeaderMap) -> Result<Option<u64>, StorageError> {
    number(headers, "upload-length")
}

/// `Upload-Offset`.
pub(super) fn offset(headers: &HeaderMap) -> Result<u64, StorageError> {
    number(headers, "upload-offset")?.ok_or_else(|| invalid("Upload-Offset is required"))
}

/// `Content-Length`.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok())
}

/// Whether the body is bytes of an upload.
pub(super) fn has_bytes(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|bare| bare.trim().eq_ignore_ascii_case(OFFSET_STREAM))
}

/// Whether there is a body at all.
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || content_length(headers).is_some_and(|length| length > 0)
}

/// `Upload-Checksum`.
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, StorageError> {
    let Some(value) = headers.get("upload-checksum") else { return Ok(None) };
    Checksum::parse(value.to_str().unwrap_or_default()).map(Some)
}

/// `Upload-Metadata`.
pub(super) fn metadata(headers: &HeaderMap) -> Option<&str> {
    headers.get("upload-metadata").and_then(|value| value.to_str().ok())
}

/// A number that the database has room for.
fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, StorageError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<i64>().ok().filter(|_| is_number).and_then(|number| u64::try_from(number).ok());
    number.map(Some).ok_or_else(|| invalid(&format!("{name} must be a number of bytes")))
}

fn invalid(reason: &str) -> StorageError {
    StorageError::InvalidRequest(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_length_is_said_now_or_later_but_not_both() {
        assert_eq!(length(&headers(&[("upload-length", "12")])), Ok(Length::Known(12)));
        assert_eq!(length(&headers(&[("upload-length", "0")])), Ok(Length::Known(0)));
        assert_eq!(length(&headers(&[("upload-defer-length", "1")])), Ok(Length::Deferred));
        for pairs in [
            &[][..],
            &[("upload-length", "1"), ("upload-defer-length", "1")],
            &[("upload-defer-length", "0")],
            &[("upload-length", "-1")],
            &[("upload-length", "+1")],
            &[("upload-length", "1.5")],
            &[("upload-length", "")],
            &[("upload-length", "9223372036854775808")],
        ] {
            assert!(length(&headers(pairs)).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn bytes_have_their_own_type() {
        assert!(has_bytes(&headers(&[("content-type", "application/offset+octet-stream")])));
        assert!(has_bytes(&headers(&[("content-type", "Application/offset+octet-stream; a=b")])));
        assert!(!has_bytes(&headers(&[("content-type", "application/octet-stream")])));
        assert!(!has_bytes(&headers(&[])));
    }

    #[test]
    fn the_method_may_be_named_in_a_header() {
        assert_eq!(meant_method(&headers(&[("x-http-method-override", "patch")])), Method::PATCH);
        assert_eq!(meant_method(&headers(&[])), Method::POST);
        assert!(is_our_version(&headers(&[("tus-resumable", "1.0.0")])));
        assert!(!is_our_version(&headers(&[("tus-resumable", "0.2.2")])) && !is_our_version(&headers(&[])));
    }
}
