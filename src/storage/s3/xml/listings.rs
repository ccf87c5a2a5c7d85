//! The answers that are pages of a list: of objects, of uploads, of parts. What was asked is told again, as clients expect.

use chrono::{DateTime, Utc};

use super::super::operation::{ListObjects, ListParts, ListUploads, Page, UploadAt};
use super::answers::Answer;
use super::writer::{NAMESPACE, Writer};

/// An object in a list.
#[derive(Debug, Clone)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// When it was written.
    pub modified: DateTime<Utc>,
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Whose it is; told where owners are asked for.
    pub owner: Option<String>,
}

/// `ListObjects`, the first version.
#[derive(Debug, Clone)]
pub struct ObjectList<'a> {
    /// In this bucket.
    pub bucket: &'a str,
    /// What was asked.
    pub asked: &'a ListObjects,
    /// The objects.
    pub objects: Vec<ListedObject>,
    /// What keys have in common, up to the delimiter.
    pub prefixes: Vec<String>,
    /// The last key or prefix of this page, where there are more pages.
    pub next: Option<String>,
}

impl Answer for ObjectList<'_> {
    fn xml(&self) -> String {
        let encoded = self.asked.page.encoded;
        Writer::document("ListBucketResult", Some(NAMESPACE), |xml| {
            xml.text("Name", self.bucket);
            xml.key("Prefix", &self.asked.prefix, encoded);
            xml.key("Marker", self.asked.after.as_deref().unwrap_or_default(), encoded);
            if let Some(next) = &self.next {
                xml.key("NextMarker", next, encoded);
            }
            asked(xml, self.asked, self.next.is_some());
            content(xml, &self.objects, &self.prefixes, encoded);
        })
    }
}

/// `ListObjects`, the second version.
#[derive(Debug, Clone)]
pub struct ObjectListV2<'a> {
    /// In this bucket.
    pub bucket: &'a str,
    /// What was asked.
    pub asked: &'a ListObjects,
    /// The token that was sent.
    pub continuation: Option<&'a str>,
    /// The objects.
    pub objects: Vec<ListedObject>,
    /// What keys have in common, up to the delimiter.
    pub prefixes: Vec<String>,
    /// The token of the next page, where there is one.
    pub next: Option<String>,
}

impl Answer for ObjectListV2<'_> {
    fn xml(&self) -> String {
        let encoded = self.asked.page.encoded;
        Writer::document("ListBucketResult", Some(NAMESPACE), |xml| {
            xml.text("Name", self.bucket);
            xml.key("Prefix", &self.asked.prefix, encoded);
            xml.optional("ContinuationToken", self.continuation);
            xml.optional("NextContinuationToken", self.next.as_deref());
            if let Some(after) = &self.asked.after {
                xml.key("StartAfter", after, encoded);
            }
            xml.value("KeyCount", &(self.objects.len() + self.prefixes.len()));
            asked(xml, self.asked, self.next.is_some());
            content(xml, &self.objects, &self.prefixes, encoded);
        })
    }
}

fn asked(xml: &mut Writer, list: &ListObjects, more: bool) {
    xml.value("MaxKeys", &list.page.limit);
    grouping(xml, list.delimiter.as_deref(), list.page);
    xml.value("IsTruncated", &more);
}

fn grouping(xml: &mut Writer, delimiter: Option<&str>, page: Page) {
    if let Some(delimiter) = delimiter {
        xml.key("Delimiter", delimiter, page.encoded);
    }
    if page.encoded {
        xml.text("EncodingType", "url");
    }
}

fn content(xml: &mut Writer, objects: &[ListedObject], prefixes: &[String], encoded: bool) {
    for object in objects {
        xml.element("Contents", |xml| {
            xml.key("Key", &object.key, encoded);
            xml.moment("LastModified", object.modified);
            xml.etag(&object.etag);
            xml.value("Size", &object.size);
            if let Some(owner) = &object.owner {
                xml.element("Owner", |xml| xml.text("ID", owner));
            }
            xml.text("StorageClass", "STANDARD");
        });
    }
    common(xml, prefixes, encoded);
}

fn common(xml: &mut Writer, prefixes: &[String], encoded: bool) {
    for prefix in prefixes {
        xml.element("CommonPrefixes", |xml| xml.key("Prefix", prefix, encoded));
    }
}

/// An upload in a list.
#[derive(Debug, Clone)]
pub struct ListedUpload {
    /// What it will be.
    pub key: String,
    /// What it is called until then.
    pub upload_id: String,
    /// When it was begun.
    pub initiated: DateTime<Utc>,
}

/// `ListMultipartUploads`.
#[derive(Debug, Clone)]
pub struct UploadList<'a> {
    /// In this bucket.
    pub bucket: &'a str,
    /// What was asked.
    pub asked: &'a ListUploads,
    /// The uploads.
    pub uploads: Vec<ListedUpload>,
    /// What keys have in common, up to the delimiter.
    pub prefixes: Vec<String>,
    /// Key and upload id of the last one, where there are more pages.
    pub next: Option<(String, String)>,
}

impl Answer for UploadList<'_> {
    fn xml(&self) -> String {
        let encoded = self.asked.page.encoded;
        Writer::document("ListMultipartUploadsResult", Some(NAMESPACE), |xml| {
            xml.text("Bucket", self.bucket);
            xml.key("KeyMarker", self.asked.key_marker.as_deref().unwrap_or_default(), encoded);
            xml.text("UploadIdMarker", self.asked.upload_id_marker.as_deref().unwrap_or_default());
            if let Some((key, upload_id)) = &self.next {
                xml.key("NextKeyMarker", key, encoded);
                xml.text("NextUploadIdMarker", upload_id);
            }
            xml.key("Prefix", &self.asked.prefix, encoded);
            grouping(xml, self.asked.delimiter.as_deref(), self.asked.page);
            xml.value("MaxUploads", &self.asked.page.limit);
            xml.value("IsTruncated", &self.next.is_some());
            for upload in &self.uploads {
                xml.element("Upload", |xml| {
                    xml.key("Key", &upload.key, encoded);
                    xml.text("UploadId", &upload.upload_id);
                    xml.text("StorageClass", "STANDARD");
                    xml.moment("Initiated", upload.initiated);
                });
            }
            common(xml, &self.prefixes, encoded);
        })
    }
}

/// A part in a list.
#[derive(Debug, Clone)]
pub struct ListedPart {
    /// 1 to 10,000.
    pub number: u16,
    /// When it was written.
    pub modified: DateTime<Utc>,
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// `ListParts`.
#[derive(Debug, Clone)]
pub struct PartList<'a> {
    /// Of this upload.
    pub upload: &'a UploadAt,
    /// What was asked.
    pub asked: ListParts,
    /// The parts.
    pub parts: Vec<ListedPart>,
    /// Whether there are more pages.
    pub more: bool,
}

impl Answer for PartList<'_> {
    fn xml(&self) -> String {
        Writer::document("ListPartsResult", Some(NAMESPACE), |xml| {
            xml.text("Bucket", &self.upload.at.bucket);
            xml.text("Key", &self.upload.at.key);
            xml.text("UploadId", &self.upload.upload_id);
            xml.value("PartNumberMarker", &self.asked.after);
            if let Some(last) = self.parts.last().filter(|_| self.more) {
                xml.value("NextPartNumberMarker", &last.number);
            }
            xml.value("MaxParts", &self.asked.page.limit);
            xml.value("IsTruncated", &self.more);
            for part in &self.parts {
                xml.element("Part", |xml| {
                    xml.value("PartNumber", &part.number);
                    xml.moment("LastModified", part.modified);
                    xml.etag(&part.etag);
                    xml.value("Size", &part.size);
                });
            }
            xml.text("StorageClass", "STANDARD");
        })
    }
}
