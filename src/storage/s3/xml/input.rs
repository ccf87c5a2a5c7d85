//! Bodies in XML. They are read by serde; a document type is refused, entities are the five of XML, and counts are bounded.

use quick_xml::de::{Deserializer, EntityResolver, PredefinedEntityResolver};
use quick_xml::events::BytesText;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::error::S3Error;
use super::super::payload::{Algorithm, Checksum};

/// The largest body that is read, in bytes: 1,000 keys of 1,024 bytes, escaped, fit in.
pub const MAX_BODY: usize = 8 * 1024 * 1024;
/// The most parts of an upload.
const MAX_PARTS: usize = 10_000;
/// The most keys of one deletion.
const MAX_KEYS: usize = 1000;

/// A part that goes into the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// 1 to 10,000, ascending.
    pub number: u16,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// The checksums that were told for it.
    pub checksums: Vec<Checksum>,
}

/// What `DeleteObjects` removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// The keys, in the order of the request: 1 to 1,000.
    pub keys: Vec<String>,
    /// Only what failed is answered.
    pub quiet: bool,
}

#[derive(Deserialize)]
enum CompleteDocument {
    CompleteMultipartUpload(Parts),
}

#[derive(Deserialize)]
struct Parts {
    #[serde(rename = "Part", default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "PartNumber")]
    number: u16,
    #[serde(rename = "ETag")]
    etag: String,
    #[serde(rename = "ChecksumCRC32")]
    crc32: Option<String>,
    #[serde(rename = "ChecksumCRC32C")]
    crc32c: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    crc64nvme: Option<String>,
    #[serde(rename = "ChecksumSHA1")]
    sha1: Option<String>,
    #[serde(rename = "ChecksumSHA256")]
    sha256: Option<String>,
}

#[derive(Deserialize)]
enum DeleteDocument {
    Delete(Delete),
}

#[derive(Deserialize)]
struct Delete {
    #[serde(rename = "Object", default)]
    objects: Vec<Object>,
    #[serde(rename = "Quiet", default)]
    quiet: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    key: String,
    version_id: Option<String>,
}

#[derive(Deserialize)]
enum CreateDocument {
    CreateBucketConfiguration(CreateBucket),
    #[serde(rename = "CreateBucketRequest")]
    Request(CreateBucket),
}

#[derive(Deserialize)]
struct CreateBucket {
    #[serde(rename = "LocationConstraint")]
    location: Option<String>,
}

/// Reads `CompleteMultipartUpload`: at least one part, ascending, none twice.
pub fn parse_complete(body: &[u8]) -> Result<Vec<CompletedPart>, S3Error> {
    let CompleteDocument::CompleteMultipartUpload(Parts { parts }) = read(body)?;
    if parts.is_empty() || parts.len() > MAX_PARTS {
        return Err(S3Error::MalformedXml);
    }
    let parts = parts.into_iter().map(completed).collect::<Result<Vec<_>, _>>()?;
    if parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(S3Error::InvalidPartOrder);
    }
    Ok(parts)
}

/// Reads `Delete`.
pub fn parse_delete(body: &[u8]) -> Result<DeleteRequest, S3Error> {
    let DeleteDocument::Delete(Delete { objects, quiet }) = read(body)?;
    if objects.is_empty() || objects.len() > MAX_KEYS || objects.iter().any(|object| object.key.is_empty()) {
        return Err(S3Error::MalformedXml);
    }
    let names_version =
        |object: &Object| object.version_id.as_deref().is_some_and(|id| !matches!(id, "" | "null"));
    if objects.iter().any(names_version) {
        return Err(S3Error::NotImplemented("Versioning".into()));
    }
    Ok(DeleteRequest { keys: objects.into_iter().map(|object| object.key).collect(), quiet })
}

/// Reads `CreateBucketConfiguration`: the region, where one is named. No body names none.
pub fn parse_create(body: &[u8]) -> Result<Option<String>, S3Error> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let (CreateDocument::CreateBucketConfiguration(create) | CreateDocument::Request(create)) = read(body)?;
    Ok(create.location.filter(|location| !location.is_empty()))
}

fn completed(part: Part) -> Result<CompletedPart, S3Error> {
    if !(1..=MAX_PARTS).contains(&usize::from(part.number)) {
        return Err(S3Error::MalformedXml);
    }
    let told = [
        (Algorithm::Crc32, part.crc32),
        (Algorithm::Crc32c, part.crc32c),
        (Algorithm::Crc64Nvme, part.crc64nvme),
        (Algorithm::Sha1, part.sha1),
        (Algorithm::Sha256, part.sha256),
    ];
    let checksums = told
        .into_iter()
        .filter_map(|(algorithm, text)| Some(Checksum::parse(algorithm, &text?)))
        .collect::<Result<_, _>>()?;
    Ok(CompletedPart { number: part.number, etag: part.etag.trim_matches('"').to_owned(), checksums })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, S3Error> {
    if body.len() > MAX_BODY {
        return Err(S3Error::EntityTooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| S3Error::MalformedXml)?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let mut reader = Deserializer::from_str_with_resolver(text, NoDocumentType(PredefinedEntityResolver));
    T::deserialize(&mut reader).map_err(|_| S3Error::MalformedXml)
}

/// Knows the five entities of XML, and refuses a document that would define more.
struct NoDocumentType(PredefinedEntityResolver);

#[derive(Debug, thiserror::Error)]
#[error("a document type is not taken")]
struct DocumentTypeRefused;

impl EntityResolver for NoDocumentType {
    type Error = DocumentTypeRefused;

    fn capture(&mut self, _: BytesText<'_>) -> Result<(), Self::Error> {
        Err(DocumentTypeRefused)
    }

    fn resolve(&self, entity: &str) -> Option<&str> {
        self.0.resolve(entity)
    }
}
