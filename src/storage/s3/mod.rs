//! The S3 protocol (contract section 10). Without I/O: who signed a request, what it asks for, its body taken out of its
//! framing and checked, its XML read and the answers' written. Behind that, in `service`, what it comes to: buckets, objects,
//! copies, uploads in parts, forms; and the access keys, in [`keys`].
//!
//! A request goes through [`receive`]: [`authenticate`] says who asks, [`Operation::parse`] what is asked, and the body
//! comes through [`VerifiedBody`]. A browser's form is judged by [`authenticate_form`] when its fields are read. The answer
//! is written by [`xml`]. None of these knows buckets, rows or roles.
//!
//! Written by hand: the library for it (s3s 0.14) reads the bucket from the very path that it verifies, so it cannot serve
//! below a prefix; it parses a form's policy before its signature, and holds a form's file in memory.

mod answer;
mod authenticate;
mod buckets;
mod copies;
mod copy_source;
mod error;
mod form;
mod hoisted;
mod incoming;
pub mod keys;
mod listings;
mod metadata;
mod multipart;
mod objects;
mod operation;
mod parts;
pub mod payload;
mod query;
mod service;
pub mod signature;
#[cfg(test)]
mod tests;
pub mod xml;

pub use authenticate::{
    AccessKey, AccessKeys, Authenticated, AuthenticatedForm, Authority, Rules, authenticate,
    authenticate_form,
};
pub use copy_source::{CopyRange, CopySource};
pub use error::S3Error;
pub use hoisted::effective_headers;
pub use incoming::{Address, Incoming, Signed, receive};
pub use metadata::{stored_content_encoding, user_metadata};
pub use multipart::MIN_PART;
pub use operation::{
    ListObjects, ListParts, ListUploads, Location, Operation, Page, ResponseOverrides, UploadAt,
};
pub use payload::{Decoder, Receipt, VerifiedBody};
pub use query::Query;
pub(in crate::storage) use service::serve;
pub use signature::SignedRequest;
