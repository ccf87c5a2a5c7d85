//! Requests and what they ask for.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

fn parse(method: &str, target: &str, headers: &[(&'static str, &str)]) -> Result<Operation, S3Error> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    Operation::parse(&method.parse().unwrap(), path, &Query::parse(query)?, &headers)
}

/// The name of the operation or the code of the error.
fn name(result: Result<Operation, S3Error>) -> String {
    match result {
        Ok(operation) => format!("{operation:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

/// Method, target, headers, and the name of the operation or the code of the error.
type Row<'a> = (&'a str, &'a str, &'a [(&'static str, &'a str)], &'a str);

#[test]
fn routes() {
    let copy = ("x-amz-copy-source", "other/c");
    let form = ("content-type", "multipart/form-data; boundary=x");
    let table: &[Row<'_>] = &[
        ("GET", "/", &[], "ListBuckets"),
        ("GET", "?x-id=ListBuckets", &[], "ListBuckets"),
        ("PUT", "/", &[], "MethodNotAllowed"),
        ("PUT", "/b", &[], "CreateBucket"),
        ("PUT", "/b/", &[], "CreateBucket"),
        ("HEAD", "/b", &[], "HeadBucket"),
        ("DELETE", "/b", &[], "DeleteBucket"),
        ("GET", "/b?location", &[], "GetBucketLocation"),
        ("GET", "/b?versioning=", &[], "GetBucketVersioning"),
        ("GET", "/b", &[], "ListObjects"),
        ("GET", "/b?delimiter=%2F&prefix=", &[], "ListObjects"),
        ("GET", "/b?list-type=2&continuation-token=x", &[], "ListObjectsV2"),
        ("GET", "/b?list-type=3", &[], "InvalidParameter"),
        ("GET", "/b?uploads", &[], "ListMultipartUploads"),
        ("POST", "/b", &[form], "PostObject"),
        ("POST", "/b?delete", &[], "DeleteObjects"),
        ("POST", "/b", &[], "MethodNotAllowed"),
        ("PATCH", "/b", &[], "MethodNotAllowed"),
        ("GET", "/b/k", &[], "GetObject"),
        ("GET", "/b/k?response-content-type=", &[], "GetObject"),
        ("GET", "/b/k?partNumber=2", &[], "InvalidParameter"),
        ("HEAD", "/b/k?versionId=null", &[], "HeadObject"),
        ("GET", "/b/k?versionId=3", &[], "NotImplemented"),
        ("GET", "/b/k?tagging", &[], "GetObjectTagging"),
        ("PUT", "/b/k", &[], "PutObject"),
        ("PUT", "/b/k?x-id=PutObject", &[], "PutObject"),
        ("PUT", "/b/k", &[copy], "CopyObject"),
        ("PUT", "/b/k", &[copy, ("x-amz-metadata-directive", "MERGE")], "InvalidParameter"),
        ("DELETE", "/b/k", &[], "DeleteObject"),
        ("POST", "/b/k?uploads", &[], "CreateMultipartUpload"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", &[], "UploadPart"),
        ("PUT", "/b/k?partNumber=10000&uploadId=u", &[copy], "UploadPartCopy"),
        ("PUT", "/b/k?partNumber=0&uploadId=u", &[], "InvalidParameter"),
        ("PUT", "/b/k?partNumber=10001&uploadId=u", &[], "InvalidParameter"),
        ("PUT", "/b/k?uploadId=u", &[], "InvalidParameter"),
        ("PUT", "/b/k?partNumber=1", &[], "InvalidParameter"),
        ("PUT", "/b?partNumber=1&uploadId=u", &[], "InvalidRequest"),
        ("POST", "/b/k?uploadId=u", &[], "CompleteMultipartUpload"),
        ("POST", "/b/k?uploadId", &[], "InvalidParameter"),
        ("DELETE", "/b/k?uploadId=u", &[], "AbortMultipartUpload"),
        ("GET", "/b/k?uploadId=u&max-parts=5", &[], "ListParts"),
        ("POST", "/b/k", &[], "MethodNotAllowed"),
        ("GET", "//k", &[], "InvalidRequest"),
        ("GET", "/b/%ff", &[], "InvalidRequest"),
    ];
    for (method, target, headers, expected) in table {
        assert_eq!(name(parse(method, target, headers)), *expected, "{method} {target}");
    }
}

#[test]
fn a_sub_resource_that_is_not_served_never_reaches_the_object() {
    for sub in [
        "acl",
        "tagging",
        "retention",
        "legal-hold",
        "torrent=",
        "restore",
        "renameObject",
        "location",
        "uploads",
        "delete",
    ] {
        assert_eq!(name(parse("PUT", &format!("/b/k?{sub}"), &[])), "NotImplemented", "{sub}");
    }
    for sub in ["policy", "cors", "lifecycle", "website", "encryption", "object-lock", "versions"] {
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(name(parse(method, &format!("/b?{sub}"), &[])), "NotImplemented", "{method} {sub}");
        }
    }
    assert_eq!(name(parse("PUT", "/b?versioning", &[])), "NotImplemented");
    let promises = [
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-object-lock-mode",
        "x-amz-tagging",
    ];
    for header in promises {
        assert_eq!(name(parse("PUT", "/b/k", &[(header, "x")])), "NotImplemented", "{header}");
    }
}

#[test]
fn names_are_decoded_once_and_keep_their_slashes() {
    let table = [
        ("/b/a%20b+c", "a b+c"),
        ("/b/a%2Fb", "a/b"),
        ("/b//a//b/", "/a//b/"),
        ("/b/%252e%252e", "%2e%2e"),
        ("/b/../x", "../x"),
        ("/b/%C3%BC", "ü"),
    ];
    for (path, key) in table {
        let at = Location { bucket: "b".into(), key: key.into() };
        assert_eq!(parse("DELETE", path, &[]), Ok(Operation::DeleteObject { at }), "{path}");
    }
}

#[test]
fn a_page_has_a_thousand_entries_at_most() {
    let limit = |query: &str| match parse("GET", &format!("/b?{query}"), &[]) {
        Ok(Operation::ListObjects { list, .. }) => Some(list.page.limit),
        _ => None,
    };
    let table =
        [("", Some(1000)), ("max-keys=0", Some(0)), ("max-keys=7", Some(7)), ("max-keys=1001", Some(1000))];
    for (query, expected) in table.into_iter().chain([
        ("max-keys=999999999", Some(1000)),
        ("max-keys=-1", None),
        ("max-keys=x", None),
    ]) {
        assert_eq!(limit(query), expected, "{query}");
    }
}

#[test]
fn lists_know_what_was_asked() {
    let parsed = parse(
        "GET",
        "/b?list-type=2&prefix=a%20b&delimiter=%2F&start-after=c&encoding-type=url&fetch-owner=true",
        &[],
    );
    let Ok(Operation::ListObjectsV2 { list, continuation: None, .. }) = parsed else { panic!("{parsed:?}") };
    assert_eq!(
        (list.prefix.as_str(), list.delimiter.as_deref(), list.after.as_deref()),
        ("a b", Some("/"), Some("c"))
    );
    assert!(list.page.encoded && list.owners);
    assert!(parse("GET", "/b?encoding-type=base64", &[]).is_err());
}

#[test]
fn h11_a_header_of_the_answer_cannot_be_split() {
    let parsed = parse("GET", "/b/k?response-content-disposition=a%0d%0aSet-Cookie:x", &[]);
    assert_eq!(parsed, Err(S3Error::InvalidParameter("response-content-disposition")));
}

#[test]
fn a_bucket_is_public_by_its_acl() {
    for (acl, expected) in [("public-read", true), ("public-read-write", true), ("private", false)] {
        let parsed = parse("PUT", "/b", &[("x-amz-acl", acl)]);
        assert_eq!(parsed, Ok(Operation::CreateBucket { bucket: "b".into(), public: expected }));
    }
}

proptest! {
    #[test]
    fn any_target_gives_an_answer(method in "GET|HEAD|PUT|POST|DELETE|PATCH", target in "[ -~]{0,80}|/b(/k)?\\?([a-zA-Z-]{1,12}(=[0-9a-z%]{0,6})?&){0,5}", source in "[ -~]{0,40}") {
        let parsed = parse(&method, &target, &[("x-amz-copy-source", &source)]);
        if let Ok(operation) = parsed {
            prop_assert_eq!(operation.bucket().is_none(), operation == Operation::ListBuckets);
        }
    }
}
