//! The answers that are no pages of a list. Entity tags come without quotes and get them here.

use chrono::{DateTime, Utc};

use super::super::payload::{Algorithm, Checksum};
use super::writer::{NAMESPACE, Writer};

/// An answer in XML.
pub trait Answer {
    /// The document.
    fn xml(&self) -> String;
}

/// `ListBuckets`.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    /// Who asks: id and name.
    pub owner: String,
    /// Names and when they were made.
    pub buckets: Vec<(String, DateTime<Utc>)>,
}

impl Answer for Buckets {
    fn xml(&self) -> String {
        Writer::document("ListAllMyBucketsResult", Some(NAMESPACE), |xml| {
            xml.element("Owner", |xml| {
                xml.text("ID", &self.owner);
                xml.text("DisplayName", &self.owner);
            });
            xml.element("Buckets", |xml| {
                for (name, created) in &self.buckets {
                    xml.element("Bucket", |xml| {
                        xml.text("Name", name);
                        xml.moment("CreationDate", *created);
                    });
                }
            });
        })
    }
}

/// `GetBucketLocation`.
#[derive(Debug, Clone)]
pub struct BucketLocation {
    /// The configured region.
    pub region: String,
}

impl Answer for BucketLocation {
    fn xml(&self) -> String {
        // By the protocol us-east-1 is told by nothing.
        Writer::document("LocationConstraint", Some(NAMESPACE), |xml| {
            if self.region != "us-east-1" {
                xml.characters(&self.region);
            }
        })
    }
}

/// `GetBucketVersioning`: there is none.
#[derive(Debug, Clone, Copy)]
pub struct BucketVersioning;

impl Answer for BucketVersioning {
    fn xml(&self) -> String {
        Writer::document("VersioningConfiguration", Some(NAMESPACE), |_| {})
    }
}

/// `GetObjectTagging`: there are none.
#[derive(Debug, Clone, Copy)]
pub struct EmptyTagging;

impl Answer for EmptyTagging {
    fn xml(&self) -> String {
        Writer::document("Tagging", Some(NAMESPACE), |xml| xml.element("TagSet", |_| {}))
    }
}

/// `CopyObject`.
#[derive(Debug, Clone)]
pub struct CopiedObject {
    /// Of the copy.
    pub etag: String,
    /// Of the copy.
    pub modified: DateTime<Utc>,
}

/// `UploadPartCopy`.
#[derive(Debug, Clone)]
pub struct CopiedPart(pub CopiedObject);

impl CopiedObject {
    fn write(&self, root: &str) -> String {
        Writer::document(root, Some(NAMESPACE), |xml| {
            xml.moment("LastModified", self.modified);
            xml.etag(&self.etag);
        })
    }
}

impl Answer for CopiedObject {
    fn xml(&self) -> String {
        self.write("CopyObjectResult")
    }
}

impl Answer for CopiedPart {
    fn xml(&self) -> String {
        self.0.write("CopyPartResult")
    }
}

/// A key that `DeleteObjects` removed, or that was not there.
pub type DeletedKey = String;

/// A key that could not be removed.
#[derive(Debug, Clone)]
pub struct FailedKey {
    /// Which.
    pub key: String,
    /// The error's code.
    pub code: String,
    /// For people.
    pub message: String,
}

/// `DeleteObjects`.
#[derive(Debug, Clone, Default)]
pub struct Deletion {
    /// What is gone. Leave it out where the request is quiet.
    pub deleted: Vec<DeletedKey>,
    /// What is not.
    pub failed: Vec<FailedKey>,
}

impl Answer for Deletion {
    fn xml(&self) -> String {
        Writer::document("DeleteResult", Some(NAMESPACE), |xml| {
            for key in &self.deleted {
                xml.element("Deleted", |xml| xml.text("Key", key));
            }
            for failed in &self.failed {
                xml.element("Error", |xml| {
                    xml.text("Key", &failed.key);
                    xml.text("Code", &failed.code);
                    xml.text("Message", &failed.message);
                });
            }
        })
    }
}

/// `CreateMultipartUpload`.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Where it will be.
    pub bucket: String,
    /// Where it will be.
    pub key: String,
    /// What it is called until then.
    pub upload_id: String,
}

impl Answer for NewUpload {
    fn xml(&self) -> String {
        Writer::document("InitiateMultipartUploadResult", Some(NAMESPACE), |xml| {
            xml.text("Bucket", &self.bucket);
            xml.text("Key", &self.key);
            xml.text("UploadId", &self.upload_id);
        })
    }
}

/// `CompleteMultipartUpload`.
#[derive(Debug, Clone)]
pub struct CompletedUpload {
    /// The object's URL.
    pub location: String,
    /// Where it is.
    pub bucket: String,
    /// Where it is.
    pub key: String,
    /// Of the object.
    pub etag: String,
    /// Of the whole object, where one was told and holds.
    pub checksum: Option<Checksum>,
}

impl Answer for CompletedUpload {
    fn xml(&self) -> String {
        Writer::document("CompleteMultipartUploadResult", Some(NAMESPACE), |xml| {
            xml.text("Location", &self.location);
            xml.text("Bucket", &self.bucket);
            xml.text("Key", &self.key);
            xml.etag(&self.etag);
            let checksum = self.checksum.as_ref();
            if let Some((checksum, name)) =
                checksum.and_then(|known| Some((known, element_of(known.algorithm)?)))
            {
                xml.text(name, &checksum.base64());
                xml.text("ChecksumType", "FULL_OBJECT");
            }
        })
    }
}

/// The element that carries a checksum. MD5 has none.
fn element_of(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Crc32 => Some("ChecksumCRC32"),
        Algorithm::Crc32c => Some("ChecksumCRC32C"),
        Algorithm::Crc64Nvme => Some("ChecksumCRC64NVME"),
        Algorithm::Sha1 => Some("ChecksumSHA1"),
        Algorithm::Sha256 => Some("ChecksumSHA256"),
        Algorithm::Md5 => None,
    }
}

/// A browser's form with `success_action_status=201`.
#[derive(Debug, Clone)]
pub struct PostedObject {
    /// The object's URL.
    pub location: String,
    /// Where it is.
    pub bucket: String,
    /// Where it is.
    pub key: String,
    /// Of the object.
    pub etag: String,
}

impl Answer for PostedObject {
    fn xml(&self) -> String {
        Writer::document("PostResponse", None, |xml| {
            xml.text("Location", &self.location);
            xml.text("Bucket", &self.bucket);
            xml.text("Key", &self.key);
            xml.etag(&self.etag);
        })
    }
}
