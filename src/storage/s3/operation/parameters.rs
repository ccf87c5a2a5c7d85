//! The parameters of operations, and those that belong to parts of S3 which are not served.

use http::{HeaderMap, HeaderValue, Method};

use super::super::error::S3Error;
use super::super::query::Query;

/// The most entries of a page.
const MAX_ENTRIES: u16 = 1000;
/// The highest number of a part.
const MAX_PARTS: u16 = 10_000;
/// The longest upload id that is looked at, in bytes.
const MAX_UPLOAD_ID: usize = 1024;

/// How much of a list, and how its names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The most entries: 0 to 1,000.
    pub limit: u16,
    /// Keys are percent-encoded in the answer: `encoding-type=url`.
    pub encoded: bool,
}

impl Page {
    fn parse(query: &Query, limit: &'static str) -> Result<Self, S3Error> {
        let encoded = match query.get("encoding-type") {
            None | Some("") => false,
            Some("url") => true,
            Some(_) => return Err(S3Error::InvalidParameter("encoding-type")),
        };
        Ok(Self { limit: number(query, limit)?.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES), encoded })
    }
}

/// A list of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjects {
    /// Keys that begin with it; all where empty.
    pub prefix: String,
    /// Keys with it behind the prefix are told once, up to it. Any text.
    pub delimiter: Option<String>,
    /// Keys behind it.
    pub after: Option<String>,
    /// How much.
    pub page: Page,
    /// Owners are asked for: `fetch-owner=true`.
    pub owners: bool,
}

impl ListObjects {
    pub(super) fn parse(query: &Query, after: &str) -> Result<Self, S3Error> {
        Ok(Self {
            prefix: query.get("prefix").unwrap_or_default().to_owned(),
            delimiter: some(query, "delimiter"),
            after: some(query, after),
            page: Page::parse(query, "max-keys")?,
            owners: query.get("fetch-owner") == Some("true"),
        })
    }
}

/// A list of uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListUploads {
    /// Keys that begin with it.
    pub prefix: String,
    /// As in [`ListObjects`].
    pub delimiter: Option<String>,
    /// Keys behind it.
    pub key_marker: Option<String>,
    /// Of the key that is the marker: uploads behind it.
    pub upload_id_marker: Option<String>,
    /// How much.
    pub page: Page,
}

impl ListUploads {
    pub(super) fn parse(query: &Query) -> Result<Self, S3Error> {
        Ok(Self {
            prefix: query.get("prefix").unwrap_or_default().to_owned(),
            delimiter: some(query, "delimiter"),
            key_marker: some(query, "key-marker"),
            upload_id_marker: some(query, "upload-id-marker"),
            page: Page::parse(query, "max-uploads")?,
        })
    }
}

/// A list of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListParts {
    /// Parts behind this number; 0 is in front of all.
    pub after: u16,
    /// How much.
    pub page: Page,
}

impl ListParts {
    pub(super) fn parse(query: &Query) -> Result<Self, S3Error> {
        let after = number(query, "part-number-marker")?.unwrap_or(0);
        Ok(Self { after, page: Page::parse(query, "max-parts")? })
    }
}

/// Headers that the answer to a download shall have: `response-*`. All are valid header values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseOverrides {
    /// `Content-Type`.
    pub content_type: Option<HeaderValue>,
    /// `Content-Language`.
    pub content_language: Option<HeaderValue>,
    /// `Expires`.
    pub expires: Option<HeaderValue>,
    /// `Cache-Control`.
    pub cache_control: Option<HeaderValue>,
    /// `Content-Disposition`.
    pub content_disposition: Option<HeaderValue>,
    /// `Content-Encoding`.
    pub content_encoding: Option<HeaderValue>,
}

impl ResponseOverrides {
    pub(super) fn parse(query: &Query) -> Result<Self, S3Error> {
        let header = |name: &'static str| {
            let value = query.get(name).map(HeaderValue::from_str).transpose();
            value.map_err(|_| S3Error::InvalidParameter(name))
        };
        match query.get("partNumber") {
            // An object is told as one part.
            None | Some("1") => {}
            Some(_) => return Err(S3Error::InvalidParameter("partNumber")),
        }
        Ok(Self {
            content_type: header("response-content-type")?,
            content_language: header("response-content-language")?,
            expires: header("response-expires")?,
            cache_control: header("response-cache-control")?,
            content_disposition: header("response-content-disposition")?,
            content_encoding: header("response-content-encoding")?,
        })
    }
}

pub(super) fn upload_id(query: &Query) -> Result<String, S3Error> {
    let id = query.get("uploadId").filter(|id| !id.is_empty() && id.len() <= MAX_UPLOAD_ID);
    id.map(str::to_owned).ok_or(S3Error::InvalidParameter("uploadId"))
}

pub(super) fn part_number(query: &Query) -> Result<u16, S3Error> {
    let number = number(query, "partNumber")?.filter(|number| (1..=MAX_PARTS).contains(number));
    number.ok_or(S3Error::InvalidParameter("partNumber"))
}

/// Parameters that may stand without a value.
const KNOWN: [&str; 15] = [
    "location",
    "versioning",
    "uploads",
    "uploadId",
    "delete",
    "tagging",
    "prefix",
    "delimiter",
    "marker",
    "start-after",
    "continuation-token",
    "encoding-type",
    "key-marker",
    "upload-id-marker",
    "fetch-owner",
];

/// Sub-resources that are served, and how they may be asked for.
const SUB_RESOURCES: [(&str, &[Method]); 5] = [
    ("location", &[Method::GET]),
    ("versioning", &[Method::GET]),
    ("tagging", &[Method::GET]),
    ("uploads", &[Method::GET, Method::POST]),
    ("delete", &[Method::POST]),
];

/// Headers that promise what is not done. To pass them over would be to break the promise.
const UNSUPPORTED_HEADERS: [&str; 4] = [
    "x-amz-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-website-redirect-location",
    "x-amz-tagging",
];

/// Refuses sub-resources, versions and promises that are not served. A sub-resource is a parameter without a value.
pub(super) fn refuse_unsupported(method: &Method, query: &Query, headers: &HeaderMap) -> Result<(), S3Error> {
    for (name, value) in query.iter() {
        let signing = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
        let misused =
            SUB_RESOURCES.iter().any(|(known, methods)| *known == name && !methods.contains(method));
        let unknown =
            value.is_empty() && !signing && !KNOWN.contains(&name) && !name.starts_with("response-");
        let version = name == "versionId" && value != "null";
        if misused || unknown || version {
            return Err(S3Error::NotImplemented(format!("The parameter {name}").into()));
        }
    }
    let writes = method == Method::PUT || method == Method::POST;
    let promised = headers.keys().map(http::HeaderName::as_str).find(|name| {
        // The copy's directive about tags is harmless: there are none.
        let promise = UNSUPPORTED_HEADERS.iter().any(|header| name.starts_with(header));
        promise && *name != "x-amz-tagging-directive"
    });
    match promised.filter(|_| writes) {
        Some(name) => Err(S3Error::NotImplemented(format!("The header {name}").into())),
        None => Ok(()),
    }
}

/// A number, or nothing where the parameter is not there.
fn number(query: &Query, name: &'static str) -> Result<Option<u16>, S3Error> {
    let Some(text) = query.get(name) else { return Ok(None) };
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(S3Error::InvalidParameter(name));
    }
    let number: u32 = text.parse().map_err(|_| S3Error::InvalidParameter(name))?;
    Ok(Some(u16::try_from(number).unwrap_or(u16::MAX)))
}

fn some(query: &Query, name: &str) -> Option<String> {
    query.get(name).filter(|value| !value.is_empty()).map(str::to_owned)
}
