//! What the first bytes say of a type, against what was declared (threat H10).

use super::bucket::Bucket;

/// How many of the first bytes are looked at.
pub(in crate::storage) const ENOUGH: usize = 8192;

/// The type that the first bytes carry the signature of; none where they carry none that is known.
pub(in crate::storage) fn sniffed(first: &[u8]) -> Option<&'static str> {
    infer::get(first).map(|kind| kind.mime_type()).or_else(|| looks_like_markup(first))
}

/// A declared type that a bucket allows may hide bytes of one that it does not: then that type.
pub(in crate::storage) fn forbidden_content(bucket: &Bucket, first: &[u8]) -> Option<&'static str> {
    let found = sniffed(first)?;
    let names = std::iter::once(found).chain(synonyms(found).iter().copied());
    (!names.into_iter().any(|name| bucket.allows_type(name))).then_some(found)
}

/// Other names of a type, which a bucket may have been given.
fn synonyms(mime: &str) -> &'static [&'static str] {
    match mime {
        // Formats that are archives or containers underneath.
        "application/zip" => &[
            "application/x-zip-compressed",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "application/vnd.oasis.opendocument.text",
            "application/epub+zip",
            "application/java-archive",
            "application/vnd.android.package-archive",
        ],
        "application/gzip" => &["application/x-gzip", "application/x-tar"],
        "audio/mpeg" => &["audio/mp3"],
        "audio/m4a" => &["audio/mp4", "audio/x-m4a", "video/mp4"],
        "audio/x-wav" => &["audio/wav", "audio/wave", "audio/vnd.wave"],
        "audio/x-flac" => &["audio/flac"],
        "audio/ogg" => &["video/ogg", "application/ogg", "audio/opus"],
        "video/mp4" => &["audio/mp4", "video/x-m4v", "video/quicktime"],
        "video/quicktime" => &["video/mp4"],
        "video/x-matroska" => &["video/webm", "audio/webm", "audio/x-matroska"],
        "video/webm" => &["audio/webm", "video/x-matroska"],
        "image/jpeg" => &["image/jpg", "image/pjpeg"],
        "image/vnd.microsoft.icon" => &["image/x-icon"],
        "image/heif" => &["image/heic", "image/avif"],
        "text/xml" => &["application/xml", "image/svg+xml", "application/rss+xml", "application/atom+xml"],
        "text/html" => &["application/xhtml+xml"],
        _ => &[],
    }
}

/// Markup has no signature at a fixed place: space, a byte order mark and comments may come first.
fn looks_like_markup(first: &[u8]) -> Option<&'static str> {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let starts = |tag: &[u8]| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    if starts(b"<!doctype html") || starts(b"<html") || starts(b"<script") {
        Some("text/html")
    } else if starts(b"<svg") {
        Some("image/svg+xml")
    } else if starts(b"<?xml") {
        Some("text/xml")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::model::bucket::tests::bucket;

    #[test]
    fn h10_bytes_with_a_signature_are_what_they_are() {
        let png = b"\x89PNG\r\n\x1a\n........";
        assert_eq!(forbidden_content(&bucket(&["image/*"]), png), None);
        assert_eq!(forbidden_content(&bucket(&["text/plain"]), png), Some("image/png"));
        assert_eq!(forbidden_content(&bucket(&["image/jpg"]), b"\xff\xd8\xff\xe0"), None, "by another name");
        assert_eq!(forbidden_content(&bucket(&["image/png"]), b" <!DOCTYPE HTML><p>"), Some("text/html"));
        assert_eq!(forbidden_content(&bucket(&["image/png"]), b"<svg onload=x>"), Some("image/svg+xml"));
        assert_eq!(forbidden_content(&bucket(&["image/svg+xml"]), b"<?xml version='1.0'?><svg>"), None);
    }

    #[test]
    fn bytes_without_one_are_what_they_are_declared_as() {
        assert_eq!(forbidden_content(&bucket(&["image/png"]), b"hello"), None);
        assert_eq!(
            forbidden_content(&bucket(&[]), b"<html>"),
            None,
            "a bucket without rules takes everything"
        );
    }
}
