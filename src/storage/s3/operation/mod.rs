//! What a request asks for, read from method, path, query and headers (contract section 10).
//!
//! A sub-resource that is not known (`?acl`, `?policy`, ...) is refused, never passed over: else a `PUT` of an object's
//! ACL would overwrite the object.

mod parameters;
#[cfg(test)]
mod tests;

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

pub use parameters::{ListObjects, ListParts, ListUploads, Page, ResponseOverrides};
use parameters::{part_number, refuse_unsupported, upload_id};

use super::copy_source::{CopyRange, CopySource};
use super::error::S3Error;
use super::query::Query;

/// An object's place. Names are as sent, decoded once; their rules are the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The key: not empty.
    pub key: String,
}

/// One of the operations that are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// All buckets.
    ListBuckets,
    /// A new bucket. The body may name a region.
    CreateBucket {
        /// Its name.
        bucket: String,
        /// `x-amz-acl` begins with `public-read`.
        public: bool,
    },
    /// Whether a bucket is there.
    HeadBucket {
        /// Its name.
        bucket: String,
    },
    /// Removes an empty bucket.
    DeleteBucket {
        /// Its name.
        bucket: String,
    },
    /// The region.
    GetBucketLocation {
        /// Of this bucket.
        bucket: String,
    },
    /// That there are no versions.
    GetBucketVersioning {
        /// Of this bucket.
        bucket: String,
    },
    /// Objects, first version of the list.
    ListObjects {
        /// In this bucket.
        bucket: String,
        /// Which. The marker is a key.
        list: ListObjects,
    },
    /// Objects, second version of the list.
    ListObjectsV2 {
        /// In this bucket.
        bucket: String,
        /// Which. The marker is the key to start after.
        list: ListObjects,
        /// Where the page before ended, as we told it.
        continuation: Option<String>,
    },
    /// Uploads that are not complete.
    ListMultipartUploads {
        /// In this bucket.
        bucket: String,
        /// Which.
        list: ListUploads,
    },
    /// A browser's form. Bucket from the path, the rest in the form.
    PostObject {
        /// Into this bucket.
        bucket: String,
    },
    /// Many objects; the body names them.
    DeleteObjects {
        /// In this bucket.
        bucket: String,
    },
    /// An object's bytes.
    GetObject {
        /// Where.
        at: Location,
        /// Headers that the answer shall have.
        overrides: ResponseOverrides,
    },
    /// What is known of an object.
    HeadObject {
        /// Where.
        at: Location,
        /// Headers that the answer shall have.
        overrides: ResponseOverrides,
    },
    /// An object's tags: none.
    GetObjectTagging {
        /// Where.
        at: Location,
    },
    /// Writes the body.
    PutObject {
        /// Where.
        at: Location,
    },
    /// Copies an object.
    CopyObject {
        /// To where.
        at: Location,
        /// From where.
        source: CopySource,
        /// Metadata comes from this request, not from the source.
        replace_metadata: bool,
    },
    /// Removes an object, or nothing.
    DeleteObject {
        /// Where.
        at: Location,
    },
    /// Begins an upload in parts.
    CreateMultipartUpload {
        /// Where.
        at: Location,
    },
    /// A part; the body is it.
    UploadPart {
        /// Of this upload.
        upload: UploadAt,
        /// 1 to 10,000.
        part: u16,
    },
    /// A part out of another object.
    UploadPartCopy {
        /// Of this upload.
        upload: UploadAt,
        /// 1 to 10,000.
        part: u16,
        /// From where.
        source: CopySource,
        /// Which bytes; all without.
        range: Option<CopyRange>,
    },
    /// Makes the parts that the body names an object.
    CompleteMultipartUpload {
        /// This upload.
        upload: UploadAt,
    },
    /// Gives an upload up.
    AbortMultipartUpload {
        /// This upload.
        upload: UploadAt,
    },
    /// The parts that are there.
    ListParts {
        /// Of this upload.
        upload: UploadAt,
        /// Which.
        list: ListParts,
    },
}

/// An upload and the object it is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadAt {
    /// The object.
    pub at: Location,
    /// The upload's id, as sent.
    pub upload_id: String,
}

impl Operation {
    /// Reads the operation. `path` is still encoded and has no prefix: `/`, `/bucket` or `/bucket/key`.
    pub fn parse(method: &Method, path: &str, query: &Query, headers: &HeaderMap) -> Result<Self, S3Error> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let (bucket, key) = (decode(bucket)?, decode(key)?);
        refuse_unsupported(method, query, headers)?;
        match (bucket.is_empty(), key.is_empty()) {
            (true, true) => service(method),
            (true, false) => Err(S3Error::invalid("The path has no bucket")),
            (false, true) => in_bucket(method, bucket, query, headers),
            (false, false) => of_object(method, Location { bucket, key }, query, headers),
        }
    }

    /// The bucket that is asked about, for limits and logs.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::ListBuckets => None,
            Self::CreateBucket { bucket, .. }
            | Self::HeadBucket { bucket }
            | Self::DeleteBucket { bucket }
            | Self::GetBucketLocation { bucket }
            | Self::GetBucketVersioning { bucket }
            | Self::ListObjects { bucket, .. }
            | Self::ListObjectsV2 { bucket, .. }
            | Self::ListMultipartUploads { bucket, .. }
            | Self::PostObject { bucket }
            | Self::DeleteObjects { bucket } => Some(bucket),
            Self::GetObject { at, .. }
            | Self::HeadObject { at, .. }
            | Self::GetObjectTagging { at }
            | Self::PutObject { at }
            | Self::CopyObject { at, .. }
            | Self::DeleteObject { at }
            | Self::CreateMultipartUpload { at } => Some(&at.bucket),
            Self::UploadPart { upload, .. }
            | Self::UploadPartCopy { upload, .. }
            | Self::CompleteMultipartUpload { upload }
            | Self::AbortMultipartUpload { upload }
            | Self::ListParts { upload, .. } => Some(&upload.at.bucket),
        }
    }

    /// Whether checksums in the headers are of the request's body. Those of a completed upload are of the object.
    pub fn body_is_digested(&self) -> bool {
        !matches!(self, Self::CompleteMultipartUpload { .. } | Self::CreateMultipartUpload { .. })
    }
}

fn service(method: &Method) -> Result<Operation, S3Error> {
    if method == Method::GET { Ok(Operation::ListBuckets) } else { Err(S3Error::MethodNotAllowed) }
}

fn in_bucket(
    method: &Method,
    bucket: String,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    if query.has("uploadId") {
        return Err(S3Error::invalid("An upload needs a key"));
    }
    match *method {
        Method::GET if query.has("location") => Ok(Operation::GetBucketLocation { bucket }),
        Method::GET if query.has("versioning") => Ok(Operation::GetBucketVersioning { bucket }),
        Method::GET if query.has("uploads") => {
            Ok(Operation::ListMultipartUploads { bucket, list: ListUploads::parse(query)? })
        }
        Method::GET => list_objects(bucket, query),
        Method::HEAD => Ok(Operation::HeadBucket { bucket }),
        Method::PUT => {
            let acl = headers.get("x-amz-acl").map(http::HeaderValue::as_bytes);
            Ok(Operation::CreateBucket {
                bucket,
                public: acl.is_some_and(|acl| acl.starts_with(b"public-read")),
            })
        }
        Method::DELETE => Ok(Operation::DeleteBucket { bucket }),
        Method::POST if query.has("delete") => Ok(Operation::DeleteObjects { bucket }),
        Method::POST if is_form(headers) => Ok(Operation::PostObject { bucket }),
        _ => Err(S3Error::MethodNotAllowed),
    }
}

fn list_objects(bucket: String, query: &Query) -> Result<Operation, S3Error> {
    match query.get("list-type") {
        None | Some("1") => Ok(Operation::ListObjects { bucket, list: ListObjects::parse(query, "marker")? }),
        Some("2") => Ok(Operation::ListObjectsV2 {
            bucket,
            list: ListObjects::parse(query, "start-after")?,
            continuation: query
                .get("continuation-token")
                .filter(|token| !token.is_empty())
                .map(str::to_owned),
        }),
        Some(_) => Err(S3Error::InvalidParameter("list-type")),
    }
}

fn of_object(
    method: &Method,
    at: Location,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    let upload = |at: Location| Ok::<_, S3Error>(UploadAt { at, upload_id: upload_id(query)? });
    let has_upload = query.has("uploadId");
    match *method {
        Method::GET if has_upload => {
            Ok(Operation::ListParts { upload: upload(at)?, list: ListParts::parse(query)? })
        }
        Method::GET if query.has("tagging") => Ok(Operation::GetObjectTagging { at }),
        Method::GET => Ok(Operation::GetObject { at, overrides: ResponseOverrides::parse(query)? }),
        Method::HEAD => Ok(Operation::HeadObject { at, overrides: ResponseOverrides::parse(query)? }),
        Method::PUT => {
            let source =
                headers.get("x-amz-copy-source").map(|value| CopySource::parse(text(value)?)).transpose()?;
            match (has_upload, source) {
                (true, None) => Ok(Operation::UploadPart { upload: upload(at)?, part: part_number(query)? }),
                (true, Some(source)) => {
                    let range = headers.get("x-amz-copy-source-range");
                    let range = range.map(|value| CopyRange::parse(text(value)?)).transpose()?;
                    Ok(Operation::UploadPartCopy {
                        upload: upload(at)?,
                        part: part_number(query)?,
                        source,
                        range,
                    })
                }
                (false, Some(source)) => {
                    Ok(Operation::CopyObject { at, source, replace_metadata: replaces_metadata(headers)? })
                }
                (false, None) if query.has("partNumber") => Err(S3Error::InvalidParameter("uploadId")),
                (false, None) => Ok(Operation::PutObject { at }),
            }
        }
        Method::POST if query.has("uploads") => Ok(Operation::CreateMultipartUpload { at }),
        Method::POST if has_upload => Ok(Operation::CompleteMultipartUpload { upload: upload(at)? }),
        Method::DELETE if has_upload => Ok(Operation::AbortMultipartUpload { upload: upload(at)? }),
        Method::DELETE => Ok(Operation::DeleteObject { at }),
        _ => Err(S3Error::MethodNotAllowed),
    }
}

fn replaces_metadata(headers: &HeaderMap) -> Result<bool, S3Error> {
    const DIRECTIVE: &str = "x-amz-metadata-directive";
    match headers.get(DIRECTIVE).map(http::HeaderValue::as_bytes) {
        None | Some(b"COPY") => Ok(false),
        Some(b"REPLACE") => Ok(true),
        Some(_) => Err(S3Error::InvalidParameter(DIRECTIVE)),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    kind.get(..19).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/form-data"))
}

fn text(value: &http::HeaderValue) -> Result<&str, S3Error> {
    // Clients may send other than ASCII unencoded.
    std::str::from_utf8(value.as_bytes()).map_err(|_| S3Error::InvalidParameter("x-amz-copy-source"))
}

fn decode(text: &str) -> Result<String, S3Error> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| S3Error::invalid("The path is not UTF-8"))
}
