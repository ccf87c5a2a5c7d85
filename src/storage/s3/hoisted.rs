//! Headers in the query: presigning clients move `x-amz-*` headers into the URL, where the signature covers them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::S3Error;
use super::query::Query;

/// Parameters that are the signature's own.
const SIGNING: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-content-sha256",
];
/// Whoever presigns cannot know the body; clients put in the checksum of an empty one.
const UNKNOWN: [&str; 2] = ["x-amz-checksum-", "x-amz-sdk-checksum-"];

/// The headers of a request, with those that stand in the query of a presigned URL. From here on they are all the same.
pub fn effective_headers<'a>(query: &Query, headers: &'a HeaderMap) -> Result<Cow<'a, HeaderMap>, S3Error> {
    let mut effective = Cow::Borrowed(headers);
    if !query.has("X-Amz-Signature") {
        return Ok(effective);
    }
    for (name, value) in query.iter() {
        let name = name.to_ascii_lowercase();
        let known = SIGNING.contains(&name.as_str()) || UNKNOWN.iter().any(|prefix| name.starts_with(prefix));
        if known || !name.starts_with("x-amz-") {
            continue;
        }
        let wrong = || S3Error::invalid("A parameter of the query cannot be a header");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        // A header may be any UTF-8, but no line end.
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
        if headers.get(&name).is_some_and(|sent| *sent != value) {
            return Err(S3Error::invalid("A header says otherwise than the query"));
        }
        effective.to_mut().insert(name, value);
    }
    Ok(effective)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_in_the_query_of_a_presigned_url_count() {
        let query = Query::parse(Some(
            "X-Amz-Signature=s&X-Amz-Date=d&x-amz-copy-source=a%2Fb&X-Amz-Meta-Colour=red&x-amz-checksum-crc32=AAAAAA%3D%3D&range=x",
        ));
        let headers = HeaderMap::new();
        let effective = effective_headers(&query.unwrap(), &headers).unwrap();
        assert_eq!(effective.len(), 2);
        assert_eq!(
            (&effective["x-amz-copy-source"], &effective["x-amz-meta-colour"]),
            (&"a/b".parse().unwrap(), &"red".parse().unwrap())
        );
    }

    #[test]
    fn without_a_presigned_url_they_are_parameters() {
        let query = Query::parse(Some("x-amz-copy-source=a%2Fb")).unwrap();
        assert!(effective_headers(&query, &HeaderMap::new()).unwrap().is_empty());
    }

    #[test]
    fn a_header_that_says_otherwise_is_refused() {
        let query = Query::parse(Some("X-Amz-Signature=s&x-amz-acl=private")).unwrap();
        let headers = |acl| {
            HeaderMap::from_iter([(HeaderName::from_static("x-amz-acl"), HeaderValue::from_static(acl))])
        };
        assert!(effective_headers(&query, &headers("private")).is_ok());
        assert!(effective_headers(&query, &headers("public-read")).is_err());
        let split = Query::parse(Some("X-Amz-Signature=s&x-amz-acl=a%0d%0ab")).unwrap();
        assert!(effective_headers(&split, &HeaderMap::new()).is_err());
    }
}
