//! What headers say of an object that is written, where S3 has its own way of saying it.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::error::S3Error;

const PREFIX: &str = "x-amz-meta-";
/// The most that names and values together may have, in bytes; what S3 takes.
const MAX_METADATA: usize = 2 * 1024;

/// The user's metadata: `x-amz-meta-*`, names without the prefix, in lower case. Values are UTF-8.
pub fn user_metadata(headers: &HeaderMap) -> Result<BTreeMap<String, String>, S3Error> {
    let mut metadata = BTreeMap::<String, String>::new();
    let mut size = 0;
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX).filter(|name| !name.is_empty()) else { continue };
        let value =
            std::str::from_utf8(value.as_bytes()).map_err(|_| S3Error::InvalidParameter("x-amz-meta-*"))?;
        size += name.len() + value.len();
        // The same header again goes on where the first ended, as everywhere in HTTP.
        metadata
            .entry(name.to_owned())
            .and_modify(|known| {
                known.push(',');
                known.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    if size > MAX_METADATA {
        return Err(S3Error::invalid("Your metadata headers exceed the maximum allowed metadata size"));
    }
    Ok(metadata)
}

/// The `Content-Encoding` to store: `aws-chunked` is the framing of this request, not the object's.
pub fn stored_content_encoding(header: &str) -> Option<String> {
    let kept: Vec<&str> = header
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn metadata_loses_its_prefix() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-colour", HeaderValue::from_static("red"));
        headers.append("x-amz-meta-colour", HeaderValue::from_static("blue"));
        headers.insert("x-amz-meta-name", HeaderValue::from_bytes("Grüße".as_bytes()).unwrap());
        headers.insert("x-amz-acl", HeaderValue::from_static("private"));
        let metadata = user_metadata(&headers).unwrap();
        assert_eq!(metadata.len(), 2);
        assert_eq!((metadata["colour"].as_str(), metadata["name"].as_str()), ("red,blue", "Grüße"));
    }

    #[test]
    fn metadata_is_bounded_and_text() {
        let name = HeaderName::from_static("x-amz-meta-a");
        let long = HeaderMap::from_iter([(name.clone(), HeaderValue::from_str(&"a".repeat(2048)).unwrap())]);
        assert!(user_metadata(&long).is_err());
        let bytes = HeaderMap::from_iter([(name, HeaderValue::from_bytes(b"\xff").unwrap())]);
        assert!(user_metadata(&bytes).is_err());
    }

    #[test]
    fn the_framing_is_no_encoding_of_the_object() {
        assert_eq!(stored_content_encoding("aws-chunked"), None);
        assert_eq!(stored_content_encoding("aws-chunked, gzip").as_deref(), Some("gzip"));
        assert_eq!(stored_content_encoding("gzip,AWS-Chunked").as_deref(), Some("gzip"));
    }
}
