//! The XML of the protocol: bodies that are read ([`parse_complete`], [`parse_delete`], [`parse_create`]) and answers that
//! are written ([`Answer`]).

mod answers;
mod errors;
mod input;
mod listings;
#[cfg(test)]
mod tests;
mod writer;

pub use answers::{
    Answer, BucketLocation, BucketVersioning, Buckets, CompletedUpload, CopiedObject, CopiedPart, DeletedKey,
    Deletion, EmptyTagging, FailedKey, NewUpload, PostedObject,
};
pub use errors::ErrorAnswer;
pub use input::{CompletedPart, DeleteRequest, MAX_BODY, parse_complete, parse_create, parse_delete};
pub use listings::{ListedObject, ListedPart, ListedUpload, ObjectList, ObjectListV2, PartList, UploadList};
