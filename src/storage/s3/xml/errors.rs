//! The answer of a request that fails.

use super::super::error::S3Error;
use super::writer::Writer;

/// `<Error>` (contract section 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorAnswer<'a> {
    /// The path of the request, as sent.
    pub resource: &'a str,
    /// The code.
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
}

impl ErrorAnswer<'_> {
    /// The document.
    pub fn xml(&self) -> String {
        Writer::document("Error", None, |xml| {
            xml.text("Resource", self.resource);
            xml.text("Code", self.code);
            xml.text("Message", self.message);
        })
    }
}

impl S3Error {
    /// The document that tells the error.
    pub fn xml(&self, resource: &str) -> String {
        ErrorAnswer { resource, code: self.code(), message: &self.to_string() }.xml()
    }
}
