//! What a copy reads: `x-amz-copy-source` and `x-amz-copy-source-range`.

use percent_encoding::percent_decode_str;

use super::error::S3Error;

const SOURCE: &str = "x-amz-copy-source";
const RANGE: &str = "x-amz-copy-source-range";

/// The object that is copied. Names are as sent, decoded once; their rules are the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

impl CopySource {
    /// Reads `[/]bucket/key[?versionId=null]`, encoded. A `+` is a plus.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        let (path, version) =
            text.split_once("?versionId=").map_or((text, None), |(path, id)| (path, Some(id)));
        if version.is_some_and(|id| id != "null") {
            return Err(S3Error::NotImplemented("Versioning".into()));
        }
        // Some clients encode the slash between bucket and key too.
        let path = percent_decode_str(path).decode_utf8().map_err(|_| S3Error::InvalidParameter(SOURCE))?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        match path.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() && !bucket.starts_with("arn:") => {
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            _ => Err(S3Error::InvalidParameter(SOURCE)),
        }
    }
}

/// The bytes of a source that become a part: first and last, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl CopyRange {
    /// Reads `bytes=first-last`. Here both ends must be told.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        let number = |text: &str| {
            Some(text)
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
        };
        text.strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .and_then(|(first, last)| Some(Self { first: number(first)?, last: number(last)? }))
            .filter(|range| range.first <= range.last)
            .ok_or(S3Error::InvalidParameter(RANGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_decoded_once() {
        let table = [
            ("photos/a/b.jpg", "a/b.jpg"),
            ("/photos/a/b.jpg", "a/b.jpg"),
            ("photos/a%20b+c", "a b+c"),
            ("photos%2Fa%252F", "a%2F"),
            ("/photos//a", "/a"),
            ("photos/a?versionId=null", "a"),
            ("photos/a%3FversionId=1", "a?versionId=1"),
        ];
        for (text, key) in table {
            assert_eq!(
                CopySource::parse(text),
                Ok(CopySource { bucket: "photos".into(), key: key.into() }),
                "{text}"
            );
        }
        for wrong in ["", "/", "photos", "photos/", "//a", "photos/%ff", "arn:aws:s3:::x/a"] {
            assert!(CopySource::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(CopySource::parse("photos/a?versionId=3").unwrap_err().code(), "NotImplemented");
    }

    #[test]
    fn a_range_has_both_ends() {
        assert_eq!(CopyRange::parse("bytes=0-9"), Ok(CopyRange { first: 0, last: 9 }));
        for wrong in ["", "0-9", "bytes=-9", "bytes=1-", "bytes=9-0", "bytes=+1-2", "bytes=0-9,11-12"] {
            assert!(CopyRange::parse(wrong).is_err(), "{wrong}");
        }
    }
}
