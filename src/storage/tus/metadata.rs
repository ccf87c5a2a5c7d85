//! `Upload-Metadata` (TUS 1.0, Creation): names with base64 values, as the contract's section 9 fills them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::storage::error::StorageError;
use crate::storage::model::options::UploadOptions;

/// The longest header that is taken: the largest of the server, which custom metadata must fit into.
const LONGEST: usize = 1 << 20;

/// What a client says of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UploadMetadata {
    /// The header as it was, which clients may ask for again.
    pub(super) said: String,
    /// The bucket's id.
    pub(super) bucket: String,
    /// The object's key, not yet read.
    pub(super) key: String,
    /// What is kept with the bytes.
    pub(super) options: UploadOptions,
}

impl UploadMetadata {
    /// Reads the header.
    pub(super) fn parse(header: Option<&str>) -> Result<Self, StorageError> {
        let said = header.filter(|header| !header.trim().is_empty());
        let said = said.ok_or_else(|| invalid("Upload-Metadata header is required"))?;
        if said.len() > LONGEST {
            return Err(invalid("Upload-Metadata is too long"));
        }
        let (mut bucket, mut key) = (None, None);
        let mut options = UploadOptions::default();
        for pair in said.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = decoded(value.trim())
                .ok_or_else(|| invalid("Upload-Metadata must have names with values in base64"))?;
            match name {
                "bucketName" => set(&mut bucket, name, value)?,
                "objectName" => set(&mut key, name, value)?,
                "contentType" if value.is_empty() => {}
                // Anything but seconds says nothing, as for other servers of this protocol.
                "cacheControl" if value.parse::<u64>().is_err() => {}
                "contentType" | "cacheControl" | "metadata" => options.take_field(name, &value)?,
                _ => {}
            }
        }
        let required = |value: Option<String>, name: &str| {
            let value = value.filter(|value| !value.is_empty());
            value.ok_or_else(|| invalid(&format!("Upload-Metadata must have {name}")))
        };
        Ok(Self {
            said: said.to_owned(),
            bucket: required(bucket, "bucketName")?,
            key: required(key, "objectName")?,
            options,
        })
    }
}

/// A place that is named twice is none.
fn set(slot: &mut Option<String>, name: &str, value: String) -> Result<(), StorageError> {
    if slot.replace(value).is_some() {
        return Err(invalid(&format!("Upload-Metadata has {name} twice")));
    }
    Ok(())
}

fn decoded(value: &str) -> Option<String> {
    let bytes = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).ok()?;
    String::from_utf8(bytes).ok()
}

fn invalid(reason: &str) -> StorageError {
    StorageError::InvalidRequest(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect();
        pairs.join(",")
    }

    #[test]
    fn the_names_of_the_contract_are_read() {
        let text = header(&[
            ("bucketName", "b"),
            ("objectName", "f/a.txt"),
            ("contentType", "image/png"),
            ("cacheControl", "60"),
            ("metadata", "{\"a\":1}"),
            ("filename", "ä"),
        ]);
        let read = UploadMetadata::parse(Some(&text)).unwrap();
        assert_eq!((read.bucket.as_str(), read.key.as_str(), read.said), ("b", "f/a.txt", text));
        assert_eq!((read.options.mime(), read.options.caching()), ("image/png", "max-age=60"));
        assert_eq!(read.options.user_metadata.unwrap()["a"], 1);
        let bare = UploadMetadata::parse(Some("bucketName Yg==, objectName YQ,is_secret")).unwrap();
        assert_eq!((bare.bucket.as_str(), bare.key.as_str()), ("b", "a"));
        assert_eq!(bare.options.caching(), "no-cache");
        let text = header(&[("bucketName", "b"), ("objectName", "a"), ("cacheControl", "public")]);
        assert_eq!(UploadMetadata::parse(Some(&text)).unwrap().options.caching(), "no-cache");
    }

    #[test]
    fn what_does_not_say_where_is_refused() {
        for text in [
            None,
            Some(String::new()),
            Some("bucketName Yg==".into()),
            Some("objectName Yg==".into()),
            Some("bucketName ?,objectName Yg==".into()),
            Some(header(&[("bucketName", "b"), ("objectName", "a"), ("objectName", "c")])),
            Some(header(&[("bucketName", "b"), ("objectName", "a"), ("metadata", "[")])),
            Some(header(&[("bucketName", "b"), ("objectName", "a"), ("contentType", "a\r\nb: c")])),
        ] {
            assert!(UploadMetadata::parse(text.as_deref()).is_err(), "{text:?}");
        }
    }
}
